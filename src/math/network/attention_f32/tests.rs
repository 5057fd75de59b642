use super::*;
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

proptest! {
    #[test]
    fn heads_attend_as_plain_sums_do(
        [queries, keys, heads] in [1..60usize, 1..60usize, 1..4usize],
        [depth, value_depth, gap, out_gap] in [1..40usize, 1..40usize, 0..3usize, 0..3usize],
        scale in 0.1f32..2.0,
        seed: u32,
    ) {
        let (head, value_head) = (depth + gap, value_depth + gap);
        let (stride, value_stride) = (heads * head + 1, heads * value_head);
        let q = noise(seed, queries * stride);
        let k = noise(seed ^ 1, keys * stride);
        let v = noise(seed ^ 2, keys * value_stride);
        let attention = Attention {
            queries: Tokens { data: &q, stride, head_stride: head },
            keys: Tokens { data: &k, stride, head_stride: head },
            values: Tokens { data: &v, stride: value_stride, head_stride: value_head },
            query_count: queries,
            key_count: keys,
            heads,
            depth,
            value_depth,
            scale,
        };
        let out_stride = heads * value_depth + out_gap;
        let mut scratch = vec![f32::NAN; attention_f32_scratch_len(keys, depth, value_depth)];
        for set in every_set() {
            let mut out = vec![7.0; queries * out_stride];
            prop_assert!(attention_f32(set, &attention, &mut out, out_stride, &mut scratch));
            for (query, row) in out.chunks(out_stride).enumerate() {
                for h in 0..heads {
                    let powers: Vec<f64> = (0..keys).map(|key| {
                        let dot: f64 = (0..depth).map(|at| {
                            f64::from(q[query * stride + h * head + at])
                                * f64::from(k[key * stride + h * head + at])
                        }).sum();
                        libm::exp(dot * f64::from(scale))
                    }).collect();
                    let sum: f64 = powers.iter().sum();
                    for c in 0..value_depth {
                        let want: f64 = powers.iter().enumerate().map(|(key, power)| {
                            power / sum * f64::from(v[key * value_stride + h * value_head + c])
                        }).sum();
                        let got = f64::from(row[h * value_depth + c]);
                        prop_assert!((got - want).abs() <= 1e-5, "{}: {} {}", set.name, got, want);
                    }
                }
                prop_assert!(row[heads * value_depth..].iter().all(|&value| value == 7.0));
            }
        }
    }

    #[test]
    fn packing_at_run_time_equals_packing_ahead(
        [columns, depth, gap] in [1..50usize, 1..50usize, 0..3usize],
        seed: u32,
    ) {
        use crate::math::network::gemm_f32::{pack_gemm_f32, pack_gemm_transposed_f32};
        let raw = noise(seed, columns * depth);
        let len = packed_len(columns, depth);
        let (mut want, mut got) = (vec![8.0; len], vec![9.0; len]);
        let spread = |count: usize, len: usize| -> Vec<f32> {
            (0..count).flat_map(|row| {
                let row = &raw[row * len..(row + 1) * len];
                row.iter().copied().chain(core::iter::repeat_n(5.0, gap))
            }).collect()
        };
        prop_assert!(pack_gemm_f32(&raw, columns, depth, &mut want));
        let rows = spread(columns, depth);
        prop_assert!(pack_gemm_dynamic_transposed_f32(&rows, depth + gap, columns, depth, &mut got));
        prop_assert_eq!(&got, &want);
        prop_assert!(pack_gemm_transposed_f32(&raw, columns, depth, &mut want));
        let rows = spread(depth, columns);
        prop_assert!(pack_gemm_dynamic_f32(&rows, columns + gap, columns, depth, &mut got));
        prop_assert_eq!(&got, &want);
    }
}

#[test]
fn short_slices_are_refused() {
    let data = [1.0; 24];
    let set = every_set().next().expect("a set");
    let tokens = Tokens { data: &data, stride: 8, head_stride: 4 };
    let attention = Attention {
        queries: tokens,
        keys: tokens,
        values: tokens,
        query_count: 3,
        key_count: 3,
        heads: 2,
        depth: 4,
        value_depth: 4,
        scale: 1.0,
    };
    let mut scratch = vec![0.0; attention_f32_scratch_len(3, 4, 4)];
    let less = scratch.len() - 1;
    let mut out = [7.0; 24];
    let short = Tokens { data: &data[..19], ..tokens };
    assert!(!attention_f32(
        set,
        &Attention { keys: short, ..attention },
        &mut out,
        8,
        &mut scratch
    ));
    assert!(!attention_f32(set, &attention, &mut out, 8, &mut scratch[..less]));
    assert_eq!(out, [7.0; 24]);
    assert!(!attention_f32(set, &attention, &mut out[..23], 8, &mut scratch));
    assert!(attention_f32(set, &attention, &mut out, 8, &mut scratch));
    assert_eq!(out, [1.0; 24]);
}
