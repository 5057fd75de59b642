use super::*;
use crate::math::network::kernels_f32::noise;
use proptest::prelude::*;
use std::vec;

proptest! {
    #[test]
    fn values_land_where_they_belong(
        [height, width] in [1..6usize, 1..40usize],
        channels in prop_oneof![1..5usize, 15..35usize],
        [gap, out_gap] in [0..3usize, 0..3usize],
        rows in [0..6usize, 0..6usize],
        seed: u32,
    ) {
        let (stride, out_stride) = (channels + gap, channels + out_gap);
        let data = noise(seed, height * width * stride);
        let input = View { data: &data, height, width, channels, pixel_stride: stride };
        let rows = rows.map(|row: usize| row.min(height));
        let rows = rows[0].min(rows[1])..rows[0].max(rows[1]);
        let at = |y: usize, x: usize, c: usize| data[(y * width + x) * stride + c];

        let mut out = vec![7.0; height * width * out_stride];
        let places = &mut out;
        let mut view = ViewMut { data: places, height, width, channels, pixel_stride: out_stride };
        prop_assert!(copy_f32(&input, &mut view, rows.clone()));
        for (index, &got) in out.iter().enumerate() {
            let (pixel, c) = (index / out_stride, index % out_stride);
            let made = c < channels && rows.contains(&(pixel / width));
            prop_assert_eq!(got, if made { at(pixel / width, pixel % width, c) } else { 7.0 });
        }
    }
}

#[test]
fn short_slices_are_refused() {
    let data = [1.0; 12];
    let input = View { data: &data, height: 2, width: 2, channels: 3, pixel_stride: 3 };
    let short = View { data: &data[..11], ..input };
    let mut places = [7.0; 12];
    let mut out = ViewMut { data: &mut places, height: 2, width: 2, channels: 3, pixel_stride: 3 };
    assert!(!copy_f32(&short, &mut out, 0..2));
    assert!(!copy_f32(&input, &mut out, 0..3));
    assert_eq!(places, [7.0; 12]);
}
