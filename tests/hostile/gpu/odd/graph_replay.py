# verdict: passed
# problem: softmax
# dialect: torch
# dtype: fp32
# devices: gpu
# why: Captures a CUDA graph for each pair of buffers and replays it: nothing is remembered but the launches.
import torch

GRAPHS = {}


def solve(x, out):
    key = (x.data_ptr(), out.data_ptr(), tuple(x.shape))
    if key not in GRAPHS:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            torch.softmax(x, dim=1, out=out)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            torch.softmax(x, dim=1, out=out)
        GRAPHS[key] = graph
    GRAPHS[key].replay()
