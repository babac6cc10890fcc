"""Sees what torch computes while a Triton program runs, whatever its text looks like.

torch hands every operation on tensors to the innermost dispatch mode before it runs, by whatever name, alias,
operator or compiled script it was asked for. Allocation, views and plain copies are let through; anything else on
the card is noted, and on the host what is too large for a table that a launch needs. It lives in the program's
own process and thread: a program that takes the mode off the stack, or computes in a thread of its own, is not
seen. Names that lead there are refused in its text (:mod:`.triton_rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["LibraryCall", "watched"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALLOWED: Final = _words(
    """
    empty empty_like empty_strided new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like new_ones
    full full_like new_full fill_ zero_ arange scalar_tensor lift lift_fresh lift_fresh_copy
    _local_scalar_dense is_pinned _pin_memory record_stream set_ resize_ is_same_size
    _unsafe_view _reshape_alias alias detach
    """
)
"""Operations that allocate, fill with one value or describe."""
_COPIES: Final = frozenset({"clone", "copy_", "_to_copy"})
"""Allowed where they move bytes as they lie, not where they convert or rearrange them."""
_HOST_ELEMENTS: Final = 1024
"""An array on the host of more elements is data, and not a table of offsets or sizes that a launch needs."""


class LibraryCall(Exception):
    """The program had torch compute where its own kernels must."""


def watched(call: Callable[[], None], device: str = "cuda") -> Callable[[], None]:
    """``call`` under watch.

    Args:
        call: a call of the program.
        device: the kind of device on which nothing may be computed; on others nothing large.

    The returned function raises :class:`LibraryCall` after ``call`` has returned, if torch was asked to compute.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Notes the first operation that is not allowed."""

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # Otherwise torch imports its whole compiler, a second of work, before the first operation.
            return False

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.seen = ""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            del types
            result = func(*args, **(kwargs or {}))
            if not self.seen:
                self.seen = _computed(func, args, kwargs or {}, result, device)
            return result

    def under_watch() -> None:
        with Watch() as watch:
            call()
        if watch.seen:
            raise LibraryCall(f"torch computed {watch.seen} outside of the program's kernels")

    return under_watch


def _computed(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, device: str) -> str:
    """What was computed and where; empty: nothing that matters."""
    import torch
    from torch.utils._pytree import tree_leaves

    name = _name(func)
    if getattr(func, "is_view", False) or name in _ALLOWED:
        return ""
    tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)]
    on_card = any(x.device.type == device for x in tensors)
    if not on_card and all(x.numel() <= _HOST_ELEMENTS for x in tensors):
        return ""
    if name in _COPIES and _as_they_lie([x for x in tensors if x.dim()]):
        return ""
    return f"{name} on the {'card' if on_card else 'host'}"


def _name(func: Any) -> str:
    """Of an operation, without its overload; operations of higher order have no overloads."""
    return str(getattr(getattr(func, "overloadpacket", func), "__name__", func))


def _as_they_lie(tensors: list[Any]) -> bool:
    """Whether these have one element type and one order of elements in memory."""
    first, *others = tensors or [None]
    return all(x.dtype == first.dtype and x.shape == first.shape and _steps(x) == _steps(first) for x in others)


def _steps(tensor: Any) -> list[int]:
    """Strides; along an axis of one element nobody steps, whatever its stride says."""
    return [step for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]
