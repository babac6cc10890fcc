// verdict: rejected
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: cpu, gpu
// why: A library is included between two strings that look like the ends of a comment.
// launch: solve(grid=(rows), block=(256))
__device__ const char* begin = "/*";
#include <cub/cub.cuh>
__device__ const char* end = "*/";
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {}
