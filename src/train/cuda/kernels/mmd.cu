// Maximum mean discrepancy of groups of generated and real rows, value and gradient in one pass
// (methods.md 2.5; with weighted real rows 4.2). The semantics are those of `Engine::mmd`.
//
// A group has M generated rows of weight s = 1 / M and N real rows of weight s = -w / sum of w.
// They are the group's points x_0 .. x_{M+N-1}, the generated ones first. With
// k(d) = sum over the variances v of exp(-d / (2 v)), d_ij = |x_i - x_j|^2:
//   MMD^2         = sum over i, j of s_i s_j k(d_ij)
//   dMMD^2 / dx_i = -2 s_i (x_i sum_j c_ij - sum_j c_ij x_j), c_ij = s_j sum_v k_v(d_ij) / v
//   value         = sqrt(max(MMD^2, 1e-12)); its gradient is 0 where MMD^2 <= 1e-12.
// Distances come from products of rows (d = |x|^2 + |y|^2 - 2 x y) after the mean of the real rows
// has been taken off, which costs few digits. A generated row meets all points; pairs of real
// rows, which give no gradient, are met once. Nothing is atomic; every sum has one order.
//
// Defines: those of tiles.cuh, and
//   ZS_VARIANCES  the kernel's variances as floating-point numbers, such as
//                 2.0,5.0,10.0,20.0,40.0,80.0
//   ZS_POWERS     for each the power of the widest Gaussian that it is: widest / variance where
//                 that is a whole number up to 127, otherwise 0 (an exponential of its own), such
//                 as 40,16,8,4,2,1. The widest has 1.
//
// Arguments that all share ("points": rows of all groups' points, one group after the other):
//   groups  [group_count] of 8 int: first generated row, number of generated rows (M >= 1), first
//           real row, number of real rows (N >= 1), first point, first task, number of tasks,
//           first slope row (running sum of M)
//   tasks   [task_count] of 5 int, a group's tasks side by side: group, row, first, end, split.
//           A task is the tile of the ZS_TILE_ROWS points from `row` on (numbered within the
//           group) with the points first..end. A group has
//           - for every tile of its generated rows (row = 0, ZS_TILE_ROWS, ... below M) and every
//             split 0..split_count: a share first..end of all its points; the shares of a tile are
//             disjoint and together 0..M+N; a share may be empty (first = end);
//           - for every tile of its real rows (row = M, M + ZS_TILE_ROWS, ... below M+N): tasks
//             that share out row..M+N in any way, split = 0.
//           split_count is the same for all groups. Good: so large that the tasks are at least
//           twice the device's processors, shares of whole ZS_TILE_COLUMNS.
//
// Launches, in this order:
//   mmd_centres   grid (group_count, WIDTH / 32), block 1024, no shared memory
//   mmd_points    grid (group_count, min(65535, ceil(most M + N of a group / POINTS))), block 256,
//                 POINTS = min(ZS_TILE_ROWS, ZS_TILE_COLUMNS), shared memory as mmd_pass
//   mmd_pass      grid (task_count), block 256, dynamic shared memory as in tiles.cuh
//   mmd_values    grid (group_count), block 256
//   mmd_gradient  grid (rows of the gradient, WIDTH / 64), block 64
// WIDTH is ZS_WIDTH. No launch may have 0 blocks: without groups the gradient is 0.
#include "tiles.cuh"

// Squares up to this have a root of its root, and no gradient.
constexpr double LEAST_SQUARE = 1e-12;
constexpr double LOG2_E = 1.4426950408889634;

struct Group {
    int generated, generated_count, real, real_count, points, tasks, task_count, slopes;
};

struct Task {
    int group, row, first, end, split;
};

