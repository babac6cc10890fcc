# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The result is an object that would compute when it is looked at; nobody looks at objects, the referee
#      reads the buffer.
import torch


class Lazy(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        real = [torch.softmax(a.source, dim=1) if isinstance(a, Lazy) else a for a in args]
        return func(*real, **(kwargs or {}))


def solve(x, out):
    lazy = out.as_subclass(Lazy)
    lazy.source = x
    out.__dict__["lazy"] = lazy
