# verdict: error
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The result is right, and the time that the process claims for itself is no number, which would be written
#      down as a measured one.
import sys
import time

import torch


def solve(x, out):
    torch.softmax(x, dim=1, out=out)
    frame = sys._getframe()
    while frame:
        if frame.f_code.co_name == "_claim":
            frame.f_locals["self"].line.send(b'{"claimed": NaN}')
            time.sleep(5)
        frame = frame.f_back
