"""Comparison, poison, guards, layout."""

from __future__ import annotations

import math

import pytest
import torch

from orchestrator.execute.gpu.arenas import host_arena, open_host, view
from orchestrator.execute.gpu.judge import all_close, compare, paint_guards, poison, torn_guards
from orchestrator.execute.gpu.layout import GUARD_BYTES, arrange
from tasks.gpu.problem import ArraySpec, ScalarSpec, Tolerance

LOOSE = Tolerance(1e-3, 1e-6, "test")
NAN = math.nan


def tensor(*values: float, kind: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=kind)


@pytest.mark.parametrize(
    ("got", "want", "right"),
    [
        (tensor(1.0, 2.0), tensor(1.0005, 2.0), True),
        (tensor(1.0, 2.0), tensor(1.002, 2.0), False),
        (tensor(NAN), tensor(1.0), False),
        (tensor(NAN), tensor(NAN), True),
        (tensor(1.0), tensor(NAN), False),
        (tensor(math.inf), tensor(math.inf), True),
        (tensor(-math.inf), tensor(math.inf), False),
        (tensor(5.0), tensor(math.inf), False),
        (tensor(math.inf), tensor(5.0), False),
        (tensor(3, 4, kind=torch.int64), tensor(3, 4, kind=torch.int64), True),
        (tensor(3, 5, kind=torch.int64), tensor(3, 4, kind=torch.int64), False),
        (tensor(1.0, kind=torch.bfloat16), tensor(1.0009), True),
    ],
)
def test_all_close(got: torch.Tensor, want: torch.Tensor, right: bool) -> None:
    assert all_close(got, want, LOOSE) is right


def test_integers_are_compared_exactly_beyond_float_precision() -> None:
    big = (1 << 53) + 1
    assert not all_close(torch.tensor([big]), torch.tensor([big - 1]), LOOSE)


def test_slack_widens_the_tolerance() -> None:
    assert all_close(tensor(1.0), tensor(1.0015), LOOSE, slack=2.0)


def test_worst_element_and_what_was_never_written() -> None:
    want = torch.arange(12, dtype=torch.float32).reshape(3, 4) + 1
    got = want.clone()
    got[1, 2] = 99.0
    got[2, 0] += 0.5
    found = compare([want, got], [want, want], LOOSE, [NAN, NAN])
    assert found is not None
    assert (found.output, found.wrong, found.of, found.unwritten, found.index) == (1, 2, 12, 0, (1, 2))
    assert (found.got, found.wanted) == (99.0, 7.0)
    got[0, :2] = NAN
    found = compare([got], [want], LOOSE, [NAN])
    assert found is not None
    assert (found.wrong, found.unwritten) == (4, 2)
    assert "2 never written" in str(found)


def test_poison_is_never_a_right_answer_and_changes() -> None:
    floats, whole = torch.zeros(4), torch.zeros(4, dtype=torch.int32)
    assert math.isnan(poison(floats, 1))
    assert floats.isnan().all()
    first = poison(whole, 10)
    assert first < 0
    assert first != poison(whole, 11)


def test_arrays_lie_between_guards_and_guards_show_a_write() -> None:
    made = arrange(
        (ArraySpec("a", (5, 7), "float32"), ScalarSpec("n", "int"), ArraySpec("h", (3,), "float64", host=True)),
        (ArraySpec("out", (5,), "float16"),),
    )
    a, scalar, host = made.inputs
    (out,) = made.outputs
    assert scalar is None
    assert a is not None
    assert host is not None
    assert host.host
    assert out.offset >= a.offset + a.nbytes + GUARD_BYTES
    assert a.offset % GUARD_BYTES == out.offset % GUARD_BYTES == 0
    arena = host_arena(made.device_bytes)
    bands = made.guards(host=False)
    paint_guards(arena.bytes, bands)
    view(arena.bytes, a).fill_(1.0)
    view(arena.bytes, out).fill_(2.0)
    assert not torn_guards(arena.bytes, bands)
    for slot in (a, out):
        for at in (slot.offset - 1, slot.offset + slot.nbytes):
            kept = arena.bytes[at].item()
            arena.bytes[at] = 0
            assert torn_guards(arena.bytes, bands)
            arena.bytes[at] = kept
    assert made.to_wire([7])["inputs"][1] == {"scalar": 7}
    arena.close()


def test_two_sides_share_an_arena() -> None:
    arena = host_arena(1 << 16)
    other = open_host(arena.fd)
    arena.bytes[100] = 42
    assert other[100].item() == 42
    arena.close()
