# verdict: wrong_answer
# problem: gram
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: A product of bfloat16 numbers in place of float32 ones.
import torch


def solve(a, out):
    b = a.bfloat16()
    out.copy_(b @ b.T)
