# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: One row is computed and repeated.
import torch


def solve(x, out):
    out.copy_(torch.softmax(x[:1], dim=1).expand_as(out))
