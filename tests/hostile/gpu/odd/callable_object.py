# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: solve is an object that can be called.
import torch


class Softmax:
    def __init__(self):
        self.calls = 0

    def __call__(self, x, out):
        self.calls += 1
        torch.softmax(x, dim=1, out=out)


solve = Softmax()
