// Threads of a block: fibers of one thread of the operating system, and what they wait for.
#pragma once

#include "language.h"
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <mutex>
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

}  // namespace zs_sim
