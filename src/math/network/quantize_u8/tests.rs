use super::*;
use crate::math::network::testing::{Map, Random};
use proptest::prelude::*;

/// Numbers in and around the range of `quantization`, ties, and what is no number.
pub(crate) fn real(random: &mut Random, quantization: Quantization) -> f32 {
    match random.next() % 16 {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        3 => f32::from_bits(random.next() as u32),
        4..8 => (random.float(-300.0, 300.0).round() + 0.5) * quantization.scale,
        _ => random.float(-300.0, 300.0) * quantization.scale,
    }
}

/// By the definition.
pub(crate) fn expected(real: f32, quantization: Quantization) -> u8 {
    if real.is_nan() {
        return quantization.zero_point;
    }
    let steps = f64::from(real / quantization.scale).round_ties_even();
    (steps + f64::from(quantization.zero_point)).clamp(0.0, 255.0) as u8
}

/// Shape, gaps, quantisation, rows, seed.
pub(crate) type Case = ([usize; 3], [usize; 2], Quantization, Range<usize>, u64);

/// Maps and quantisations.
pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let gap = || prop_oneof![Just(0usize), 1usize..5];
    let channels = prop_oneof![1usize..5, 1usize..100];
    let shape = (1usize..6, 1usize..40, channels);
    let scale = prop_oneof![Just(0.5f32), Just(1.0 / 255.0), 1e-6f32..10.0];
    (shape, [gap(), gap()], scale, any::<u8>(), any::<u64>()).prop_map(
        |((h, w, c), gaps, scale, zero_point, seed)| {
            let rows = if h > 2 && seed % 2 == 0 { 1..h - 1 } else { 0..h };
            ([h, w, c], gaps, Quantization { scale, zero_point }, rows, seed)
        },
    )
}

proptest! {
    #[test]
    fn equals_the_definition(([h, w, c], gaps, quantization, rows, seed) in cases()) {
        let mut random = Random(seed);
        let input = Map::new([h, w, c, c + gaps[0]], || real(&mut random, quantization));
        let empty = Map::new([h, w, c, c + gaps[1]], || 7u8);
        let mut output = empty.clone();
        quantize_u8(&input.view(), quantization, &mut output.view_mut(), rows.clone());
        let mut wanted = empty.clone();
        wanted.fill(rows.clone(), |at| expected(input.at(at), quantization));
        prop_assert_eq!(&output.data, &wanted.data);
    }

    #[test]
    fn dequantizing_equals_the_definition(
        ([h, w, c], gaps, quantization, rows, seed) in cases(),
    ) {
        let mut random = Random(seed);
        let input = Map::new([h, w, c, c + gaps[0]], || random.byte());
        let real = |at| (f32::from(input.at(at)) - f32::from(quantization.zero_point)) * quantization.scale;
        let mut output = Map::new([h, w, c, c + gaps[1]], || 7.0);
        let mut wanted = output.clone();
        dequantize_u8(&input.view(), quantization, &mut output.view_mut(), rows.clone());
        wanted.fill(rows.clone(), real);
        prop_assert_eq!(&output.data, &wanted.data);
    }
}
