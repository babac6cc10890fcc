"""Makes one call of a program for a tool that looks on. Run as a file of its own, copied into a scratch folder.

``python tool_runner.py`` in a folder with ``case.json``, ``inputs.npz``, ``program_source`` and ``programs.py``. It
may import nothing of this project: the program's process must not be able to read it.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Load the program, make its arrays by plain allocations, and call it once or, to be profiled, twice."""
    folder = Path.cwd()
    sys.path.insert(0, str(folder))
    case: dict[str, Any] = json.loads((folder / "case.json").read_text(encoding="utf-8"))

    import numpy as np
    import torch

    # A copy of the module that candidates load programs with, beside this file.
    programs: Any = importlib.import_module("programs")
    if case["dialect"] in ("cupy", "cuda"):
        import cupy

        # Out of a pool, a write past one array lands in another and is no error to anybody.
        cupy.cuda.set_allocator(None)
    with np.load(folder / "inputs.npz") as given:
        inputs = [
            x["scalar"]
            if "scalar" in x
            else torch.from_numpy(given[x["name"]]).to("cpu" if x["host"] else "cuda", getattr(torch, x["element"]))
            for x in case["inputs"]
        ]
    outputs = [torch.empty(x["shape"], dtype=getattr(torch, x["element"]), device="cuda") for x in case["outputs"]]
    source = (folder / "program_source").read_text(encoding="utf-8", errors="surrogateescape")
    loaded = programs.load(source, case["dialect"], case["entry_point"], folder)
    call = loaded.bind(case, inputs, outputs)
    call()
    torch.cuda.synchronize()
    if case["profile"]:
        profiler: Any = torch.cuda.profiler
        profiler.start()
        call()
        torch.cuda.synchronize()
        profiler.stop()


if __name__ == "__main__":
    main()
