//! Every set of integer layers against the definition of each.

use super::KernelsU8;
use crate::math::network::kernels::NetworkKernels;
use crate::math::network::testing::{Map, Random};
use crate::math::network::{elementwise_u8, pool_u8, quantize_u8, resize_u8};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// The integer layers of every set that this processor runs.
fn any_set() -> impl Strategy<Value = &'static KernelsU8> {
    let sets: Vec<&'static KernelsU8> = NetworkKernels::all().map(|set| set.bytes).collect();
    proptest::sample::select(sets)
}

proptest! {
    #[test]
    fn elementwise_equals_the_definition(kernels in any_set(), (case, rows) in elementwise_u8::tests::cases()) {
        let b = case.b();
        let (sum, product) = (&case.sum, &case.product);
        let mut output = case.a.clone();
        (kernels.add_in_place)(&mut output.view_mut(), &b, sum, rows.clone());
        prop_assert_eq!(output.data, case.expected_sum(case.a.clone(), rows.clone()));
        let mut output = case.a.clone();
        (kernels.mul_in_place)(&mut output.view_mut(), &b, product, rows.clone());
        prop_assert_eq!(output.data, case.expected_product(case.a.clone(), rows));
    }

    #[test]
    fn tables_equal_the_definition(
        kernels in any_set(),
        [height, width, channels] in [1usize..5, 1usize..12, 1usize..150],
        gaps in [0usize..2, 0usize..2],
        seed: u64,
    ) {
        let mut random = Random(seed);
        let mut input = Map::new([height, width, channels, channels + gaps[0]], || random.byte());
        let table: [u8; 256] = core::array::from_fn(|_| random.byte());
        let empty = Map::new([height, width, channels, channels + gaps[1]], || 7);
        let mut mapped = empty.clone();
        (kernels.table)(&input.view(), &table, &mut mapped.view_mut(), 0..height);
        let mut looked_up = empty;
        looked_up.fill(0..height, |at| table[usize::from(input.at(at))]);
        prop_assert_eq!(mapped.data, looked_up.data);
        let mut expected = input.clone();
        expected.fill(0..height, |at| table[usize::from(input.at(at))]);
        (kernels.table_in_place)(&mut input.view_mut(), &table, 0..height);
        prop_assert_eq!(input.data, expected.data);
    }

    #[test]
    fn pools_equal_the_definition(kernels in any_set(), (case, rows) in pool_u8::tests::cases()) {
        let input = case.input.view();
        let mut output = Map::new(case.output, || 7);
        (kernels.max_pool)(&input, &case.window, &mut output.view_mut(), rows.clone());
        prop_assert_eq!(output.data, case.expected_max(rows.clone()));
        let mut output = Map::new(case.output, || 7);
        let (window, counted, mean) = (&case.window, case.counted, &case.mean);
        let mut to = output.view_mut();
        (kernels.avg_pool)(&input, window, counted, mean, &mut to, rows.clone());
        prop_assert_eq!(output.data, case.expected_mean(rows));
        let mut output = vec![0; case.output[2]];
        (kernels.global_avg_pool)(&input, &case.mean, &mut output);
        prop_assert_eq!(output, case.expected_global_mean());
    }

    #[test]
    fn resizes_equal_the_definition(kernels in any_set(), (case, rows) in resize_u8::tests::cases()) {
        let (input, vertical, taps) = (case.input.view(), &case.axes[0], case.taps());
        let mut scratch = vec![0.0; resize_u8::resize_scratch_len(input.width, input.channels)];
        let mut output = Map::new(case.output, || 7);
        let (mut to, used) = (output.view_mut(), rows.clone());
        (kernels.resize_bilinear)(
                &input, (vertical, &taps), &case.rescale, &mut to, used, &mut scratch,
            );
        prop_assert_eq!(output.data, case.expected_bilinear(rows.clone()));
        let mut output = Map::new(case.output, || 7.0);
        let (mut to, used) = (output.view_mut(), rows.clone());
        let quantization = case.quantization();
        (kernels.resize_bilinear_f32)(
                &input, (vertical, &taps), quantization, &mut to, used, &mut scratch,
            );
        prop_assert_eq!(output.data, case.expected_bilinear_f32(rows.clone()));
        let vertical = &resize_u8::NearestRows { axis: case.axes[0], nearest: case.nearest };
        let mut output = Map::new(case.output, || 7);
        let (positions, table) = (case.positions(), Some(&case.table));
        let (mut to, used) = (output.view_mut(), rows.clone());
        (kernels.resize_nearest)(&input, vertical, &positions, table, &mut to, used);
        prop_assert_eq!(output.data, case.expected_nearest(rows.clone(), table));
        let mut output = Map::new(case.output, || 7.0);
        let (mut to, used) = (output.view_mut(), rows.clone());
        (kernels.resize_nearest_f32)(&input, vertical, &positions, quantization, &mut to, used);
        prop_assert_eq!(output.data, case.expected_nearest_f32(rows));
    }

    #[test]
    fn quantizing_equals_the_definition(
        kernels in any_set(),
        ([h, w, c], gaps, quantization, rows, seed) in quantize_u8::tests::cases(),
        tiny in prop_oneof![9 => Just(1.0f32), 1 => Just(1e-38f32)],
    ) {
        let mut random = Random(seed);
        let scale = quantization.scale * tiny;
        let quantization = crate::math::network::quantization::Quantization { scale, ..quantization };
        let real = |random: &mut Random| quantize_u8::tests::real(random, quantization);
        let expected = |real| quantize_u8::tests::expected(real, quantization);
        let input = Map::new([h, w, c, c + gaps[0]], || real(&mut random));
        let empty = Map::new([h, w, c, c + gaps[1]], || 7u8);
        let [mut output, mut wanted] = [empty.clone(), empty];
        let mut to = output.view_mut();
        (kernels.quantize)(&input.view(), quantization, &mut to, rows.clone());
        wanted.fill(rows.clone(), |at| expected(input.at(at)));
        prop_assert_eq!(&output.data, &wanted.data);
    }
}

#[test]
fn large_windows_do_not_overflow() {
    let case = pool_u8::tests::large();
    let input = case.input.view();
    let rows = 0..case.output[0];
    for kernels in NetworkKernels::all().map(|set| set.bytes) {
        let mut output = Map::new(case.output, || 7);
        let (window, mut to) = (&case.window, output.view_mut());
        (kernels.avg_pool)(&input, window, case.counted, &case.mean, &mut to, rows.clone());
        assert_eq!(output.data, case.expected_mean(rows.clone()));
        let mut output = vec![0; case.output[2]];
        (kernels.global_avg_pool)(&input, &case.mean, &mut output);
        assert_eq!(output, case.expected_global_mean());
    }
}
