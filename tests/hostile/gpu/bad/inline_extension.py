# verdict: rejected
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: A C++ extension built at run time.
import torch
from torch.utils.cpp_extension import load_inline

module = load_inline("fast", cpp_sources="void run(torch::Tensor x) {}", functions=["run"])


def solve(x, out):
    module.run(x)
