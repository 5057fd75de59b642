// Label-based contrastive loss with both denominators, within a picture, with another picture's
// positive pairs, and in a batch (methods.md 5.2 to 5.5). The semantics are those of
// `Engine::contrastive`.
//
// Anchors f_i, keys g_j; s_ij = f_i g_j / temperature. A positive pair has one label, 0 or above;
// P_i is the number of an anchor's positive pairs, with keys of the own picture and of the other.
// A key counts in an anchor's sum S_i = sum of e^s_ij if
//   against all:        it is an own key with a label from 0 on, or an other key of the same label;
//   against negatives:  it is an own key with a label from 0 on that is not the anchor's.
// With `without_self`, own key i and anchor i are no pair. With z_i = log S_i:
//   against all:        L_i = z_i - mean over positives of s_ij
//                       dL_i / ds_ij = e^(s_ij - z_i) [counts] - [positive] / P_i
//   against negatives:  L_i = mean over positives of softplus(z_i - s_ij); 0 without negatives
//                       dL_i / ds_ij = pull_i / P_i e^(s_ij - z_i) [counts]
//                                      - [positive] sigmoid(z_i - s_ij) / P_i,
//                       pull_i = sum over positives of sigmoid(z_i - s_ij)
// The loss is the mean of L_i over the anchors with P_i > 0; the other anchors and keys without a
// label get gradient 0. The sums are online: their largest term is found on the way. The backward
// pass computes products anew, tile by tile; no matrix of pairs is in memory. Nothing is atomic;
// every sum has one order.
//
// Defines: those of tiles.cuh.
//
// Arguments that several kernels share:
//   anchors        [anchor_count, columns], keys [key_count, columns]: rows of the own or of the
//                  other picture; aligned to 16 bytes; columns at most WIDTH (ZS_WIDTH)
//   *_labels       [their rows] int; below 0: takes no part
//   scale          log2(e) / temperature
//   kind           sum of 1: against negatives (else against all); 2: the keys are those of the
//                  other picture; 4: without_self; 8: rows are keys and columns anchors
//   share          columns (keys, or anchors with kind 8) that a block of a split goes through: a
//                  multiple of ZS_TILE_COLUMNS; the launch's splits = max(1, ceil(columns / share))
//   first_slot     the slot of the launch's split 0. Slots are partial results: own keys' splits
//                  first, then the other picture's; their number is `slots`
//   stats          [anchor_count] of 4 float: largest s (times log2 e), 1 / S', the factor of
//                  e^(s - largest), the factor of positive pairs; S' = S e^-largest
//
// Launches, in this order; "tiles" is dynamic shared memory as in tiles.cuh:
//   contrastive_sums       grid (ceil(anchor_count / ZS_TILE_ROWS), splits), block 256, tiles;
//                          for the own keys, and against all for the other picture's (against
//                          negatives they add nothing and need no launch; then slots here = own
//                          splits)
//   contrastive_stats      grid (ceil(anchor_count / 256)), block 256
//   against negatives only:
//     contrastive_pulls    as contrastive_sums, for own and for other keys
//     contrastive_pulled   grid (ceil(anchor_count / 256)), block 256
//   contrastive_value      grid (1), block 256
//   gradient of anchors:   contrastive_slopes for the own keys, and for the other picture's, into
//                          slots of one buffer, then contrastive_gradient
//   gradient of keys, and of the other picture's keys: each contrastive_slopes with kind 8, then
//                          contrastive_gradient
//     contrastive_slopes   grid (ceil(rows / ZS_TILE_ROWS), splits), block 256, tiles
//     contrastive_gradient grid (rows, WIDTH / 64), block 64
// Good: so many splits that a launch's blocks are at least twice the device's processors. A launch
// with no rows is left out; with no columns it is made (one split), so that its slots are 0.
#include "tiles.cuh"

constexpr int AGAINST_NEGATIVES = 1;
constexpr int OTHER = 2;
constexpr int WITHOUT_SELF = 4;
constexpr int TRANSPOSED = 8;

constexpr float LN_2 = 0.69314718f;

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

// Stats of an anchor that has no part in the loss.
__device__ inline float4 no_stats() { return make_float4(infinity(), 0.0f, 0.0f, 0.0f); }

// What a key is to an anchor.
struct Pair {
    bool positive, counts;
};

// `itself`: whether anchor and key have one number.
__device__ inline Pair pair_of(int kind, int anchor_label, int key_label, bool itself) {
    const bool other = kind & OTHER;
    const bool left_out = itself && !other && (kind & WITHOUT_SELF);
    if (anchor_label < 0 || key_label < 0 || left_out) return {false, false};
    const bool alike = anchor_label == key_label;
    const bool counts = kind & AGAINST_NEGATIVES ? !other && !alike : !other || alike;
    return {alike, counts};
}

