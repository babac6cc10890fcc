// verdict: error
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: gpu
// why: A kernel traps, which ends its context.
// launch: solve(grid=(1), block=(32))
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    asm("trap;");
}
