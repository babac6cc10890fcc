# verdict: rejected
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The input is overwritten, as if it were workspace.
import torch


def solve(x, out):
    x -= x.max(dim=1, keepdim=True).values
    torch.softmax(x, dim=1, out=out)
