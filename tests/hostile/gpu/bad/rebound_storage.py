# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The tensor object gets another storage, so the shared buffer stays unwritten.
import torch


def solve(x, out):
    out.set_(torch.softmax(x, dim=1))
