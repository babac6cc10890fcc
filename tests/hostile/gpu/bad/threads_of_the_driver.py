# verdict: error
# problem: softmax
# dialect: cupy
# dtype: fp32
# devices: gpu
# why: Has the driver call it back on a thread of the driver's own; sockets, memory files and new processes are taken
#      from every thread, also from those that were there before.
import os
import socket

import cupy


def solve(x, out):
    found = []

    def opened():
        line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        line.bind("\0orchestrator-context")
        return line

    def forked():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return child

    def call_back(argument):
        for door in (opened, lambda: os.memfd_create("file"), forked):
            try:
                found.append(door())
            except OSError as error:
                found.append(error)

    stream = cupy.cuda.get_current_stream()
    stream.launch_host_func(call_back, None)
    stream.synchronize()
    if all(isinstance(each, OSError) for each in found):
        raise PermissionError(f"every door is closed: {[each.errno for each in found]}")
    e = cupy.exp(x - x.max(axis=-1, keepdims=True))
    out[...] = e / e.sum(axis=-1, keepdims=True)
