# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Computed in float16, where float32 was asked.
import torch


def solve(x, out):
    out.copy_(torch.softmax(x.half(), dim=1))
