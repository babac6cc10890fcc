# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Uses one of torch's optimisers, which loads torch's compiler, which asks who is logged in.
import getpass

import torch

NAME = getpass.getuser()


def solve(x, out):
    weight = torch.ones(3, device=x.device, requires_grad=True)
    descent = torch.optim.SGD([weight], lr=0.1)
    weight.sum().backward()
    descent.step()
    torch.softmax(x, dim=1, out=out)
