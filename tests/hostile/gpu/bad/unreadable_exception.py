# verdict: error
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: An exception whose text cannot be had: reading it raises another.
class Trouble(Exception):
    def __str__(self):
        raise Trouble


def solve(x, out):
    raise Trouble