// The mean of each group's real rows, and the sum of their weights.
//   real          [real rows, columns]
//   real_weights  [real rows], or null for equal ones
//   centres       [group_count, WIDTH]: out; 0 beyond the columns
//   weight_sums   [group_count] f64: out
extern "C" __global__ void __launch_bounds__(1024)
    mmd_centres(const Group* groups, const float* real, const float* real_weights, int columns,
                float* centres, double* weight_sums) {
    __shared__ float sums[32][33];
    __shared__ double weights[32];
    const Group group = groups[blockIdx.x];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int column = blockIdx.y * 32 + lane;
    float sum = 0.0f;
    if (column < columns) {
#pragma unroll 4
        for (int row = warp; row < group.real_count; row += 32) {
            sum += real[static_cast<size_t>(group.real + row) * columns + column];
        }
    }
    sums[warp][lane] = sum;
    double weight = 0.0;
    for (int row = threadIdx.x; row < group.real_count; row += 1024) {
        weight += real_weights == nullptr ? 1.0 : real_weights[group.real + row];
    }
    for (int apart = 16; apart > 0; apart /= 2) {
        weight += __shfl_xor_sync(ALL_LANES, weight, apart);
    }
    if (lane == 0) weights[warp] = weight;
    __syncthreads();
    if (warp != 0) return;
    float total = 0.0f;
    double total_weight = 0.0;
    for (int part = 0; part < 32; part++) {
        total += sums[part][lane];
        total_weight += weights[part];
    }
    const float count = static_cast<float>(group.real_count);
    centres[static_cast<size_t>(blockIdx.x) * WIDTH + column] = total / count;
    if (threadIdx.x == 0 && blockIdx.y == 0) weight_sums[blockIdx.x] = total_weight;
}
ZS_EXPORT(mmd_centres)

// Points that a block of `mmd_points` handles together.
constexpr int POINTS = smaller(TILE_ROWS, TILE_COLUMNS);

// Points from `first` on less the centre into both tiles and to `points`; 0 beyond the last.
__device__ inline void load_points(const Tiles& tiles, const Group& group, int first,
                                   const float* generated, const float* real, int columns,
                                   const float* centre, float* points) {
    for (int index = threadIdx.x; index < POINTS * WIDTH; index += THREADS) {
        const int row = index / WIDTH, column = index % WIDTH;
        const int point = first + row, past = point - group.generated_count;
        const float* from = past < 0
            ? generated + static_cast<size_t>(group.generated + point) * columns
            : real + static_cast<size_t>(group.real + past) * columns;
        const bool inside = past < group.real_count;
        const float value = inside && column < columns ? from[column] - centre[column] : 0.0f;
        tiles.rows[row * STRIDE + column] = value;
        tiles.columns[row * STRIDE + column] = value;
        if (inside) points[static_cast<size_t>(point) * WIDTH + column] = value;
    }
}

// All groups' points less the centre of their group. Squared lengths are products as in
// `mmd_pass`, so that equal points have distance 0.
//   generated  [generated rows, columns]
//   points     [all M + N, WIDTH]: out; 0 beyond the columns
//   squares    [all M + N]: out, squared lengths
//   weights    [all M + N]: out, s
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    mmd_points(const Group* groups, const float* generated, const float* real,
               const float* real_weights, int columns, const float* centres,
               const double* weight_sums, float* points, float* squares, float* weights) {
    ZS_DYNAMIC_SHARED(float, shared);
    const Tiles tiles(shared);
    const Group group = groups[blockIdx.x];
    const float* centre = centres + static_cast<size_t>(blockIdx.x) * WIDTH;
    float* own_points = points + static_cast<size_t>(group.points) * WIDTH;
    const int count = group.generated_count + group.real_count;
    for (int first = blockIdx.y * POINTS; first < count; first += gridDim.y * POINTS) {
        load_points(tiles, group, first, generated, real, columns, centre, own_points);
        __syncthreads();
        multiply_tiles(tiles);
        __syncthreads();
        const int row = threadIdx.x, point = first + row;
        if (row < POINTS && point < count) {
            const int past = point - group.generated_count;
            const bool weighted = past >= 0 && real_weights != nullptr;
            const double weight = weighted ? real_weights[group.real + past] : 1.0;
            const double share = past < 0 ? 1.0 / group.generated_count
                                          : -weight / weight_sums[blockIdx.x];
            squares[group.points + point] = product_at(tiles, row, row);
            weights[group.points + point] = static_cast<float>(share);
        }
        // The next points may be loaded now: nobody reads the tiles any more.
    }
}
ZS_EXPORT(mmd_points)

struct Gaussians {
    // The sums over the variances of k_v, and of k_v / v.
    float value, slope;
};

__device__ inline constexpr double widest() {
    constexpr double variances[] = {ZS_VARIANCES};
    double most = 0.0;
    for (double variance : variances) most = variance > most ? variance : most;
    return most;
}

