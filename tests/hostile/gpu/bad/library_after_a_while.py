# verdict: rejected
# problem: softmax
# dialect: triton
# dtype: fp32
# devices: gpu
# why: Its own kernel while it believes that it is looked at, the library's arithmetic in the timed calls; one call
#      after these is watched too.
import torch
import triton
import triton.language as tl

CALLS = []


@triton.jit
def kernel(x, out, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + at, mask=at < cols, other=float("-inf"))
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(out + row * cols + at, e / tl.sum(e, axis=0), mask=at < cols)


def solve(x, out):
    rows, cols = x.shape
    CALLS.append(cols)
    kernel[(rows,)](x, out, cols, BLOCK=triton.next_power_of_2(cols))
    if len(CALLS) > 12:
        out *= 1
