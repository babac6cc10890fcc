"""Entry point of a sandbox process: ``python start.py FD``, started by the supervisor and by nobody else."""

from __future__ import annotations

import os
import sys
import types


def _import_without_packages() -> None:
    """Stand empty packages in for this one's parents, so that their own code is not run.

    Everything that is imported here is carried, and partly copied, by every fork of the zygote.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    for depth, name in enumerate(("orchestrator.execute.sandbox", "orchestrator.execute", "orchestrator")):
        package = types.ModuleType(name)
        package.__path__ = [os.path.abspath(os.path.join(here, *[os.pardir] * depth))]
        sys.modules[name] = package


if __name__ == "__main__":
    _import_without_packages()

    from orchestrator.execute.sandbox.box import main

    main()
