// Tiles of pairs of rows, as the losses of pairs need them: the products of a tile of rows with
// tile after tile of columns (columns of the matrix of pairs; each is a feature row too), and the
// sum of the columns by a weight per pair. The matrix of pairs is never in memory: a tile of it
// is in shared memory, the sums are in registers.
//
// A block has 256 threads. Defines (-D), all powers of 2 but the first:
//   ZS_WIDTH         columns of features, rounded up to a multiple of 64; 64 to 1024
//   ZS_TILE_ROWS     16, 32 or 64
//   ZS_TILE_COLUMNS  8, 16, 32 or 64
//   ZS_PARTS         most parts that the sum over the width is shared out to, where a tile is too
//                    small for all warps: 1, 2, 4 or 8; 8 without this define
//   ZS_PRECISION     0: FP32; 1: TF32; 2: 3xTF32, which is as good as FP32; 2 without this define.
//                    With 1 products of rows of up to 128 columns are by 3xTF32, too
// Bytes of dynamic shared memory (next to at most 64 bytes of static shared memory): 4 * (
//     (ZS_TILE_ROWS + ZS_TILE_COLUMNS) * (ZS_WIDTH + 8)
//     + parts * ZS_TILE_ROWS * (ZS_TILE_COLUMNS + 4)
//     + ZS_TILE_ROWS + 8 * ZS_TILE_COLUMNS),
//   parts = min(ZS_PARTS, 8 / (row_warps * column_warps)),
//   row_warps = min(2, ZS_TILE_ROWS / 16), column_warps = min(8 / row_warps, ZS_TILE_COLUMNS / 8).
// What fits (rows x columns, parts in brackets where they must be given):
//   width      227 KB (sm_90)   163 KB (sm_80)   99 KB (sm_86, sm_89, sm_120)
//   to 128     64 x 64          64 x 64          64 x 64
//   to 192     64 x 64          64 x 64          64 x 32
//   to 256     64 x 64          64 x 64          32 x 32
//   to 320     64 x 64          64 x 32          32 x 32
//   to 512     32 x 32          32 x 32          16 x 16
//   to 640     32 x 32          16 x 32          16 x 16
//   to 832     16 x 32          16 x 16          16 x 8
//   to 1024    16 x 32          16 x 16          16 x 8 [2]
// Fewer rows than fit are right, too: with 16 rows a small matrix of pairs fills more processors.
#pragma once
#include "common.cuh"

#ifndef ZS_PRECISION
#define ZS_PRECISION 2
#endif
#ifndef ZS_PARTS
#define ZS_PARTS 8
#endif

constexpr int WIDTH = ZS_WIDTH;
constexpr int TILE_ROWS = ZS_TILE_ROWS;
constexpr int TILE_COLUMNS = ZS_TILE_COLUMNS;
constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// 8 more: then neither kind of access below has two lanes at one bank.
constexpr int STRIDE = WIDTH + 8;
constexpr int PAIR_STRIDE = TILE_COLUMNS + 4;
// Numbers of a tile of products.
constexpr int PAIRS = TILE_ROWS * PAIR_STRIDE;

// Threads that share a row of the tile of pairs; neighbours in a warp.
constexpr int ROW_THREADS = THREADS / TILE_ROWS;

__device__ constexpr int smaller(int a, int b) { return a < b ? a : b; }

// How warps share the products: rows, columns, and parts of the width.
constexpr int ROW_WARPS = smaller(2, TILE_ROWS / 16);
constexpr int COLUMN_WARPS = smaller(WARPS / ROW_WARPS, TILE_COLUMNS / 8);
constexpr int PARTS = smaller(ZS_PARTS, WARPS / (ROW_WARPS * COLUMN_WARPS));
constexpr int PART_WIDTH = WIDTH / PARTS;
// Fragments (16 rows; 8 columns) of a warp.
constexpr int ROW_FRAGMENTS = TILE_ROWS / 16 / ROW_WARPS;
constexpr int COLUMN_FRAGMENTS = TILE_COLUMNS / 8 / COLUMN_WARPS;

// How they share the sums: rows, and the features' width.
constexpr int WIDTH_WARPS = WARPS / ROW_WARPS;
constexpr int WIDTH_FRAGMENTS = WIDTH / 8 / WIDTH_WARPS;

