# verdict: wrong_answer
# problem: row_reduce
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Sums leave out every other element; the planted outliers give it away.
import torch


def solve(x, out):
    total, largest, where = out
    torch.sum(x[:, ::2], dim=1, out=total)
    total.mul_(2)
    torch.max(x, dim=1, out=(largest, where))
