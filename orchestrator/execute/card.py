"""The one card that Ray leased to an actor, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Card", "leased_card"]


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as its driver describes it."""

    uuid: str
    name: str
    facts: str
    """One line for prompts: what a programmer needs to know of the hardware."""


def leased_card(memory_cap_bytes: int | None) -> Card:
    """Read the card that Ray leased to this actor.

    Args:
        memory_cap_bytes: what is enforced of its memory; None: all there is.

    Raises:
        RuntimeError: the actor does not hold exactly one GPU.
    """
    import ray

    leased = ray.get_gpu_ids()
    if len(leased) != 1:
        raise RuntimeError(f"an execution actor holds exactly one GPU; Ray leased {leased!r}")
    return read_card(str(leased[0]), memory_cap_bytes)


def read_card(card: str, memory_cap_bytes: int | None) -> Card:
    """Read a card by index or UUID through NVML."""
    import pynvml

    pynvml.nvmlInit()
    if card.isdigit():
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(card))
    else:
        handle = pynvml.nvmlDeviceGetHandleByUUID(card)
    name, uuid = str(pynvml.nvmlDeviceGetName(handle)), str(pynvml.nvmlDeviceGetUUID(handle))
    total = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    usable = min(total, memory_cap_bytes) if memory_cap_bytes is not None else total
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    facts = [name, f"{usable / 2**30:.0f} GiB of memory usable", f"compute capability {major}.{minor}"]
    # Not every driver answers these; what it does not say is left out rather than guessed.
    for text in (_cores, _bandwidth):
        try:
            facts.append(text(handle))
        except pynvml.NVMLError:
            continue
    return Card(uuid, name, ", ".join(facts))


def _cores(handle: object) -> str:
    import pynvml

    return f"{pynvml.nvmlDeviceGetNumGpuCores(handle):,} CUDA cores"


def _bandwidth(handle: object) -> str:
    import pynvml

    width = pynvml.nvmlDeviceGetMemoryBusWidth(handle)
    clock = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
    # Two transfers a clock, as CUDA's own device query computes it.
    return f"about {2 * clock * 1e6 * width / 8 / 1e9:,.0f} GB/s of memory bandwidth in theory"
