# verdict: passed
# problem: softmax
# dialect: triton
# dtype: fp32
# devices: gpu
# why: A Triton kernel under triton.autotune, which compiles and times several variants first.
import torch
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({}, num_warps=w) for w in (2, 4, 8)], key=["cols"])
@triton.jit
def kernel(x, out, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + at, mask=at < cols, other=float("-inf"))
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(out + row * cols + at, e / tl.sum(e, axis=0), mask=at < cols)


def solve(x, out):
    rows, cols = x.shape
    kernel[(rows,)](x, out, cols, BLOCK=triton.next_power_of_2(cols))
