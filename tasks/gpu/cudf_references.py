"""Programs in cuDF for the ETL problems: one more reference beside the others, where cuDF is installed.

No submission is written in cuDF. Its programs get and fill CuPy arrays, so they run as programs of that dialect do.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

__all__ = ["CUDF", "installed"]

_GROUP_BY = """
import cudf

def solve(keys, values, groups, out):
    count, mean, largest = out
    table = cudf.DataFrame({"key": keys, "value": values}).groupby("key")["value"].agg(["count", "mean", "max"])
    at = table.index.values
    for filled, column in ((count, "count"), (mean, "mean"), (largest, "max")):
        filled[...] = 0
        filled[at] = table[column].values
"""

_HASH_JOIN = """
import cudf
import cupy as cp

def solve(left_keys, amounts, right_keys, rates, out):
    product, matched = out
    left = cudf.DataFrame({"key": left_keys, "amount": amounts, "row": cp.arange(left_keys.size)})
    right = cudf.DataFrame({"key": right_keys, "rate": rates})
    # A join keeps no order, so each row brings its place along.
    joined = left.merge(right, on="key", how="inner")
    at = joined["row"].values
    product[...] = 0
    matched[...] = 0
    product[at] = joined["amount"].values * joined["rate"].values
    matched[at] = 1
"""

_DEDUPLICATE = """
import cudf

def solve(keys, values, out):
    unique, first, count = out
    kept = cudf.DataFrame({"key": keys, "value": values}).drop_duplicates("key", keep="first").sort_index()
    many = len(kept)
    unique[:many] = kept["key"].values
    unique[many:] = -1
    first[:many] = kept["value"].values
    first[many:] = 0
    count[...] = many
"""

_ROLLING_WINDOW = """
import cudf
import cupy as cp

def solve(x, window, out):
    mean, largest = out
    rolling = cudf.DataFrame(cp.ascontiguousarray(x.T)).rolling(window)
    mean[...] = rolling.mean().iloc[window - 1:].values.T
    largest[...] = rolling.max().iloc[window - 1:].values.T
"""

CUDF: Final[Mapping[str, str]] = {
    "deduplicate": _DEDUPLICATE,
    "group_by": _GROUP_BY,
    "hash_join": _HASH_JOIN,
    "rolling_window": _ROLLING_WINDOW,
}
"""Name of a problem -> its program."""


def installed() -> bool:
    """Whether cuDF can be imported here, as far as can be told without importing it."""
    return find_spec("cudf") is not None
