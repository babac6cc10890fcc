// verdict: error
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: gpu
// why: A kernel reads and writes far outside of any allocation.
// launch: solve(grid=(1), block=(32))
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    out[(1LL << 40) + threadIdx.x] = x[-(1LL << 40)];
}
