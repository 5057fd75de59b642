//! Runs one kernel on one layer, to count its instructions or to time it.
//!
//! ```text
//! kernels LAYER fastest|portable REPEATS
//! ```
//!
//! Prints the set of kernels and the layer's multiply-accumulates. Everything but the repeats costs
//! the same however many they are: `scripts/count_instructions.sh` takes the difference of two runs.

use std::hint::black_box;
use zsseg::math::kernels;
use zsseg::math::linear_i8::{ClassRowsI8, weights_total};
use zsseg::math::network::activation_f32::{Activation, Epilogue};
use zsseg::math::network::conv_shape::ConvShape;
use zsseg::math::network::conv_u8::{ConvOut, ConvU8, conv_u8, conv_u8_scratch_len};
use zsseg::math::network::depthwise_f32::{
    self, Depthwise, depthwise_f32, depthwise_f32_scratch_len,
};
use zsseg::math::network::depthwise_u8::{DepthwiseU8, packed_depthwise_len};
use zsseg::math::network::elementwise_u8::{AddU8, OperandU8};
use zsseg::math::network::gemm_f32::{Product, Weights, gemm_f32, packed_len};
use zsseg::math::network::gemm_out::{GemmOut, Places, Requantize};
use zsseg::math::network::gemm_pack::packed_gemm_i8_len;
use zsseg::math::network::gemm_u8::{GemmU8, PackedI8, RowsU8};
use zsseg::math::network::kernels::{NetworkKernels, PORTABLE};
use zsseg::math::network::quantization::QuantizedRange;
use zsseg::math::network::view::{View, ViewMut};
use zsseg::math::network::window::Window;
use zsseg::math::quantized::{QuantizedRow, points_len, scales_len};

const LAYERS: [(&str, Layer); 10] = [
    ("product_u8", product_u8),
    ("convolution_u8", convolution_u8),
    ("depthwise_u8", |set, repeats| depthwise_of_u8(set, repeats, [3, 1])),
    ("depthwise_u8_stride_2", |set, repeats| depthwise_of_u8(set, repeats, [3, 2])),
    ("depthwise_u8_5x5", |set, repeats| depthwise_of_u8(set, repeats, [5, 1])),
    ("add_u8", add_u8),
    ("table_u8", table_u8),
    ("classes_i8", classes_i8),
    ("product_f32", product_f32),
    ("depthwise_f32", depthwise_of_f32),
];

/// Runs a layer so many times; its multiply-accumulates, or results where it has none.
type Layer = fn(&Set, usize) -> usize;

/// Kernels of networks and of heads.
struct Set {
    network: NetworkKernels,
    heads: &'static kernels::Kernels,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layer, set, repeats] = arguments.as_slice() else {
        eprintln!("kernels LAYER fastest|portable REPEATS, where LAYER is one of");
        LAYERS.iter().for_each(|(name, _)| eprintln!("  {name}"));
        std::process::exit(2);
    };
    let set = match set.as_str() {
        "portable" => Set { network: PORTABLE, heads: &kernels::PORTABLE },
        _ => Set { network: NetworkKernels::detect(), heads: kernels::Kernels::detect() },
    };
    let (_, run) = LAYERS.iter().find(|(name, _)| name == layer).expect("no such layer");
    let size = run(&set, repeats.parse().expect("a number of repeats"));
    let heads = if layer == "classes_i8" { set.heads.name } else { set.network.name };
    println!("{heads} {size}");
}

/// Bytes that look random, -128 not among the signed ones: no quantiser writes that as a weight.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 24) as u8).max(1) ^ 0x80
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn signed(len: usize) -> Vec<i8> {
    bytes(len).into_iter().map(u8::cast_signed).collect()
}

fn floats(len: usize) -> Vec<f32> {
    signed(len).into_iter().map(|value| f32::from(value) / 128.0).collect()
}

/// To any byte.
fn requantize(scale: &[f32]) -> Requantize<'_> {
    Requantize { scale, zero_point: 128, low: 0, high: 255, table: None }
}

