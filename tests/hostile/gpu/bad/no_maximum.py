# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Plain exponentials overflow on the rows that are far from zero.
import torch


def solve(x, out):
    e = torch.exp(x)
    torch.div(e, e.sum(dim=1, keepdim=True), out=out)
