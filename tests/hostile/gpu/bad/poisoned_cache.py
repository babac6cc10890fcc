# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Fills the compile caches that a shared home would have with garbage; caches are per program.
import contextlib
import os


def solve(x, out):
    out.zero_()
    home = os.path.expanduser("~")
    for folder in (
        f"{home}/.triton/cache",
        f"{home}/.cupy/kernel_cache",
        f"{home}/.nv/ComputeCache",
        "/tmp/torchinductor",
    ):
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/hostile_was_here", "w") as file:
                file.write("garbage")
