// Runs CUDA kernels on the processor, for tests without a GPU.
//
// A .cu file compiles as it is:
//   g++ -std=c++17 -O2 -shared -fPIC -include shim.h -x c++ FILE.cu -o FILE.so
// and for AddressSanitizer with `-fsanitize=address -fsanitize-sections=zs_shared -g` on top.
//
// All threads of a block are fibers of one thread of the operating system; a fiber runs until its
// next barrier, a warp until its next barrier for the block. Blocks run one after the other. So a
// run repeats bit for bit. With the environment variable `ZS_SIM_REVERSE=1` the blocks, and the
// warps and threads between two barriers, run in the opposite order: results that change show a
// race.
//
// Shared memory holds NaN (all bits 1) when a block starts. A barrier that not all of its threads
// reach ends the launch with an error.
//
// What it does not show: races within more than two orders, memory order, speed, spilled
// registers, limits of shared memory, the rounding of the device's own exp2f and logf.
//
// Exported: `zs_sim_launch`, whose arguments are those of cuLaunchKernel, and `zs_sim_error`.
// A kernel is found by the name that `ZS_EXPORT(name)` gave.
//
// Not there, on purpose: atomics on floating-point numbers (their order is not fixed).
// `__shared__` variables must not be in inline functions or templates.
#pragma once
#define ZS_CPU_SIM 1

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <vector>
#include <sys/mman.h>
#include <unistd.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// ---------------------------------------------------------------------------------------------
// Words of the language.

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static __attribute__((section("zs_shared")))

struct dim3 {
    unsigned x, y, z;
};
struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

__attribute__((visibility("hidden"))) dim3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

extern "C" {
// Bounds of the static shared variables, which the linker knows.
extern char __start_zs_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_zs_shared[] __attribute__((weak, visibility("hidden")));
}

namespace zs_sim {

constexpr unsigned LANES = 32;
constexpr unsigned MOST_THREADS = 1024;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK_BYTES = 256 << 10;
#else
constexpr size_t STACK_BYTES = 64 << 10;
#endif

enum Code { OK = 0, NO_KERNEL = 1, BAD_LAUNCH = 2, BARRIER = 3, NO_MEMORY = 4, TRAP = 5 };

// What a fiber waits for.
enum class Wait { NOTHING, BLOCK, SHUFFLE, BALLOT, PRODUCT, DONE };

// A lane's part of a product of matrices, `mma.sync.m16n8k8`.
struct Product {
    const float* a;
    const float* b;
    float* c;
};

struct Fiber {
    Wait wait;
    unsigned mask;
    unsigned source;   // lane that a shuffle reads
    uint64_t value;    // what this lane gives, then what it gets
    Product product;
    char* stack;
#if defined(__x86_64__)
    void* place;       // stack pointer while it waits
#else
    ucontext_t place;
#endif
    void* fake_stack;  // AddressSanitizer's
};

struct Kernel {
    const char* name;
    void (*function)();
    void (*call)(void (*function)(), void** args);
};

struct Machine {
    std::vector<Kernel> kernels;
    std::vector<Fiber> fibers;
    std::mutex one_launch;
    Fiber* current;
    unsigned threads;
    bool reverse;
    bool trapped;
    const Kernel* kernel;
    void** args;
    char* shared;
#if defined(__x86_64__)
    void* scheduler;
#else
    ucontext_t scheduler;
#endif
    void* fake_stack;
    const void* scheduler_stack;
    size_t scheduler_bytes;

