# verdict: passed
# problem: softmax
# dialect: cupy
# dtype: fp32
# devices: gpu
# why: CuPy with an elementwise kernel of its own.
import cupy as cp

shifted_exp = cp.ElementwiseKernel("T v, T top", "T e", "e = exp(v - top)", "shifted_exp")


def solve(x, out):
    shifted_exp(x, x.max(axis=1, keepdims=True), out)
    out /= out.sum(axis=1, keepdims=True)
