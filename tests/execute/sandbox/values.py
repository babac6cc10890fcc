"""Plain data, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["plain"]

_HASHABLE_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 200), max_value=1 << 200),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(st.characters(), max_size=8),
    st.text(st.characters(categories=["Cs"]), max_size=3),
    st.binary(max_size=8),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9)),
)
_HASHABLE = st.recursive(
    _HASHABLE_LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=5,
)


def plain() -> st.SearchStrategy[Any]:
    """Values that cross, NaN left out (it equals nothing, itself included)."""
    return st.recursive(
        st.one_of(_HASHABLE, st.binary(max_size=8).map(bytearray)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(_HASHABLE, inner, max_size=4),
            st.sets(_HASHABLE, max_size=4),
        ),
        max_leaves=8,
    )
