"""The shell scripts, with stand-ins for what they would start and end."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "cluster"
SCRIPTS = ("rtx.sh", "guard.sh", "setup.sh")

PYTHON = "#!/bin/bash\necho '3.12.3 2.60.0 0.1.0'\n"
OTHER = "#!/bin/bash\necho '3.12.3 2.59.0 0.1.0'\n"
RAY = """\
#!/bin/bash
echo "$RAY_AUTH_MODE ray $*" >> "$CALLS"
if [ "$1" = get-auth-token ]; then mkdir -p ~/.ray; echo secret > ~/.ray/auth_token; fi
"""
SSH = """\
#!/bin/bash
while [ "$1" = -o ]; do shift 2; done
echo "ssh $1" >> "$CALLS"
shift
exec bash -c "$*"
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """Two machines, of which the second has a folder of programs of its own; nothing of Ray runs there."""
    program(tmp_path / "bin" / "python", PYTHON)
    program(tmp_path / "bin" / "python3", PYTHON)
    program(tmp_path / "bin" / "ray", RAY)
    program(tmp_path / "bin" / "ssh", SSH)
    program(tmp_path / "bin" / "pgrep", "#!/bin/bash\nexit 1\n")
    program(tmp_path / "bin" / "hostname", "#!/bin/bash\necho 10.0.0.1 172.17.0.1\n")
    program(tmp_path / "two" / "python", PYTHON)
    program(tmp_path / "two" / "ray", RAY)
    (tmp_path / "hosts").write_text(
        f"# mine\nlocalhost gpu-class=rtx4060\nalice@ws2 gpu-class=rtx5060ti16,room=lab {tmp_path / 'two'}\n"
    )
    (tmp_path / "home").mkdir()
    return tmp_path


def rtx(machines: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{machines / 'bin'}:{os.environ['PATH']}",
        "HOME": str(machines / "home"),
        "CALLS": str(machines / "calls"),
        "USER": "me",
    }
    command = ["bash", str(FOLDER / "rtx.sh"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def calls(machines: Path) -> list[str]:
    path = machines / "calls"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_accepts_it(name: str) -> None:
    done = subprocess.run(["bash", "-n", str(FOLDER / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (FOLDER / name).read_text()
    assert "set -euo pipefail" in text
    assert os.access(FOLDER / name, os.X_OK)


def test_workstations_start_with_token_and_labels_and_are_ended_with_their_timers(machines: Path) -> None:
    done = rtx(machines, "up", str(machines / "hosts"))
    assert done.returncode == 0, done.stderr
    assert "up: RAY_AUTH_MODE=token and cluster.address=10.0.0.1:6379, for 12 hours" in done.stdout
    token = machines / "home" / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    starts = [line for line in calls(machines) if " ray start" in line]
    assert len(starts) == 2
    head, worker = starts
    assert head.startswith("token ray start --head --port=6379 --node-ip-address=10.0.0.1")
    assert "--dashboard-host=127.0.0.1" in head
    assert "--labels=owner=me,gpu-class=rtx4060" in head
    assert worker.startswith("token ray start --address=10.0.0.1:6379")
    assert "--labels=owner=me,gpu-class=rtx5060ti16,room=lab" in worker
    assert "secret" not in "\n".join(calls(machines)) + done.stdout

    # Both stand-ins share one home, so the file names the timer of the second; the first is ended by its session.
    timer = int((machines / "home" / ".ray" / "orchestrator-timer").read_text())
    assert os.getsid(timer) == timer
    done = rtx(machines, "down", str(machines / "hosts"))
    assert done.returncode == 0, done.stderr
    assert sum(" ray stop" in line for line in calls(machines)) == 2
    deadline = time.monotonic() + 10
    while Path(f"/proc/{timer}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{timer}").exists()


@pytest.fixture(autouse=True)
def _no_timer_left(machines: Path) -> object:
    yield
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            home = f"HOME={machines / 'home'}".encode()
            if home in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), 9)
        except OSError:
            # It ended while we looked, or belongs to somebody else.
            continue


def test_a_machine_with_another_version_is_named_and_nothing_starts(machines: Path) -> None:
    program(machines / "two" / "python", OTHER)
    done = rtx(machines, "up", str(machines / "hosts"))
    assert done.returncode == 1
    assert "alice@ws2 has 3.12.3 2.59.0 0.1.0" in done.stderr
    assert not [line for line in calls(machines) if " ray start" in line]


def test_an_earlier_cluster_is_named_and_must_be_ended_first(machines: Path) -> None:
    program(machines / "bin" / "pgrep", "#!/bin/bash\nexit 0\n")
    done = rtx(machines, "up", str(machines / "hosts"))
    assert done.returncode == 1
    assert "localhost: a raylet of yours runs" in done.stdout
    assert "rtx.sh down" in done.stderr
    assert not [line for line in calls(machines) if " ray start" in line]


def test_labels_that_are_none_are_refused_before_anything_is_asked(machines: Path) -> None:
    (machines / "hosts").write_text("localhost gpu-class=rtx4060;rm\n")
    done = rtx(machines, "up", str(machines / "hosts"))
    assert done.returncode == 1
    assert "must look like gpu-class=rtx4060" in done.stderr
    assert calls(machines) == []


def guard(folder: Path, deadline: float, idle_minutes: int, pgrep: str) -> subprocess.CompletedProcess[str]:
    """The guard where a minute passes at once, at most five of them."""
    program(folder / "bin" / "pgrep", f"#!/bin/bash\n{pgrep}\n")
    program(folder / "bin" / "logger", "#!/bin/bash\nexit 1\n")
    program(
        folder / "bin" / "sleep",
        f"#!/bin/bash\necho m >> {folder}/minutes\n[ $(wc -l < {folder}/minutes) -le 5 ]\n",
    )
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ORCHESTRATOR_GUARD_END": f"touch {folder / 'ended'}",
    }
    command = ["bash", str(FOLDER / "guard.sh"), str(int(deadline)), str(idle_minutes)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_the_guard_ends_the_machine_at_the_deadline_even_in_the_middle_of_a_sweep(tmp_path: Path) -> None:
    done = guard(tmp_path, time.time() - 1, 30, "exit 0")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ended").exists()
    assert "deadline" in done.stdout


def test_the_guard_ends_a_machine_that_no_sweep_uses(tmp_path: Path) -> None:
    done = guard(tmp_path, time.time() + 3600, 3, "exit 1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ended").exists()
    assert len((tmp_path / "minutes").read_text().split()) == 2


def test_the_guard_leaves_a_machine_alone_that_a_sweep_uses(tmp_path: Path) -> None:
    done = guard(tmp_path, time.time() + 3600, 3, "exit 0")
    # The stand-in for sleep fails after five minutes, which ends the script and nothing else.
    assert done.returncode != 0
    assert not (tmp_path / "ended").exists()
