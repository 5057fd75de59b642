//! Attention in f32: per head and per block of queries, so that the matrix of all queries times all
//! keys never exists.

use super::activation_f32::{Epilogue, Rows};
use super::gemm_f32::{BLOCK, Product, Weights, gemm_f32, packed_len};
use super::kernels_f32::KernelsF32;
use crate::math::pieces;

/// Queries at a time.
const QUERIES: usize = 24;

/// Packs a right operand that is itself an activation, from rows of `columns` values: `depth` rows,
/// `stride` elements apart. False where a slice is too short.
pub fn pack_gemm_dynamic_f32(
    rows: &[f32],
    stride: usize,
    columns: usize,
    depth: usize,
    packed: &mut [f32],
) -> bool {
    let last = depth.saturating_sub(1).saturating_mul(stride);
    let Some(packed) = packed.get_mut(..packed_len(columns, depth)) else { return false };
    if depth > 0 && rows.len() < last.saturating_add(columns) {
        return false;
    }
    let blocks = pieces::pieces_mut(packed, depth.saturating_mul(BLOCK));
    for (block, lines) in blocks.enumerate() {
        let first = block * BLOCK;
        let count = BLOCK.min(columns - first);
        let mut from = rows.get(first..).unwrap_or_default();
        for line in lines.as_chunks_mut::<BLOCK>().0 {
            if let (Some(values), true) = (from.first_chunk(), count == BLOCK) {
                *line = *values;
            } else {
                *line = [0.0; BLOCK];
                pieces::copy(line, from.get(..count).unwrap_or_default());
            }
            from = from.get(stride..).unwrap_or_default();
        }
    }
    true
}

/// Packs a right operand that is itself an activation and lies transposed, from rows of `depth`
/// values: `columns` rows, `stride` elements apart. False where a slice is too short.
pub fn pack_gemm_dynamic_transposed_f32(
    rows: &[f32],
    stride: usize,
    columns: usize,
    depth: usize,
    packed: &mut [f32],
) -> bool {
    let last = columns.saturating_sub(1).saturating_mul(stride);
    let Some(packed) = packed.get_mut(..packed_len(columns, depth)) else { return false };
    if columns > 0 && rows.len() < last.saturating_add(depth) {
        return false;
    }
    let blocks = pieces::pieces_mut(packed, depth.saturating_mul(BLOCK));
    for (block, lines) in blocks.enumerate() {
        let (lines, _) = lines.as_chunks_mut::<BLOCK>();
        let sources: [&[f32]; BLOCK] = core::array::from_fn(|column| {
            let first = (block * BLOCK + column).saturating_mul(stride);
            let row = if block * BLOCK + column < columns { rows.get(first..) } else { None };
            row.and_then(|row| row.get(..depth)).unwrap_or_default()
        });
        transpose(sources, lines);
    }
    true
}

/// `lines[at][column] = sources[column][at]`; sources too short give zeros.
fn transpose(sources: [&[f32]; BLOCK], lines: &mut [[f32; BLOCK]]) {
    const SIDE: usize = 8;
    for (index, lines) in lines.chunks_mut(SIDE).enumerate() {
        let mut square = [[0.0; BLOCK]; SIDE];
        for (column, source) in sources.iter().enumerate() {
            let Some(values) =
                pieces::piece(source, index, SIDE).and_then(<[f32]>::first_chunk::<SIDE>)
            else {
                let rest = source.get(index * SIDE..).unwrap_or_default();
                for (line, &value) in square.iter_mut().zip(rest) {
                    if let Some(place) = line.get_mut(column) {
                        *place = value;
                    }
                }
                continue;
            };
            for (line, &value) in square.iter_mut().zip(values) {
                if let Some(place) = line.get_mut(column) {
                    *place = value;
                }
            }
        }
        for (line, values) in lines.iter_mut().zip(square) {
            *line = values;
        }
    }
}

/// Tokens of a sequence, those of a head side by side in each token.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// From the first token's first head on.
    pub data: &'a [f32],
    /// Elements from token to token.
    pub stride: usize,
    /// Elements from head to head.
    pub head_stride: usize,
}

/// An attention's numbers: `softmax(queries * keys^T * scale) * values` per head.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// The queries.
    pub queries: Tokens<'a>,
    /// The keys.
    pub keys: Tokens<'a>,
    /// The values.
    pub values: Tokens<'a>,
    /// Number of queries.
    pub query_count: usize,
    /// Number of keys, and of values.
    pub key_count: usize,
    /// Number of heads.
    pub heads: usize,
    /// Length of a query and a key of a head.
    pub depth: usize,
    /// Length of a value of a head.
    pub value_depth: usize,
    /// Factor of the products before the softmax.
    pub scale: f32,
}

