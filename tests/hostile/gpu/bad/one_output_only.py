# verdict: wrong_answer
# problem: row_reduce
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: One of several outputs is right, the others are not written.
import torch


def solve(x, out):
    torch.sum(x, dim=1, out=out[0])
