"""Judges programs of the corpus on one executor, and looks at what they leave behind."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.execution import Execution, Job, Preparation
from orchestrator.core.problems import Problem
from orchestrator.core.verdicts import Verdict
from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.nvml import CardWatch
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from tasks.gpu import load
from tests.hostile.gpu.corpus import Case

__all__ = ["Bench"]

_SLACK_BYTES = 192 << 20
"""By which the card's memory in use may differ between two looks at rest."""
_REST_S = 30.0


class Bench:
    """One executor and what it has prepared."""

    def __init__(self, device: str, scratch: Path, **settings: Any) -> None:
        self.device = device
        self.scratch = scratch
        self.executor = GpuExecutor(
            GpuExecutorSettings(
                device=device, isolation="none", cpu_reference_limit_s=0.0, scratch_dir=str(scratch), **settings
            )
        )
        self._card = CardWatch(str(settings.get("gpu_uuid", ""))) if device == "gpu" else None
        self._settled: tuple[str, str, str] | None = None
        self._prepared: dict[tuple[str, str, str], tuple[Problem, Preparation]] = {}

    def close(self) -> None:
        """End the executor."""
        self.executor.close()

    def judge(self, case: Case) -> Execution:
        """Run one program of the corpus against its problem's scoring tests."""
        problem, prepared = self._problem(case)
        limits = replace(problem.limits, wall_s=120.0)
        for key, value in case.limits.items():
            limits = replace(limits, **{key: type(getattr(limits, key))(value)})
        return self.executor.run(problem, prepared, Job(problem.id, case.source, "scoring", 0, limits))

    def honest(self, case: Case) -> Execution:
        """Run the reference of the same problem: the next program, whose verdict must not have changed."""
        problem, prepared = self._problem(case)
        return self.executor.run(
            problem, prepared, Job(problem.id, problem.reference, "scoring", 0, problem.limits)
        )

    def settle(self, case: Case) -> None:
        """Have the case's problem open: its buffers and the reference's pools belong to the card's state at rest."""
        key = (case.problem, case.dialect, case.dtype)
        if self.device == "gpu" and key != self._settled:
            self.honest(case)
            self._settled = key

    def _problem(self, case: Case) -> tuple[Problem, Preparation]:
        key = (case.problem, case.dialect, case.dtype)
        if key not in self._prepared:
            suite = load(dtype=case.dtype, dialect=case.dialect)
            problem = next(p for p in suite.problems if p.id == f"gpu/{case.problem}")
            prepared = self.executor.prepare(problem, 0)
            assert prepared.verdict is Verdict.PASSED, prepared.reason
            self._prepared[key] = (problem, prepared)
        return self._prepared[key]

    def traces(self) -> set[str]:
        """Files that a program could have left where others would find them."""
        root = Path(__file__).parents[3]
        places = [Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/var/tmp"), Path.home(), Path.cwd(), root]
        found = {
            str(path)
            for place in places
            for name in ("torch.py", "orchestrator.py", "sitecustomize.py", "hostile_was_here*")
            for path in place.glob(name)
        }
        for cache in (".triton/cache", ".cupy/kernel_cache", ".nv/ComputeCache"):
            found |= {str(path) for path in (Path.home() / cache).glob("hostile_was_here*")}
        return found

    def card_bytes(self) -> int:
        """Memory in use on this executor's card at rest, whichever card that is; 0 without one."""
        if self._card is None:
            return 0
        self.executor.session.settle()
        return self._card.used()

    def rests_at(self, baseline: int) -> bool:
        """Whether the card's memory is back at ``baseline``, at the latest after half a minute."""
        limit = time.monotonic() + _REST_S
        while self.card_bytes() > baseline + _SLACK_BYTES:
            if time.monotonic() > limit:
                return False
            time.sleep(0.05)
        return True