    // When the library is unloaded.
    ~Machine() {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        for (const Fiber& fiber : fibers) munmap(fiber.stack - page, STACK_BYTES + page);
    }
};

__attribute__((visibility("hidden"))) Machine& machine() {
    static Machine machine{};
    return machine;
}

inline char* error_text() {
    static thread_local char text[512];
    return text;
}

// ---------------------------------------------------------------------------------------------
// Switching of fibers.

#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void zs_sim_switch(void** save, void* to);
asm(R"(
.pushsection .text
.hidden zs_sim_switch
.globl zs_sim_switch
.type zs_sim_switch,@function
zs_sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size zs_sim_switch,.-zs_sim_switch
.popsection
)");
#endif

inline void before_switch(void** fake_stack, const void* stack, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#else
    (void)fake_stack, (void)stack, (void)bytes;
#endif
}

inline void after_switch(void* fake_stack, const void** stack, size_t* bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#else
    (void)fake_stack, (void)stack, (void)bytes;
#endif
}

// From the current fiber to the scheduler.
inline __attribute__((noinline)) void leave() {
    Machine& m = machine();
    Fiber& fiber = *m.current;
    // A fiber that is done gives its fake stack back.
    void** fake_stack = fiber.wait == Wait::DONE ? nullptr : &fiber.fake_stack;
    before_switch(fake_stack, m.scheduler_stack, m.scheduler_bytes);
#if defined(__x86_64__)
    zs_sim_switch(&fiber.place, m.scheduler);
#else
    swapcontext(&fiber.place, &m.scheduler);
#endif
    after_switch(fiber.fake_stack, &m.scheduler_stack, &m.scheduler_bytes);
}

inline void fiber_main() {
    Machine& m = machine();
    after_switch(nullptr, &m.scheduler_stack, &m.scheduler_bytes);
    m.kernel->call(m.kernel->function, m.args);
    m.current->wait = Wait::DONE;
    leave();
    abort();
}

inline void start(Fiber& fiber) {
    fiber.wait = Wait::NOTHING;
    fiber.fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(fiber.stack, STACK_BYTES);
#endif
#if defined(__x86_64__)
    // As after a call: the address to go to, then six registers; 16 bytes' alignment at entry.
    uintptr_t top = reinterpret_cast<uintptr_t>(fiber.stack + STACK_BYTES) & ~uintptr_t(15);
    void** place = reinterpret_cast<void**>(top) - 2;
    *place = reinterpret_cast<void*>(&fiber_main);
    for (int i = 0; i < 6; i++) *--place = nullptr;
    fiber.place = place;
#else
    getcontext(&fiber.place);
    fiber.place.uc_stack.ss_sp = fiber.stack;
    fiber.place.uc_stack.ss_size = STACK_BYTES;
    fiber.place.uc_link = nullptr;
    makecontext(&fiber.place, reinterpret_cast<void (*)()>(&fiber_main), 0);
#endif
}

// From the scheduler to a fiber, until that waits again.
inline void resume(unsigned index) {
    Machine& m = machine();
    Fiber& fiber = m.fibers[index];
    m.current = &fiber;
    threadIdx.x = index % blockDim.x;
    threadIdx.y = index / blockDim.x % blockDim.y;
    threadIdx.z = index / blockDim.x / blockDim.y;
    before_switch(&m.fake_stack, fiber.stack, STACK_BYTES);
#if defined(__x86_64__)
    zs_sim_switch(&m.scheduler, fiber.place);
#else
    swapcontext(&m.scheduler, &fiber.place);
#endif
    after_switch(m.fake_stack, nullptr, nullptr);
}

// ---------------------------------------------------------------------------------------------
// What the lanes of a warp do together.

inline float bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inline uint32_t float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

// cvt.rna.tf32: 10 bits behind the point, halves away from 0.
inline float round_tf32(float value) {
    if (!std::isfinite(value)) return value;
    return bits_to_float((float_to_bits(value) + 0x1000u) & 0xffffe000u);
}

// Tensor cores add products exactly enough, and cut the sum off.
inline float towards_zero(double sum) {
    const float nearest = static_cast<float>(sum);
    const bool longer = std::fabs(static_cast<double>(nearest)) > std::fabs(sum);
    return longer ? std::nextafterf(nearest, 0.0f) : nearest;
}

// mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32. Bits of the factors beyond tf32 are ignored,
// as the hardware may.
inline void multiply_warp(Fiber* lanes) {
    static float a[16][8], b[8][8], c[16][8];
    auto cut = [](float value) { return bits_to_float(float_to_bits(value) & 0xffffe000u); };
    for (unsigned lane = 0; lane < LANES; lane++) {
        const Product& p = lanes[lane].product;
        const unsigned row = lane / 4, at = lane % 4;
        for (unsigned i = 0; i < 4; i++) a[row + i % 2 * 8][at + i / 2 * 4] = cut(p.a[i]);
        for (unsigned i = 0; i < 2; i++) b[row][at + i * 4] = cut(p.b[i]);
        for (unsigned i = 0; i < 4; i++) c[row + i / 2 * 8][at * 2 + i % 2] = p.c[i];
    }
    for (auto i = 0; i < 16; i++) {
        for (auto j = 0; j < 8; j++) {
            double sum = 0.0;
            for (auto k = 0; k < 8; k++) sum += static_cast<double>(a[i][k]) * b[j][k];
            c[i][j] = towards_zero(sum + c[i][j]);
        }
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        const unsigned row = lane / 4, at = lane % 4;
        float* d = lanes[lane].product.c;
        for (unsigned i = 0; i < 4; i++) d[i] = c[row + i / 2 * 8][at * 2 + i % 2];
    }
}

inline void exchange(Fiber* lanes, unsigned count, unsigned mask, Wait what) {
    uint64_t given[LANES];
    uint64_t votes = 0;
    for (unsigned lane = 0; lane < count; lane++) {
        given[lane] = lanes[lane].value;
        if (mask >> lane & 1) votes |= static_cast<uint64_t>(given[lane] != 0) << lane;
    }
    for (unsigned lane = 0; lane < count; lane++) {
        if (!(mask >> lane & 1)) continue;
        const unsigned source = lanes[lane].source;
        const bool there = source < count && (mask >> source & 1);
        lanes[lane].value = what == Wait::BALLOT ? votes : there ? given[source] : ~uint64_t(0);
        lanes[lane].wait = Wait::NOTHING;
    }
}

// Lets the lanes of a warp go on whose partners are all there. Whether there were any.
inline bool release_warp(Fiber* lanes, unsigned count) {
    const unsigned all = count == LANES ? ~0u : (1u << count) - 1;
    bool any = false;
    for (unsigned lane = 0; lane < count; lane++) {
        const Wait what = lanes[lane].wait;
        if (what != Wait::SHUFFLE && what != Wait::BALLOT && what != Wait::PRODUCT) continue;
        const unsigned mask = lanes[lane].mask & all;
        bool together = mask >> lane & 1;
        for (unsigned other = 0; other < count; other++) {
            const bool same = lanes[other].wait == what && (lanes[other].mask & all) == mask;
            together = together && (same || !(mask >> other & 1));
        }
        if (!together) continue;
        if (what == Wait::PRODUCT) multiply_warp(lanes);
        exchange(lanes, count, mask, what);
        any = true;
    }
    return any;
}

// Lets all threads of the block go on from a barrier that all have reached; their values become
// the number of those that were not 0.
inline bool release_block() {
    Machine& m = machine();
    uint64_t votes = 0;
    for (unsigned i = 0; i < m.threads; i++) {
        if (m.fibers[i].wait != Wait::BLOCK) return false;
        votes += m.fibers[i].value != 0;
    }
    for (unsigned i = 0; i < m.threads; i++) {
        m.fibers[i].wait = Wait::NOTHING;
        m.fibers[i].value = votes;
    }
    return true;
}

inline uint64_t wait_for(Wait what, unsigned mask, uint64_t value, unsigned source) {
    Fiber* fiber = machine().current;
    fiber->wait = what;
    fiber->mask = mask;
    fiber->value = value;
    fiber->source = source;
    leave();
    return machine().current->value;
}

inline unsigned lane() {
    return static_cast<unsigned>(machine().current - machine().fibers.data()) % LANES;
}

template <typename T> T shuffle(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = wait_for(Wait::SHUFFLE, mask, bits, source);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

inline void multiply(float* c, const float* a, const float* b) {
    machine().current->product = {a, b, c};
    wait_for(Wait::PRODUCT, ~0u, 0, lane());
}

// ---------------------------------------------------------------------------------------------
// Launching.

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

__attribute__((no_sanitize_address)) inline void poison(char* from, char* to) {
    for (volatile char* byte = from; byte < to; byte++) *byte = static_cast<char>(0xff);
}

inline bool make_fibers(unsigned count) {
    Machine& m = machine();
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    while (m.fibers.size() < count) {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* stack = mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (stack == MAP_FAILED) return false;
        // A stack that overflows shall not reach the next one.
        mprotect(stack, page, PROT_NONE);
        Fiber fiber{};
        fiber.stack = static_cast<char*>(stack) + page;
        m.fibers.push_back(fiber);
    }
    return true;
}

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
// The block's dynamic shared memory as a pointer.
#define ZS_DYNAMIC_SHARED(type, name) \
    type* name = reinterpret_cast<type*>(zs_sim::machine().shared)

// ---------------------------------------------------------------------------------------------
// What kernels call.

inline void __syncthreads() { zs_sim::wait_for(zs_sim::Wait::BLOCK, 0, 0, 0); }
inline int __syncthreads_count(int vote) {
    return static_cast<int>(zs_sim::wait_for(zs_sim::Wait::BLOCK, 0, vote != 0, 0));
}
inline int __syncthreads_or(int vote) { return __syncthreads_count(vote) != 0; }
inline int __syncthreads_and(int vote) { return __syncthreads_count(vote == 0) == 0; }
inline void __syncwarp(unsigned mask = ~0u) { zs_sim::shuffle(mask, 0, zs_sim::lane()); }

template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const unsigned lane = zs_sim::lane(), first = lane & ~unsigned(width - 1);
    return zs_sim::shuffle(mask, value, first + (unsigned(source) & unsigned(width - 1)));
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int change, int width = 32) {
    const unsigned lane = zs_sim::lane(), source = lane ^ unsigned(change);
    const bool inside = source / unsigned(width) == lane / unsigned(width);
    return zs_sim::shuffle(mask, value, inside ? source : lane);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const unsigned lane = zs_sim::lane(), source = lane + by;
    const bool inside = source / unsigned(width) == lane / unsigned(width);
    return zs_sim::shuffle(mask, value, inside ? source : lane);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const unsigned lane = zs_sim::lane(), place = lane % unsigned(width);
    return zs_sim::shuffle(mask, value, place >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int vote) {
    return unsigned(zs_sim::wait_for(zs_sim::Wait::BALLOT, mask, vote != 0, zs_sim::lane()));
}
inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
inline int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote == 0) == 0; }
inline void __threadfence() {}
inline void __threadfence_block() {}

