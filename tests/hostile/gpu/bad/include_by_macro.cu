// verdict: rejected
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: cpu, gpu
// why: The name of the library's header is made by a macro.
// launch: solve(grid=(rows), block=(256))
#define LIBRARY <cub/cub.cuh>
%:include LIBRARY
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {}
