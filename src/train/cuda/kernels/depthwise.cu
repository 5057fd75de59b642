// Depthwise 3x3 convolutions with dilation, stride 1, zeros beyond the border. Pictures are rows
// of pixels, picture after picture, row after row; `weights` is [9, columns].
#include "numbers.cuh"

#define PLACES 9

struct Grid {
    unsigned int height;
    unsigned int width;
    unsigned int dilation;
};

// The pixel that place `place` of the kernel reads for pixel `pixel`; `pixel` itself and false
// beyond the border.
__device__ inline bool source_of(Grid grid, unsigned int place, unsigned int pixel,
                                 unsigned long long* source)
{
    const unsigned int cell = pixel % (grid.height * grid.width);
    const long long down = ((long long)(place / 3) - 1) * grid.dilation;
    const long long across = ((long long)(place % 3) - 1) * grid.dilation;
    const unsigned int line = cell / grid.width;
    const long long row = (long long)line + down;
    const long long column = (long long)(cell - line * grid.width) + across;
    *source = pixel;
    if (row < 0 || row >= grid.height || column < 0 || column >= grid.width) {
        return false;
    }
    *source = pixel - cell + (unsigned long long)row * grid.width + (unsigned long long)column;
    return true;
}

// The convolution plus `bias`, which may be null; with `is_turned`, that with the kernel turned by
// half a turn, which is the gradient by the input. A thread per number, 256 to a block; the places
// are added in their order. There are fewer than 2^32 pixels.
extern "C" __global__ void __launch_bounds__(256)
depthwise(const float* x, const float* weights, const float* bias, unsigned int is_turned,
          unsigned int height, unsigned int width, unsigned int dilation, unsigned int columns,
          float* y, unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const unsigned int pixel = (unsigned int)(place / columns);
    const unsigned int column = (unsigned int)(place - (unsigned long long)pixel * columns);
    const Grid grid = {height, width, dilation};
    float sum = bias == nullptr ? 0.0f : bias[column];
    for (unsigned int i = 0; i < PLACES; i++) {
        unsigned long long source;
        if (source_of(grid, is_turned ? PLACES - 1 - i : i, pixel, &source)) {
            sum += x[source * columns + column] * weights[i * columns + column];
        }
    }
    y[place] = sum;
}
ZS_EXPORT(depthwise)

// The gradient by the weights, of blocks of pixels: row `b` of `parts`, which is [9 * columns],
// is that of `block_rows` pixels from `b * block_rows` on.
//
// Grid (blocks of pixels, ceil(columns / 32), 9), block (32, 8). Each of the eight adds every
// eighth pixel in its order, then they are added in the order of a tree.
extern "C" __global__ void __launch_bounds__(256)
depthwise_gradient(const float* x, const float* dy, unsigned int height, unsigned int width,
                   unsigned int dilation, unsigned int rows, unsigned int columns,
                   unsigned int block_rows, float* parts)
{
    __shared__ float shared[8][LANES];
    const unsigned int column = blockIdx.y * LANES + threadIdx.x;
    const unsigned int start = blockIdx.x * block_rows;
    const unsigned int end = rows - start < block_rows ? rows : start + block_rows;
    const Grid grid = {height, width, dilation};
    float sum = 0.0f;
    if (column < columns) {
        for (unsigned int pixel = start + threadIdx.y; pixel < end; pixel += 8) {
            unsigned long long source;
            if (source_of(grid, blockIdx.z, pixel, &source)) {
                sum += x[source * columns + column]
                    * dy[(unsigned long long)pixel * columns + column];
            }
        }
    }
    shared[threadIdx.y][threadIdx.x] = sum;
    for (unsigned int half = 4; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) {
            shared[threadIdx.y][threadIdx.x] += shared[threadIdx.y + half][threadIdx.x];
        }
    }
    if (threadIdx.y == 0 && column < columns) {
        const unsigned long long row = (unsigned long long)blockIdx.x * PLACES + blockIdx.z;
        parts[row * columns + column] = shared[0][threadIdx.x];
    }
}
ZS_EXPORT(depthwise_gradient)
