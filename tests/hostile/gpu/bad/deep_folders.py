# verdict: wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: It leaves folders in its scratch folder that are nested deeper than a stack or a path goes, so that whoever
#      removes them fails; nothing is written to the output.
import os

here = os.getcwd()
os.chdir(os.environ["TMPDIR"])
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
os.chdir(here)


def solve(x, out):
    pass
