# verdict: wrong_answer
# problem: gram
# dialect: torch
# dtype: fp32
# devices: gpu
# why: TF32 in place of float32: ten bits of fraction.
import torch

torch.backends.cuda.matmul.allow_tf32 = True


def solve(a, out):
    torch.mm(a, a.T, out=out)
