# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Workspace is kept between calls and written anew in each.
import torch

SPACE = {}


def solve(x, out):
    if x.shape not in SPACE:
        SPACE[x.shape] = (torch.empty_like(x), torch.empty_like(x[:, :1]))
    work, column = SPACE[x.shape]
    torch.amax(x, dim=1, keepdim=True, out=column)
    torch.sub(x, column, out=work)
    work.exp_()
    torch.sum(work, dim=1, keepdim=True, out=column)
    torch.div(work, column, out=out)
