"""Tries compute-sanitizer and ncu on one program, unconfined and then under more and more of the sandbox.

``python -m scripts.bench.gpu_tools`` prints, for each tool and each layer, the exit status, the lines that a model
would get, and the end of what was printed: which layer a tool does not get along with shows at a glance.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.execute.gpu import confine, tools
from orchestrator.execute.gpu.confine import Bounds
from orchestrator.execute.gpu.family import Family
from orchestrator.execute.gpu.nvml import CardWatch
from orchestrator.execute.gpu.tool_texts import ncu_arguments, ncu_lines, sanitizer_arguments, sanitizer_lines
from orchestrator.execute.gpu.toolbox import FILES, LOG
from orchestrator.execute.sandbox import landlock, seccomp
from tasks.gpu.catalog import get

LAYERS = ("nothing", "namespaces", "landlock", "everything")
"""What is on in each step; every one includes those before it, ``everything`` adds the system-call filters."""
BEYOND = """// launch: solve(grid=(rows), block=(32))
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    if (threadIdx.x == 0) out[rows * cols + blockIdx.x] = 1.0f;
}
"""


def main() -> None:
    """Try everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", nargs="+", choices=sorted(tools.TOOLS), default=sorted(tools.TOOLS))
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--dialect", choices=("cuda", "triton", "torch", "cupy"), default="cuda")
    parser.add_argument("--broken", action="store_true", help="a program that writes out of bounds (cuda)")
    parser.add_argument("--seconds", type=float, default=90.0, help="for one try")
    options = parser.parse_args()
    print(tools.missing(options.tools) or "all tools are there", flush=True)
    problem = get("softmax")
    program = BEYOND if options.broken else problem.reference(options.dialect, "fp32")
    for tool in options.tools:
        shape = problem.shapes(384 << 20)[-1] if tool == "ncu" else problem.shapes(384 << 20)[0]
        files = tools.order_files(problem, shape, "fp32", program, options.dialect, profile=tool == "ncu")
        for layer in options.layers:
            began = time.monotonic()
            status, report, printed = attempt(tool, layer, files, options.seconds)
            lines = (sanitizer_lines if tool == "sanitizer" else ncu_lines)(report, status)
            print(f"== {tool} under {layer}: status {status}, {time.monotonic() - began:.1f} s", flush=True)
            print("\n".join(lines))
            print(f"-- report ends: {report[-600:]}\n-- printed: {printed[-1200:]}", flush=True)


def attempt(tool: str, layer: str, files: list[bytes], seconds: float) -> tuple[int | None, str, str]:
    """One try in a forked child; its exit status, its report and what was printed."""
    path = tools.find(tool)
    if path is None:
        return None, "", "not there"
    arguments = sanitizer_arguments(LOG) if tool == "sanitizer" else ncu_arguments(LOG)
    command = [path, *arguments, sys.executable, "tool_runner.py"]
    with tempfile.TemporaryDirectory(prefix="gpu-tools-") as folder:
        (Path(folder) / "scratch").mkdir()
        (Path(folder) / "root").mkdir()
        read, write = os.pipe()
        out = Path(folder) / "printed"
        tier = "bare" if layer == "nothing" else "root"
        pid = confine.enter(tier)
        if pid == 0:
            code = 99
            try:
                handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(handle, 1)
                os.dup2(handle, 2)
                code = _inside(layer, command, files, Path(folder), write)
            finally:
                os._exit(code)
        os.close(write)
        signal.signal(signal.SIGALRM, lambda *_: (os.killpg if tier == "bare" else os.kill)(pid, signal.SIGKILL))
        signal.alarm(int(seconds))
        with os.fdopen(read, "rb") as given:
            report = given.read().decode("utf-8", "replace")
        _, status = os.waitpid(pid, 0)
        signal.alarm(0)
        code = os.waitstatus_to_exitcode(status)
        return (code if code >= 0 else None), report, out.read_text(errors="replace") if out.exists() else ""


def _inside(layer: str, command: list[str], files: list[bytes], folder: Path, report: int) -> int:
    scratch, root = str(folder / "scratch"), str(folder / "root")
    os.setsid()
    if layer != "nothing":
        if layer == "namespaces":
            setattr(landlock, "abi", lambda: 0)  # noqa: B010 - the module's own names are read-only to a type checker
        if layer in ("namespaces", "landlock"):
            setattr(seccomp, "install", lambda program: None)  # noqa: B010
        family = Family.__new__(Family)
        bounds = Bounds(
            scratch,
            root,
            read=(*family.readable, *(str(Path(p).parents[1]) for p in (command[0], os.path.realpath(command[0])))),
            nodes=tuple(confine.card_nodes(CardWatch("").minor)),
            hidden=tuple(family.hidden),
            tools=True,
        )
        confine.confine("root", bounds)
    os.chdir(scratch)
    for name, data in zip(FILES, files, strict=True):
        Path(name).write_bytes(data)
    variables = {
        **os.environ,
        "HOME": scratch,
        "TMPDIR": scratch,
        "TRITON_CACHE_DIR": scratch,
        "CUPY_CACHE_IN_MEMORY": "1",
        "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
    }
    done = subprocess.run(command, env=variables, stdin=subprocess.DEVNULL, check=False)
    if Path(LOG).exists():
        os.write(report, Path(LOG).read_bytes()[-60_000:])
    return done.returncode & 0xFF


if __name__ == "__main__":
    main()
