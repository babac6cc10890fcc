// verdict: rejected
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: cpu, gpu
// why: A library where raw CUDA was asked.
#include <cub/cub.cuh>
// launch: solve(grid=(rows), block=(256))
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    typedef cub::BlockReduce<float, 256> Reduce;
    __shared__ typename Reduce::TempStorage storage;
    const float sum = Reduce(storage).Sum(expf(x[blockIdx.x * cols + threadIdx.x]));
    out[blockIdx.x * cols + threadIdx.x] = sum;
}
