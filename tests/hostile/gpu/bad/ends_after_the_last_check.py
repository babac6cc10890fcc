# verdict: error
# problem: prefix_sum
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: writes the right output, says "done" by itself and ends before timing begins; the word that it has ended must
#      not be read as an answer that is meant for the next program.
import os
import signal
import sys

import torch

calls = 0


def solve(x, out):
    global calls
    calls += 1
    torch.cumsum(x, 0, out=out)
    if calls == 9:
        if x.is_cuda:
            # Said too early, it would be wrong: the card works on while this goes on.
            torch.cuda.synchronize()
        frame = sys._getframe()
        while "answers" not in frame.f_locals:
            frame = frame.f_back
        frame.f_locals["answers"][1] = frame.f_locals["number"]
        os.kill(os.getpid(), signal.SIGKILL)
