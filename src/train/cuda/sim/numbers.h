// Functions of numbers.
#pragma once

#include "tensor_core.h"
#include <type_traits>

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
