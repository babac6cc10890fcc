# verdict: rejected
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Writes one element behind the end of the output.
import torch


def solve(x, out):
    torch.softmax(x, dim=1, out=out)
    out.as_strided((out.numel() + 1,), (1,))[-1] = 1.0
