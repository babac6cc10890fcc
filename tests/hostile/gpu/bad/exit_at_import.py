# verdict: error
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: sys.exit(0) while the program is loaded.
import sys

sys.exit(0)