/// 96 pixels with 256 channels, to 64 channels.
fn product_u8(set: &Set, repeats: usize) -> usize {
    const ROWS: usize = 96;
    const DEPTH: usize = 256;
    const COLUMNS: usize = 64;
    let (left, weights) = (bytes(ROWS * DEPTH), signed(packed_gemm_i8_len(COLUMNS, DEPTH)));
    let (bias, scale, mut out) = ([5; COLUMNS], [1e-4; COLUMNS], [0; ROWS * COLUMNS]);
    let whole = 0..DEPTH;
    let gemm = GemmU8 {
        left: RowsU8 { data: &left, stride: DEPTH, rows: ROWS },
        right: PackedI8 { data: &weights, columns: COLUMNS, depth: DEPTH, depth_padded: DEPTH },
        bias: &bias,
        row_bias: &[],
        segments: std::slice::from_ref(&whole),
    };
    for _ in 0..repeats {
        let mut out = GemmOut::U8 {
            data: &mut out,
            places: Places::uniform(COLUMNS),
            requantize: requantize(&scale),
            residual: None,
        };
        assert!((set.network.gemm_u8)(black_box(&gemm), &mut out));
    }
    ROWS * DEPTH * COLUMNS
}

/// 3x3 taps on 16 x 16 pixels with 32 channels, to 64 channels.
fn convolution_u8(set: &Set, repeats: usize) -> usize {
    const SIDE: usize = 16;
    const CHANNELS: usize = 32;
    const COLUMNS: usize = 64;
    let shape = ConvShape {
        channels: CHANNELS,
        columns: COLUMNS,
        groups: 1,
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        padding: [1; 2],
    };
    let depth = shape.depth(4);
    let weights = signed(packed_gemm_i8_len(COLUMNS, depth.depth_padded));
    let input = bytes(SIDE * SIDE * CHANNELS + 64);
    let (bias, scale) = ([5; COLUMNS], [1e-4; COLUMNS]);
    let mut out = vec![0; SIDE * SIDE * COLUMNS + 64];
    let mut scratch = vec![0u32; conv_u8_scratch_len(&shape, 4, 192).div_ceil(4)];
    let conv = ConvU8 {
        shape,
        weights: &weights,
        depth_step: 4,
        bias: &bias,
        tap_sums: &[],
        input_zero_point: 128,
    };
    for _ in 0..repeats {
        let input = view(&input, SIDE, CHANNELS);
        let map = view_mut(&mut out, SIDE, COLUMNS);
        let mut out = ConvOut::U8 { map, requantize: requantize(&scale), residual: None };
        let scratch = zerocopy::IntoBytes::as_mut_bytes(scratch.as_mut_slice());
        assert!(conv_u8(&conv, set.network.gemm_u8, input, &mut out, 0..SIDE, scratch));
    }
    SIDE * SIDE * CHANNELS * 9 * COLUMNS
}

fn view<T>(data: &[T], side: usize, channels: usize) -> View<'_, T> {
    View { data, height: side, width: side, channels, pixel_stride: channels }
}

fn view_mut<T>(data: &mut [T], side: usize, channels: usize) -> ViewMut<'_, T> {
    ViewMut { data, height: side, width: side, channels, pixel_stride: channels }
}

fn window(taps: usize, stride: usize) -> Window {
    Window { kernel: [taps; 2], stride: [stride; 2], dilation: [1; 2], padding: [taps / 2; 2] }
}

/// Taps on 32 x 32 pixels with 64 channels.
fn depthwise_of_u8(set: &Set, repeats: usize, [taps, stride]: [usize; 2]) -> usize {
    const SIDE: usize = 32;
    const CHANNELS: usize = 64;
    let (out_side, window) = (SIDE / stride, window(taps, stride));
    let weights = signed(packed_depthwise_len(CHANNELS, window.kernel));
    let input = bytes(SIDE * SIDE * CHANNELS + 64);
    let mut out = vec![0; out_side * out_side * CHANNELS + 64];
    let mut scratch = vec![0; 1 << 18];
    let layer = DepthwiseU8 {
        window,
        weights: &weights,
        bias: &[5; CHANNELS],
        scale: &[1e-3; CHANNELS],
        padding_value: 128,
        range: QuantizedRange::full(128),
        table: None,
    };
    for _ in 0..repeats {
        let (input, mut out) =
            (view(&input, SIDE, CHANNELS), view_mut(&mut out, out_side, CHANNELS));
        let kernel = set.network.depthwise_u8;
        assert!(kernel(black_box(&input), &layer, &mut out, 0..out_side, &mut scratch));
    }
    out_side * out_side * CHANNELS * taps * taps
}

