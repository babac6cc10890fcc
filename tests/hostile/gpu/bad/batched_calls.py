# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Calls are put off and made three at a time.
import torch

QUEUE = []


def solve(x, out):
    QUEUE.append((x, out))
    if len(QUEUE) == 3:
        for one, to in QUEUE:
            torch.softmax(one, dim=1, out=to)
        QUEUE.clear()
