// SAFETY of every block of this file: the kernel is called only where the processor has its features,
// which each test asks for first.
#![allow(clippy::undocumented_unsafe_blocks)]

use crate::math::network::testing::{Map, Random};
use crate::math::network::{elementwise_u8, pool_u8, quantize_u8, resize_u8};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn detected() -> bool {
    super::super::avx512::detected()
}

proptest! {
    #[test]
    fn elementwise_equals_the_definition((case, rows) in elementwise_u8::tests::cases()) {
        if !detected() {
            return Ok(());
        }
        let (a, b) = (case.a.view(), case.b());
        let empty = Map::new(case.output, || 7);
        let (sum, product) = (&case.sum, &case.product);
        let mut output = empty.clone();
        // SAFETY (here and below): the processor has the features.
        unsafe { super::add_u8(&a, &b, sum, &mut output.view_mut(), rows.clone()) };
        prop_assert_eq!(output.data, case.expected_sum(empty.clone(), rows.clone()));
        let mut output = empty.clone();
        unsafe { super::mul_u8(&a, &b, product, &mut output.view_mut(), rows.clone()) };
        prop_assert_eq!(output.data, case.expected_product(empty, rows.clone()));
        let mut output = case.a.clone();
        unsafe { super::add_in_place_u8(&mut output.view_mut(), &b, sum, rows.clone()) };
        prop_assert_eq!(output.data, case.expected_sum(case.a.clone(), rows.clone()));
        let mut output = case.a.clone();
        unsafe { super::mul_in_place_u8(&mut output.view_mut(), &b, product, rows.clone()) };
        prop_assert_eq!(output.data, case.expected_product(case.a.clone(), rows));
    }

    #[test]
    fn tables_and_copies_equal_the_definition(
        [height, width, channels] in [1usize..5, 1usize..12, 1usize..150],
        gaps in [0usize..2, 0usize..2],
        seed: u64,
    ) {
        if !detected() {
            return Ok(());
        }
        let mut random = Random(seed);
        let mut input = Map::new([height, width, channels, channels + gaps[0]], || random.byte());
        let table: [u8; 256] = core::array::from_fn(|_| random.byte());
        let empty = Map::new([height, width, channels, channels + gaps[1]], || 7);
        let [mut copied, mut mapped] = [empty.clone(), empty.clone()];
        unsafe { super::copy_u8(&input.view(), &mut copied.view_mut(), 0..height) };
        unsafe { super::table_u8(&input.view(), &table, &mut mapped.view_mut(), 0..height) };
        let [mut same, mut looked_up] = [empty.clone(), empty];
        same.fill(0..height, |at| input.at(at));
        looked_up.fill(0..height, |at| table[usize::from(input.at(at))]);
        prop_assert_eq!(copied.data, same.data);
        prop_assert_eq!(mapped.data, looked_up.data);
        let mut expected = input.clone();
        expected.fill(0..height, |at| table[usize::from(input.at(at))]);
        unsafe { super::table_in_place_u8(&mut input.view_mut(), &table, 0..height) };
        prop_assert_eq!(input.data, expected.data);
    }

    #[test]
    fn pools_equal_the_definition((case, rows) in pool_u8::tests::cases()) {
        if !detected() {
            return Ok(());
        }
        let input = case.input.view();
        let mut output = Map::new(case.output, || 7);
        unsafe { super::max_pool_u8(&input, &case.window, &mut output.view_mut(), rows.clone()) };
        prop_assert_eq!(output.data, case.expected_max(rows.clone()));
        let mut output = Map::new(case.output, || 7);
        let (window, counted, mean) = (&case.window, case.counted, &case.mean);
        let mut to = output.view_mut();
        unsafe { super::avg_pool_u8(&input, window, counted, mean, &mut to, rows.clone()) };
        prop_assert_eq!(output.data, case.expected_mean(rows));
        let mut output = vec![0; case.output[2]];
        unsafe { super::global_avg_pool_u8(&input, &case.mean, &mut output) };
        prop_assert_eq!(output, case.expected_global_mean());
    }

    #[test]
    fn resizes_equal_the_definition((case, rows) in resize_u8::tests::cases()) {
        if !detected() {
            return Ok(());
        }
        let (input, vertical, taps) = (case.input.view(), &case.axes[0], case.taps());
        let mut scratch = vec![0.0; resize_u8::resize_scratch_len(input.width, input.channels)];
        let mut output = Map::new(case.output, || 7);
        let (mut to, used) = (output.view_mut(), rows.clone());
        unsafe {
            super::resize_bilinear_u8(
                &input, vertical, &taps, &case.rescale, &mut to, used, &mut scratch,
            );
        }
        prop_assert_eq!(output.data, case.expected_bilinear(rows.clone()));
        let mut output = Map::new(case.output, || 7.0);
        let (mut to, used) = (output.view_mut(), rows.clone());
        let quantization = case.quantization();
        unsafe {
            super::resize_bilinear_u8_f32(
                &input, vertical, &taps, quantization, &mut to, used, &mut scratch,
            );
        }
        prop_assert_eq!(output.data, case.expected_bilinear_f32(rows.clone()));
        let vertical = &resize_u8::NearestRows { axis: case.axes[0], nearest: case.nearest };
        let mut output = Map::new(case.output, || 7);
        let (positions, table) = (case.positions(), Some(&case.table));
        let (mut to, used) = (output.view_mut(), rows.clone());
        unsafe { super::resize_nearest_u8(&input, vertical, &positions, table, &mut to, used) };
        prop_assert_eq!(output.data, case.expected_nearest(rows.clone(), table));
        let mut output = Map::new(case.output, || 7.0);
        let (mut to, used) = (output.view_mut(), rows.clone());
        unsafe {
            super::resize_nearest_u8_f32(&input, vertical, &positions, quantization, &mut to, used);
        }
        prop_assert_eq!(output.data, case.expected_nearest_f32(rows));
    }

    #[test]
    fn quantizing_equals_the_definition(
        ([h, w, c], gaps, quantization, rows, seed) in quantize_u8::tests::cases(),
        tiny in prop_oneof![9 => Just(1.0f32), 1 => Just(1e-38f32)],
    ) {
        if !detected() {
            return Ok(());
        }
        let mut random = Random(seed);
        let scale = quantization.scale * tiny;
        let quantization = crate::math::network::quantization::Quantization { scale, ..quantization };
        let real = |random: &mut Random| quantize_u8::tests::real(random, quantization);
        let expected = |real| quantize_u8::tests::expected(real, quantization);
        let input = Map::new([h, w, c, c + gaps[0]], || real(&mut random));
        let empty = Map::new([h, w, c, c + gaps[1]], || 7u8);
        let [mut output, mut wanted] = [empty.clone(), empty];
        let mut to = output.view_mut();
        unsafe { super::quantize_u8(&input.view(), quantization, &mut to, rows.clone()) };
        wanted.fill(rows.clone(), |at| expected(input.at(at)));
        prop_assert_eq!(&output.data, &wanted.data);

        let c = if seed % 2 == 0 { 3 } else { c };
        let planes: Vec<f32> = (0..h * w * c).map(|_| real(&mut random)).collect();
        let empty = Map::new([h, w, c, c + gaps[1]], || 7u8);
        let [mut output, mut wanted] = [empty.clone(), empty];
        let mut to = output.view_mut();
        unsafe { super::quantize_planes_u8(&planes, quantization, &mut to, rows.clone()) };
        wanted.fill(rows, |[y, x, c]| expected(planes[(c * h + y) * w + x]));
        prop_assert_eq!(&output.data, &wanted.data);
    }
}

#[test]
fn large_windows_do_not_overflow() {
    if !detected() {
        return;
    }
    let case = pool_u8::tests::large();
    let input = case.input.view();
    let mut output = Map::new(case.output, || 7);
    let (window, counted, mean) = (&case.window, case.counted, &case.mean);
    let rows = 0..case.output[0];
    unsafe {
        super::avg_pool_u8(&input, window, counted, mean, &mut output.view_mut(), rows.clone())
    };
    assert_eq!(output.data, case.expected_mean(rows));
    let mut output = vec![0; case.output[2]];
    unsafe { super::global_avg_pool_u8(&input, mean, &mut output) };
    assert_eq!(output, case.expected_global_mean());
}
