# verdict: timeout
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# limits: wall_s=4
# why: Never returns.
def solve(x, out):
    while True:
        pass