__device__ inline float gaussian(float square, double variance) {
    return exp2f(square * static_cast<float>(-0.5 * LOG2_E / variance));
}

// The kernel at a squared distance. Everything about the list is known to the compiler.
__device__ inline Gaussians gaussians(float square) {
    constexpr double variances[] = {ZS_VARIANCES};
    constexpr int powers[] = {ZS_POWERS};
    constexpr int count = sizeof(variances) / sizeof(variances[0]);
    static_assert(sizeof(powers) / sizeof(powers[0]) == count, "a power for each variance");
    // The widest to the powers 1, 2, 4 .. 64.
    float squarings[7];
    squarings[0] = gaussian(square, widest());
#pragma unroll
    for (int bit = 1; bit < 7; bit++) squarings[bit] = squarings[bit - 1] * squarings[bit - 1];
    Gaussians sum = {0.0f, 0.0f};
#pragma unroll
    for (int term = 0; term < count; term++) {
        float k = 1.0f;
        if (powers[term] == 0) k = gaussian(square, variances[term]);
#pragma unroll
        for (int bit = 0; bit < 7; bit++) {
            if (powers[term] >> bit & 1) k *= squarings[bit];
        }
        sum.value += k;
        sum.slope += k * static_cast<float>(1.0 / variances[term]);
    }
    return sum;
}

// A task's row of pairs, as one of its threads sees it.
struct Row {
    // Of the row, within the group.
    int index;
    float square, weight;
    // Columns from here on count twice in MMD^2.
    int twice;
    // So far: s_i sum_j s_j k, and sum_j c_ij.
    double value;
    float slope;
};

// Turns the thread's products into c_ij. `first`: the tile's first column within the group.
__device__ inline void weigh_row(const Tiles& tiles, int first, Row& row) {
    const float* squares = tiles.column_numbers;
    const float* weights = tiles.column_numbers + TILE_COLUMNS;
    float* pairs = tiles.pairs + pair_row() * PAIR_STRIDE;
    float value = 0.0f, slope = 0.0f;
    for (int column = pair_column(); column < TILE_COLUMNS; column += ROW_THREADS) {
        const float product = product_at(tiles, pair_row(), column);
        float square = row.square + squares[column] - 2.0f * product;
        // Rounding can make it negative; not a number stays so.
        const bool itself = first + column == row.index;
        square = square < 0.0f || itself ? 0.0f : square;
        const Gaussians kernel = gaussians(square);
        const float weighted = weights[column] * kernel.value;
        value += first + column < row.twice ? weighted : 2.0f * weighted;
        // x_i - x_i adds nothing, and shall add no rounding.
        const float weight = itself ? 0.0f : weights[column] * kernel.slope;
        slope += weight;
        pairs[column] = weight;
    }
    row.value += static_cast<double>(row.weight) * value;
    row.slope += slope;
}

// The tile's columns, with their squared lengths and weights; weight 0 beyond `end`.
__device__ inline void load_columns(const Tiles& tiles, const float* points, const float* squares,
                                    const float* weights, int first, int end) {
    load_rows<TILE_COLUMNS>(tiles.columns, points, WIDTH, first, end);
    const int index = first + threadIdx.x;
    if (threadIdx.x >= TILE_COLUMNS) return;
    tiles.column_numbers[threadIdx.x] = index < end ? squares[index] : 0.0f;
    tiles.column_numbers[TILE_COLUMNS + threadIdx.x] = index < end ? weights[index] : 0.0f;
}

// Writes dMMD^2 / dx_i of the task's generated rows, as far as its columns go.
__device__ inline void write_slopes(const Tiles& tiles, const Sums& sums, int count, float factor,
                                    float* slopes) {
    for_sums(sums, [&](int row, int column, float first, float second) {
        if (row >= count) return;
        const float slope = tiles.row_numbers[row];
        const float* x = tiles.rows + row * STRIDE + column;
        float* to = slopes + static_cast<size_t>(row) * WIDTH + column;
        *reinterpret_cast<float2*>(to) =
            make_float2(factor * (x[0] * slope - first), factor * (x[1] * slope - second));
    });
}

