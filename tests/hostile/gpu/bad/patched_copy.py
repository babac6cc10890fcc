# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: torch's own methods are patched so that copies look done; the referee's torch is another one.
import torch

torch.Tensor.copy_ = lambda self, *a, **k: self
torch.Tensor.isnan = lambda self: torch.zeros((), dtype=torch.bool)


def solve(x, out):
    out.copy_(torch.softmax(x, dim=1))
