// SAFETY of every block of this file: the kernel is called only where the processor has its
// features, which each test asks for first.
#![allow(clippy::undocumented_unsafe_blocks)]

use super::*;
use crate::math::arch::depthwise_plan::depthwise_u8_scratch_len;
use crate::math::arch::x86_64::cpu::Cpu;
use crate::math::network::depthwise_u8::tests::{Case, cases};
use crate::math::network::testing::Map;
use proptest::prelude::*;
use std::vec;

type Kernel = unsafe fn(
    &View<'_, u8>,
    &DepthwiseU8<'_>,
    &mut ViewMut<'_, u8>,
    Range<usize>,
    &mut [u8],
) -> bool;

fn kernels() -> impl Iterator<Item = Kernel> {
    let cpu = Cpu::detect();
    let kernels: [(bool, Kernel); 3] = [
        (cpu.avx512_vnni && cpu.avx512_bytes, depthwise_u8_avx512),
        (cpu.avx_vnni, depthwise_u8_avx_vnni),
        (cpu.avx2, depthwise_u8_avx2),
    ];
    kernels.into_iter().filter_map(|(runs, kernel)| runs.then_some(kernel))
}

fn check(case: &Case, rows: Range<usize>, offset: usize) {
    let layer = case.layer();
    let len = depthwise_u8_scratch_len(&layer.window, case.output[2], case.output[1]);
    let expected = case.expected(rows.clone());
    for kernel in kernels() {
        let mut scratch = vec![0xaa; len + offset + 64];
        let mut output = Map::new(case.output, || 7);
        let (used, rest) = scratch[offset..].split_at_mut(len);
        let input = case.input.view();
        // SAFETY: the processor has the features.
        let made = unsafe { kernel(&input, &layer, &mut output.view_mut(), rows.clone(), used) };
        assert!(made);
        assert!(rest.iter().all(|byte| *byte == 0xaa));
        assert_eq!(output.data, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn equals_the_naive_convolution((case, rows) in cases(), offset in 0usize..64) {
        check(&case, rows, offset);
    }
}

#[test]
fn wide_rows_take_several_tiles() {
    for (channels, stride) in [(16, 1), (72, 2), (40, 1), (130, 1), (24, 2), (64, 2)] {
        let window = crate::math::network::window::Window {
            kernel: [3, 3],
            stride: [stride; 2],
            dilation: [1, 1],
            padding: [1, 1],
        };
        check(&Case::new(window, [6, 301, channels], [0, 0], 5), 0..2, 0);
    }
}

#[test]
fn short_slices_are_refused() {
    let window = crate::math::network::window::Window {
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        padding: [1, 1],
    };
    let case = Case::new(window, [4, 5, 70], [0, 0], 1);
    let (layer, input) = (case.layer(), case.input.view());
    let mut scratch = vec![0; depthwise_u8_scratch_len(&window, 70, 5)];
    for kernel in kernels() {
        let mut refused = |input, layer, cut: usize, rows| {
            let mut output = Map::new(case.output, || 7);
            let used = scratch.len() - cut;
            // SAFETY: the processor has the features.
            let made = unsafe {
                kernel(&input, &layer, &mut output.view_mut(), rows, &mut scratch[..used])
            };
            !made && output.data.iter().all(|value| *value == 7)
        };
        assert!(refused(input, DepthwiseU8 { weights: &layer.weights[1..], ..layer }, 0, 0..4));
        assert!(refused(input, DepthwiseU8 { bias: &layer.bias[1..], ..layer }, 0, 0..4));
        assert!(refused(input, DepthwiseU8 { scale: &layer.scale[1..], ..layer }, 0, 0..4));
        assert!(refused(input, layer, 0, 0..5));
        let len = input.data.len() - 2;
        assert!(refused(View { data: &input.data[..len], ..input }, layer, 0, 0..4));
        let huge = crate::math::network::window::Window { stride: [0, 1], ..window };
        assert!(refused(input, DepthwiseU8 { window: huge, ..layer }, 0, 0..4));
        assert!(!refused(input, layer, 0, 0..4));
    }
}
