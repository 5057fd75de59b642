// Steps of Adam (Kingma and Ba, 2015) and of stochastic gradient descent (methods.md 1.6): one
// pass over all that belongs to a parameter. A thread per number, 256 to a block.
#include "numbers.cuh"

// `step` is the rate with the first moment's bias taken out, `root` 1 by the root of the second
// moment's; `keep` are the decays and `add` 1 less them.
extern "C" __global__ void __launch_bounds__(256)
adam(float* parameters, const float* gradient, float* first, float* second, float step, float root,
     float keep1, float keep2, float add1, float add2, float epsilon, unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const float g = gradient[place];
    const float mean = keep1 * first[place] + add1 * g;
    const float square = keep2 * second[place] + add2 * g * g;
    first[place] = mean;
    second[place] = square;
    parameters[place] -= step * mean / (sqrtf(square) * root + epsilon);
}
ZS_EXPORT(adam)

// v = momentum v + (g + decay w), w -= rate v.
extern "C" __global__ void __launch_bounds__(256)
sgd(float* parameters, const float* gradient, float* velocity, float rate, float momentum,
    float decay, unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const float speed =
        momentum * velocity[place] + (gradient[place] + decay * parameters[place]);
    velocity[place] = speed;
    parameters[place] -= rate * speed;
}
ZS_EXPORT(sgd)
