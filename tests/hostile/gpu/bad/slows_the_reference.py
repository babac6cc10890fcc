# verdict: charged
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: gpu
# why: A thread keeps the card busy whenever this program is not being called, so that empty calls and the reference
#      beside it take longer. It may pass, but must not come out faster than the work is.
import threading
import time

import torch

STATE = {"mine": False}


def spoil():
    block = torch.randn(4096, 4096, device="cuda")
    out = torch.empty_like(block)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        while True:
            if STATE["mine"]:
                time.sleep(0.0001)
                continue
            torch.mm(block, block, out=out)
            stream.synchronize()


def solve(x, out):
    if "thread" not in STATE:
        STATE["thread"] = threading.Thread(target=spoil, daemon=True)
        STATE["thread"].start()
    STATE["mine"] = True
    torch.softmax(x, dim=1, out=out)
    torch.cuda.current_stream().synchronize()
    STATE["mine"] = False