// Rows that are compared with columns, and the share of the columns that is this block's.
struct Walk {
    const float* rows;
    const int* row_labels;
    int row_count;
    const float* columns;
    const int* column_labels;
    int column_count;
    int width, share;
    float scale;

    __device__ inline int first_row() const { return blockIdx.x * TILE_ROWS; }
    __device__ inline int first_column() const { return blockIdx.y * share; }
    __device__ inline int end_column() const {
        return smaller(first_column() + share, column_count);
    }
    __device__ inline int row_label() const {
        const int row = first_row() + pair_row();
        return row < row_count ? row_labels[row] : -1;
    }
};

// The labels of the tile's columns.
__device__ inline int* tile_labels(const Tiles& tiles) {
    return reinterpret_cast<int*>(tiles.column_numbers + 4 * TILE_COLUMNS);
}

// The tile's columns and the products with them; calls `load(index, column)` for each column's
// threads to load what else is needed.
template <typename Load>
__device__ inline void multiply_columns(const Tiles& tiles, const Walk& walk, int first,
                                        Load load) {
    load_rows<TILE_COLUMNS>(tiles.columns, walk.columns, walk.width, first, walk.end_column());
    const int index = threadIdx.x, column = first + index;
    if (index < TILE_COLUMNS) {
        const bool inside = column < walk.end_column();
        tile_labels(tiles)[index] = inside ? walk.column_labels[column] : -1;
        if (inside) load(index, column);
    }
    __syncthreads();
    multiply_tiles(tiles);
    __syncthreads();
}

// Calls `visit(tile column, pair, s)` for the thread's pairs of the tile.
template <typename Visit>
__device__ inline void for_pairs(const Tiles& tiles, const Walk& walk, int kind, int row_label,
                                 int first, Visit visit) {
    const int row = walk.first_row() + pair_row();
    for (int column = pair_column(); column < TILE_COLUMNS; column += ROW_THREADS) {
        const int label = tile_labels(tiles)[column];
        const Pair pair = pair_of(kind, row_label, label, row == first + column);
        visit(column, pair, product_at(tiles, pair_row(), column) * walk.scale);
    }
}

// A sum of powers of 2 without its largest: sum of 2^(s - most).
struct PowerSum {
    float most, sum;

    // Takes `most` as the largest number from now on.
    __device__ inline void raise(float larger) {
        if (larger <= most) return;
        sum *= exp2f(most - larger);
        most = larger;
    }

    __device__ inline void add(float s) { sum += exp2f(s - most); }

    __device__ inline void add(const PowerSum& other) {
        if (other.sum == 0.0f) return;
        raise(other.most);
        sum += other.sum * exp2f(other.most - most);
    }
};

// Each anchor's sum over the keys of this block's share, and the sum of its positives' s.
//   most           [slots, anchor_count]: out, the largest s that counts; minus infinity if none
//   sums           [slots, anchor_count]: out, sum of 2^(s - most)
//   positive_sums  [slots, anchor_count]: out
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    contrastive_sums(const float* anchors, const int* anchor_labels, int anchor_count,
                     const float* keys, const int* key_labels, int key_count, int columns,
                     float scale, int kind, int share, int first_slot, float* most, float* sums,
                     float* positive_sums) {
    ZS_DYNAMIC_SHARED(float, shared);
    const Tiles tiles(shared);
    const Walk walk = {anchors,    anchor_labels, anchor_count, keys, key_labels,
                       key_count,  columns,       share,        scale};
    load_rows<TILE_ROWS>(tiles.rows, anchors, columns, walk.first_row(), anchor_count);
    const int label = walk.row_label();
    PowerSum sum = {-infinity(), 0.0f};
    float positives = 0.0f;
    for (int first = walk.first_column(); first < walk.end_column(); first += TILE_COLUMNS) {
        multiply_columns(tiles, walk, first, [](int, int) {});
        float largest = -infinity(), positive = 0.0f;
        for_pairs(tiles, walk, kind, label, first, [&](int, const Pair& pair, float s) {
            // Not a number is the largest, and stays so.
            if (pair.counts && !(s <= largest)) largest = s;
            if (pair.positive) positive += s;
        });
        sum.raise(largest);
        for_pairs(tiles, walk, kind, label, first, [&](int, const Pair& pair, float s) {
            if (pair.counts) sum.add(s);
        });
        positives += positive;
        __syncthreads();
    }
    for (int apart = ROW_THREADS / 2; apart > 0; apart /= 2) {
        sum.add({__shfl_xor_sync(ALL_LANES, sum.most, apart),
                 __shfl_xor_sync(ALL_LANES, sum.sum, apart)});
    }
    positives = sum_of_row(positives);
    const int row = walk.first_row() + pair_row();
    if (row >= anchor_count || pair_column() != 0) return;
    const size_t place = static_cast<size_t>(first_slot + blockIdx.y) * anchor_count + row;
    most[place] = sum.most;
    sums[place] = sum.sum;
    positive_sums[place] = positives;
}
ZS_EXPORT(contrastive_sums)

