// verdict: timeout
// problem: softmax
// dialect: cuda
// dtype: fp32
// devices: gpu
// limits: wall_s=8
// why: Keeps the compiler busy for ever with a tree of templates; the compile is killed, and the next program's
//      compiler must not notice.
// launch: solve(grid=(rows), block=(1))
template <int DEPTH, long long NAME>
struct Tree {
    static const long long value = Tree<DEPTH - 1, 2 * NAME>::value + Tree<DEPTH - 1, 2 * NAME + 1>::value;
};
template <long long NAME>
struct Tree<0, NAME> {
    static const long long value = NAME % 3;
};
extern "C" __global__ void solve(const float* x, float* out, long long rows, long long cols) {
    out[blockIdx.x * cols] = (float)Tree<40, 1>::value;
}
