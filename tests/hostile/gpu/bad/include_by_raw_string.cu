// verdict: rejected
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: cpu, gpu
// why: A continued line stands inside of a raw string, where compilers don't join it: the string ends before what looks
//      like a comment around the include.
// launch: solve(grid=(rows), block=(256))
__device__ const char* s = R"x()\
x" /* )x";
#include <cub/cub.cuh>
/* */
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    typedef cub::BlockReduce<float, 256> Reduce;
}
