# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The work is done by a thread of its own, which is joined.
import threading

import torch


def work(x, out):
    torch.softmax(x, dim=1, out=out)
    if x.is_cuda:
        torch.cuda.current_stream().synchronize()


def solve(x, out):
    half = x.shape[0] // 2
    threads = [threading.Thread(target=work, args=(x[at], out[at])) for at in (slice(0, half), slice(half, None))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
