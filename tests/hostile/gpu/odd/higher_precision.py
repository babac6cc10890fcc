# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Computes in float64 and rounds once.
import torch


def solve(x, out):
    out.copy_(torch.softmax(x.double(), dim=1))
