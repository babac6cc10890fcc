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
    """Candidates kept armed with a context."""
    memory_cap_bytes: int | None = None
    """Card memory that a program may use, its buffers included; None: all there is."""
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
    scratch_dir: str | None = None
    """Where scratch folders are made; None: the system's temporary folder."""