// Ends the launch with an error.
inline void __trap() {
    zs_sim::Machine& m = zs_sim::machine();
    snprintf(zs_sim::error_text(), 512, "kernel %s, block (%u, %u, %u), thread (%u, %u, %u): trap",
             m.kernel->name, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
             threadIdx.z);
    m.trapped = true;
    zs_sim::leave();
}

// Threads run one at a time, so plain operations are atomic.
template <typename T, typename O> T zs_atomic(T* place, O operation) {
    static_assert(std::is_integral<T>::value, "the order of floating-point atomics is not fixed");
    const T before = *place;
    *place = operation(before);
    return before;
}
template <typename T, typename V> T atomicAdd(T* place, V value) {
    return zs_atomic(place, [&](T old) { return T(old + T(value)); });
}
template <typename T, typename V> T atomicSub(T* place, V value) {
    return zs_atomic(place, [&](T old) { return T(old - T(value)); });
}
template <typename T, typename V> T atomicMax(T* place, V value) {
    return zs_atomic(place, [&](T old) { return old > T(value) ? old : T(value); });
}
template <typename T, typename V> T atomicMin(T* place, V value) {
    return zs_atomic(place, [&](T old) { return old < T(value) ? old : T(value); });
}
template <typename T, typename V> T atomicOr(T* place, V value) {
    return zs_atomic(place, [&](T old) { return T(old | T(value)); });
}
template <typename T, typename V> T atomicAnd(T* place, V value) {
    return zs_atomic(place, [&](T old) { return T(old & T(value)); });
}
template <typename T, typename V> T atomicExch(T* place, V value) {
    return zs_atomic(place, [&](T) { return T(value); });
}
template <typename T, typename V> T atomicCAS(T* place, V expected, V value) {
    return zs_atomic(place, [&](T old) { return old == T(expected) ? T(value) : old; });
}