static_assert(WIDTH % 64 == 0 && WIDTH >= 64 && WIDTH <= 1024, "ZS_WIDTH");
static_assert(TILE_ROWS == 16 || TILE_ROWS == 32 || TILE_ROWS == 64, "ZS_TILE_ROWS");
static_assert(TILE_COLUMNS == 8 || TILE_COLUMNS == 16 || TILE_COLUMNS == 32 || TILE_COLUMNS == 64,
              "ZS_TILE_COLUMNS");
static_assert(ZS_PARTS == 1 || ZS_PARTS == 2 || ZS_PARTS == 4 || ZS_PARTS == 8, "ZS_PARTS");
static_assert(ZS_PRECISION == 0 || ZS_PRECISION == 1 || ZS_PRECISION == 2, "ZS_PRECISION");

// Products of unit vectors in TF32 err by about 1 / sqrt(width), which exponentials make larger:
// short rows have theirs by 3xTF32 with either precision.
constexpr bool EXACT_SUMS = ZS_PRECISION == 2;
constexpr bool EXACT_PRODUCTS = EXACT_SUMS || WIDTH <= 128;

// Sums of a thread: rows `lane / 4` and 8 further, columns `2 * (lane % 4)` and the next, of each
// fragment.
using Sums = float[ROW_FRAGMENTS][WIDTH_FRAGMENTS][4];

// The block's shared memory.
struct Tiles {
    float* rows;
    float* columns;
    // `PARTS` tiles of products; the first becomes the weights.
    float* pairs;
    // `TILE_ROWS` and `8 * TILE_COLUMNS` numbers for the loss's own use.
    float* row_numbers;
    float* column_numbers;

    __device__ explicit Tiles(float* shared)
        : rows(shared),
          columns(rows + TILE_ROWS * STRIDE),
          pairs(columns + TILE_COLUMNS * STRIDE),
          row_numbers(pairs + PARTS * PAIRS),
          column_numbers(row_numbers + TILE_ROWS) {}
};

// The thread's row of the tile of pairs, and its first column; the others are ROW_THREADS apart.
__device__ inline int pair_row() { return threadIdx.x / ROW_THREADS; }
__device__ inline int pair_column() { return threadIdx.x % ROW_THREADS; }

// The sum over the threads of a row.
template <typename T> __device__ inline T sum_of_row(T value) {
    for (int apart = ROW_THREADS / 2; apart > 0; apart /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, apart);
    }
    return value;
}

// Rows from `first` on, before `end`, into a tile of `COUNT` rows; 0 beyond, and beyond `columns`.
// `matrix` is aligned to 16 bytes.
template <int COUNT>
__device__ inline void load_rows(float* tile, const float* matrix, int columns, int first,
                                 int end) {
    if (columns % 4 != 0) {
        for (int index = threadIdx.x; index < COUNT * WIDTH; index += THREADS) {
            const int row = index / WIDTH, column = index % WIDTH;
            const float* from = matrix + static_cast<size_t>(first + row) * columns + column;
            const bool inside = first + row < end && column < columns;
            tile[row * STRIDE + column] = inside ? *from : 0.0f;
        }
        return;
    }
    // Four numbers at a time.
    constexpr int FOURS = WIDTH / 4;
#pragma unroll 8
    for (int index = threadIdx.x; index < COUNT * FOURS; index += THREADS) {
        const int row = index / FOURS, column = index % FOURS * 4;
        const float* from = matrix + static_cast<size_t>(first + row) * columns + column;
        const bool inside = first + row < end && column < columns;
        const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        *reinterpret_cast<float4*>(tile + row * STRIDE + column) =
            inside ? *reinterpret_cast<const float4*>(from) : zero;
    }
}

// ---------------------------------------------------------------------------------------------
// Tensor cores.

// The nearest number with 10 bits behind the point.
__device__ inline float tf32(float value) {
#ifdef ZS_CPU_SIM
    return zs_sim::round_tf32(value);
#else
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return __uint_as_float(bits);
#endif
}

// c += a b, `[16, 8]` by `[8, 8]`.
__device__ inline void multiply(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
#ifdef ZS_CPU_SIM
    zs_sim::multiply(c, a, b);
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#endif
}

// A factor as TF32, and, if it is to be exact, what is left of it.
template <int COUNT, bool EXACT> struct Factor {
    float high[COUNT];
    float low[COUNT];

    __device__ inline void set(int index, float value) {
        high[index] = tf32(value);
        low[index] = EXACT ? tf32(value - high[index]) : 0.0f;
    }
};

