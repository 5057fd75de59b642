// Products of matrices by a warp.
#pragma once

#include "fibers.h"
#include <cmath>
#include <cstring>

namespace zs_sim {

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

inline void multiply(float* c, const float* a, const float* b) {
    machine().current->product = {a, b, c};
    wait_for(Wait::PRODUCT, ~0u, 0, lane());
}

}  // namespace zs_sim
