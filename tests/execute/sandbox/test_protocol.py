import itertools
import math
import os
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import ItemsView, ValuesView
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.execute.sandbox import protocol
from orchestrator.execute.sandbox.protocol import (
    Channel,
    ChannelClosed,
    NotPlain,
    ProtocolError,
    dump,
    encode,
    frame,
    load,
)
from tests.execute.sandbox.values import plain


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down, signs of zeros included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return math.copysign(1, left) == math.copysign(1, right) and left == right
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return len(left) == len(right) and all(map(same, left.items(), right.items()))
    if isinstance(left, set | frozenset):
        return left == right and all(any(same(one, other) for other in right) for one in left)
    return bool(left == right)


@given(plain())
@example([-0.0, 5e-324, 1.7976931348623157e308, 2**63, -(2**63), 2**63 - 1])
@example("\ud83d\ude00")
@example({"d": [1]})
@example([{"i": "0x10"}])
def test_plain_data_crosses_exactly(value: object) -> None:
    assert same(load(dump(encode(value))), value)


@given(plain())
def test_the_text_is_determined_by_the_value(value: object) -> None:
    # A recorded call is compared with an actual one as text. Only sets may list their elements in another order.
    text = dump(encode(value))
    assert dump(encode(load(text))) == text or b'{"s":' in text or b'{"f":' in text


def test_nan_and_infinity_cross() -> None:
    value = load(dump(encode([math.nan, math.inf, -math.inf, complex(math.nan, math.inf)])))
    assert math.isnan(value[0])
    assert value[1:3] == [math.inf, -math.inf]
    assert math.isnan(value[3].real)


Point = namedtuple("Point", "x y")


class Text(str):
    """Overrides nothing: being a subclass is enough."""


class Always:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        Text("a"),
        [Text("a")],
        {Text("a"): 1},
        Always(),
        (Always(),),
        type("I", (int,), {})(1),
        type("L", (list,), {})(),
        type("D", (dict,), {})(),
        type("T", (tuple,), {})(),
        len,
        lambda: None,
        int,
        math,
        deque([1]),
        Fraction(1, 2),
        memoryview(b"x"),
        nested(protocol.MOST_DEPTH + 1),
        NotImplemented,
        ...,
    ],
)
def test_nothing_else_crosses(value: object) -> None:
    with pytest.raises(NotPlain):
        encode(value)


def test_a_cycle_does_not_cross() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(NotPlain):
        encode(cycle)


@pytest.mark.parametrize(
    ("value", "crossed"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (Point(1, [2]), (1, [2])),
    ],
)
def test_what_becomes_the_plain_value_that_it_equals(value: object, crossed: object) -> None:
    assert value == crossed
    assert same(load(dump(encode(value))), crossed)


def test_numpy_scalars_become_the_numbers_that_they_equal() -> None:
    np = pytest.importorskip("numpy")
    values = [np.int8(-3), np.uint64(2**64 - 1), np.float32(0.1), np.float64(0.1), np.bool_(True), np.complex64(1j)]
    crossed = load(dump(encode(values)))
    assert crossed == values
    assert [type(v) for v in crossed] == [int, int, float, float, bool, complex]
    for value in (np.zeros(2), np.longdouble(1) / 3):
        with pytest.raises(NotPlain):
            encode(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (n for n in [1, 2]),
        lambda: map(int, "12"),
        lambda: filter(None, [1, 2]),
        lambda: iter([1, 2]),
        lambda: reversed([2, 1]),
        lambda: itertools.chain([1], [2]),
    ],
)
def test_iterators_cross_as_iterators(make: Any) -> None:
    crossed = load(dump(encode(make())))
    assert crossed != [1, 2]
    assert list(crossed) == [1, 2]


@pytest.mark.parametrize("view", [{1: "a", 2: "b"}.keys(), {1: "a", 2: "b"}.items(), {(): 1}.keys(), {}.items()])
def test_keys_and_items_of_dicts_cross_as_the_sets_that_they_equal(view: Any) -> None:
    crossed = load(dump(encode(view)))
    assert crossed == view == set(view)
    assert type(crossed) is type(view)
    assert list(crossed) == list(view)
    assert len(crossed) == len(view)