// c += a b. With 3xTF32 three products keep what the rounding of the factors loses, and the sum is
// added outside the tensor cores, which cut sums off instead of rounding them.
template <bool EXACT>
__device__ inline void multiply(float (&c)[4], const Factor<4, EXACT>& a,
                                const Factor<2, EXACT>& b) {
    if (!EXACT) return multiply(c, a.high, b.high);
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    multiply(sum, a.low, b.high);
    multiply(sum, a.high, b.low);
    multiply(sum, a.high, b.high);
    for (int i = 0; i < 4; i++) c[i] += sum[i];
}

// ---------------------------------------------------------------------------------------------
// Products of rows with columns.

using Products = float[ROW_FRAGMENTS][COLUMN_FRAGMENTS][4];

// On tensor cores. The order of the width within eight numbers is free as long as both factors have
// the same, so a lane takes neighbours.
__device__ inline void products_by_tensor(const float* rows, const float* columns,
                                          Products& products) {
    const int group = threadIdx.x % 32 / 4, place = threadIdx.x % 4 * 2;
#pragma unroll 2
    for (int k = 0; k < PART_WIDTH; k += 8) {
        Factor<4, EXACT_PRODUCTS> a[ROW_FRAGMENTS];
        Factor<2, EXACT_PRODUCTS> b[COLUMN_FRAGMENTS];
#pragma unroll
        for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) {
            const float* from = rows + (group + 8 * i) * STRIDE + k + place;
            const float2 two = *reinterpret_cast<const float2*>(from);
            a[i / 2].set(i % 2, two.x);
            a[i / 2].set(i % 2 + 2, two.y);
        }
#pragma unroll
        for (int j = 0; j < COLUMN_FRAGMENTS; j++) {
            const float* from = columns + (group + 8 * j) * STRIDE + k + place;
            const float2 two = *reinterpret_cast<const float2*>(from);
            b[j].set(0, two.x);
            b[j].set(1, two.y);
        }
#pragma unroll
        for (int i = 0; i < ROW_FRAGMENTS; i++) {
#pragma unroll
            for (int j = 0; j < COLUMN_FRAGMENTS; j++) multiply(products[i][j], a[i], b[j]);
        }
    }
}

__device__ inline float dot(const float4& a, const float4& b, float sum) {
    return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum)));
}

// The same numbers in the same places by multiply-adds.
__device__ inline void products_by_dots(const float* rows, const float* columns,
                                        Products& products) {
    const int group = threadIdx.x % 32 / 4, place = threadIdx.x % 4 * 2;
#pragma unroll 1
    for (int k = 0; k < PART_WIDTH; k += 4) {
        float4 a[2 * ROW_FRAGMENTS], b[2 * COLUMN_FRAGMENTS];
#pragma unroll
        for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) {
            a[i] = *reinterpret_cast<const float4*>(rows + (group + 8 * i) * STRIDE + k);
        }
#pragma unroll
        for (int j = 0; j < 2 * COLUMN_FRAGMENTS; j++) {
            const int column = j / 2 * 8 + place + j % 2;
            b[j] = *reinterpret_cast<const float4*>(columns + column * STRIDE + k);
        }
#pragma unroll
        for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) {
#pragma unroll
            for (int j = 0; j < 2 * COLUMN_FRAGMENTS; j++) {
                float& sum = products[i / 2][j / 2][i % 2 * 2 + j % 2];
                sum = dot(a[i], b[j], sum);
            }
        }
    }
}

// The products of the tile's rows with the tile's columns into `pairs`, part after part of the
// width. All threads; what is in the tiles must be visible before.
__device__ inline void multiply_tiles(const Tiles& tiles) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int part = warp / (ROW_WARPS * COLUMN_WARPS);
    if (part >= PARTS) return;
    const int first_row = warp % ROW_WARPS * ROW_FRAGMENTS * 16;
    const int first_column = warp / ROW_WARPS % COLUMN_WARPS * COLUMN_FRAGMENTS * 8;
    const float* rows = tiles.rows + first_row * STRIDE + part * PART_WIDTH;
    const float* columns = tiles.columns + first_column * STRIDE + part * PART_WIDTH;
    Products products = {};
    if (ZS_PRECISION == 0) {
        products_by_dots(rows, columns, products);
    } else {
        products_by_tensor(rows, columns, products);
    }
    float* place = tiles.pairs + part * PAIRS + (first_row + lane / 4) * PAIR_STRIDE +
                   first_column + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) {
#pragma unroll
        for (int j = 0; j < COLUMN_FRAGMENTS; j++) {
            const float* two = &products[i / 2][j][i % 2 * 2];
            float2* to = reinterpret_cast<float2*>(place + 8 * i * PAIR_STRIDE + 8 * j);
            *to = make_float2(two[0], two[1]);
        }
    }
}

