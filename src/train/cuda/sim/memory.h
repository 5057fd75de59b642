// Shared memory, and what is atomic.
#pragma once

#include "fibers.h"
#include <type_traits>

extern "C" {
// Bounds of the static shared variables, which the linker knows.
extern char __start_zs_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_zs_shared[] __attribute__((weak, visibility("hidden")));
}

namespace zs_sim {

__attribute__((no_sanitize_address)) inline void poison(char* from, char* to) {
    for (volatile char* byte = from; byte < to; byte++) *byte = static_cast<char>(0xff);
}

}  // namespace zs_sim

// The block's dynamic shared memory as a pointer.
#define ZS_DYNAMIC_SHARED(type, name) \
    type* name = reinterpret_cast<type*>(zs_sim::machine().shared)

inline void __threadfence() {}
inline void __threadfence_block() {}

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
