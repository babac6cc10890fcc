# verdict: rejected
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The CUDA driver called by hand from a torch program.
import ctypes

import torch

DRIVER = ctypes.CDLL("libcuda.so.1")


def solve(x, out):
    torch.softmax(x, dim=1, out=out)
