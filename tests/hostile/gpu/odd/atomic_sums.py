# verdict: passed
# problem: gather_scatter
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Sums in whatever order atomics make, within the tolerance.
import torch


def solve(x, weight, source, target, out):
    out.zero_()
    order = torch.randperm(source.numel(), device=x.device)
    out.index_put_((target[order],), x[source[order]] * weight[order, None], accumulate=True)
