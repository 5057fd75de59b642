// Random numbers, and dropout with them. A thread makes four: number `i` is number `i % 4` of
// block `i / 4` of the draw, on every engine.
//
// A draw is four words, told as they are or, where `words` is not null, as where they lie: a
// recorded launch has the same arguments every time.
#include "numbers.cuh"

__device__ Draw draw_of(unsigned int key_low, unsigned int key_high, unsigned int step,
                        unsigned int stream, const unsigned int* words)
{
    if (words == nullptr) {
        return {{key_low, key_high}, step, stream};
    }
    return {{words[0], words[1]}, words[2], words[3]};
}

// Uniform in [0, 1), or Gaussian with `is_normal`.
extern "C" __global__ void __launch_bounds__(256)
noise(unsigned int is_normal, unsigned int key_low, unsigned int key_high, unsigned int step,
      unsigned int stream, const unsigned int* words, float* values, unsigned long long count)
{
    const unsigned long long block = position();
    if (block * 4 >= count) {
        return;
    }
    const Draw draw = draw_of(key_low, key_high, step, stream, words);
    float numbers[4];
    uniform(draw, (unsigned int)block, numbers);
    if (is_normal) {
        gauss(numbers[0], numbers[1], &numbers[0], &numbers[1]);
        gauss(numbers[2], numbers[3], &numbers[2], &numbers[3]);
    }
    for (unsigned int i = 0; i < 4 && block * 4 + i < count; i++) {
        values[block * 4 + i] = numbers[i];
    }
}
ZS_EXPORT(noise)

// Leaky ReLU and dropout, forward where `v` is `x`, backward where it is the gradient by the
// result: `v` times the slope at `x`, times 0 where the random number is below `limit` and `kept`
// elsewhere. A `limit` of 0 drops nothing and draws nothing.
extern "C" __global__ void __launch_bounds__(256)
activate(const float* x, const float* v, float slope, float limit, float kept,
         unsigned int key_low, unsigned int key_high, unsigned int step, unsigned int stream,
         const unsigned int* words, float* y, unsigned long long count)
{
    const unsigned long long block = position();
    if (block * 4 >= count) {
        return;
    }
    float numbers[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    if (limit > 0.0f) {
        const Draw draw = draw_of(key_low, key_high, step, stream, words);
        uniform(draw, (unsigned int)block, numbers);
    }
    for (unsigned int i = 0; i < 4 && block * 4 + i < count; i++) {
        const unsigned long long place = block * 4 + i;
        const float factor = numbers[i] < limit ? 0.0f : kept;
        y[place] = factor * (x[place] > 0.0f ? v[place] : slope * v[place]);
    }
}
ZS_EXPORT(activate)