// Each anchor's sum over all slots; against all also its loss.
//   positive_counts  [anchor_count] int: P; 0 for an anchor without a label
//   share_of_anchor  f64: 1 / number of anchors with P > 0
//   stats            out; against negatives the third number is not yet there
//   losses           [anchor_count] f64: out, against all
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    contrastive_stats(const float* most, const float* sums, const float* positive_sums, int slots,
                      const int* positive_counts, int anchor_count, int kind,
                      double share_of_anchor, float4* stats, double* losses) {
    const int anchor = blockIdx.x * THREADS + threadIdx.x;
    if (anchor >= anchor_count) return;
    const int positives = positive_counts[anchor];
    losses[anchor] = 0.0;
    if (positives == 0) {
        stats[anchor] = no_stats();
        return;
    }
    float largest = -infinity();
    for (int slot = 0; slot < slots; slot++) {
        const float value = most[static_cast<size_t>(slot) * anchor_count + anchor];
        if (!(value <= largest)) largest = value;
    }
    double sum = 0.0, positive_sum = 0.0;
    for (int slot = 0; slot < slots; slot++) {
        const size_t place = static_cast<size_t>(slot) * anchor_count + anchor;
        const float part = sums[place];
        if (part != 0.0f) sum += static_cast<double>(part) * exp2f(most[place] - largest);
        positive_sum += positive_sums[place];
    }
    // Nothing counts: then no factor shall be infinite.
    const double inverse = sum == 0.0 ? 1.0 : 1.0 / sum;
    const double positive = share_of_anchor / positives;
    stats[anchor] = make_float4(largest, static_cast<float>(inverse),
                                static_cast<float>(share_of_anchor * inverse),
                                static_cast<float>(positive));
    if (kind & AGAINST_NEGATIVES) return;
    losses[anchor] = log(sum) + 0.6931471805599453 * (largest - positive_sum / positives);
}
ZS_EXPORT(contrastive_stats)

// log(1 + e^x).
__device__ inline float softplus(float x) {
    const float rest = log1pf(exp2f(-fabsf(x) * 1.44269504f));
    return x > 0.0f ? x + rest : rest;
}

// sigmoid(z - s), `power` = 2^(s - largest).
__device__ inline float pull_of(float power, float inverse) {
    return 1.0f / (1.0f + power * inverse);
}

// Against negatives: each anchor's losses and pulls over the positives of this block's share.
//   loss_sums  [slots, anchor_count]: out
//   pull_sums  [slots, anchor_count]: out
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    contrastive_pulls(const float* anchors, const int* anchor_labels, int anchor_count,
                      const float* keys, const int* key_labels, int key_count, int columns,
                      float scale, int kind, int share, int first_slot, const float4* stats,
                      float* loss_sums, float* pull_sums) {
    ZS_DYNAMIC_SHARED(float, shared);
    const Tiles tiles(shared);
    const Walk walk = {anchors,    anchor_labels, anchor_count, keys, key_labels,
                       key_count,  columns,       share,        scale};
    load_rows<TILE_ROWS>(tiles.rows, anchors, columns, walk.first_row(), anchor_count);
    const int label = walk.row_label(), row = walk.first_row() + pair_row();
    const float4 own = row < anchor_count ? stats[row] : no_stats();
    const float log_sum = -log2f(own.y);
    float losses = 0.0f, pulls = 0.0f;
    for (int first = walk.first_column(); first < walk.end_column(); first += TILE_COLUMNS) {
        multiply_columns(tiles, walk, first, [](int, int) {});
        float loss = 0.0f, pull = 0.0f;
        for_pairs(tiles, walk, kind, label, first, [&](int, const Pair& pair, float s) {
            if (!pair.positive) return;
            loss += softplus(LN_2 * (own.x - s + log_sum));
            pull += pull_of(exp2f(s - own.x), own.y);
        });
        losses += loss;
        pulls += pull;
        __syncthreads();
    }
    losses = sum_of_row(losses);
    pulls = sum_of_row(pulls);
    if (row >= anchor_count || pair_column() != 0) return;
    const size_t place = static_cast<size_t>(first_slot + blockIdx.y) * anchor_count + row;
    loss_sums[place] = losses;
    pull_sums[place] = pulls;
}
ZS_EXPORT(contrastive_pulls)