template <typename T> T __ldg(const T* place) { return *place; }
inline unsigned __float_as_uint(float value) { return zs_sim::float_to_bits(value); }
inline float __uint_as_float(unsigned bits) { return zs_sim::bits_to_float(bits); }
inline int __float_as_int(float value) { return int(zs_sim::float_to_bits(value)); }
inline float __int_as_float(int bits) { return zs_sim::bits_to_float(unsigned(bits)); }
inline long long __double_as_longlong(double value) {
    long long bits;
    memcpy(&bits, &value, 8);
    return bits;
}
inline double __longlong_as_double(long long bits) {
    double value;
    memcpy(&value, &bits, 8);
    return value;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(unsigned(bits)); }
inline float __expf(float x) { return ::exp2f(x * 1.44269504f); }
inline float __logf(float x) { return ::log2f(x) * 0.693147181f; }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / ::sqrtf(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return ::sqrtf(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fmaf_rn(float a, float b, float c) { return ::fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __double2float_rn(double a) { return float(a); }
inline float __uint2float_rn(unsigned a) { return float(a); }
inline float __int2float_rn(int a) { return float(a); }

template <typename T> constexpr std::enable_if_t<std::is_integral<T>::value, T> min(T a, T b) {
    return b < a ? b : a;
}
template <typename T> constexpr std::enable_if_t<std::is_integral<T>::value, T> max(T a, T b) {
    return a < b ? b : a;
}
inline float min(float a, float b) { return ::fminf(a, b); }
inline float max(float a, float b) { return ::fmaxf(a, b); }
