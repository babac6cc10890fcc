# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Results are written as float16 over the bytes of a float32 buffer.
import torch


def solve(x, out):
    narrow = out.view(torch.float16)[:, : x.shape[1]]
    narrow.copy_(torch.softmax(x, dim=1))