// The product of a row and a column of the tiles, of all parts of the width.
__device__ inline float product_at(const Tiles& tiles, int row, int column) {
    const float* place = tiles.pairs + row * PAIR_STRIDE + column;
    float sum = place[0];
#pragma unroll
    for (int part = 1; part < PARTS; part++) sum += place[part * PAIRS];
    return sum;
}

// ---------------------------------------------------------------------------------------------
// Weighted sums of columns.

__device__ inline void sum_by_tensor(const float* pairs, const float* columns, Sums& sums) {
    const int group = threadIdx.x % 32 / 4, place = threadIdx.x % 4;
#pragma unroll 1
    for (int k = 0; k < TILE_COLUMNS; k += 8) {
        Factor<4, EXACT_SUMS> a[ROW_FRAGMENTS];
#pragma unroll
        for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) {
            const float* from = pairs + (group + 8 * i) * PAIR_STRIDE + k + place;
            a[i / 2].set(i % 2, from[0]);
            a[i / 2].set(i % 2 + 2, from[4]);
        }
#pragma unroll
        for (int j = 0; j < WIDTH_FRAGMENTS; j++) {
            const float* from = columns + (k + place) * STRIDE + 8 * j + group;
            Factor<2, EXACT_SUMS> b;
            b.set(0, from[0]);
            b.set(1, from[4 * STRIDE]);
#pragma unroll
            for (int i = 0; i < ROW_FRAGMENTS; i++) multiply(sums[i][j], a[i], b);
        }
    }
}

__device__ inline void sum_by_dots(const float* pairs, const float* columns, Sums& sums) {
    const int group = threadIdx.x % 32 / 4, place = threadIdx.x % 4 * 2;
#pragma unroll 1
    for (int k = 0; k < TILE_COLUMNS; k++) {
        float a[2 * ROW_FRAGMENTS];
#pragma unroll
        for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) a[i] = pairs[(group + 8 * i) * PAIR_STRIDE + k];
#pragma unroll
        for (int j = 0; j < WIDTH_FRAGMENTS; j++) {
            const float* from = columns + k * STRIDE + 8 * j + place;
            const float2 b = *reinterpret_cast<const float2*>(from);
#pragma unroll
            for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) {
                sums[i / 2][j][i % 2 * 2] += a[i] * b.x;
                sums[i / 2][j][i % 2 * 2 + 1] += a[i] * b.y;
            }
        }
    }
}

// Where the thread's warp has its rows, and its part of the width.
__device__ inline int sum_row() { return threadIdx.x / 32 % ROW_WARPS * ROW_FRAGMENTS * 16; }
__device__ inline int sum_column() { return threadIdx.x / 32 / ROW_WARPS * WIDTH_FRAGMENTS * 8; }

// Adds the tile's columns, weighted by `pairs`. All threads.
__device__ inline void add_columns(const Tiles& tiles, Sums& sums) {
    const float* pairs = tiles.pairs + sum_row() * PAIR_STRIDE;
    const float* columns = tiles.columns + sum_column();
    if (ZS_PRECISION == 0) {
        sum_by_dots(pairs, columns, sums);
    } else {
        sum_by_tensor(pairs, columns, sums);
    }
}

// Calls `write(row, column, first, second)` for the sums at `column` and the next, for all sums of
// the thread.
template <typename Write> __device__ inline void for_sums(const Sums& sums, Write write) {
    const int row = sum_row() + threadIdx.x % 32 / 4;
    const int column = sum_column() + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 2 * ROW_FRAGMENTS; i++) {
#pragma unroll
        for (int j = 0; j < WIDTH_FRAGMENTS; j++) {
            const float* two = &sums[i / 2][j][i % 2 * 2];
            write(row + 8 * i, column + 8 * j, two[0], two[1]);
        }
    }
}

// The sum of a number of each thread, in a fixed order; for all threads. `places`: WARPS numbers of
// shared memory that nobody uses.
__device__ inline double sum_of_block(double value, double* places) {
    for (int apart = 16; apart > 0; apart /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, apart);
    }
    if (threadIdx.x % 32 == 0) places[threadIdx.x / 32] = value;
    __syncthreads();
    double sum = 0.0;
    for (int warp = 0; warp < WARPS; warp++) sum += places[warp];
    return sum;
}
