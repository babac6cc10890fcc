// Runs CUDA kernels on one CPU thread, to test reference programs where there is no card.
//
// Every CUDA thread of a block is a fibre. Blocks run one after the other. A fibre runs until it waits at a barrier
// of its warp or of its block; the barrier opens when all fibres that are still alive wait at it. Nothing runs at
// the same time, so races that a card would show stay hidden: this checks what a program computes, not its locks.
#pragma once
#include <ucontext.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

struct emu_dim { unsigned x, y, z; };
static emu_dim threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;
static std::vector<unsigned char> emu_dynamic_shared;

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __restrict__

enum emu_state { EMU_READY, EMU_WARP, EMU_BLOCK, EMU_DONE };
struct emu_fibre { ucontext_t context; emu_state state; emu_dim index; uint64_t slot; std::vector<char> stack; };
static std::vector<emu_fibre> emu_fibres;
static ucontext_t emu_scheduler;
static int emu_current;
static void (*emu_body)(void*);
static void* emu_argument;
static emu_dim emu_grid, emu_block;
static int emu_shared_bytes;

static void emu_wait(emu_state state) {
    emu_fibre& f = emu_fibres[emu_current];
    f.state = state;
    swapcontext(&f.context, &emu_scheduler);
}
static void __syncthreads() { emu_wait(EMU_BLOCK); }
static void __syncwarp(unsigned = 0xffffffffu) { emu_wait(EMU_WARP); }
static void __threadfence() {}
static void emu_enter() {
    emu_body(emu_argument);
    emu_fibres[emu_current].state = EMU_DONE;
    swapcontext(&emu_fibres[emu_current].context, &emu_scheduler);
}

template <typename T> static T emu_exchange(T v, int lane) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    const int base = emu_current / 32 * 32, size = (int)emu_fibres.size();
    memcpy(&emu_fibres[emu_current].slot, &v, sizeof(T));
    emu_wait(EMU_WARP);
    T result = v;
    if (lane >= 0 && lane < 32 && base + lane < size) memcpy(&result, &emu_fibres[base + lane].slot, sizeof(T));
    emu_wait(EMU_WARP);
    return result;
}
template <typename T> static T __shfl_down_sync(unsigned, T v, int d) { return emu_exchange(v, emu_current % 32 + d); }
template <typename T> static T __shfl_up_sync(unsigned, T v, int d) { return emu_exchange(v, emu_current % 32 - d); }
template <typename T> static T __shfl_xor_sync(unsigned, T v, int d) { return emu_exchange(v, emu_current % 32 ^ d); }
template <typename T> static T __shfl_sync(unsigned, T v, int lane) { return emu_exchange(v, lane); }

template <typename T> static T atomicAdd(T* p, T v) { T old = *p; *p = old + v; return old; }
template <typename T> static T atomicMin(T* p, T v) { T old = *p; *p = std::min(old, v); return old; }
template <typename T> static T atomicMax(T* p, T v) { T old = *p; *p = std::max(old, v); return old; }
template <typename T> static T atomicExch(T* p, T v) { T old = *p; *p = v; return old; }
template <typename T> static T atomicCAS(T* p, T compare, T v) { T old = *p; if (old == compare) *p = v; return old; }
template <typename A, typename B> static std::common_type_t<A, B> min(A a, B b) {
    typedef std::common_type_t<A, B> T; return (T)a < (T)b ? (T)a : (T)b;
}
template <typename A, typename B> static std::common_type_t<A, B> max(A a, B b) {
    typedef std::common_type_t<A, B> T; return (T)a > (T)b ? (T)a : (T)b;
}
// NVRTC, which compiles these programs on a card, knows none of these macros.
#undef INFINITY
#undef NAN
#undef HUGE_VAL
#undef FLT_MAX
#undef DBL_MAX
#undef INT_MAX
using std::abs; using std::ceil; using std::erf; using std::erfc; using std::exp; using std::floor; using std::fma;
using std::log; using std::sqrt; using std::tanh; using std::pow;
static float rsqrtf(float v) { return 1.0f / std::sqrt(v); }
template <typename T> static T rsqrt(T v) { return 1 / std::sqrt(v); }
static long long __double_as_longlong(double v) { long long r; memcpy(&r, &v, 8); return r; }
static double __longlong_as_double(long long v) { double r; memcpy(&r, &v, 8); return r; }
static int __float_as_int(float v) { int r; memcpy(&r, &v, 4); return r; }
static float __int_as_float(int v) { float r; memcpy(&r, &v, 4); return r; }

static void emu_run_block() {
    const int threads = (int)(emu_block.x * emu_block.y * emu_block.z);
    emu_fibres.resize(threads);
    for (int i = 0; i < threads; i++) {
        emu_fibre& f = emu_fibres[i];
        f.state = EMU_READY;
        f.index = {i % emu_block.x, i / emu_block.x % emu_block.y, i / (emu_block.x * emu_block.y)};
        f.stack.resize(1 << 16);
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data();
        f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = nullptr;
        makecontext(&f.context, emu_enter, 0);
    }
    for (;;) {
        int alive = 0, at_block = 0;
        bool ran = false;
        for (int i = 0; i < threads; i++) {
            emu_fibre& f = emu_fibres[i];
            if (f.state == EMU_READY) {
                emu_current = i;
                threadIdx = f.index;
                swapcontext(&emu_scheduler, &f.context);
                ran = true;
            }
            alive += f.state != EMU_DONE;
            at_block += f.state == EMU_BLOCK;
        }
        if (!alive) return;
        if (ran) continue;
        if (at_block == alive) {
            for (auto& f : emu_fibres) if (f.state == EMU_BLOCK) f.state = EMU_READY;
            continue;
        }
        bool opened = false;
        for (int w = 0; w < threads; w += 32) {
            const int end = std::min(w + 32, threads);
            int live = 0, waiting = 0;
            for (int i = w; i < end; i++) {
                live += emu_fibres[i].state != EMU_DONE;
                waiting += emu_fibres[i].state == EMU_WARP;
            }
            if (live && waiting == live) {
                for (int i = w; i < end; i++) if (emu_fibres[i].state == EMU_WARP) emu_fibres[i].state = EMU_READY;
                opened = true;
            }
        }
        if (!opened) { fprintf(stderr, "threads of one block wait at different barriers\n"); abort(); }
    }
}

extern "C" void emu_shape(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, int shared) {
    emu_grid = {gx, gy, gz};
    emu_block = {bx, by, bz};
    emu_shared_bytes = shared;
}

template <typename... P, size_t... I>
static void emu_call(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
    kernel(*(std::remove_const_t<P>*)args[I]...);
}

template <typename... P> static int emu_launch(void (*kernel)(P...), void** args) {
    struct Call { void (*kernel)(P...); void** args; } call = {kernel, args};
    emu_body = [](void* c) {
        Call* call = (Call*)c;
        emu_call(call->kernel, call->args, std::index_sequence_for<P...>());
    };
    emu_argument = &call;
    gridDim = emu_grid;
    blockDim = emu_block;
    emu_dynamic_shared.assign(emu_shared_bytes + 16, 0xCD);
    for (unsigned z = 0; z < emu_grid.z; z++)
        for (unsigned y = 0; y < emu_grid.y; y++)
            for (unsigned x = 0; x < emu_grid.x; x++) {
                blockIdx = {x, y, z};
                emu_run_block();
            }
    return 0;
}
