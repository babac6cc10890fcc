#!/usr/bin/env bash
# A cluster of your own workstations over ssh: a head here or on one of them, a worker on each.
#
#   rtx.sh up   HOSTS_FILE      start head and workers, with token and labels; checks versions first
#   rtx.sh list HOSTS_FILE      what runs of it
#   rtx.sh down HOSTS_FILE      end all of it
#
# HOSTS_FILE, one machine a line; the first is the head (`localhost`: this one) and works as well:
#   alice@ws1   gpu-class=rtx4060
#   alice@ws2   gpu-class=rtx5060ti16   /home/alice/venv/bin
# that is: ssh target, labels (comma separated, or -), folder of `python` and `ray` (default: that of this machine's).
# Every machine has this program installed with the same constraints.txt: pip install -c constraints.txt WHEEL.
#
# An hour costs your own electricity: the board power in conf/hardware/*.yaml times your tariff (rates.usd_per_kwh).
# What ends it: `down`, or the end of ORCHESTRATOR_HOURS (default 12) on each machine, by a timer that only stops Ray.
# Then:   RAY_AUTH_MODE=token python -m orchestrator +sweep=gpu cluster=address cluster.address=HEAD:6379 hardware=rtx4060
#
# Ray's ports must be reachable between these machines and from nowhere else: the token keeps others from running code,
# it does not encrypt. The dashboard listens on the head's loopback.
set -euo pipefail

readonly PORT=${ORCHESTRATOR_PORT:-6379}
readonly HOURS=${ORCHESTRATOR_HOURS:-12}
readonly OWNER=${USER:-$(id -un)}
readonly TOKEN="$HOME/.ray/auth_token"
HERE=$(dirname "$(command -v python3)")
readonly HERE

die() {
    echo "rtx.sh: $*" >&2
    exit 1
}

# on HOST COMMAND...: run a command line there; `localhost` is here, without ssh.
on() {
    local host=$1
    shift
    if [[ $host == localhost ]]; then
        bash -c "$*"
    else
        ssh -o BatchMode=yes -o ConnectTimeout=10 "$host" "$*" </dev/null
    fi
}

# Reads the hosts file into the arrays HOSTS, LABELS, BINS.
read_hosts() {
    HOSTS=() LABELS=() BINS=()
    local host labels bin
    while read -r host labels bin _; do
        [[ -z $host || $host == \#* ]] && continue
        [[ ${labels:--} =~ ^(-|[A-Za-z0-9./_-]+=[A-Za-z0-9._-]+(,[A-Za-z0-9./_-]+=[A-Za-z0-9._-]+)*)$ ]] ||
            die "labels of $host must look like gpu-class=rtx4060,room=lab, not $labels"
        HOSTS+=("$host")
        [[ ${labels:--} == - ]] && LABELS+=("") || LABELS+=("$labels")
        BINS+=("${bin:-$HERE}")
    done <"$1"
    ((${#HOSTS[@]})) || die "$1 names no machine"
}

versions() { # HOST BIN
    on "$1" "'$2/python' -c 'import platform, ray; from importlib.metadata import version;
print(platform.python_version(), ray.__version__, version(\"orchestrator\"))'"
}

# The first address of the head that the others reach; of `localhost` its own.
head_address() {
    on "${HOSTS[0]}" "hostname -I" | awk '{print $1}'
}

up() {
    [[ -s $TOKEN ]] || "${BINS[0]}/ray" get-auth-token --generate >/dev/null
    chmod 600 "$TOKEN"
    local wanted got i
    wanted=$(versions "${HOSTS[0]}" "${BINS[0]}") || die "${HOSTS[0]} does not answer, or lacks this program"
    for i in "${!HOSTS[@]}"; do
        got=$(versions "${HOSTS[i]}" "${BINS[i]}") || die "${HOSTS[i]} does not answer, or lacks this program"
        [[ $got == "$wanted" ]] || die "${HOSTS[i]} has $got (Python, ray, orchestrator), the head has $wanted"
    done
    local running
    running=$(list_running)
    if [[ -n $running ]]; then
        echo "$running"
        die "Ray of an earlier cluster runs there; end it first: rtx.sh down $FILE"
    fi
    local address
    address=$(head_address)
    for i in "${!HOSTS[@]}"; do
        [[ ${HOSTS[i]} == localhost ]] ||
            ssh -o BatchMode=yes "${HOSTS[i]}" 'umask 077; mkdir -p ~/.ray; cat > ~/.ray/auth_token' <"$TOKEN"
        start "$i" "$address"
    done
    echo "up: RAY_AUTH_MODE=token and cluster.address=$address:$PORT, for $HOURS hours; to end it: rtx.sh down $FILE"
}

# The timer writes its own number, so that once the file is there its session is too, and `down` can end it by that.
start() { # INDEX HEAD_ADDRESS
    local labels="owner=$OWNER${LABELS[$1]:+,${LABELS[$1]}}" role
    if (($1 == 0)); then
        role="--head --port=$PORT --node-ip-address=$2 --dashboard-host=127.0.0.1"
    else
        role="--address=$2:$PORT"
    fi
    on "${HOSTS[$1]}" "RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 '${BINS[$1]}/ray' start $role --labels='$labels' \
        --disable-usage-stats >/dev/null && \
        rm -f ~/.ray/orchestrator-timer && \
        { setsid bash -c 'echo \$\$ > ~/.ray/orchestrator-timer
            sleep $((HOURS * 3600)); \"${BINS[$1]}/ray\" stop' >/dev/null 2>&1 </dev/null & } && \
        for _ in \$(seq 100); do [ -s ~/.ray/orchestrator-timer ] && exit 0; sleep 0.1; done; exit 1" ||
        die "Ray, or the timer that ends it, did not start on ${HOSTS[$1]}"
    echo "${HOSTS[$1]}: $labels"
}

list_running() {
    local i
    for i in "${!HOSTS[@]}"; do
        if on "${HOSTS[i]}" "pgrep -u \$(id -u) -x raylet >/dev/null"; then
            echo "${HOSTS[i]}: a raylet of yours runs"
        fi
    done
}

down() {
    local i
    for ((i = ${#HOSTS[@]} - 1; i >= 0; i--)); do
        on "${HOSTS[i]}" "if [ -s ~/.ray/orchestrator-timer ]; then kill -- -\$(cat ~/.ray/orchestrator-timer) \
            2>/dev/null; rm -f ~/.ray/orchestrator-timer; fi; '${BINS[i]}/ray' stop >/dev/null" ||
            echo "rtx.sh: ${HOSTS[i]} could not be told to stop" >&2
    done
}

(($# == 2)) || die "usage: rtx.sh up|list|down HOSTS_FILE"
readonly FILE=$2
[[ -r $FILE ]] || die "$FILE cannot be read"
read_hosts "$FILE"
case $1 in
    up) up ;;
    list) list_running ;;
    down) down ;;
    *) die "usage: rtx.sh up|list|down HOSTS_FILE" ;;
esac
