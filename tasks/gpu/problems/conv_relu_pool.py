"""Convolution, ReLU and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.gpu.draw import Draw
from tasks.gpu.problem import ELEMENT_OF, Array, ArraySpec, GpuProblem, Shape
from tasks.gpu.problems._common import ACC, by_dtype, root, wide

__all__ = ["PROBLEM"]


def _inputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    element = ELEMENT_OF[dtype]
    return (
        ArraySpec("x", (shape["images"], shape["channels"], shape["height"], shape["width"]), element),
        ArraySpec("weight", (shape["filters"], shape["channels"], 3, 3), element),
        ArraySpec("bias", (shape["filters"],), element),
    )


def _outputs(shape: Shape, dtype: str) -> tuple[ArraySpec, ...]:
    dims = (shape["images"], shape["filters"], shape["height"] // 2, shape["width"] // 2)
    return (ArraySpec("out", dims, ELEMENT_OF[dtype]),)


def _draw(draw: Draw, shape: Shape, dtype: str) -> list[Any]:
    channels, filters = shape["channels"], shape["filters"]
    return [
        draw.real(dtype, shape["images"], channels, shape["height"], shape["width"]),
        draw.real(dtype, filters, channels, 3, 3) * (9 * channels) ** -0.5,
        draw.real(dtype, filters),
    ]


def _cpu(x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
    x, weight, bias = wide(x), wide(weight), wide(bias)
    images, _, height, width = x.shape
    filters = len(weight)
    flat = weight.reshape(filters, -1)
    out = np.empty((images, filters, height // 2, width // 2), dtype=x.dtype)
    for i in range(images):
        padded = np.pad(x[i], ((0, 0), (1, 1), (1, 1)))
        patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        columns = patches.transpose(0, 3, 4, 1, 2).reshape(flat.shape[1], -1)
        maps = (flat @ columns).reshape(filters, height, width)[:, : height // 2 * 2, : width // 2 * 2]
        pooled = maps.reshape(filters, height // 2, 2, width // 2, 2).max(axis=(2, 4))
        # Bias and ReLU are monotone, so they can follow the maximum.
        out[i] = np.maximum(pooled + bias[:, None, None], 0)
    return (out,)


_TORCH = """
import torch
import torch.nn.functional as F

# cuDNN would round float32 inputs to TF32.
torch.backends.cudnn.allow_tf32 = False

def solve(x, weight, bias, out):
    maps = F.conv2d(x, weight, bias, padding=1)
    out.copy_(F.max_pool2d(maps.relu_(), 2))
"""

_CUDA = (
    """
// launch: solve(grid=(ceil_div(width/2, 16), ceil_div(height/2, 8), images * ceil_div(filters, 4)), block=(16, 8))
// A thread makes one pooled element of four filters, from a 4 x 4 patch that it keeps in registers.
"""
    + ACC
    + """
extern "C" __global__ void solve(const scalar* x, const scalar* weight, const scalar* bias, scalar* out,
                                 long long images, long long channels, long long height, long long width,
                                 long long filters) {
    const int groups = (int)((filters + 3) / 4), image = blockIdx.z / groups, f0 = blockIdx.z % groups * 4;
    const int px = blockIdx.x * 16 + threadIdx.x, py = blockIdx.y * 8 + threadIdx.y;
    const int pw = (int)(width / 2), ph = (int)(height / 2);
    if (px >= pw || py >= ph) return;
    acc sum[4][4] = {};
    for (int c = 0; c < channels; c++) {
        const scalar* plane = x + (image * channels + c) * height * width;
        acc patch[4][4];
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) {
                const int r = 2 * py + i - 1, q = 2 * px + j - 1;
                const bool inside = r >= 0 && r < height && q >= 0 && q < width;
                patch[i][j] = inside ? (acc)plane[r * width + q] : (acc)0;
            }
        for (int f = 0; f < 4; f++) {
            if (f0 + f >= filters) break;
            const scalar* w = weight + ((f0 + f) * channels + c) * 9;
            for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++) {
                    const acc t = (acc)w[i * 3 + j];
                    sum[f][0] += t * patch[i][j];
                    sum[f][1] += t * patch[i][j + 1];
                    sum[f][2] += t * patch[i + 1][j];
                    sum[f][3] += t * patch[i + 1][j + 1];
                }
        }
    }
    for (int f = 0; f < 4; f++) {
        if (f0 + f >= filters) break;
        acc best = sum[f][0];
        for (int i = 1; i < 4; i++) best = sum[f][i] > best ? sum[f][i] : best;
        best += (acc)bias[f0 + f];
        out[((image * filters + f0 + f) * ph + py) * pw + px] = (scalar)(best > 0 ? best : (acc)0);
    }
}
"""
)

PROBLEM = GpuProblem(
    name="conv_relu_pool",
    level=2,
    task="""
Convolve each image with each 3 x 3 filter (cross-correlation, zero padding of 1, stride 1), add the filter's
bias, apply ReLU, then take the maximum over 2 x 2 blocks with stride 2 (a last odd row or column is dropped).
Layout is images, channels, height, width.
""",
    dtypes=("fp32", "bf16", "fp16"),
    sizes={
        "images": "number of images",
        "channels": "their channels",
        "height": "their height",
        "width": "their width",
        "filters": "number of filters",
    },
    inputs=_inputs,
    outputs=_outputs,
    draw=_draw,
    cpu_reference=_cpu,
    references={"torch": _TORCH, "cuda": _CUDA},
    tolerance=by_dtype(
        "sums of products accumulated in this precision, float32 for 16-bit inputs; TF32 is outside",
        fp32=(2e-5, 3e-5),
        bf16=(1.6e-2, 2e-2),
        fp16=(2e-3, 4e-3),
    ),
    flops=lambda shape, dtype: (
        18 * shape["images"] * shape["channels"] * shape["filters"] * shape["height"] * shape["width"]
    ),
    correctness=(
        {"images": 2, "channels": 3, "height": 17, "width": 23, "filters": 5},
        {"images": 1, "channels": 16, "height": 32, "width": 30, "filters": 8},
        {"images": 3, "channels": 33, "height": 9, "width": 14, "filters": 7},
    ),
    # The grid's third part is limited to 65535.
    timed=lambda s: {
        "images": min(root(16, s, 1.0), 4000),
        "channels": 64,
        "height": 56,
        "width": 56,
        "filters": 64,
    },
)
