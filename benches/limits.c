/*
 * What one core of this machine can do at most: gcc -O2 -march=native benches/limits.c -o limits
 *
 * Multiply-accumulates per second of 8-bit products (AVX-512 VNNI, else AVX-VNNI or AVX2) and of
 * f32 products with all operands in registers, and bytes per second read from memory. Networks
 * cannot be faster; docs/performance.md says how far from it they are.
 */
#define _POSIX_C_SOURCE 199309L

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 1000000L
#define SUMS 16

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Loops over sums are unrolled, so that each sum has a register of its own. Sixteen of them hide
 * the latency of every instruction used here. */
#if defined(__AVX512VNNI__)
typedef __m512i bytes_t;
#define PRODUCTS_I8 64
#define ADD_I8(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
#define SET_I8(x) _mm512_set1_epi8(x)
#elif defined(__AVXVNNI__)
typedef __m256i bytes_t;
#define PRODUCTS_I8 32
#define ADD_I8(sum, a, b) _mm256_dpbusd_avx_epi32(sum, a, b)
#define SET_I8(x) _mm256_set1_epi8(x)
#else
typedef __m256i bytes_t;
#define PRODUCTS_I8 16
#define ADD_I8(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#define SET_I8(x) _mm256_set1_epi16(x)
#endif

#if defined(__AVX512F__)
typedef __m512 floats_t;
#define PRODUCTS_F32 16
#define ADD_F32(sum, a, b) _mm512_fmadd_ps(a, b, sum)
#define SET_F32(x) _mm512_set1_ps(x)
#else
typedef __m256 floats_t;
#define PRODUCTS_F32 8
#define ADD_F32(sum, a, b) _mm256_fmadd_ps(a, b, sum)
#define SET_F32(x) _mm256_set1_ps(x)
#endif

/* Keeps a value in a register, and the compiler from knowing it. */
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))

static double peak_i8(void)
{
    bytes_t sums[SUMS], a = SET_I8(1), b = SET_I8(2);
    double started_s;
    long round;
    int i;
    OPAQUE(a);
    OPAQUE(b);
#pragma GCC unroll 16
    for (i = 0; i < SUMS; i++) {
        sums[i] = SET_I8(0);
    }
    started_s = now_s();
    for (round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 16
        for (i = 0; i < SUMS; i++) {
            sums[i] = ADD_I8(sums[i], a, b);
            OPAQUE(sums[i]);
        }
    }
    return (double)ROUNDS * SUMS * PRODUCTS_I8 / (now_s() - started_s);
}

static double peak_f32(void)
{
    floats_t sums[SUMS], a = SET_F32(1.0f), b = SET_F32(1e-9f);
    double started_s;
    long round;
    int i;
    OPAQUE(a);
    OPAQUE(b);
#pragma GCC unroll 16
    for (i = 0; i < SUMS; i++) {
        sums[i] = SET_F32(0.0f);
    }
    started_s = now_s();
    for (round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 16
        for (i = 0; i < SUMS; i++) {
            sums[i] = ADD_F32(sums[i], a, b);
            OPAQUE(sums[i]);
        }
    }
    return (double)ROUNDS * SUMS * PRODUCTS_F32 / (now_s() - started_s);
}

/* Reads far more than caches hold. */
static double bandwidth(void)
{
    size_t bytes = (size_t)256 << 20, at;
    char *data = malloc(bytes);
    __m256i sum = _mm256_setzero_si256();
    double started_s, spent_s;
    if (data == NULL) {
        return 0.0;
    }
    memset(data, 1, bytes);
    started_s = now_s();
    for (at = 0; at < bytes; at += 32) {
        sum = _mm256_add_epi64(sum, _mm256_loadu_si256((const __m256i *)(data + at)));
    }
    spent_s = now_s() - started_s;
    OPAQUE(sum);
    free(data);
    return (double)bytes / spent_s;
}

/* The best of some tries: other work on the machine only makes it slower. */
static double best(double (*measure)(void))
{
    double most = 0.0;
    int turn;
    for (turn = 0; turn < 40; turn++) {
        double found = measure();
        most = found > most ? found : most;
    }
    return most;
}

int main(void)
{
    printf("8-bit products  %8.1f GMAC/s (%d each)\n", best(peak_i8) * 1e-9, PRODUCTS_I8);
    printf("f32 products    %8.1f GMAC/s (%d each)\n", best(peak_f32) * 1e-9, PRODUCTS_F32);
    printf("memory          %8.1f GB/s\n", best(bandwidth) * 1e-9);
    return 0;
}
