# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: gpu
# why: A side stream that the current one waits for.
import torch


def solve(x, out):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.softmax(x, dim=1, out=out)
    torch.cuda.current_stream().wait_stream(side)
