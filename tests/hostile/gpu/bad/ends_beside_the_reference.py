# verdict: error | wrong_answer | charged
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: ends a moment after a timed call, when the referee waits for the reference: that is not the reference's fault,
#      and a program that will fail could otherwise have itself taken out of the count.
import os
import threading
import time

import torch

calls = 0


def end():
    time.sleep(0.003)
    os._exit(0)


def solve(x, out):
    global calls
    calls += 1
    torch.softmax(x, -1, out=out)
    if calls == 12:
        threading.Thread(target=end, daemon=True).start()
