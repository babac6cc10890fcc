# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: The buffer keeps what the referee poisoned it with.
def solve(x, out):
    pass
