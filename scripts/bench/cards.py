"""A sweep over several cards of one host, a Ray node for each: what a second card gives, what a lost node costs.

A head that runs no program, and for every card a Ray node of its own that sees this card only
(``CUDA_VISIBLE_DEVICES``), all behind a token. The same GPU programs, most of them right and every sixth wrong in
a known way, are judged by the command that users run (``cluster=address``): on each number of cards in turn, then
on all cards once more with the last node killed (SIGKILL to its raylet) when half of the verdicts are in. Every run
must give every program the verdict that it was made for, whatever died.

    python -m scripts.bench.cards [--cards 1,2] [--programs 24] [--rejoin] [--out FOLDER] [--device cpu]

``makespan_s`` is from the start of the first scored program to the end of the last, ``command_s`` the whole command
with Ray's and the references' start. ``--rejoin`` adds a run in which the card of the killed node joins again.
``--device cpu`` declares the cards and runs the programs on this machine's cores: it tries the machinery, and its
times say nothing. Prints a table and writes ``cards.json``; the exit status is 1 unless every run was complete.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench._report import print_report

__all__ = ["Outcome", "judge", "main", "programs"]

_ROOT = Path(__file__).resolve().parents[2]
_PROBLEMS = ("gpu/row_reduce", "gpu/softmax", "gpu/transpose")
_WRONG_EVERY = 6
_STORE_BYTES = 80 << 20
"""Object store of each node: problems only."""


@dataclass(frozen=True)
class Outcome:
    """What one run of the sweep gave."""

    name: str
    cards: int
    verdicts: dict[str, str]
    """By program: problem and number."""
    makespan_s: float
    command_s: float
    by_slot: dict[str, int] = field(default_factory=dict)
    """Verdicts that each execution actor gave; one that died with its node is among them."""
    killed_after: int | None = None
    """Verdicts in the journal when the node was killed."""


def programs(count: int) -> tuple[list[dict[str, str]], dict[str, str]]:
    """``count`` answers in the form of ``model=samples``, none like another, and the verdict each must get."""
    from orchestrator.generate.rehearsal.gpu_breaks import break_gpu
    from tasks.gpu.suite import load

    known = {problem.id: problem for problem in load().problems}
    answers, expected = [], {}
    for number in range(count):
        problem = known[_PROBLEMS[number % len(_PROBLEMS)]]
        sample = number // len(_PROBLEMS)
        wrong = number % _WRONG_EVERY == _WRONG_EVERY - 1
        text = problem.reference
        if wrong:
            broken = break_gpu(text, problem.public.entry_point, "torch", "wrong_operator", 0)
            if broken is None:
                raise RuntimeError(f"{problem.id} offers no place for a wrong operator")
            text = broken
        # A comment of its own makes every program a step of its own.
        answers.append({"task_id": problem.id, "solution": f"{text}\n# program {number}\n"})
        expected[f"{problem.id}#{sample}"] = "wrong_answer" if wrong else "passed"
    return answers, expected


def judge(found: Sequence[Outcome], expected: dict[str, str]) -> list[str]:
    """What is wrong with the runs: nothing, where each gave every program its verdict once."""
    wrong = []
    for outcome in found:
        missing = sorted(expected.keys() - outcome.verdicts.keys())
        more = sorted(outcome.verdicts.keys() - expected.keys())
        differ = sorted(k for k, v in outcome.verdicts.items() if k in expected and v != expected[k])
        for what, keys in (("without a verdict", missing), ("never asked for", more), ("judged otherwise", differ)):
            if keys:
                wrong.append(f"{outcome.name}: {len(keys)} programs {what}, the first {keys[0]}")
    return wrong


class _Cards:
    """A head, and a node a card."""

    def __init__(self, uuids: Sequence[str]) -> None:
        from ray.cluster_utils import Cluster

        self._uuids = uuids
        head = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
        self._cluster: Any = Cluster(initialize_head=True, shutdown_at_exit=True, head_node_args=head)
        self._nodes: dict[int, Any] = {}

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def have(self, count: int) -> None:
        """Have exactly the nodes of the first ``count`` cards."""
        for index in [index for index in self._nodes if index >= count]:
            self._cluster.remove_node(self._nodes.pop(index), allow_graceful=True)
        for index in range(count):
            if index not in self._nodes:
                self.join(index)

    def join(self, index: int) -> None:
        # With a card that it names by UUID, so that no other tool's numbering matters.
        visible = {"CUDA_VISIBLE_DEVICES": self._uuids[index]} if self._uuids[index] else {}
        self._nodes[index] = self._cluster.add_node(
            num_cpus=1, num_gpus=1, object_store_memory=_STORE_BYTES, env_vars=visible
        )

    def kill(self, index: int) -> None:
        """SIGKILL to the node's raylet, and to what is left of the node after it."""
        from ray._private.ray_constants import PROCESS_TYPE_RAYLET

        node = self._nodes.pop(index)
        raylet = node.all_processes[PROCESS_TYPE_RAYLET][0].process
        raylet.send_signal(signal.SIGKILL)
        raylet.wait()
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


