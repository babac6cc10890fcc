"""Programs graded a second through Ray, against NVIDIA NeMo Gym's EvalPlus server, in turns on the same programs.

Both judge the same right answers to HumanEval+ (a file as EvalPlus publishes it), each made different by a comment,
on as many slots, after starting up and warming: ours by the command that users run (``model=samples``), with its
sandbox, referee, journal and tables; theirs by the server's own ``verify`` over ``check_correctness_remote``, no
web server between, and expected values that it computed before. Neither's start counts.

    python -m scripts.bench.scale_peer FILE.jsonl.gz --peer-python PYTHON [--programs 492] [--slots 2] [--rounds 2]

NeMo Gym needs Python 3.12 or newer and is installed apart: ``PYTHON -m pip install nemo-gym evalplus``. Where it
cannot be imported the report says so with the reason.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.track.tables import read_rows
from scripts.bench._report import print_report

__all__ = ["answers", "main"]

_ROOT = Path(__file__).resolve().parents[2]
_PEER = Path(__file__).resolve().parent / "scale_parts" / "peer.py"
_NEEDED = "import nemo_gym, evalplus, ray; print(ray.__version__)"


def answers(file: Path, count: int) -> list[dict[str, str]]:
    """``count`` right answers, none like another, from a file of HumanEval+."""
    raw = file.read_bytes()
    text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode()
    problems = [json.loads(line) for line in text.splitlines()]
    made = []
    for number in range(count):
        problem = problems[number % len(problems)]
        solution = f"{problem['prompt']}{problem['canonical_solution']}\n# {number}\n"
        made.append({"task_id": problem["task_id"], "solution": solution})
    return made


def _ours(file: Path, folder: Path, programs: int, slots: int) -> dict[str, Any]:
    words = ["model=samples", f"model.path={folder / 'answers.jsonl'}", "samples=null", "suite=humaneval_plus"]
    words += [f"suite.path={file.absolute()}", f"cluster.num_cpus={slots}", f"run.dir={folder / 'run'}"]
    words += [f"limit={min(programs, 164)}"]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words, "tracking.enabled=false", "display=plain"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"our command ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    steps = read_rows(str(folder / "run" / "steps.parquet"), ["kind", "started_at", "ended_at", "verdict"])
    scored = [step for step in steps if step["kind"] == "scoring"]
    if len(scored) != programs:
        raise RuntimeError(f"{len(scored)} of {programs} programs were judged")
    seconds = max(s["ended_at"] for s in scored) - min(s["started_at"] for s in scored)
    return {"programs": programs, "seconds": seconds, "verdicts": dict(Counter(s["verdict"] for s in scored))}


def _theirs(python: str, file: Path, folder: Path, slots: int) -> dict[str, Any]:
    done = subprocess.run(
        [python, str(_PEER), str(folder / "answers.jsonl"), "--slots", str(slots)],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "HUMANEVAL_OVERRIDE_PATH": str(file.absolute()),
            "HOME": str(folder),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"NeMo Gym ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _missing(python: str | None) -> str:
    """Why NeMo Gym cannot be measured; empty where it can."""
    if python is None:
        return "no --peer-python was given"
    done = subprocess.run([python, "-c", _NEEDED], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both in turns and print their report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="HumanEval+ as EvalPlus publishes it")
    parser.add_argument("--peer-python", help="the interpreter that NeMo Gym is installed for")
    parser.add_argument("--programs", type=int, default=492)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a folder for scale_peer.json")
    given = parser.parse_args(argv)
    missing = _missing(given.peer_python)
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "NeMo Gym": []}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory(prefix="orchestrator-peer-") as name:
            folder = Path(name)
            lines = (json.dumps(answer) + "\n" for answer in answers(given.file, given.programs))
            (folder / "answers.jsonl").write_text("".join(lines))
            found["ours"].append(_ours(given.file, folder, given.programs, given.slots))
            if not missing:
                found["NeMo Gym"].append(_theirs(given.peer_python, given.file, folder, given.slots))
    rows = [
        [who, each["programs"], each["programs"] / each["seconds"], each["verdicts"]]
        for who, rounds in found.items()
        for each in rounds
    ]
    if missing:
        rows.append(["NeMo Gym", "not measured", missing, ""])
    result = {
        "rounds": found,
        "not_measured": missing or None,
        "slots": given.slots,
        "cores": os.cpu_count(),
        "file": given.file.name,
        "load_average": os.getloadavg()[0],
    }
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "scale_peer.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    title = f"HumanEval+ through Ray on {given.slots} slots, {os.cpu_count()} cores"
    print_report(title, ["who", "programs", "programs/s", "verdicts"], rows, result)


if __name__ == "__main__":
    main()
