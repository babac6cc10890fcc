#!/usr/bin/env bash
# Ends the machine that it runs on: at a deadline, or after a while in which no sweep used it.
#
#   guard.sh DEADLINE IDLE_MINUTES      DEADLINE in seconds since the epoch
#
# It asks nobody and needs no network: it also ends a worker whose head is gone, which no autoscaler would see any
# more. What "ends" costs is up to the provider: the AWS file asks for termination on shutdown. The provider's own
# limits (termination time on GCP, active deadline on Kubernetes) stand behind it.
set -euo pipefail

deadline=${1:?deadline in seconds since the epoch}
idle_minutes=${2:?minutes without a sweep}
idle=0
say() {
    # A machine without a log must end all the same.
    logger -t orchestrator-guard "$1" 2>/dev/null || echo "orchestrator-guard: $1"
}
while true; do
    if (($(date +%s) >= deadline)); then
        say "the deadline has come"
        break
    fi
    # Either the driver itself, or an actor that works for one, wherever the driver is.
    if pgrep -f -- '-m orchestrator|ray::(Execution|Generation)Actor' >/dev/null; then
        idle=0
    else
        idle=$((idle + 1))
    fi
    if ((idle > 0 && idle >= idle_minutes)); then
        say "no sweep for ${idle_minutes} minutes"
        break
    fi
    sleep 60
done
${ORCHESTRATOR_GUARD_END:-shutdown -h now}
