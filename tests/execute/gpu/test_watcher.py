"""What torch does during a call, seen as it is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from orchestrator.execute.gpu.watcher import LibraryCall, watched

X = torch.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda: torch.softmax(X, 1), "_softmax"),
        (lambda: X @ X.T, "mm"),
        (lambda: X.__matmul__(X.T), "mm"),
        (lambda: getattr(torch, "mat" + "mul")(X, X.T), "mm"),
        (lambda: torch.ops.aten.mm(X, X.T), "mm"),
        (lambda: torch._C._VariableFunctions.mm(X, X.T), "mm"),
        (lambda: 2 * X + 1, "mul"),
        (lambda: sum([X, X], X), "add"),
        (X.sum, "sum"),
        (lambda: torch.empty(4, 3).copy_(X.T), "copy_"),
        (X.T.contiguous, "clone"),
        (X.double, "_to_copy"),
        (lambda: X[torch.tensor([1, 0])], "index"),
        (lambda: torch.nn.functional.gelu(X), "gelu"),
    ],
)
def test_computing_is_seen_by_whatever_name(work: Callable[[], object], name: str) -> None:
    with pytest.raises(LibraryCall, match=f"torch computed {name} on the card"):
        watched(lambda: (work(), None)[1], "cpu")()


def test_allocating_clearing_viewing_and_plain_copies_are_not() -> None:
    def work() -> None:
        made = torch.empty_like(X)
        made.copy_(X)
        made.zero_()
        made[...] = 0
        torch.zeros(3)
        torch.full((2,), 1.5)
        X.clone().view(-1).reshape(2, 6)
        assert X.contiguous() is X
        assert X.T.stride() == (1, 4)
        assert float(X[1, 2].item()) == 6.0
        X.to("cpu", torch.float32)
        X[1:].unsqueeze(0)

    watched(work, "cpu")()


def test_what_is_done_elsewhere_is_nobodys_business() -> None:
    watched(lambda: (X @ X.T, None)[1], "cuda")()


def test_an_exception_of_the_program_is_its_own() -> None:
    def work() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        watched(work, "cpu")()
