// verdict: timeout
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: gpu
// limits: wall_s=10
// why: A kernel that never ends; the process is killed and the card comes back.
// launch: solve(grid=(1), block=(32))
extern "C" __global__ void solve(const float* x, volatile float* out, long long rows, long long cols) {
    while (out[0] != 12345.0f) out[1] = 1.0f;
}
