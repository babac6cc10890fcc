# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Nothing is computed.
def solve(x, out):
    out.zero_()
