# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Runs under inference mode, and through autograd, as training code would.
import torch


@torch.inference_mode()
def first(x, out):
    torch.softmax(x, dim=1, out=out)


def solve(x, out):
    leaf = x.detach().clone().requires_grad_()
    loss = torch.softmax(leaf, dim=1).sum()
    loss.backward()
    first(x, out)
