// Steps of Adam (Kingma and Ba, 2015) and of stochastic gradient descent (methods.md 1.6): one
// launch for all parameters, one pass over all that belongs to each. 256 threads to a block, each
// of which steps CHUNK numbers of one parameter.
#include "numbers.cuh"

#define CHUNK 1024

// A parameter, as `engine/optimiser.rs` writes it. `step` is the rate with the first moment's bias
// taken out, `root` 1 by the root of the second moment's; `keep` are the decays and `add` 1 less
// them.
struct AdamEntry {
    float* parameters;
    const float* gradient;
    float* first;
    float* second;
    unsigned long long count;
    unsigned int first_block;
    float step, root, keep1, keep2, add1, add2, epsilon;
};

struct SgdEntry {
    float* parameters;
    const float* gradient;
    float* velocity;
    unsigned long long count;
    unsigned int first_block;
    float rate, momentum, decay;
};

// The parameter that the block belongs to: the last one that does not start behind it.
template <typename Entry>
__device__ const Entry& entry_of(const Entry* entries, unsigned int count)
{
    unsigned int at = 0;
    while (at + 1 < count && entries[at + 1].first_block <= blockIdx.x) {
        at++;
    }
    return entries[at];
}

extern "C" __global__ void __launch_bounds__(256)
adam(const AdamEntry* entries, unsigned int entry_count)
{
    const AdamEntry entry = entry_of(entries, entry_count);
    const unsigned long long chunk = (unsigned long long)(blockIdx.x - entry.first_block) * CHUNK;
    for (unsigned int i = threadIdx.x; i < CHUNK && chunk + i < entry.count; i += 256) {
        const unsigned long long place = chunk + i;
        const float g = entry.gradient[place];
        const float mean = entry.keep1 * entry.first[place] + entry.add1 * g;
        const float square = entry.keep2 * entry.second[place] + entry.add2 * g * g;
        entry.first[place] = mean;
        entry.second[place] = square;
        entry.parameters[place] -= entry.step * mean / (sqrtf(square) * entry.root + entry.epsilon);
    }
}
ZS_EXPORT(adam)

// v = momentum v + (g + decay w), w -= rate v.
extern "C" __global__ void __launch_bounds__(256)
sgd(const SgdEntry* entries, unsigned int entry_count)
{
    const SgdEntry entry = entry_of(entries, entry_count);
    const unsigned long long chunk = (unsigned long long)(blockIdx.x - entry.first_block) * CHUNK;
    for (unsigned int i = threadIdx.x; i < CHUNK && chunk + i < entry.count; i += 256) {
        const unsigned long long place = chunk + i;
        const float weight = entry.parameters[place];
        const float speed =
            entry.momentum * entry.velocity[place] + (entry.gradient[place] + entry.decay * weight);
        entry.velocity[place] = speed;
        entry.parameters[place] = weight - entry.rate * speed;
    }
}
ZS_EXPORT(sgd)
