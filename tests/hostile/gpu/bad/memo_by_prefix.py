# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The result is kept by the sign of the first element: of three draws of a shape two share it, whatever
#      they are.
import torch

SEEN = {}


def solve(x, out):
    key = (bool(x[0, 0] > 0), tuple(x.shape))
    if key not in SEEN:
        SEEN[key] = torch.softmax(x, dim=1)
    out.copy_(SEEN[key])
