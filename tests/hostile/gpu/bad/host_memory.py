# verdict: out_of_memory
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu
# limits: memory_bytes=1073741824
# why: Takes host memory without end.
import time


def solve(x, out):
    kept = []
    for _ in range(48):
        kept.append(bytearray(b"1") * (64 << 20))
        time.sleep(0.02)
