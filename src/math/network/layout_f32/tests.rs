use super::*;
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;

proptest! {
    #[test]
    fn values_land_where_they_belong(
        [height, width] in [1..6usize, 1..40usize],
        channels in prop_oneof![1..5usize, 15..35usize],
        [gap, out_gap, top, left] in [0..3usize, 0..3usize, 0..3usize, 0..3usize],
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

        let mut planes = vec![7.0; height * width * channels];
        prop_assert!(pixels_to_planes_f32(&input, &mut planes, rows.clone()));
        for (index, &got) in planes.iter().enumerate() {
            let (c, pixel) = (index / (height * width), index % (height * width));
            let made = rows.contains(&(pixel / width));
            prop_assert_eq!(got, if made { at(pixel / width, pixel % width, c) } else { 7.0 });
        }

        prop_assert!(pixels_to_planes_f32(&input, &mut planes, 0..height));
        out.fill(7.0);
        let places = &mut out;
        let mut view = ViewMut { data: places, height, width, channels, pixel_stride: out_stride };
        prop_assert!(planes_to_pixels_f32(&planes, &mut view, rows.clone()));
        for (index, &got) in out.iter().enumerate() {
            let (pixel, c) = (index / out_stride, index % out_stride);
            let made = c < channels && rows.contains(&(pixel / width));
            prop_assert_eq!(got, if made { at(pixel / width, pixel % width, c) } else { 7.0 });
        }

        let (tall, wide) = (height + top + 1, width + left + 2);
        let mut out = vec![7.0; tall * wide * out_stride];
        let places = &mut out;
        let mut view =
            ViewMut { data: places, height: tall, width: wide, channels, pixel_stride: out_stride };
        prop_assert!(pad_f32(&input, [top, left], 3.0, &mut view, 0..tall - 1));
        for (index, &got) in out.iter().enumerate() {
            let (pixel, c) = (index / out_stride, index % out_stride);
            let (y, x) = (pixel / wide, pixel % wide);
            let inside = (top..top + height).contains(&y) && (left..left + width).contains(&x);
            let want = match (c < channels && y < tall - 1, inside) {
                (false, _) => 7.0,
                (true, false) => 3.0,
                (true, true) => at(y - top, x - left, c),
            };
            prop_assert_eq!(got, want);
        }
    }
}

#[test]
fn halves_are_rounded_and_widened() {
    let values: std::vec::Vec<f32> = noise(3, 45).iter().map(|value| value * 70_000.0).collect();
    for set in every_set() {
        let (mut bits, mut back) = (vec![0; 45], vec![7.0; 46]);
        narrow_f16(set, &values, &mut bits);
        widen_f16(set, &bits, &mut back);
        for ((value, bits), back) in values.iter().zip(&bits).zip(&back) {
            assert_eq!(*bits, half::f16::from_f32(*value).to_bits(), "{}", set.name);
            assert_eq!(*back, half::f16::from_f32(*value).to_f32(), "{}", set.name);
        }
        assert_eq!(back[45], 7.0);
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
    assert!(!pad_f32(&input, [0, 1], 0.0, &mut out, 0..2));
    assert!(!planes_to_pixels_f32(&data[..11], &mut out, 0..2));
    assert!(!copy_f32(&input, &mut out, 0..3));
    assert_eq!(places, [7.0; 12]);
    assert!(!pixels_to_planes_f32(&input, &mut places[..11], 0..2));
    assert_eq!(places, [7.0; 12]);
}
