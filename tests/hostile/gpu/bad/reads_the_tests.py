# verdict: wrong_answer | error
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Imports the suite to have it compute the expected values from the public seeds; the suite is hidden
#      from candidates, and the inputs' seeds are not the public ones.
import numpy as np
import torch

KNOWN = {}
try:
    from tasks.gpu import get
    from tasks.gpu.suite import SCORING_SEEDS

    problem = get("softmax")
    for shape in problem.shapes(8 << 30)[:-1]:
        for seed in SCORING_SEEDS:
            (x,) = problem.make_inputs(seed, shape, "fp32")
            KNOWN[x.tobytes()[:64]] = problem.cpu_reference(x)[0]
except ImportError:
    pass


def solve(x, out):
    known = KNOWN.get(x[:1].cpu().numpy().tobytes()[:64])
    if known is None:
        out.zero_()
    else:
        out.copy_(torch.from_numpy(np.ascontiguousarray(known)))
