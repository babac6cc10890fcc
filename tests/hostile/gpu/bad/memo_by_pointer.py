# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The result is kept by the address of the input, whose values change under it.
import torch

SEEN = {}


def solve(x, out):
    key = (x.data_ptr(), tuple(x.shape))
    if key not in SEEN:
        SEEN[key] = torch.softmax(x, dim=1)
    out.copy_(SEEN[key])
