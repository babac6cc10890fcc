# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: raises unless the memory that it shares with the referee, which the program before it used, holds nothing.
import sys

import torch

frame = sys._getframe()
while "shared" not in frame.f_locals or not hasattr(frame.f_locals["shared"], "host"):
    frame = frame.f_back
shared = frame.f_locals["shared"]
if bool(shared.host.any()) or (shared.device is not None and bool(shared.device.any())):
    raise RuntimeError("the program before this one left something")


def solve(x, out):
    out.zero_()