/// Elements from row to row of the products of queries and keys.
const fn scores_stride(key_count: usize) -> usize {
    key_count.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// Elements of scratch that [`attention_f32`] needs.
pub const fn attention_f32_scratch_len(
    key_count: usize,
    depth: usize,
    value_depth: usize,
) -> usize {
    packed_len(key_count, depth)
        .saturating_add(packed_len(value_depth, key_count))
        .saturating_add(QUERIES.saturating_mul(scores_stride(key_count)))
}

impl Tokens<'_> {
    /// Whether the slice holds so many tokens and heads of so many values.
    fn fits(&self, count: usize, heads: usize, depth: usize) -> bool {
        let last_token = count.saturating_sub(1).saturating_mul(self.stride);
        let last_head = heads.saturating_sub(1).saturating_mul(self.head_stride);
        let end = last_token.saturating_add(last_head).saturating_add(depth);
        count == 0 || heads == 0 || end <= self.data.len()
    }

    /// From a head's first value on.
    fn head(&self, head: usize) -> &[f32] {
        self.data.get(head.saturating_mul(self.head_stride)..).unwrap_or_default()
    }
}

/// Attention of all heads; the result of head `h` of query `q` goes to
/// `out[q * out_stride + h * value_depth..]`. False, with nothing written, where a slice is too
/// short.
pub fn attention_f32(
    kernels: &KernelsF32,
    attention: &Attention<'_>,
    out: &mut [f32],
    out_stride: usize,
    scratch: &mut [f32],
) -> bool {
    let Attention { query_count, key_count, heads, depth, value_depth, .. } = *attention;
    let last = query_count.saturating_sub(1).saturating_mul(out_stride);
    let fits = attention.queries.fits(query_count, heads, depth)
        && attention.keys.fits(key_count, heads, depth)
        && attention.values.fits(key_count, heads, value_depth)
        && (query_count == 0
            || last.saturating_add(heads.saturating_mul(value_depth)) <= out.len())
        && attention_f32_scratch_len(key_count, depth, value_depth) <= scratch.len();
    if !fits {
        return false;
    }
    let keys_len = packed_len(key_count, depth);
    let values_len = packed_len(value_depth, key_count);
    let (keys, rest) = scratch.split_at_mut_checked(keys_len).unwrap_or_default();
    let (values, scores) = rest.split_at_mut_checked(values_len).unwrap_or_default();
    (0..heads).all(|head| {
        let (key_rows, key_stride) = (attention.keys.head(head), attention.keys.stride);
        let (value_rows, value_stride) = (attention.values.head(head), attention.values.stride);
        let out = out.get_mut(head * value_depth..).unwrap_or_default();
        pack_gemm_dynamic_transposed_f32(key_rows, key_stride, key_count, depth, keys)
            && pack_gemm_dynamic_f32(value_rows, value_stride, value_depth, key_count, values)
            && Head { kernels, attention, queries: attention.queries.head(head), keys, values }
                .run(scores, out, out_stride)
    })
}

/// A head with its keys and values packed.
struct Head<'a> {
    kernels: &'a KernelsF32,
    attention: &'a Attention<'a>,
    queries: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
}

impl Head<'_> {
    fn run(&self, scores: &mut [f32], out: &mut [f32], out_stride: usize) -> bool {
        let Attention { query_count, key_count, depth, value_depth, scale, queries, .. } =
            *self.attention;
        let mut first = 0;
        while first < query_count {
            let rows = QUERIES.min(query_count - first);
            let products = Product {
                left: self.queries.get(first * queries.stride..).unwrap_or_default(),
                zeros: &[],
                rows,
                depth,
                columns: key_count,
                weights: Weights::F32(self.keys),
                epilogue: Epilogue { scale, ..Epilogue::NONE },
            };
            let stride = scores_stride(key_count);
            if !gemm_f32(&self.kernels.tile, &products, queries.stride, scores, stride) {
                return false;
            }
            (self.kernels.softmax)(Rows { data: scores, rows, columns: key_count, stride });
            let sums = Product {
                left: scores,
                zeros: &[],
                rows,
                depth: key_count,
                columns: value_depth,
                weights: Weights::F32(self.values),
                epilogue: Epilogue::NONE,
            };
            let places = out.get_mut(first * out_stride..).unwrap_or_default();
            if !gemm_f32(&self.kernels.tile, &sums, stride, places, out_stride) {
                return false;
            }
            first += QUERIES;
        }
        true
    }
}

#[cfg(test)]
mod tests;