def test_values_of_dicts_cross() -> None:
    crossed = load(dump(encode({1: [2], 2: [2]}.values())))
    assert (list(crossed), list(crossed), len(crossed)) == ([[2], [2]], [[2], [2]], 2)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, dict.fromkeys, lambda of: dict.fromkeys(of).keys()])
def test_a_container_too_large_does_not_cross(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_ELEMENTS", 10)
    with pytest.raises(NotPlain, match="more than 10"):
        encode([kind(range(11))])
    assert len(load(dump(encode(kind(range(10)))))) == 10


def test_an_endless_iterator_does_not_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_YIELDED", 10)
    with pytest.raises(NotPlain, match="more than 10"):
        encode(map(int, "1" * 11))
    assert len(list(load(dump(encode(map(int, "1" * 10)))))) == 10


MALFORMED = [
    b"",
    b"{",
    b"[1] ",
    b"[1][2]",
    b"\xff\xfe",
    b'{"i":5}',
    b'{"i":"zz"}',
    b'{"t":1}',
    b'{"d":[1]}',
    b'{"d":[[],1]}',
    b'{"s":[[]]}',
    b'{"s":[{"d":[]}]}',
    b'{"c":[1]}',
    b'{"c":["1",2.0]}',
    b'{"b":"0"}',
    b'{"b":[]}',
    b'{"u":"ff"}',
    b'{"r":[1,2,0]}',
    b'{"r":[1.5,2,3]}',
    b'{"r":[]}',
    b'{"x":1}',
    b"{}",
    b'{"t":[],"d":[]}',
    b"1" * 5000,
    b"[" * 100000,
    b'{"t":' * 20000,
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:20].decode("latin-1"))
def test_malformed_text_is_told(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        load(text)


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_any_bytes_are_a_value_or_told(text: bytes) -> None:
    try:
        load(text)
    except ProtocolError:
        return


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from([*"iutdsfcbBrIkvex"]), inner, max_size=2),
    ),
    max_leaves=10,
)


@given(JSON)
@settings(max_examples=300)
def test_any_json_is_a_plain_value_or_told(data: object) -> None:
    try:
        value = load(dump(data))
    except ProtocolError:
        return
    if not _holds_iterator(value):
        assert load(dump(encode(value))) is not None or value is None


def _holds_iterator(value: object) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_iterator, value))
    if isinstance(value, dict):
        return any(map(_holds_iterator, [*value, *value.values()]))
    if isinstance(value, ValuesView | ItemsView):
        return any(map(_holds_iterator, value))
    return hasattr(value, "__next__")


@pytest.fixture
def channels() -> Any:
    read, write = os.pipe()
    yield Channel(read, most_bytes=1000), Channel(write)
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_frames_arrive_as_they_were_sent(channels: tuple[Channel, Channel]) -> None:
    receiver, sender = channels
    sender.send(frame(b"first"), frame(b""), frame(b"x" * 1000))
    assert [receiver.receive() for _ in range(3)] == [b"first", b"", b"x" * 1000]
    assert not receiver.pending


def test_a_frame_may_arrive_in_pieces(channels: tuple[Channel, Channel]) -> None:
    receiver, sender = channels
    for byte in frame(b"in pieces"):
        os.write(sender.descriptor, bytes([byte]))
    assert receiver.receive() == b"in pieces"


def test_a_frame_that_says_too_much_is_told(channels: tuple[Channel, Channel]) -> None:
    receiver, sender = channels
    sender.send(frame(b"x" * 1001))
    with pytest.raises(ProtocolError, match="1001 bytes"):
        receiver.receive()


@pytest.mark.parametrize("sent", [b"", b"\x05\x00", b"\x05\x00\x00\x00ab"])
def test_an_end_within_a_frame_is_told(channels: tuple[Channel, Channel], sent: bytes) -> None:
    receiver, sender = channels
    os.write(sender.descriptor, sent)
    os.close(sender.descriptor)
    with pytest.raises(ChannelClosed):
        receiver.receive()


def test_sending_to_nobody_is_told(channels: tuple[Channel, Channel]) -> None:
    receiver, sender = channels
    os.close(receiver.descriptor)
    with pytest.raises(ChannelClosed):
        sender.send(frame(b"x"))
