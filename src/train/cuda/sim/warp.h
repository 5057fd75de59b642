// Barriers, and what the lanes of a warp tell one another.
#pragma once

#include "fibers.h"
#include "tensor_core.h"

namespace zs_sim {

inline void exchange(Fiber* lanes, unsigned count, unsigned mask, Wait what) {
    uint64_t given[LANES];
    uint64_t votes = 0;
    for (unsigned lane = 0; lane < count; lane++) {
        given[lane] = lanes[lane].value;
        if (mask >> lane & 1) votes |= static_cast<uint64_t>(given[lane] != 0) << lane;
    }
    for (unsigned lane = 0; lane < count; lane++) {
        if (!(mask >> lane & 1)) continue;
        const unsigned source = lanes[lane].source;
        const bool there = source < count && (mask >> source & 1);
        lanes[lane].value = what == Wait::BALLOT ? votes : there ? given[source] : ~uint64_t(0);
        lanes[lane].wait = Wait::NOTHING;
    }
}

// Lets the lanes of a warp go on whose partners are all there. Whether there were any.
inline bool release_warp(Fiber* lanes, unsigned count) {
    const unsigned all = count == LANES ? ~0u : (1u << count) - 1;
    bool any = false;
    for (unsigned lane = 0; lane < count; lane++) {
        const Wait what = lanes[lane].wait;
        if (what != Wait::SHUFFLE && what != Wait::BALLOT && what != Wait::PRODUCT) continue;
        const unsigned mask = lanes[lane].mask & all;
        bool together = mask >> lane & 1;
        for (unsigned other = 0; other < count; other++) {
            const bool same = lanes[other].wait == what && (lanes[other].mask & all) == mask;
            together = together && (same || !(mask >> other & 1));
        }
        if (!together) continue;
        if (what == Wait::PRODUCT) multiply_warp(lanes);
        exchange(lanes, count, mask, what);
        any = true;
    }
    return any;
}

// Lets all threads of the block go on from a barrier that all have reached; their values become
// the number of those that were not 0.
inline bool release_block() {
    Machine& m = machine();
    uint64_t votes = 0;
    for (unsigned i = 0; i < m.threads; i++) {
        if (m.fibers[i].wait != Wait::BLOCK) return false;
        votes += m.fibers[i].value != 0;
    }
    for (unsigned i = 0; i < m.threads; i++) {
        m.fibers[i].wait = Wait::NOTHING;
        m.fibers[i].value = votes;
    }
    return true;
}

template <typename T> T shuffle(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = wait_for(Wait::SHUFFLE, mask, bits, source);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

}  // namespace zs_sim

inline void __syncthreads() { zs_sim::wait_for(zs_sim::Wait::BLOCK, 0, 0, 0); }
inline int __syncthreads_count(int vote) {
    return static_cast<int>(zs_sim::wait_for(zs_sim::Wait::BLOCK, 0, vote != 0, 0));
}
inline int __syncthreads_or(int vote) { return __syncthreads_count(vote) != 0; }
inline int __syncthreads_and(int vote) { return __syncthreads_count(vote == 0) == 0; }
inline void __syncwarp(unsigned mask = ~0u) { zs_sim::shuffle(mask, 0, zs_sim::lane()); }

template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const unsigned lane = zs_sim::lane(), first = lane & ~unsigned(width - 1);
    return zs_sim::shuffle(mask, value, first + (unsigned(source) & unsigned(width - 1)));
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int change, int width = 32) {
    const unsigned lane = zs_sim::lane(), source = lane ^ unsigned(change);
    const bool inside = source / unsigned(width) == lane / unsigned(width);
    return zs_sim::shuffle(mask, value, inside ? source : lane);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const unsigned lane = zs_sim::lane(), source = lane + by;
    const bool inside = source / unsigned(width) == lane / unsigned(width);
    return zs_sim::shuffle(mask, value, inside ? source : lane);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const unsigned lane = zs_sim::lane(), place = lane % unsigned(width);
    return zs_sim::shuffle(mask, value, place >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int vote) {
    return unsigned(zs_sim::wait_for(zs_sim::Wait::BALLOT, mask, vote != 0, zs_sim::lane()));
}
inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
inline int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote == 0) == 0; }
