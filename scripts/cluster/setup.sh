#!/usr/bin/env bash
# Makes a machine a node: Python environment, this program, pinned versions, and the guard that ends it.
#
#   setup.sh DEADLINE IDLE_MINUTES
#
# Expects in ~/orchestrator-node what up.py puts there: the wheel, constraints.txt, guard.sh.
set -euo pipefail

cd "$HOME/orchestrator-node"
# First of all: whatever fails after this, the machine ends. Only one guard a machine, also when setup runs again.
sudo systemctl stop orchestrator-guard 2>/dev/null || true
sudo systemd-run --unit=orchestrator-guard --collect bash "$PWD/guard.sh" "$1" "$2"

# Candidates get namespaces of their own where the kernel allows it; Ubuntu 24.04 refuses them to plain users.
if [[ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]]; then
    sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0
fi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    sudo apt-get -qq update
    sudo apt-get -qq install -y python3-venv
fi
[[ -d venv ]] || python3 -m venv venv
venv/bin/pip install --quiet --constraint constraints.txt ./*.whl
grep -q orchestrator-node "$HOME/.bashrc" || cat >>"$HOME/.bashrc" <<'PROFILE'
export PATH="$HOME/orchestrator-node/venv/bin:$PATH"  # orchestrator-node
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0  # orchestrator-node
PROFILE
