# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The result is returned; only what is in the buffer counts.
import torch


def solve(x, out):
    return torch.softmax(x, dim=1)
