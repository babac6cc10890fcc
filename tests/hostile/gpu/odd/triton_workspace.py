# verdict: passed
# problem: softmax
# dialect: triton
# dtype: fp32
# devices: gpu
# why: A Triton program that allocates, clears, views and copies with torch, and computes with kernels alone.
import functools
import math

import torch
import triton
import triton.language as tl


@triton.jit
def exponentials(x, work, sums, cols, stride, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    v = tl.load(x + row * stride + at, mask=at < cols, other=float("-inf"))
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(work + row * stride + at, e, mask=at < cols)
    tl.atomic_add(sums + row, tl.sum(e, axis=0))


@triton.jit
def divide(work, sums, out, cols, stride, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    e = tl.load(work + row * stride + at, mask=at < cols, other=0.0)
    tl.store(out + row * stride + at, e / tl.load(sums + row), mask=at < cols)


@functools.lru_cache
def block_for(cols):
    return 1 << math.ceil(math.log2(cols))


def solve(x, out):
    x = x.contiguous()
    rows, cols = x.shape
    work = torch.empty_like(x)
    work.copy_(x)
    sums = torch.zeros((rows,), dtype=torch.float32, device=x.device)
    target = out.view(-1)[: rows * cols].view(rows, cols)
    block = max(block_for(cols), 16)
    exponentials[(rows,)](work, work, sums, cols, work.stride(0), BLOCK=block)
    divide[(rows,)](work, sums, target, cols, target.stride(0), BLOCK=block)
