// Rows and columns: sums, copies, and bringing rows to length 1.
//
// Matrices are row after row. `count` is the number of elements of the result, one per thread
// of a grid of one dimension with 256 threads a block, where nothing else is said.
#include "numbers.cuh"

// y += factor * x.
extern "C" __global__ void __launch_bounds__(256)
add_scaled(float* y, float factor, const float* x, unsigned long long count)
{
    const unsigned long long place = position();
    if (place < count) {
        y[place] += factor * x[place];
    }
}
ZS_EXPORT(add_scaled)

// Sums of blocks of rows: row `b` of `sums` is that of `block_rows` rows of `x` from
// `b * block_rows` on. Called again on `sums` until one row is left.
//
// Grid (blocks of rows, ceil(columns / 32)), block (32, 8). Each of the eight adds every eighth
// row in its order, then they are added in the order of a tree.
extern "C" __global__ void __launch_bounds__(256)
column_sums(const float* x, unsigned int rows, unsigned int columns, unsigned int block_rows,
            float* sums)
{
    __shared__ float parts[8][LANES];
    const unsigned int column = blockIdx.y * LANES + threadIdx.x;
    const unsigned int start = blockIdx.x * block_rows;
    const unsigned int end = rows - start < block_rows ? rows : start + block_rows;
    float sum = 0.0f;
    if (column < columns) {
        for (unsigned int row = start + threadIdx.y; row < end; row += 8) {
            sum += x[(unsigned long long)row * columns + column];
        }
    }
    parts[threadIdx.y][threadIdx.x] = sum;
    for (unsigned int half = 4; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) {
            parts[threadIdx.y][threadIdx.x] += parts[threadIdx.y + half][threadIdx.x];
        }
    }
    if (threadIdx.y == 0 && column < columns) {
        sums[(unsigned long long)blockIdx.x * columns + column] = parts[0][threadIdx.x];
    }
}
ZS_EXPORT(column_sums)

// Copies `width` columns of `from`, from column `from_start` on, to those of `to` from column
// `to_start` on. `count` is rows times `width`.
extern "C" __global__ void __launch_bounds__(256)
copy_columns(const float* from, unsigned int from_columns, unsigned int from_start, float* to,
             unsigned int to_columns, unsigned int to_start, unsigned int width,
             unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const unsigned long long row = place / width;
    const unsigned int column = (unsigned int)(place - row * width);
    to[row * to_columns + to_start + column] = from[row * from_columns + from_start + column];
}
ZS_EXPORT(copy_columns)

// Row `i` of `y` is row `indices[i]` of `x`.
extern "C" __global__ void __launch_bounds__(256)
gather_rows(const float* x, unsigned int columns, const unsigned int* indices, float* y,
            unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const unsigned long long row = place / columns;
    const unsigned int column = (unsigned int)(place - row * columns);
    y[place] = x[(unsigned long long)indices[row] * columns + column];
}
ZS_EXPORT(gather_rows)

// Row `i` of `x` is the sum of the rows `sources[starts[i]..starts[i + 1]]` of `dy`, in that order.
extern "C" __global__ void __launch_bounds__(256)
scatter_rows(const float* dy, unsigned int columns, const unsigned int* starts,
             const unsigned int* sources, float* x, unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const unsigned long long row = place / columns;
    const unsigned int column = (unsigned int)(place - row * columns);
    float sum = 0.0f;
    for (unsigned int index = starts[row]; index < starts[row + 1]; index++) {
        sum += dy[(unsigned long long)sources[index] * columns + column];
    }
    x[place] = sum;
}
ZS_EXPORT(scatter_rows)

// Rows divided by their lengths; rows shorter than 1e-12 become 0, and so does their length.
//
// A warp per row, eight to a block of 256.
extern "C" __global__ void __launch_bounds__(256)
normalise(const float* x, unsigned int rows, unsigned int columns, float* y, float* norms)
{
    const unsigned int row = blockIdx.x * 8 + threadIdx.x / LANES;
    const unsigned int lane = threadIdx.x % LANES;
    if (row >= rows) {
        return;
    }
    const float* from = x + (unsigned long long)row * columns;
    float* to = y + (unsigned long long)row * columns;
    float sum = 0.0f;
    for (unsigned int column = lane; column < columns; column += LANES) {
        sum += from[column] * from[column];
    }
    const float length = sqrtf(warp_sum(sum));
    const bool is_short = (double)length < 1e-12;
    for (unsigned int column = lane; column < columns; column += LANES) {
        to[column] = is_short ? 0.0f : from[column] / length;
    }
    if (lane == 0) {
        norms[row] = is_short ? 0.0f : length;
    }
}
ZS_EXPORT(normalise)

// The gradient by the rows before: `(dy - y (y . dy)) / norm`; 0 where the length is 0.
//
// A warp per row, eight to a block of 256.
extern "C" __global__ void __launch_bounds__(256)
normalise_backward(const float* y, const float* norms, const float* dy, unsigned int rows,
                   unsigned int columns, float* dx)
{
    const unsigned int row = blockIdx.x * 8 + threadIdx.x / LANES;
    const unsigned int lane = threadIdx.x % LANES;
    if (row >= rows) {
        return;
    }
    const unsigned long long start = (unsigned long long)row * columns;
    float sum = 0.0f;
    for (unsigned int column = lane; column < columns; column += LANES) {
        sum += dy[start + column] * y[start + column];
    }
    const float along = warp_sum(sum);
    const float norm = norms[row];
    for (unsigned int column = lane; column < columns; column += LANES) {
        const float across = dy[start + column] - along * y[start + column];
        dx[start + column] = norm == 0.0f ? 0.0f : across / norm;
    }
}
ZS_EXPORT(normalise_backward)
