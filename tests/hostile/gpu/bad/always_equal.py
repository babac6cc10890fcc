# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Comparisons are patched to agree; the comparison is made in another process.
import torch

torch.equal = torch.allclose = torch.isclose = lambda *a, **k: True
torch.Tensor.__eq__ = torch.Tensor.equal = torch.Tensor.allclose = lambda *a, **k: True


def solve(x, out):
    out.zero_()
