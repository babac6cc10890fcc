"""Plain data between a candidate and the referee: a codec of exact types, and frames on a stream socket.

Nothing here builds anything but builtin values: no pickle, no eval, no class is looked up by name. A value is
JSON, where what JSON lacks is an object of one key, the tag:

===== ====================================================================
tag   value
===== ====================================================================
i     int beyond 63 bits, in hexadecimal
u     str that holds surrogates, as hexadecimal UTF-8 (surrogatepass)
t     tuple
d     dict, as a flat list of keys and values
s, f  set, frozenset
c     complex, as two floats
b, B  bytes, bytearray, in hexadecimal
r     range, as three integers
I     an iterator (generator, map, zip, ...) over the elements listed
k, v  a dict's keys or values
e     a dict's items, as a list of pairs
===== ====================================================================

**What crosses.** The types above, exactly: an instance of a subclass does not, whatever it overrides. Three
families are turned into the plain value that they equal, as the suites' own graders would see them: numpy scalars
(``item()``), the standard library's dict kinds (defaultdict, OrderedDict, Counter) and named tuples. Generators and
other builtin iterators cross as an iterator over what they yield, read to the end, at most ``MOST_YIELDED``
elements. Everything else (functions, classes, modules, arrays) does not cross: the referee gets an object that
equals nothing.
"""

from __future__ import annotations

import json
import os
import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from itertools import chain
from typing import Any, Final

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "MOST_ELEMENTS",
    "MOST_YIELDED",
    "Channel",
    "ChannelClosed",
    "NotPlain",
    "ProtocolError",
    "dump",
    "encode",
    "frame",
    "load",
]

MOST_BYTES: Final = 16 << 20
"""Largest frame from a candidate, and so the largest answer."""
MOST_DEPTH: Final = 100
"""Deepest nesting of a value."""
MOST_YIELDED: Final = 100_000
"""Elements that are read from an iterator."""
MOST_ELEMENTS: Final = 2_000_000
"""Elements of one container: more would fill most of a frame, after seconds of encoding."""
_LARGE: Final = 1 << 63
_KEYS: Final = type(dict[int, int]().keys())
_VALUES: Final = type(dict[int, int]().values())
_ITEMS: Final = type(dict[int, int]().items())
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset, _KEYS, _VALUES, _ITEMS})
_HEADER: Final = struct.Struct("<I")
# The interpreter refuses longer decimals, but hexadecimal has no such limit: 4 MiB of digits are 16 million bits.
_MOST_DIGITS: Final = 4 << 20


class NotPlain(TypeError):
    """The value does not cross; the message says why."""


class ProtocolError(ValueError):
    """Bytes that no encoder here made."""


class ChannelClosed(ConnectionError):
    """The other side is gone."""


def encode(value: object, depth: int = 0) -> Any:
    """Return ``value`` as JSON data with tags.

    Raises:
        NotPlain: something in it does not cross, or it is nested deeper than ``MOST_DEPTH``.
    """
    kind = type(value)
    if kind is int:
        return value if -_LARGE < value < _LARGE else {"i": hex(value)}  # type: ignore[operator,arg-type]
    if kind is str:
        return _encode_str(value)  # type: ignore[arg-type]
    if kind is bool or kind is float or value is None:
        return value
    if depth >= MOST_DEPTH:
        raise NotPlain(f"nested deeper than {MOST_DEPTH}")
    encoder = _ENCODERS.get(kind) or _other_encoder(kind)
    if kind in _CONTAINERS and len(value) > MOST_ELEMENTS:  # type: ignore[arg-type]
        raise NotPlain(f"a {kind.__name__} of more than {MOST_ELEMENTS} elements")
    return encoder(value, depth + 1)


def dump(data: object) -> bytes:
    """Serialise encoded data (the output of :func:`encode`, or lists of such)."""
    return _JSON.encode(data).encode("utf-8")


def load(text: bytes) -> Any:
    """Parse what :func:`dump` made and build the values in it.

    Raises:
        ProtocolError: the bytes are no such text.
    """
    try:
        decoded = text.decode("utf-8")
        value, end = _PARSER.raw_decode(decoded)
    except ProtocolError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ProtocolError(f"{type(error).__name__} in a frame") from error
    if end != len(decoded):
        raise ProtocolError("more than one value in a frame")
    return value


def frame(text: bytes) -> bytes:
    """Return the bytes that carry ``text`` on a stream."""
    return _HEADER.pack(len(text)) + text


class Channel:
    """Frames over the descriptor of a stream socket, read through a buffer."""

    def __init__(self, descriptor: int, most_bytes: int = MOST_BYTES) -> None:
        self.descriptor = descriptor
        self._most = most_bytes
        self._buffer = bytearray()

    def send(self, *frames: bytes) -> None:
        """Send frames made by :func:`frame`.

        Raises:
            ChannelClosed: the other side is gone.
        """
        data = memoryview(frames[0] if len(frames) == 1 else b"".join(frames))
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except ConnectionError as error:
            raise ChannelClosed("closed while sending") from error

    def receive(self) -> bytes:
        """Return the text of the next frame.

        Raises:
            ChannelClosed: the stream has ended.
            ProtocolError: the frame says that it is larger than allowed.
        """
        size = _HEADER.unpack(self._take(_HEADER.size))[0]
        if size > self._most:
            raise ProtocolError(f"a frame of {size} bytes")
        return self._take(size)

    @property
    def pending(self) -> bool:
        """True while bytes that have been read wait to be taken."""
        return bool(self._buffer)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                got = os.read(self.descriptor, max(65536, min(size - len(self._buffer), 1 << 20)))
            except ConnectionError as error:
                raise ChannelClosed("closed while receiving") from error
            if not got:
                raise ChannelClosed("closed")
            self._buffer += got
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