// A task: its part of MMD^2, and of the gradient.
//   slope_rows  sum of all groups' M
//   slopes      [split_count, slope_rows, WIDTH]: out, all of it is written
//   parts       [task_count] f64: out
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    mmd_pass(const Group* groups, const Task* tasks, const float* points, const float* squares,
             const float* weights, unsigned long long slope_rows, float* slopes, double* parts) {
    ZS_DYNAMIC_SHARED(float, shared);
    __shared__ double places[WARPS];
    const Tiles tiles(shared);
    const Task task = tasks[blockIdx.x];
    const Group group = groups[task.group];
    const bool generated = task.row < group.generated_count;
    const int rows_end = generated ? group.generated_count
                                   : group.generated_count + group.real_count;
    const float* own_points = points + static_cast<size_t>(group.points) * WIDTH;
    const float* own_squares = squares + group.points;
    const float* own_weights = weights + group.points;
    load_rows<TILE_ROWS>(tiles.rows, own_points, WIDTH, task.row, rows_end);
    const int index = task.row + pair_row();
    Row row = {index,
               index < rows_end ? own_squares[index] : 0.0f,
               index < rows_end ? own_weights[index] : 0.0f,
               generated ? group.generated_count : task.row + TILE_ROWS,
               0.0,
               0.0f};
    Sums sums = {};
    for (int first = task.first; first < task.end; first += TILE_COLUMNS) {
        load_columns(tiles, own_points, own_squares, own_weights, first, task.end);
        __syncthreads();
        multiply_tiles(tiles);
        __syncthreads();
        weigh_row(tiles, first, row);
        __syncthreads();
        if (!generated) continue;
        add_columns(tiles, sums);
        __syncthreads();
    }
    const double value = sum_of_block(row.value, places);
    if (threadIdx.x == 0) parts[blockIdx.x] = value;
    if (!generated) return;
    const float slope = sum_of_row(row.slope);
    if (pair_column() == 0) tiles.row_numbers[pair_row()] = slope;
    __syncthreads();
    const size_t place = task.split * slope_rows + group.slopes + task.row;
    const float factor = -2.0f / static_cast<float>(group.generated_count);
    const int count = smaller(TILE_ROWS, rows_end - task.row);
    write_slopes(tiles, sums, count, factor, slopes + place * WIDTH);
}
ZS_EXPORT(mmd_pass)

// Each group's MMD^2 and value, and what its slopes are multiplied by.
//   squares  [group_count] f64: out
//   values   [group_count] f64: out
//   factors  [group_count]: out
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    mmd_values(const Group* groups, const double* parts, double* squares, double* values,
               float* factors) {
    __shared__ double places[WARPS];
    const Group group = groups[blockIdx.x];
    double part = 0.0;
    for (int task = threadIdx.x; task < group.task_count; task += THREADS) {
        part += parts[group.tasks + task];
    }
    const double square = sum_of_block(part, places);
    if (threadIdx.x != 0) return;
    const double value = sqrt(square < LEAST_SQUARE ? LEAST_SQUARE : square);
    squares[blockIdx.x] = square;
    values[blockIdx.x] = value;
    factors[blockIdx.x] = square > LEAST_SQUARE ? static_cast<float>(0.5 / value) : 0.0f;
}
ZS_EXPORT(mmd_values)

// The derivative of the sum of all values, added up over splits, and over groups that share rows.
//   group_count, split_count
//   gradient  [generated rows, columns]: out, all of it is written
extern "C" __global__ void __launch_bounds__(64)
    mmd_gradient(const Group* groups, int group_count, const float* slopes, int split_count,
                 unsigned long long slope_rows, const float* factors, int columns,
                 float* gradient) {
    const int row = blockIdx.x;
    const int column = blockIdx.y * 64 + threadIdx.x;
    if (column >= columns) return;
    float sum = 0.0f;
    for (int index = 0; index < group_count; index++) {
        const Group group = groups[index];
        const int inside = row - group.generated;
        if (inside < 0 || inside >= group.generated_count) continue;
        float slope = 0.0f;
        for (int split = 0; split < split_count; split++) {
            const size_t place = split * slope_rows + group.slopes + inside;
            slope += slopes[place * WIDTH + column];
        }
        sum += factors[index] * slope;
    }
    gradient[static_cast<size_t>(row) * columns + column] = sum;
}
ZS_EXPORT(mmd_gradient)
