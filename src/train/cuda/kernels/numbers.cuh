// What the simple kernels share: numbers, random numbers, and sums of fixed order.
//
// Exponential, logarithm, sine, cosine and Philox are the CPU engine's operation by operation.
// Sources that include this file are compiled without contraction to fused multiply-adds, so they
// give its bits of f32, up to the order of sums.
#pragma once

#include "common.cuh"

#define LANES 32

// Number of the thread in a grid of one dimension.
__device__ inline unsigned long long position()
{
    return (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
}

// The larger one; `a` if `b` is not a number.
__device__ inline float at_least(float a, float b)
{
    return b > a ? b : a;
}

// e^x by Cephes' range reduction and polynomial; relative error below 2e-7, 0 below -86.9.
__device__ inline float exponential(float x)
{
    // Added and taken away again, it leaves the nearest whole number.
    const float rounder = 12582912.0f;
    const float bounded = x > 89.0f ? 89.0f : x;
    const float rounded = bounded * 1.44269504f + rounder;
    const float whole = rounded - rounder;
    const float rest = bounded - whole * 0.6933594f - whole * -2.1219444e-4f;
    float series = 1.9875691e-4f;
    series = series * rest + 1.3981999e-3f;
    series = series * rest + 8.333452e-3f;
    series = series * rest + 4.1665796e-2f;
    series = series * rest + 1.6666665e-1f;
    series = series * rest + 0.5f;
    const float value = series * (rest * rest) + rest + 1.0f;
    // Half of 2^whole: the last bits of `rounded` are `whole`, the exponent's bias is 127.
    const float half = __uint_as_float((__float_as_uint(rounded) + 126u) << 23);
    return x < -86.9f ? 0.0f : value * half * 2.0f;
}

// The next four functions are after FreeBSD's e_logf.c, s_log1pf.c, k_sinf.c and k_cosf.c:
//
// Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
// Developed at SunPro, a Sun Microsystems, Inc. business.
// Permission to use, copy, modify, and distribute this software is freely granted, provided that
// this notice is preserved.

// The logarithm of 1 + f, less its leading terms; 1 + f lies in sqrt(1/2)..sqrt(2).
__device__ inline float logarithm_series(float f, float s, float* half_square)
{
    const float z = s * s;
    const float w = z * z;
    const float even = w * (0.40000972152f + w * 0.24279078841f);
    const float odd = z * (0.66666662693f + w * 0.28498786688f);
    *half_square = 0.5f * f * f;
    return s * (*half_square + (odd + even));
}

// Natural logarithm.
__device__ inline float logarithm(float x)
{
    unsigned int bits = __float_as_uint(x);
    int exponent = 0;
    if (bits < 0x00800000u || (bits >> 31) != 0) {
        if ((bits << 1) == 0) {
            return __uint_as_float(0xff800000u);
        }
        if ((bits >> 31) != 0) {
            return __uint_as_float(0x7fc00000u);
        }
        exponent = -25;
        bits = __float_as_uint(x * 33554432.0f);
    } else if (bits >= 0x7f800000u) {
        return x;
    } else if (bits == 0x3f800000u) {
        return 0.0f;
    }
    bits += 0x3f800000u - 0x3f3504f3u;
    exponent += (int)(bits >> 23) - 0x7f;
    const float f = __uint_as_float((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    const float scale = (float)exponent;
    float half_square;
    const float series = logarithm_series(f, f / (2.0f + f), &half_square);
    return series + scale * 9.0580006145e-06f - half_square + f + scale * 6.9313812256e-01f;
}

// ln(1 + x) for x in 0..1.
__device__ inline float logarithm_of_one_more(float x)
{
    if (x < 5.9604645e-8f) {
        return x;
    }
    float f = x, correction = 0.0f, scale = 0.0f;
    if (__float_as_uint(x) >= 0x3ed413d0u) {
        const float sum = 1.0f + x;
        const unsigned int bits = __float_as_uint(sum) + (0x3f800000u - 0x3f3504f3u);
        const int exponent = (int)(bits >> 23) - 0x7f;
        correction = exponent >= 2 ? 1.0f - (sum - x) : x - (sum - 1.0f);
        correction /= sum;
        f = __uint_as_float((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
        scale = (float)exponent;
    }
    float half_square;
    const float series = logarithm_series(f, f / (2.0f + f), &half_square);
    return series + (scale * 9.0580006145e-06f + correction) - half_square + f
        + scale * 6.9313812256e-01f;
}

__device__ inline float sine_near_zero(double x)
{
    const double z = x * x;
    const double r = -0.000198393348360966317347 + z * 0.0000027183114939898219064;
    const double s = z * x;
    const double tail = s * (z * z) * r;
    return (float)((x + s * (-0.166666666416265235595 + z * 0.0083333293858894631756)) + tail);
}

__device__ inline float cosine_near_zero(double x)
{
    const double z = x * x;
    const double w = z * z;
    const double r = -0.00138867637746099294692 + z * 0.0000243904487962774090654;
    return (float)(((1.0 + z * -0.499999997251031003120) + w * 0.0416666233237390631894)
        + (w * z) * r);
}

// Sine and cosine of an angle in 0..2 pi.
__device__ inline void sine_and_cosine(float angle, float* sine, float* cosine)
{
    const double quarter = 1.5707963267948966;
    const double x = angle;
    const unsigned int bits = __float_as_uint(angle);
    if (bits < 0x39800000u) {
        *sine = angle;
        *cosine = 1.0f;
    } else if (bits <= 0x3f490fdau) {
        *sine = sine_near_zero(x);
        *cosine = cosine_near_zero(x);
    } else if (bits <= 0x4016cbe3u) {
        *sine = cosine_near_zero(quarter - x);
        *cosine = sine_near_zero(quarter - x);
    } else if (bits <= 0x407b53d1u) {
        *sine = -sine_near_zero(x - 2.0 * quarter);
        *cosine = -cosine_near_zero(x - 2.0 * quarter);
    } else if (bits <= 0x40afeddfu) {
        *sine = -cosine_near_zero(x - 3.0 * quarter);
        *cosine = sine_near_zero(x - 3.0 * quarter);
    } else {
        *sine = sine_near_zero(x - 4.0 * quarter);
        *cosine = cosine_near_zero(x - 4.0 * quarter);
    }
}

// ln(1 + e^x), without overflow.
__device__ inline float softplus(float x)
{
    return at_least(x, 0.0f) + logarithm_of_one_more(exponential(-fabsf(x)));
}

// 1 / (1 + e^-x), without overflow.
__device__ inline float sigmoid(float x)
{
    const float power = exponential(-fabsf(x));
    const float small = power / (1.0f + power);
    return x < 0.0f ? small : 1.0f - small;
}

// A draw of random numbers: the key of its seed, its step and its stream.
struct Draw {
    unsigned int key[2];
    unsigned int step;
    unsigned int stream;
};

// Numbers 4 * block..4 * block + 4 of a draw, uniform in [0, 1), in steps of 2^-24: Philox4x32-10
// (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
__device__ inline void uniform(Draw draw, unsigned int block, float numbers[4])
{
    unsigned int a = block, b = draw.step, c = draw.stream, d = 0;
    unsigned int low = draw.key[0], high = draw.key[1];
    for (int round = 0; round < 10; round++) {
        const unsigned long long left = (unsigned long long)a * 0xd2511f53u;
        const unsigned long long right = (unsigned long long)c * 0xcd9e8d57u;
        a = (unsigned int)(right >> 32) ^ b ^ low;
        b = (unsigned int)right;
        c = (unsigned int)(left >> 32) ^ d ^ high;
        d = (unsigned int)left;
        low += 0x9e3779b9u;
        high += 0xbb67ae85u;
    }
    const float unit = 1.0f / 16777216.0f;
    numbers[0] = (float)(a >> 8) * unit;
    numbers[1] = (float)(b >> 8) * unit;
    numbers[2] = (float)(c >> 8) * unit;
    numbers[3] = (float)(d >> 8) * unit;
}

// Two Gaussian numbers of two uniform ones (Box and Muller).
__device__ inline void gauss(float radius, float angle, float* first, float* second)
{
    // From (0, 1], so that the logarithm is finite.
    const float length = sqrtf(-2.0f * logarithm(radius + 1.0f / 16777216.0f));
    float sine, cosine;
    sine_and_cosine(2.0f * 3.14159274f * angle, &sine, &cosine);
    *first = length * cosine;
    *second = length * sine;
}

// The sum of a number of each lane, on all lanes: neighbours first.
__device__ inline float warp_sum(float value)
{
    for (int step = 1; step < LANES; step *= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, step);
    }
    return value;
}

// The largest number of the lanes, on all lanes.
__device__ inline float warp_most(float value)
{
    for (int step = 1; step < LANES; step *= 2) {
        value = at_least(value, __shfl_xor_sync(0xffffffffu, value, step));
    }
    return value;
}

// Writes the sum of a number of each of 256 threads to `place`, in the order of a tree. `shared`
// has room for 256 numbers.
__device__ inline void block_sum(double value, double* shared, double* place)
{
    shared[threadIdx.x] = value;
    for (unsigned int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            shared[threadIdx.x] += shared[threadIdx.x + half];
        }
    }
    if (threadIdx.x == 0) {
        *place = shared[0];
    }
}