_JSON: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


def _encode_str(value: str) -> Any:
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return {"u": value.encode("utf-8", "surrogatepass").hex()}
    return value


def _encode_list(value: list[object], depth: int) -> Any:
    return [encode(v, depth) for v in value]


def _encode_tuple(value: tuple[object, ...], depth: int) -> Any:
    return {"t": [encode(v, depth) for v in tuple.__iter__(value)]}


def _encode_dict(value: dict[object, object], depth: int) -> Any:
    return {"d": [encode(v, depth) for v in chain.from_iterable(dict.items(value))]}


def _encode_iterator(value: Any, depth: int) -> Any:
    found: list[Any] = []
    for element in value:
        if len(found) >= MOST_YIELDED:
            raise NotPlain(f"an iterator of more than {MOST_YIELDED} elements")
        found.append(encode(element, depth))
    return {"I": found}


_ENCODERS: Final[dict[type, Callable[[Any, int], Any]]] = {
    list: _encode_list,
    tuple: _encode_tuple,
    dict: _encode_dict,
    defaultdict: _encode_dict,
    OrderedDict: _encode_dict,
    Counter: _encode_dict,
    set: lambda value, depth: {"s": [encode(v, depth) for v in value]},
    frozenset: lambda value, depth: {"f": [encode(v, depth) for v in value]},
    complex: lambda value, depth: {"c": [value.real, value.imag]},
    bytes: lambda value, depth: {"b": value.hex()},
    bytearray: lambda value, depth: {"B": value.hex()},
    range: lambda value, depth: {"r": [encode(v, depth) for v in (value.start, value.stop, value.step)]},
    # Not as iterators: keys and items equal sets, and all three have a length.
    _KEYS: lambda value, depth: {"k": [encode(v, depth) for v in value]},
    _VALUES: lambda value, depth: {"v": [encode(v, depth) for v in value]},
    _ITEMS: lambda value, depth: {"e": [encode(v, depth) for v in value]},
}


def _other_encoder(kind: type) -> Callable[[Any, int], Any]:
    if kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__"):
        return _encode_iterator
    if kind.__module__ == "numpy" and hasattr(kind, "item") and kind.__name__ != "ndarray":
        return _encode_numpy_scalar
    if issubclass(kind, tuple) and kind.__bases__ == (tuple,) and hasattr(kind, "_fields"):
        return _encode_tuple
    raise NotPlain(f"{kind.__module__}.{kind.__qualname__} is not plain data")


def _encode_numpy_scalar(value: Any, depth: int) -> Any:
    item = value.item()
    if type(item) is type(value):
        raise NotPlain(f"numpy.{type(value).__name__} has no Python number that it equals")
    return encode(item, depth)


def _integer(value: object) -> int:
    if type(value) is not int:
        raise ProtocolError("not an integer")
    return value


def _string(value: object) -> str:
    if type(value) is not str:
        raise ProtocolError("not a string")
    return value


def _untag_int(value: object) -> int:
    digits = _string(value)
    if len(digits) > _MOST_DIGITS:
        raise ProtocolError("an integer too large")
    return int(digits, 16)


def _elements(value: object) -> list[Any]:
    if type(value) is not list:
        raise ProtocolError("not a list")
    return value


def _untag_dict(value: object) -> dict[Any, Any]:
    flat = _elements(value)
    if len(flat) % 2:
        raise ProtocolError("a key without a value")
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _untag_complex(value: object) -> complex:
    real, imaginary = _elements(value)
    if type(real) is not float or type(imaginary) is not float:
        raise ProtocolError("not two floats")
    return complex(real, imaginary)


_DECODERS: Final[dict[str, Callable[[object], object]]] = {
    "i": _untag_int,
    "u": lambda value: bytes.fromhex(_string(value)).decode("utf-8", "surrogatepass"),
    "t": lambda value: tuple(_elements(value)),
    "d": _untag_dict,
    "s": lambda value: set(_elements(value)),
    "f": lambda value: frozenset(_elements(value)),
    "c": _untag_complex,
    "b": lambda value: bytes.fromhex(_string(value)),
    "B": lambda value: bytearray.fromhex(_string(value)),
    "r": lambda value: range(*[_integer(v) for v in _elements(value)]),
    "I": lambda value: iter(_elements(value)),
    "k": lambda value: dict.fromkeys(_elements(value)).keys(),
    "v": lambda value: dict(enumerate(_elements(value))).values(),
    "e": lambda value: dict(_elements(value)).items(),
}


def _untag(tagged: dict[str, object]) -> object:
    if len(tagged) != 1:
        raise ProtocolError("an object that is no tag")
    ((tag, value),) = tagged.items()
    decoder = _DECODERS.get(tag)
    if decoder is None:
        raise ProtocolError("an unknown tag")
    return decoder(value)


_PARSER: Final = json.JSONDecoder(object_hook=_untag)
