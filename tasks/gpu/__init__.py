"""The suite ``gpu``: GPU programs checked against a CPU reference and timed on the card.

:func:`load` makes the suite for one dtype and dialect; :func:`get` gives a problem's trusted side. The contract of
a submission, and how to add a problem, stand in ``tasks/gpu/README.md``.
"""

from __future__ import annotations

from tasks.gpu.catalog import get, names
from tasks.gpu.suite import GpuSuite, load

__all__ = ["GpuSuite", "get", "load", "names"]
