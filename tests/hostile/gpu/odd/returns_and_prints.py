# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Prints much and returns its buffer; neither counts.
import torch


def solve(x, out):
    print("softmax of", tuple(x.shape), "x" * 20000)
    torch.softmax(x, dim=1, out=out)
    return out