/// Two maps of 32 x 32 pixels with 16 channels.
fn add_u8(set: &Set, repeats: usize) -> usize {
    const SIDE: usize = 32;
    const CHANNELS: usize = 16;
    let (mut a, b) = (bytes(SIDE * SIDE * CHANNELS), bytes(SIDE * SIDE * CHANNELS));
    let sum = AddU8 { zero_points: [128; 2], ratios: [0.5; 2], range: QuantizedRange::full(128) };
    for _ in 0..repeats {
        let b = OperandU8::Map(view(&b, SIDE, CHANNELS));
        (set.network.bytes.add_in_place)(&mut view_mut(&mut a, SIDE, CHANNELS), &b, &sum, 0..SIDE);
    }
    a.len()
}

/// A map of 32 x 32 pixels with 16 channels.
fn table_u8(set: &Set, repeats: usize) -> usize {
    const SIDE: usize = 32;
    const CHANNELS: usize = 16;
    let input = bytes(SIDE * SIDE * CHANNELS);
    let mut out = vec![0; input.len()];
    for _ in 0..repeats {
        let input = view(&input, SIDE, CHANNELS);
        let mut out = view_mut(&mut out, SIDE, CHANNELS);
        (set.network.bytes.table)(&input, black_box(&[7; 256]), &mut out, 0..SIDE);
    }
    input.len()
}

/// A classifier of 256 channels and 20 classes on a row of 64 cells.
fn classes_i8(set: &Set, repeats: usize) -> usize {
    const WIDTH: usize = 64;
    const CHANNELS: usize = 256;
    const CLASSES: usize = 20;
    let (points, weights) = (bytes(points_len(CHANNELS, WIDTH)), signed(CLASSES * CHANNELS));
    let totals: Vec<i32> = weights.chunks(CHANNELS).map(weights_total).collect();
    let scales = vec![0.01; scales_len(WIDTH)];
    let mut out = vec![0.0; CLASSES * WIDTH];
    let classes = ClassRowsI8 {
        weights: &weights,
        channels: CHANNELS,
        totals: &totals,
        scales: &[0.01; CLASSES],
        bias: &[0.0; CLASSES],
    };
    for _ in 0..repeats {
        let row = QuantizedRow { points: black_box(&points), scales: &scales };
        (set.heads.linear_i8)(row, classes, &mut out, WIDTH);
    }
    WIDTH * CHANNELS * CLASSES
}

/// 96 pixels with 256 channels, to 64 channels.
fn product_f32(set: &Set, repeats: usize) -> usize {
    const ROWS: usize = 96;
    const DEPTH: usize = 256;
    const COLUMNS: usize = 64;
    let (left, weights) = (floats(ROWS * DEPTH), floats(packed_len(COLUMNS, DEPTH)));
    let mut out = vec![0.0; ROWS * COLUMNS];
    let product = Product {
        left: &left,
        zeros: &[],
        rows: ROWS,
        depth: DEPTH,
        columns: COLUMNS,
        weights: Weights::F32(&weights),
        epilogue: Epilogue::NONE,
    };
    for _ in 0..repeats {
        let kernel = &set.network.floats.tile;
        assert!(gemm_f32(kernel, black_box(&product), DEPTH, &mut out, COLUMNS));
    }
    ROWS * DEPTH * COLUMNS
}

/// 3x3 taps on 32 x 32 pixels with 96 channels.
fn depthwise_of_f32(set: &Set, repeats: usize) -> usize {
    const SIDE: usize = 32;
    const CHANNELS: usize = 96;
    let window = window(3, 1);
    let weights = floats(depthwise_f32::packed_depthwise_len(CHANNELS, 9));
    let input = floats(SIDE * SIDE * CHANNELS);
    let mut out = vec![0.0; input.len()];
    let mut scratch = vec![0.0; depthwise_f32_scratch_len(&window, CHANNELS)];
    let layer = Depthwise {
        window,
        weights: &weights,
        bias: &[0.5; CHANNELS],
        activation: Activation::None,
    };
    for _ in 0..repeats {
        let (input, mut out) = (view(&input, SIDE, CHANNELS), view_mut(&mut out, SIDE, CHANNELS));
        let set = set.network.floats;
        assert!(depthwise_f32(set, black_box(&layer), &input, &mut out, 0..SIDE, &mut scratch));
    }
    SIDE * SIDE * CHANNELS * 9
}
