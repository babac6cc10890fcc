"""Measures what a model, a GPU and the two together solve, and at what cost."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("orchestrator")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+uninstalled"

__all__ = ["__version__"]
