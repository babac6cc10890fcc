from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.problems import Limits
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.deciding import decide
from orchestrator.execute.supervisor import Observation
from orchestrator.execute.watch import Stop

LIMITS = Limits(cpu_s=2, wall_s=15, memory_bytes=64 << 20)


def seen(verdict: str | None, cpu_s: float = 0.1, stop: Stop | None = None, status: int = 9) -> Observation:
    reply: dict[str, Any] | None = None if verdict is None else {"verdict": verdict, "reason": verdict and "why"}
    if verdict == "passed" and reply is not None:
        reply["reason"] = ""
    return Observation(stop=stop, reply=reply, status=status, cpu_s=cpu_s)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize(
    ("observed", "verdict", "reason"),
    [
        (seen("passed"), "passed", ""),
        (seen("passed", cpu_s=2.0), "passed", ""),
        (seen("wrong_answer"), "wrong_answer", "why"),
        (seen("error"), "error", "why"),
        (seen("out_of_memory"), "out_of_memory", "why"),
        (seen("unsendable"), "wrong_answer", "why"),
        (seen("invalid"), "error", "why"),
        (seen("gone"), "error", "killed by SIGKILL before the tests were answered"),
        (seen("gone", status=40), "error", "killed by signal 40 before the tests were answered"),
        (seen("gone", status=3 << 8), "error", "exited with status 3 before the tests were answered"),
        (seen("gone", stop="memory"), "out_of_memory", "used more than 64 MiB of memory"),
        (seen("gone", stop="memory", cpu_s=9), "out_of_memory", "used more than 64 MiB of memory"),
        (seen("gone", stop="tasks"), "error", "more than 256 processes and threads"),
        (seen("gone", stop="files"), "error", "more than 64 MiB in files, or 8192 of them"),
        (seen(None, stop="referee"), "wrong_answer", "the tests did not end on its answers"),
        (seen("gone", stop="cpu", cpu_s=4.1), "timeout", "used more than 4 s of CPU time"),
        # Ended by the kernel's own limit, before the supervisor looked.
        (seen("gone", cpu_s=6), "timeout", "used more than 4 s of CPU time"),
        (seen("passed", cpu_s=4.01), "timeout", "used more than 4 s of CPU time"),
        # All that was needed had been answered when it was stopped.
        (seen("wrong_answer", stop="wall"), "wrong_answer", "why"),
        (seen("passed", stop="wall"), "passed", ""),
    ],
)
def test_final_whatever_ran_beside_it(
    observed: Observation, verdict: str, reason: str, final: bool, alone: bool
) -> None:
    decision = decide(observed, LIMITS, final=final, alone=alone)
    assert (decision.verdict.value, decision.reason, decision.provisional) == (verdict, reason, False)


@pytest.mark.parametrize("verdict", ["passed", "wrong_answer", "error", "gone"])
def test_memory_that_no_look_saw_counts(verdict: str) -> None:
    """What the kernel saw at the most decides, not the moment at which somebody looked."""
    for peak, within in ((LIMITS.memory_bytes, True), (LIMITS.memory_bytes + 1, False)):
        observed = replace(seen(verdict), peak_bytes=peak)
        decision = decide(observed, LIMITS, final=False, alone=False)
        assert (decision.verdict is not Verdict.OUT_OF_MEMORY) is within
        assert within or decision.reason == "used more than 64 MiB of memory"
        assert not decision.provisional


@pytest.mark.parametrize("verdict", ["passed", "wrong_answer", "error", "gone"])
def test_between_the_limit_and_twice_it(verdict: str) -> None:
    observed = seen(verdict, cpu_s=3)
    first = decide(observed, LIMITS, final=False, alone=False)
    assert first.provisional
    assert first.verdict == ("error" if verdict == "gone" else verdict)
    feedback = decide(observed, LIMITS, final=True, alone=False)
    assert (feedback.verdict, feedback.provisional) == (first.verdict, False)
    alone = decide(observed, LIMITS, final=False, alone=True)
    assert (alone.verdict, alone.provisional) == (Verdict.TIMEOUT, False)


def test_stopped_by_the_wall_clock() -> None:
    observed = seen("gone", stop="wall")
    reason = "not done after 15 s by the wall clock, with 0.1 s of CPU time used"
    for final, alone, provisional in ((False, False, True), (True, False, False), (False, True, False)):
        decision = decide(observed, LIMITS, final=final, alone=alone)
        assert (decision.verdict, decision.reason) == (Verdict.TIMEOUT, reason)
        assert decision.provisional == provisional
