// Losses of logits, with their gradients in the same pass.
//
// A warp works on a row, eight rows to a block of 256. Values are sums in f64 of blocks of 4,096
// numbers, which the host adds in their order.
#include "numbers.cuh"

// Numbers that a thread adds up.
#define EACH 16

struct Softmax {
    float most;
    float sum;
};

__device__ inline Softmax softmax_of(const float* row, unsigned int columns, unsigned int lane)
{
    float most = -__uint_as_float(0x7f800000u);
    for (unsigned int column = lane; column < columns; column += LANES) {
        most = at_least(most, row[column]);
    }
    most = warp_most(most);
    float sum = 0.0f;
    for (unsigned int column = lane; column < columns; column += LANES) {
        sum += exponential(row[column] - most);
    }
    return {most, warp_sum(sum)};
}

// Softmax cross-entropy (methods.md 2.6). `weights` are the rows' weights, those of their classes
// included, 0 for ignored ones; `factor` is 1 by their sum. `losses` are without weight, and 0 for
// a negative label.
extern "C" __global__ void __launch_bounds__(256)
cross_entropy(const float* logits, const int* labels, const float* weights, float factor,
              unsigned int rows, unsigned int classes, float* losses, float* gradient)
{
    const unsigned int row = blockIdx.x * 8 + threadIdx.x / LANES;
    const unsigned int lane = threadIdx.x % LANES;
    if (row >= rows) {
        return;
    }
    const float* from = logits + (unsigned long long)row * classes;
    float* to = gradient + (unsigned long long)row * classes;
    const int label = labels[row];
    const Softmax softmax = softmax_of(from, classes, lane);
    for (unsigned int column = lane; column < classes; column += LANES) {
        const float probability = exponential(from[column] - softmax.most) / softmax.sum;
        const float slope = (int)column == label ? probability - 1.0f : probability;
        to[column] = label < 0 ? 0.0f : slope * weights[row] * factor;
    }
    if (lane == 0) {
        const float log_sum = softmax.most + logarithm(softmax.sum);
        losses[row] = label < 0 ? 0.0f : log_sum - from[label];
    }
}
ZS_EXPORT(cross_entropy)

// Kullback-Leibler divergence of the softmax of `student` from that of `teacher` (methods.md 8);
// the gradient is the student's. `factor` is 1 by the sum of `weights`.
extern "C" __global__ void __launch_bounds__(256)
divergence(const float* teacher, const float* student, const float* weights, float factor,
           unsigned int rows, unsigned int columns, float* losses, float* gradient)
{
    const unsigned int row = blockIdx.x * 8 + threadIdx.x / LANES;
    const unsigned int lane = threadIdx.x % LANES;
    if (row >= rows) {
        return;
    }
    const unsigned long long start = (unsigned long long)row * columns;
    const Softmax wanted = softmax_of(teacher + start, columns, lane);
    const Softmax found = softmax_of(student + start, columns, lane);
    const float log_wanted = wanted.most + logarithm(wanted.sum);
    const float log_found = found.most + logarithm(found.sum);
    float loss = 0.0f;
    for (unsigned int column = lane; column < columns; column += LANES) {
        const float t = teacher[start + column], s = student[start + column];
        const float p = exponential(t - wanted.most) / wanted.sum;
        const float q = exponential(s - found.most) / found.sum;
        loss += p * ((t - log_wanted) - (s - log_found));
        gradient[start + column] = weights[row] * (q - p) * factor;
    }
    loss = warp_sum(loss);
    if (lane == 0) {
        losses[row] = loss;
    }
}
ZS_EXPORT(divergence)

// Sums of `weights * values`, leaving out what has no weight.
extern "C" __global__ void __launch_bounds__(256)
weighted_sums(const float* values, const float* weights, double* sums, unsigned long long count)
{
    __shared__ double shared[256];
    double sum = 0.0;
    unsigned long long place = (unsigned long long)blockIdx.x * 256 * EACH + threadIdx.x;
    for (int i = 0; i < EACH; i++, place += 256) {
        // An infinite loss without weight says nothing.
        if (place < count && weights[place] > 0.0f) {
            sum += (double)weights[place] * (double)values[place];
        }
    }
    block_sum(sum, shared, sums + blockIdx.x);
}
ZS_EXPORT(weighted_sums)

// Squared differences: their sums, and the gradient `factor` times the difference.
extern "C" __global__ void __launch_bounds__(256)
squared_error(const float* teacher, const float* student, float factor, float* gradient,
              double* sums, unsigned long long count)
{
    __shared__ double shared[256];
    double sum = 0.0;
    unsigned long long place = (unsigned long long)blockIdx.x * 256 * EACH + threadIdx.x;
    for (int i = 0; i < EACH; i++, place += 256) {
        if (place < count) {
            const float difference = student[place] - teacher[place];
            sum += (double)(difference * difference);
            gradient[place] = factor * difference;
        }
    }
    block_sum(sum, shared, sums + blockIdx.x);
}
ZS_EXPORT(squared_error)

// Binary cross-entropy (methods.md 6.7): targets are 1, 0, or anything else for no weight.
// `positive` and `negative` are the weights of a 1 and of a 0, and with `_slope` those by the
// number of all.
extern "C" __global__ void __launch_bounds__(256)
balanced_cross_entropy(const float* logits, const int* targets, double positive, double negative,
                       float positive_slope, float negative_slope, float* gradient, double* sums,
                       unsigned long long count)
{
    __shared__ double shared[256];
    double sum = 0.0;
    unsigned long long place = (unsigned long long)blockIdx.x * 256 * EACH + threadIdx.x;
    for (int i = 0; i < EACH; i++, place += 256) {
        if (place >= count) {
            continue;
        }
        const float logit = logits[place];
        const int target = targets[place];
        const bool is_positive = target == 1;
        const bool counts = is_positive || target == 0;
        const double weight = is_positive ? positive : negative;
        // Of a positive, the loss is that of a negative with the opposite logit.
        if (counts && weight > 0.0) {
            sum += weight * (double)softplus(is_positive ? -logit : logit);
        }
        const float slope = is_positive ? positive_slope : negative_slope;
        const float wanted = is_positive ? 1.0f : 0.0f;
        gradient[place] = (counts ? slope : 0.0f) * (sigmoid(logit) - wanted);
    }
    block_sum(sum, shared, sums + blockIdx.x);
}
ZS_EXPORT(balanced_cross_entropy)
