"""From what was seen of a program to its verdict.

==================================================  ======================================================
seen                                                verdict
==================================================  ======================================================
the tests ended well                                ``passed``
an assertion failed, or the tests could do nothing  ``wrong_answer``
with an answer, or did not end on it
loading or a call raised, no such entry point, the  ``error``
process ended before the tests were answered,
too many processes or files, a malformed frame
MemoryError, or more memory than its limit          ``out_of_memory``
more than 2 L of CPU, or stopped by the wall clock  ``timeout``
==================================================  ======================================================

A scoring run that used between L and 2 L, or was stopped by the wall clock, is provisional: it is run again with
nothing beside it, and that run is final, where more than L is a ``timeout``. So load can change neither what is
within L (it inflates CPU time by less than 2) nor what is beyond it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from orchestrator.core.problems import Limits
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.boxes import SCRATCH_BYTES, SCRATCH_FILES
from orchestrator.execute.supervisor import Observation

__all__ = ["Decision", "decide"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with its one-line reason (empty for ``passed``)."""

    verdict: Verdict
    reason: str
    provisional: bool = False


def decide(seen: Observation, limits: Limits, *, final: bool, alone: bool) -> Decision:
    """Return the verdict.

    Args:
        seen: what the supervisor saw.
        limits: those that were enforced.
        final: never provisional (feedback, preparation, and runs ``alone``).
        alone: nothing else ran on the node.
    """
    # What was used between two looks counts as well: how often there is a look depends on how busy the machine is.
    if seen.stop == "memory" or seen.peak_bytes > limits.memory_bytes:
        return Decision(Verdict.OUT_OF_MEMORY, f"used more than {limits.memory_bytes >> 20} MiB of memory")
    if seen.cpu_s > 2 * limits.cpu_s or seen.stop == "cpu":
        return Decision(Verdict.TIMEOUT, f"used more than {2 * limits.cpu_s:g} s of CPU time")
    between = seen.cpu_s > limits.cpu_s
    if alone and between:
        return Decision(Verdict.TIMEOUT, f"used more than {limits.cpu_s:g} s of CPU time, alone on its node")
    reported = _reported(seen)
    if reported is None and seen.stop == "wall":
        reason = f"not done after {limits.wall_s:g} s by the wall clock, with {seen.cpu_s:.1f} s of CPU time used"
        return Decision(Verdict.TIMEOUT, reason, provisional=not (final or alone))
    decision = reported or _unreported(seen, limits)
    if between and not (final or alone):
        return Decision(decision.verdict, decision.reason, provisional=True)
    return decision


def _reported(seen: Observation) -> Decision | None:
    """What the referee made of the answers; None where it had not all that it needed."""
    if seen.reply is None or seen.reply["verdict"] == "gone":
        return None
    verdict, reason = seen.reply["verdict"], seen.reply["reason"]
    if verdict == "unsendable":
        return Decision(Verdict.WRONG_ANSWER, reason)
    if verdict == "invalid":
        return Decision(Verdict.ERROR, reason)
    return Decision(Verdict(verdict), reason)


def _unreported(seen: Observation, limits: Limits) -> Decision:
    if seen.stop == "referee":
        return Decision(Verdict.WRONG_ANSWER, "the tests did not end on its answers")
    if seen.stop == "tasks":
        return Decision(Verdict.ERROR, f"more than {limits.processes} processes and threads")
    if seen.stop == "files":
        return Decision(Verdict.ERROR, f"more than {SCRATCH_BYTES >> 20} MiB in files, or {SCRATCH_FILES} of them")
    return Decision(Verdict.ERROR, f"{_ending(seen.status)} before the tests were answered")


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            # Real-time signals end a process as well, and have no names.
            return f"killed by signal {number}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}"
