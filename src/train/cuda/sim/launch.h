// Launching kernels.
#pragma once

#include "fibers.h"
#include "language.h"
#include "memory.h"
#include "warp.h"
#include <cstdlib>
#include <utility>

namespace zs_sim {

template <typename... P, size_t... I>
void call_with(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
    (void)args;
    kernel(*static_cast<std::remove_reference_t<P>*>(args[I])...);
}

template <typename... P> struct Adapter {
    static void call(void (*function)(), void** args) {
        auto kernel = reinterpret_cast<void (*)(P...)>(function);
        call_with(kernel, args, std::index_sequence_for<P...>());
    }
};

struct Registration {
    template <typename... P> Registration(const char* name, void (*kernel)(P...)) {
        auto function = reinterpret_cast<void (*)()>(kernel);
        machine().kernels.push_back({name, function, &Adapter<P...>::call});
    }
};

inline int stuck() {
    Machine& m = machine();
    unsigned at_barrier = 0, in_warp = 0, done = 0;
    unsigned first = m.threads;
    for (unsigned i = 0; i < m.threads; i++) {
        const Wait wait = m.fibers[i].wait;
        at_barrier += wait == Wait::BLOCK;
        done += wait == Wait::DONE;
        in_warp += wait != Wait::BLOCK && wait != Wait::DONE;
        if (wait != Wait::DONE && first == m.threads) first = i;
    }
    snprintf(error_text(), 512,
             "kernel %s, block (%u, %u, %u): a barrier that not all threads reach: %u of %u wait "
             "for the block, %u for lanes of their warp, %u have ended; thread %u waits",
             m.kernel->name, blockIdx.x, blockIdx.y, blockIdx.z, at_barrier, m.threads, in_warp,
             done, first);
    return BARRIER;
}

// Runs a warp as far as it gets without the others. Whether it got anywhere.
inline bool run_warp(unsigned first, unsigned count) {
    Machine& m = machine();
    bool any = false;
    do {
        for (unsigned i = 0; i < count && !m.trapped; i++) {
            const unsigned index = first + (m.reverse ? count - 1 - i : i);
            if (m.fibers[index].wait != Wait::NOTHING) continue;
            resume(index);
            any = true;
        }
    } while (!m.trapped && release_warp(&m.fibers[first], count));
    return any;
}

inline int run_block(unsigned shared_bytes) {
    Machine& m = machine();
    if (__start_zs_shared != nullptr) poison(__start_zs_shared, __stop_zs_shared);
    poison(m.shared, m.shared + shared_bytes);
    for (unsigned i = 0; i < m.threads; i++) start(m.fibers[i]);
    const unsigned warps = (m.threads + LANES - 1) / LANES;
    for (;;) {
        bool any = false;
        // Warp after warp, so that one gets as far ahead of the next as barriers allow.
        for (unsigned i = 0; i < warps; i++) {
            const unsigned first = (m.reverse ? warps - 1 - i : i) * LANES;
            const unsigned count = m.threads - first < LANES ? m.threads - first : LANES;
            any = run_warp(first, count) || any;
            if (m.trapped) return TRAP;
        }
        bool all_done = true;
        for (unsigned i = 0; i < m.threads; i++) {
            all_done = all_done && m.fibers[i].wait == Wait::DONE;
        }
        if (all_done) return OK;
        if (!release_block() && !any) return stuck();
    }
}

inline int run_grid(unsigned shared_bytes) {
    Machine& m = machine();
    const uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    for (uint64_t i = 0; i < blocks; i++) {
        const uint64_t block = m.reverse ? blocks - 1 - i : i;
        blockIdx.x = static_cast<unsigned>(block % gridDim.x);
        blockIdx.y = static_cast<unsigned>(block / gridDim.x % gridDim.y);
        blockIdx.z = static_cast<unsigned>(block / gridDim.x / gridDim.y);
        if (const int code = run_block(shared_bytes)) return code;
    }
    return OK;
}

inline int fail(int code, const char* what, const char* name) {
    snprintf(error_text(), 512, "kernel %s: %s", name, what);
    return code;
}

inline int launch(const char* name, const unsigned* grid, const unsigned* block,
                  unsigned shared_bytes, void** args) {
    Machine& m = machine();
    std::lock_guard<std::mutex> guard(m.one_launch);
    error_text()[0] = 0;
    m.kernel = nullptr;
    for (const Kernel& kernel : m.kernels) {
        if (strcmp(kernel.name, name) == 0) m.kernel = &kernel;
    }
    if (m.kernel == nullptr) return fail(NO_KERNEL, "there is none of this name", name);
    const uint64_t threads = uint64_t(block[0]) * block[1] * block[2];
    const uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
    const bool grid_fits = grid[0] <= 0x7fffffffu && grid[1] <= 65535 && grid[2] <= 65535;
    if (threads == 0 || threads > MOST_THREADS || blocks == 0 || !grid_fits) {
        return fail(BAD_LAUNCH, "a grid or block of this size cannot be launched", name);
    }
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    m.threads = static_cast<unsigned>(threads);
    m.args = args;
    m.trapped = false;
    const char* reverse = getenv("ZS_SIM_REVERSE");
    m.reverse = reverse != nullptr && strcmp(reverse, "1") == 0;
    if (!make_fibers(m.threads)) return fail(NO_MEMORY, "no memory for stacks", name);
    void* shared = nullptr;
    // As long as asked for, so that AddressSanitizer sees what lies beyond.
    if (posix_memalign(&shared, 128, shared_bytes == 0 ? 1 : shared_bytes) != 0) {
        return fail(NO_MEMORY, "no memory for shared memory", name);
    }
    m.shared = static_cast<char*>(shared);
    const int code = run_grid(shared_bytes);
    m.shared = nullptr;
    free(shared);
    return code;
}

}  // namespace zs_sim

extern "C" inline __attribute__((used, visibility("default"))) int zs_sim_launch(
    const char* name, const unsigned grid[3], const unsigned block[3], unsigned shared_bytes,
    void** args) {
    return zs_sim::launch(name, grid, block, shared_bytes, args);
}

// Of the last launch that failed on this thread; empty without one.
extern "C" inline __attribute__((used, visibility("default"))) const char* zs_sim_error() {
    return zs_sim::error_text();
}

#define ZS_EXPORT(kernel) \
    static const zs_sim::Registration zs_registration_##kernel(#kernel, kernel);

// Ends the launch with an error.
inline void __trap() {
    zs_sim::Machine& m = zs_sim::machine();
    snprintf(zs_sim::error_text(), 512, "kernel %s, block (%u, %u, %u), thread (%u, %u, %u): trap",
             m.kernel->name, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
             threadIdx.z);
    m.trapped = true;
    zs_sim::leave();
}
