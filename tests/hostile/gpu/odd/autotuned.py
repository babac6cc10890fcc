# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Tries two ways on the first call of a shape and keeps the choice, not the result.
import time

import torch

CHOICE = {}


def library(x, out):
    torch.softmax(x, dim=1, out=out)


def by_hand(x, out):
    torch.sub(x, x.amax(dim=1, keepdim=True), out=out)
    out.exp_()
    out.div_(out.sum(dim=1, keepdim=True))


def measured(way, x, out):
    began = time.perf_counter()
    for _ in range(3):
        way(x, out)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def solve(x, out):
    if x.shape not in CHOICE:
        CHOICE[x.shape] = min((library, by_hand), key=lambda way: measured(way, x, out))
    CHOICE[x.shape](x, out)
