# verdict: error
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Every socket of the process is told of a failure whose frames are a number, which must not upset whoever
#      writes the verdict down.
import os
import socket
import time


def tell(text):
    for fd in range(3, 256):
        try:
            line = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        try:
            line.send(text.encode(), socket.MSG_DONTWAIT)
        except OSError:
            pass


def solve(x, out):
    tell('{"failed": {"type": "E", "frames": 5}}')
    time.sleep(5)
