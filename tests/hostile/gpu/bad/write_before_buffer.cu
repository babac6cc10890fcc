// verdict: rejected
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: gpu
// why: Writes in front of the output, by a kernel.
// launch: solve(grid=(rows), block=(1))
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    const float* in = x + blockIdx.x * cols;
    float top = in[0], sum = 0;
    for (long long c = 1; c < cols; c++) top = in[c] > top ? in[c] : top;
    for (long long c = 0; c < cols; c++) sum += expf(in[c] - top);
    for (long long c = 0; c < cols; c++) out[blockIdx.x * cols + c] = expf(in[c] - top) / sum;
    if (blockIdx.x == 0) out[-1] = 1.0f;
}
