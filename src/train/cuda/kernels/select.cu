// The hardest rows (methods.md 7.5), in an order that equal losses do not change.
#include "numbers.cuh"

#define THREADS 1024
#define WARPS (THREADS / LANES)

// A number whose order among others is that of the losses: the order of IEEE 754's totalOrder.
__device__ inline unsigned int key_of(float loss)
{
    const unsigned int bits = __float_as_uint(loss);
    return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

// The sum of a count of each thread, on all threads. `shared` has room for one per warp.
__device__ inline unsigned int block_count(unsigned int count, unsigned int* shared)
{
    for (int step = 1; step < LANES; step *= 2) {
        count += __shfl_xor_sync(0xffffffffu, count, step);
    }
    __syncthreads();
    if (threadIdx.x % LANES == 0) {
        shared[threadIdx.x / LANES] = count;
    }
    __syncthreads();
    unsigned int sum = 0;
    for (unsigned int warp = 0; warp < WARPS; warp++) {
        sum += shared[warp];
    }
    return sum;
}

// The number of valid rows whose key is `least` or more.
__device__ inline unsigned int count_from(const float* losses, const int* labels,
                                          unsigned int rows, unsigned int least,
                                          unsigned int* shared)
{
    unsigned int count = 0;
    for (unsigned int row = threadIdx.x; row < rows; row += THREADS) {
        count += labels[row] >= 0 && key_of(losses[row]) >= least ? 1 : 0;
    }
    return block_count(count, shared);
}

// The sum of the counts of the threads before this one. `shared` has room for one per thread.
__device__ inline unsigned int count_before(unsigned int count, unsigned int* shared)
{
    shared[threadIdx.x] = count;
    __syncthreads();
    unsigned int sum = count;
    for (unsigned int step = 1; step < THREADS; step *= 2) {
        const unsigned int other = threadIdx.x >= step ? shared[threadIdx.x - step] : 0;
        __syncthreads();
        sum += other;
        shared[threadIdx.x] = sum;
        __syncthreads();
    }
    return sum - count;
}

// Weight 1 for the `wanted` rows with the largest losses among those with a label that is not
// negative, of equal ones the earlier; 0 for the others. `wanted` is 1 to the number of such rows.
//
// One block of 1,024 threads. The smallest loss that is in is found bit by bit.
extern "C" __global__ void __launch_bounds__(THREADS)
hardest_rows(const float* losses, const int* labels, unsigned int rows, unsigned int wanted,
             float* weights)
{
    __shared__ unsigned int shared[THREADS];
    unsigned int least = 0;
    for (int bit = 31; bit >= 0; bit--) {
        const unsigned int tried = least | 1u << bit;
        if (count_from(losses, labels, rows, tried, shared) >= wanted) {
            least = tried;
        }
    }
    const unsigned int above =
        least == 0xffffffffu ? 0 : count_from(losses, labels, rows, least + 1, shared);
    const unsigned int share = (rows - 1) / THREADS + 1;
    const unsigned int start = threadIdx.x * share < rows ? threadIdx.x * share : rows;
    const unsigned int end = rows - start < share ? rows : start + share;
    unsigned int equal = 0;
    for (unsigned int row = start; row < end; row++) {
        equal += labels[row] >= 0 && key_of(losses[row]) == least ? 1 : 0;
    }
    __syncthreads();
    unsigned int taken = above + count_before(equal, shared);
    for (unsigned int row = start; row < end; row++) {
        const unsigned int key = key_of(losses[row]);
        bool is_in = labels[row] >= 0 && key > least;
        if (labels[row] >= 0 && key == least) {
            is_in = taken < wanted;
            taken++;
        }
        weights[row] = is_in ? 1.0f : 0.0f;
    }
}
ZS_EXPORT(hardest_rows)
