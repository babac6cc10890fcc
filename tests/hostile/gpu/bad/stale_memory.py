# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Fresh allocations are copied out in the hope that they hold the referee's result; expected values
#      never enter this process.
import torch


def solve(x, out):
    out.copy_(torch.empty_like(out))
