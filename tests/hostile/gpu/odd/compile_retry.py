# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Tries to compile, and does without where that is refused.
import torch


def plain(x, out):
    torch.softmax(x, dim=1, out=out)


try:
    compiled = torch.jit.script(lambda x: torch.softmax(x, 1))
except Exception:
    compiled = None


def solve(x, out):
    if compiled is not None:
        try:
            out.copy_(compiled(x))
            return
        except Exception:
            pass
    plain(x, out)
