"""What a GPU executor is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GpuExecutorSettings"]


@dataclass(frozen=True, slots=True)
class GpuExecutorSettings:
    """Settings of one :class:`~orchestrator.execute.gpu.executor.GpuExecutor`."""

    device: str = "gpu"
    """``gpu``, or ``cpu``: the torch dialect through the same processes over shared host memory."""
    gpu_uuid: str = ""
    """The leased card, as the driver names it; empty takes the first card that is visible."""
    spares: int = 2
    """Candidates kept armed with a context; one at most where less than 10 GiB of card memory may be used."""
    memory_cap_bytes: int | None = None
    """Card memory that a program may use, its buffers included, its context not; None: all there is.

    On a larger card it is held to it in two ways: the libraries' pools say "out of memory" at the cap, as on the
    small card, and what goes around them is seen by the driver's count, some 15 ms late, and ended.
    """
    isolation: str = "partial"
    """Required isolation of candidates: ``full``, ``partial`` or ``none``."""
    sharing: str = "auto"
    """``ipc``: buffers by CUDA IPC; ``host``: staged through host memory; ``auto``: IPC where it works."""
    timing: bool = True
    """False: correctness only."""
    timing_budget_s: float = 1.0
    """Seconds of rounds after which no further round begins."""
    min_rounds: int = 9
    """Timed rounds that are made whatever they take."""
    max_rounds: int = 60
    energy_window_s: float = 2.0
    """Seconds of back-to-back calls over which the energy counter is read, on scoring inputs only; at least 2, or
    0: not measured."""
    cpu_reference_limit_s: float = 30.0
    """Preparation: the CPU reference is timed for at most this long; 0: not timed."""
    tools: tuple[str, ...] = ()
    """``sanitizer`` (compute-sanitizer) and ``ncu``: what looks at a judged program besides, for feedback only."""
    scratch_dir: str | None = None
    """Where scratch folders are made; None: the system's temporary folder."""