class _Bench:
    """The runs, one after the other, within one limit of time."""

    def __init__(self, cards: _Cards, folder: Path, options: argparse.Namespace) -> None:
        self._cards, self._folder, self._options = cards, folder, options
        self._answers, self.expected = programs(options.programs)
        self._ends = time.monotonic() + options.seconds
        (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self._answers))

    def run(self, name: str, cards: int, *, kill: bool = False, rejoin: bool = False) -> Outcome:
        """One sweep; with ``kill`` the last node dies at half time, with ``rejoin`` its card comes back then."""
        self._cards.have(cards)
        run_dir = self._folder / name.replace(" ", "-")
        began = time.monotonic()
        killed_after = None
        with self._command(run_dir) as process:
            if kill:
                killed_after = self._wait(process, run_dir, len(self._answers) // 2)
                self._cards.kill(cards - 1)
                if rejoin:
                    self._cards.join(cards - 1)
            code = process.wait(max(1.0, self._ends - time.monotonic()))
            seconds = time.monotonic() - began
        if code != 0:
            raise RuntimeError(f"{name}: exit code {code}:\n{(self._folder / 'said.txt').read_text()[-4000:]}")
        found = _outcome(name, cards, run_dir, seconds, killed_after)
        print(f"{name}: {found.makespan_s:.1f} s, {seconds:.1f} s with starting", file=sys.stderr, flush=True)
        return found

    @contextlib.contextmanager
    def _command(self, run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
        words = ["model=samples", f"model.path={self._folder / 'answers.jsonl'}", "suite=gpu", "samples=null"]
        words += [f"problems=[{','.join(_PROBLEMS)}]", "cluster=address", f"cluster.address={self._cards.address}"]
        words += [f"run.dir={run_dir}", "tracking.enabled=false", "display=plain"]
        if self._options.device == "cpu":
            words.append("execute.device=cpu")
        with (self._folder / "said.txt").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", *words],
                cwd=self._folder,
                env={**os.environ, "COLUMNS": "160"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def _wait(self, process: subprocess.Popen[bytes], run_dir: Path, count: int) -> int:
        while process.poll() is None:
            found = _verdicts(run_dir / "journal.sqlite")
            if found >= count:
                return found
            if time.monotonic() > self._ends:
                raise TimeoutError(f"{found} verdicts after {self._options.seconds} s")
            time.sleep(0.05)
        raise RuntimeError(f"the sweep ended before a node was killed:\n{(self._folder / 'said.txt').read_text()}")


def _verdicts(journal: Path) -> int:
    """Verdicts in the journal now."""
    if not journal.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM verdicts").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def _outcome(name: str, cards: int, run_dir: Path, seconds: float, killed_after: int | None) -> Outcome:
    from orchestrator.track.tables import read_rows

    rows = read_rows(str(run_dir / "results.parquet"), ["problem", "sample", "verdict"])
    keys = [f"{row['problem']}#{row['sample']}" for row in rows]
    if len(set(keys)) != len(keys):
        raise RuntimeError(f"{name}: {len(keys) - len(set(keys))} programs stand in the table twice")
    steps = read_rows(str(run_dir / "steps.parquet"), ["kind", "started_at", "ended_at", "slot"])
    scored = [step for step in steps if step["kind"] == "scoring"]
    makespan = max(s["ended_at"] for s in scored) - min(s["started_at"] for s in scored)
    verdicts = dict(zip(keys, (row["verdict"] for row in rows), strict=True))
    by_slot = dict(Counter(str(step["slot"]) for step in scored))
    return Outcome(name, cards, verdicts, makespan, seconds, by_slot, killed_after)


def _uuids(device: str, most: int) -> tuple[list[str], str]:
    """The cards to use and what to call them."""
    if device == "cpu":
        return [""] * most, "declared cards, programs on the CPU: times say nothing of a card"
    from orchestrator.cluster.cards import local_cards

    cards = local_cards()
    if len(cards) < most:
        raise SystemExit(f"--cards asks for {most} cards, and this machine has {len(cards)}")
    return [card.uuid for card in cards[:most]], f"{cards[0].name}, driver {cards[0].driver}"


def _efficiency(found: Sequence[Outcome]) -> dict[str, float]:
    """Makespan on the fewest cards over makespan times the number of cards, by run; 1 is perfect."""
    base = found[0].makespan_s * found[0].cards
    return {outcome.name: base / (outcome.makespan_s * outcome.cards) for outcome in found}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all sweeps and print their report; the exit status is 1 unless every run was complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", default="1,2", help="numbers of cards; the last is the one with a kill")
    parser.add_argument("--programs", type=int, default=24)
    parser.add_argument("--rejoin", action="store_true")
    parser.add_argument("--seconds", type=float, default=290.0, help="most that all runs may take")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--out", type=Path, default=Path("scripts/bench/results"))
    options = parser.parse_args(argv)
    counts = sorted({int(each) for each in options.cards.split(",")})
    if counts[-1] < 2:
        parser.error("--cards needs a number of at least 2: a sweep on one card does not survive its node")
    # Ray's nodes, the sweep and its workers find the same code wherever they start; nobody else joins them.
    paths = [str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(str(Path(path).absolute()) for path in paths))
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0"}
    uuids, line = _uuids(options.device, counts[-1])
    found: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestrator-cards-")))
        cards = _Cards(uuids)
        stack.callback(cards.close)
        bench = _Bench(cards, folder, options)
        for count in counts:
            found.append(bench.run(f"{count} card{'s' * (count != 1)}", count))
        found.append(bench.run("node killed", counts[-1], kill=True))
        if options.rejoin:
            found.append(bench.run("killed and rejoined", counts[-1], kill=True, rejoin=True))
    wrong = judge(found, bench.expected)
    efficiency = _efficiency(found)
    columns = [
        "run",
        "cards",
        "programs",
        "makespan_s",
        "command_s",
        "efficiency",
        "programs by actor",
        "killed after",
    ]
    rows = [
        [
            outcome.name,
            outcome.cards,
            len(outcome.verdicts),
            outcome.makespan_s,
            outcome.command_s,
            efficiency[outcome.name],
            "+".join(str(count) for count in outcome.by_slot.values()),
            "-" if outcome.killed_after is None else outcome.killed_after,
        ]
        for outcome in found
    ]
    result = {
        "cards": line,
        "device": options.device,
        "runs": [{**asdict(outcome), "efficiency": efficiency[outcome.name]} for outcome in found],
        "expected": bench.expected,
        "complete": not wrong,
        "wrong": wrong,
        "load_average": os.getloadavg()[0],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cards.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print_report(
        f"one Ray node a card: {line}", columns, rows, {k: result[k] for k in ("complete", "wrong", "cards")}
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
