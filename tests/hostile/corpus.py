"""``python -m tests.hostile.corpus MODE``: run the whole corpus through one executor; one JSON object a program.

One executor takes all of them, one after the other, so that a program which harms it harms all that follow; after
each, an honest and a wrong program must still get their verdicts, and nothing may be left.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Example, ExampleTests, Limits, Problem, PublicProblem, PythonTests
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.executor import ExecutorSettings, PythonExecutor
from tests.hostile.leftovers import Leftovers, adopt_orphans, descendants
from tests.hostile.outside import KEY, Outside
from tests.hostile.programs import HostileProgram, read_corpus
from tests.hostile.refuse import refuse_namespaces

__all__ = ["MODES", "PROBLEM", "main"]

MODES = ("namespaces", "refused")
_SEED = 3
_SHORT = Limits(cpu_s=0.1, wall_s=0.7, memory_bytes=512 << 20)
"""For programs that end only at their limit."""
_LONG = Limits(cpu_s=10.0, wall_s=60.0, memory_bytes=512 << 20)
"""For all others: enough on however slow a machine."""

_PROMPT = '''def solve(x):
    """Return x + x.
    >>> solve(2)
    4
    """
'''
_REFERENCE = _PROMPT + "    return x + x\n"
_WRONG = "def solve(x):\n    return x\n"
_TESTS = """
def check(candidate):
    assert candidate(2) == 4
    assert candidate("ab-") == "ab-ab-"
    assert candidate([1]) == [1, 1]
    assert candidate(2.5) == 5.0
    assert candidate(0) == 0
    assert candidate((None, True)) == (None, True, None, True)
    assert candidate("\\udc80") == "\\udc80\\udc80"
    given = [3]
    assert candidate(given) in ([3, 3], given + given)
    assert solve(1 << 70) == 1 << 71
    assert all(map(lambda x: candidate(x) == 2 * x, [5, 6]))
    try:
        candidate(None)
    except TypeError:
        pass
    else:
        raise AssertionError("None cannot be added to None")
"""
PROBLEM = Problem(
    public=PublicProblem("hostile/double", "hostile", _PROMPT, "solve", examples=(Example("solve(2)", "4"),)),
    scoring=PythonTests(_PROMPT, _TESTS),
    feedback=ExampleTests(_PROMPT, (Example("solve(2)", "4"),)),
    reference=_REFERENCE,
    limits=_LONG,
)


class _Bench:
    """An executor with everything around it."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.executor = PythonExecutor(ExecutorSettings(scratch_base=str(folder)))
        self.preparation: Preparation = self.executor.prepare(PROBLEM, _SEED)
        if self.preparation.verdict != "passed":
            raise RuntimeError(f"the corpus's own reference fails: {self.preparation.reason}")
        # Programs that import numpy get a zygote that has; it is started now, so that it does not look left over.
        self.run("import numpy\n" + _REFERENCE, "scoring", _LONG)
        self.leftovers = Leftovers(folder, mark)

    def run(self, program: str, tests: Literal["feedback", "scoring"], limits: Limits) -> Execution:
        job = Job(PROBLEM.id, program, tests, _SEED, limits, alone=True)
        return self.executor.run(PROBLEM, self.preparation, job)


def _try(program: HostileProgram, bench: _Bench, outside: Outside) -> dict[str, Any]:
    limits = _SHORT if Verdict.TIMEOUT in program.verdicts else _LONG
    source = outside.fill(program.source)
    scored = bench.run(source, "scoring", limits)
    found = {
        "name": program.name,
        "verdict": scored.verdict.value,
        "reason": scored.reason,
        "cpu_s": scored.cpu_s,
        "wall_s": scored.wall_s,
        "peak_memory_bytes": scored.peak_memory_bytes,
        "left": bench.leftovers.found(),
        "touched": outside.touched(),
        "feedback": "",
        "output": 0,
    }
    if Verdict.TIMEOUT not in program.verdicts:
        shown = bench.run(source, "feedback", limits)
        found["feedback"] = shown.verdict.value
        found["output"] = len(shown.output)
        found["left"] += bench.leftovers.found()
    found["after"] = [
        bench.run(_REFERENCE, "scoring", _LONG).verdict.value,
        bench.run(_WRONG, "scoring", _LONG).verdict.value,
    ]
    return found


def main(mode: str, only: str = "") -> None:
    """Print what became of each program whose name holds ``only``; of the slow ones only if it begins so."""
    if mode == "refused":
        refuse_namespaces()
    adopt_orphans()
    os.environ["ANTHROPIC_API_KEY"] = KEY
    with tempfile.TemporaryDirectory(prefix="hostile-boxes-") as folder, Outside() as outside:
        os.chmod(folder, 0o711)
        bench = _Bench(Path(folder), outside.mark)
        print(json.dumps({"isolation": bench.executor.isolation}), flush=True)
        try:
            for program in read_corpus():
                if only in program.name and program.slow == only.startswith("slow"):
                    print(json.dumps(_try(program, bench, outside)), flush=True)
        finally:
            bench.executor.close()
        # Of the processes only the one outside is still there.
        left = [f"{len(descendants())} processes"] if len(descendants()) > 1 else []
        print(json.dumps({"after closing": left + [str(path) for path in Path(folder).iterdir()]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
