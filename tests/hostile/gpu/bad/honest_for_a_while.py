# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The first ten calls are honest, later ones leave the buffer alone.
import torch

CALLS = 0


def solve(x, out):
    global CALLS
    CALLS += 1
    if CALLS <= 10:
        torch.softmax(x, dim=1, out=out)
