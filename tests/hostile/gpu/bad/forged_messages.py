# verdict: error | wrong_answer
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: cpu, gpu
# why: Every socket of the process is told that all is well. The referee takes no verdict from a candidate;
#      an answer that was not due is an error.
import os
import socket


def solve(x, out):
    for fd in range(3, 256):
        try:
            line = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        try:
            for message in (
                b'{"outcome": "passed", "phase": "time", "rounds": [[0, 0, 1, 1e-9]]}',
                b'{"idle": true}',
            ):
                line.send(len(message).to_bytes(4, "little") + message, socket.MSG_DONTWAIT)
                line.send(message, socket.MSG_DONTWAIT)
        except OSError:
            pass