// Against negatives: each anchor's loss, and what its stats lack.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    contrastive_pulled(const float* loss_sums, const float* pull_sums, int slots,
                       const int* positive_counts, int anchor_count, float4* stats,
                       double* losses) {
    const int anchor = blockIdx.x * THREADS + threadIdx.x;
    if (anchor >= anchor_count || positive_counts[anchor] == 0) return;
    double loss = 0.0, pull = 0.0;
    for (int slot = 0; slot < slots; slot++) {
        const size_t place = static_cast<size_t>(slot) * anchor_count + anchor;
        loss += loss_sums[place];
        pull += pull_sums[place];
    }
    losses[anchor] = loss / positive_counts[anchor];
    const float4 own = stats[anchor];
    stats[anchor].z = static_cast<float>(pull * own.w * own.y);
}
ZS_EXPORT(contrastive_pulled)

// The loss.
//   value  [1] f64: out
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    contrastive_value(const double* losses, int anchor_count, double share_of_anchor,
                      double* value) {
    __shared__ double places[WARPS];
    double part = 0.0;
    for (int anchor = threadIdx.x; anchor < anchor_count; anchor += THREADS) {
        part += losses[anchor];
    }
    const double sum = sum_of_block(part, places);
    if (threadIdx.x == 0) *value = sum * share_of_anchor;
}
ZS_EXPORT(contrastive_value)

// The derivative of the loss by s, given the anchor's stats.
__device__ inline float slope_of(int kind, const Pair& pair, float s, const float4& stats) {
    const float power = exp2f(s - stats.x);
    float slope = pair.counts ? stats.z * power : 0.0f;
    if (!pair.positive) return slope;
    const float pull = kind & AGAINST_NEGATIVES ? pull_of(power, stats.y) : 1.0f;
    return slope - stats.w * pull;
}

// sum over this block's share of the columns of d loss / ds_ij times the column.
//   rows, columns  anchors and keys; with kind 8 keys and anchors
//   width          columns of their features
//   slopes         [slots, row_count, WIDTH]: out; the gradient but for 1 / temperature
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    contrastive_slopes(const float* rows, const int* row_labels, int row_count,
                       const float* columns, const int* column_labels, int column_count, int width,
                       float scale, int kind, int share, int first_slot, const float4* stats,
                       float* slopes) {
    ZS_DYNAMIC_SHARED(float, shared);
    const Tiles tiles(shared);
    const Walk walk = {rows,         row_labels, row_count, columns, column_labels,
                       column_count, width,      share,     scale};
    load_rows<TILE_ROWS>(tiles.rows, rows, width, walk.first_row(), row_count);
    const bool transposed = kind & TRANSPOSED;
    const int label = walk.row_label(), row = walk.first_row() + pair_row();
    const float4 own = !transposed && row < row_count ? stats[row] : no_stats();
    float4* column_stats = reinterpret_cast<float4*>(tiles.column_numbers);
    float* weights = tiles.pairs + pair_row() * PAIR_STRIDE;
    Sums sums = {};
    for (int first = walk.first_column(); first < walk.end_column(); first += TILE_COLUMNS) {
        multiply_columns(tiles, walk, first, [&](int index, int column) {
            if (transposed) column_stats[index] = stats[column];
        });
        for_pairs(tiles, walk, kind, label, first, [&](int column, const Pair& pair, float s) {
            const bool pays = pair.counts || pair.positive;
            const float4 anchor = transposed && pays ? column_stats[column] : own;
            weights[column] = pays ? slope_of(kind, pair, s, anchor) : 0.0f;
        });
        __syncthreads();
        add_columns(tiles, sums);
        __syncthreads();
    }
    const size_t slot = first_slot + blockIdx.y;
    float* place = slopes + (slot * row_count + walk.first_row()) * WIDTH;
    const int count = row_count - walk.first_row();
    for_sums(sums, [&](int at, int column, float first, float second) {
        if (at >= count) return;
        float2* to = reinterpret_cast<float2*>(place + static_cast<size_t>(at) * WIDTH + column);
        *to = make_float2(first, second);
    });
}
ZS_EXPORT(contrastive_slopes)

// The gradient: the sum of all slots.
//   factor    1 / temperature
//   gradient  [row_count, columns]: out
extern "C" __global__ void __launch_bounds__(64)
    contrastive_gradient(const float* slopes, int slots, int row_count, int columns, float factor,
                         float* gradient) {
    const int row = blockIdx.x;
    const int column = blockIdx.y * 64 + threadIdx.x;
    if (column >= columns) return;
    float sum = 0.0f;
    for (int slot = 0; slot < slots; slot++) {
        sum += slopes[(static_cast<size_t>(slot) * row_count + row) * WIDTH + column];
    }
    gradient[static_cast<size_t>(row) * columns + column] = factor * sum;
}
ZS_EXPORT(contrastive_gradient)
