# verdict: out_of_memory
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: gpu
# why: Takes all of the card.
import torch


def solve(x, out):
    kept = []
    while True:
        kept.append(torch.empty(1 << 30, dtype=torch.uint8, device=x.device))
