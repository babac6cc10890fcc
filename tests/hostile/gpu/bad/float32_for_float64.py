# verdict: wrong_answer
# problem: gram
# dialect: torch
# dtype: fp64
# devices: cpu, gpu
# why: Computed in float32, where float64 was asked.
import torch


def solve(a, out):
    b = a.float()
    out.copy_(b @ b.T)
