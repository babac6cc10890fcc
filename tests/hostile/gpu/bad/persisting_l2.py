# verdict: charged | error
# problem: softmax
# dialect: cupy
# dtype: fp32
# devices: gpu
# why: The card's second-level cache is asked to keep lines for later calls; the referee flushes it with
#      fresh values each time. Cards without the feature refuse.
import cupy as cp

cp.cuda.runtime.deviceSetLimit(6, 64 << 20)


def solve(x, out):
    e = cp.exp(x - x.max(axis=1, keepdims=True))
    cp.divide(e, e.sum(axis=1, keepdims=True), out=out)
