# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: A thread writes the result after solve has returned.
import threading
import time

import torch


def work(x, out):
    time.sleep(0.2)
    torch.softmax(x, dim=1, out=out)


def solve(x, out):
    threading.Thread(target=work, args=(x.clone(), out), daemon=True).start()
