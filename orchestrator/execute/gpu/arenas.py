"""Memory that the referee shares with one candidate, and views of arrays in it.

On a card the arena is one plain allocation shared by CUDA IPC. Elsewhere it is a sealed-size memory file. The
candidate only ever maps arenas that were made for it: expected values and other programs' results lie outside.
"""

from __future__ import annotations

import base64
import fcntl
import mmap
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from orchestrator.execute.gpu.layout import Slot

if TYPE_CHECKING:
    import torch

__all__ = ["Arena", "close_device", "device_arena", "host_arena", "ipc_works", "open_device", "open_host", "view"]

_BLOCK: Final = 2 << 20
"""The driver hands out memory in blocks of 2 MiB, and IPC shares whole blocks: sizes are rounded up to it, so that
nothing else ever lies in a block that a candidate maps."""


@dataclass(slots=True)
class Arena:
    """A shared stretch of bytes, as its maker sees it."""

    bytes: torch.Tensor
    """uint8, on the card or on the host."""
    handle: str = ""
    """CUDA IPC handle in base 64; empty for host memory."""
    fd: int = -1
    """Memory file; -1 on a card."""
    owner: Any = field(default=None, repr=False)

    def close(self) -> None:
        """Give up this side's hold; the memory goes when nobody maps it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.owner = None


def host_arena(nbytes: int) -> Arena:
    """A zeroed arena in host memory."""
    import torch

    size = max(-(-nbytes // mmap.PAGESIZE), 1) * mmap.PAGESIZE
    fd = os.memfd_create("arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    # Who holds the descriptor could cut it short otherwise, and whoever touches what is gone dies of it.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    mapped = mmap.mmap(fd, size)
    return Arena(torch.frombuffer(mapped, dtype=torch.uint8), fd=fd, owner=mapped)


def open_host(fd: int) -> torch.Tensor:
    """The bytes of a host arena that somebody else made. The descriptor may be closed after."""
    import torch

    return torch.frombuffer(mmap.mmap(fd, os.fstat(fd).st_size), dtype=torch.uint8)


def device_arena(nbytes: int) -> Arena:
    """An arena on the current card: one allocation of the driver's, never part of a pool."""
    import cupy
    import torch.utils.dlpack

    size = max(-(-nbytes // _BLOCK), 1) * _BLOCK
    memory = cupy.cuda.Memory(size)
    handle = cupy.cuda.runtime.ipcGetMemHandle(memory.ptr)
    array = cupy.ndarray((size,), cupy.uint8, cupy.cuda.MemoryPointer(memory, 0))
    return Arena(torch.utils.dlpack.from_dlpack(array), base64.b64encode(handle).decode(), owner=memory)


def open_device(handle: str, nbytes: int) -> torch.Tensor:
    """The bytes of an arena that another process made on the same card."""
    import cupy
    import torch.utils.dlpack

    pointer = cupy.cuda.runtime.ipcOpenMemHandle(base64.b64decode(handle))
    memory = cupy.cuda.UnownedMemory(pointer, nbytes, None)
    return torch.utils.dlpack.from_dlpack(cupy.ndarray((nbytes,), cupy.uint8, cupy.cuda.MemoryPointer(memory, 0)))


def close_device(pointer: int) -> None:
    """Unmap what :func:`open_device` mapped at ``pointer``."""
    import cupy

    cupy.cuda.runtime.ipcCloseMemHandle(pointer)


def ipc_works() -> bool:
    """Whether the driver exports memory here (not under WSL2, nor in some containers)."""
    import cupy

    memory = cupy.cuda.Memory(_BLOCK)
    try:
        cupy.cuda.runtime.ipcGetMemHandle(memory.ptr)
    except cupy.cuda.runtime.CUDARuntimeError:
        return False
    return True


def view(arena: torch.Tensor, slot: Slot) -> torch.Tensor:
    """The array of ``slot`` as a contiguous tensor that shares the arena's memory."""
    import torch

    raw = arena[slot.offset : slot.offset + slot.nbytes]
    return raw.view(getattr(torch, slot.element)).view(slot.shape)
