// verdict: passed
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: gpu
// why: Raw CUDA with a workspace, two kernels and a repeat that only its last round uses.
// launch: tops(grid=(rows), block=(1))
// launch: solve(grid=(rows), block=(128))
// scratch: 4 * rows
// repeat: 2
extern "C" __global__ void tops(const float* x, float* out, long long rows, long long cols, float* scratch) {
    float top = x[blockIdx.x * cols];
    for (long long c = 1; c < cols; c++) top = fmaxf(top, x[blockIdx.x * cols + c]);
    scratch[blockIdx.x] = top;
}
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols, const float* scratch,
                                 int round) {
    __shared__ float sums[128];
    if (round == 0) return;
    const float top = scratch[blockIdx.x];
    float sum = 0;
    for (long long c = threadIdx.x; c < cols; c += 128) sum += expf(x[blockIdx.x * cols + c] - top);
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 64; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    for (long long c = threadIdx.x; c < cols; c += 128)
        out[blockIdx.x * cols + c] = expf(x[blockIdx.x * cols + c] - top) / sums[0];
}
