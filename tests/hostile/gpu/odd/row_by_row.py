# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Slow, in pieces of a few rows through strided views, and right.
import torch


def solve(x, out):
    columns, to = x.T, out.T
    step = max(1, x.shape[0] // 8)
    for start in range(0, x.shape[0], step):
        part = columns[:, start : start + step]
        to[:, start : start + step] = torch.softmax(part, dim=0)
