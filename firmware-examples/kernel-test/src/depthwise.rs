//! Depthwise convolutions of bytes.

use crate::random::Random;
use core::ops::Range;
use zsseg::math::network::depthwise_u8::DepthwiseU8;
use zsseg::math::network::kernels::{NetworkKernels, PORTABLE};
use zsseg::math::network::quantization::QuantizedRange;
use zsseg::math::network::view::{View, ViewMut};
use zsseg::math::network::window::Window;

const SIDE: usize = 7;
const TAPS: usize = 5;
const PADDING: usize = 4;
const CHANNELS: usize = 44;
const GAP: usize = 8;
const INPUTS: usize = SIDE * SIDE * (CHANNELS + GAP);
/// The largest output has stride 1, the widest padding and one tap.
const OUT_SIDE: usize = SIDE + 2 * (PADDING - 1);
const OUTPUTS: usize = 4096;

/// Whether a set made a random layer itself; `None` if its results are not those of the portable set, or
/// if a layer that it leaves has eight channels.
pub fn equal(kernels: &NetworkKernels, random: &mut Random) -> Option<bool> {
    let window = window(random);
    let [height, width] = [1 + random.below(SIDE), 1 + random.below(SIDE)];
    let sides = [out_side(&window, 0, height), out_side(&window, 1, width)];
    let room = OUTPUTS / (sides[0] * sides[1]);
    let channels = 1 + random.below(CHANNELS.min(room));
    let mut input = [0; INPUTS];
    random.fill(&mut input, Random::byte);
    let mut weights = [0; TAPS * TAPS * CHANNELS];
    random.fill(&mut weights, Random::weight);
    let (mut bias, mut scale) = ([0; CHANNELS], [0.0; CHANNELS]);
    random.fill(&mut bias, Random::bias);
    random.fill(&mut scale, |random| random.factor(0.02));
    let mut table = [0; 256];
    random.fill(&mut table, Random::byte);
    let range = QuantizedRange {
        zero_point: random.byte(),
        low: random.byte() / 3,
        high: random.byte() / 3 + 170,
    };
    let layer = DepthwiseU8 {
        window,
        weights: &weights[..window.kernel[0] * window.kernel[1] * channels],
        bias: &bias[..channels],
        scale: &scale[..channels],
        padding_value: random.byte(),
        range,
        table: random.coin().then_some(&table),
    };
    let pixel_stride = channels + random.below(GAP);
    let input = View { data: &input, height, width, channels, pixel_stride };
    let to = [sides[0], sides[1], channels, channels + random.below(room - channels + 1).min(GAP)];
    compare(kernels, &input, &layer, to, rows(sides[0], random))
}

fn window(random: &mut Random) -> Window {
    let mut pair = |first, end: usize| [first + random.below(end), first + random.below(end)];
    Window {
        kernel: pair(1, TAPS),
        stride: pair(1, 3),
        dilation: pair(1, 3),
        padding: pair(0, PADDING),
    }
}

/// As many outputs as touch the map or its padding; at least one.
fn out_side(window: &Window, axis: usize, len: usize) -> usize {
    let reach = (window.kernel[axis] - 1) * window.dilation[axis];
    let free = (len + 2 * window.padding[axis]).saturating_sub(reach + 1);
    (free / window.stride[axis] + 1).min(OUT_SIDE)
}

fn rows(height: usize, random: &mut Random) -> Range<usize> {
    if random.coin() {
        return 0..height;
    }
    let [one, two] = [random.below(height + 1), random.below(height + 1)];
    one.min(two)..one.max(two)
}

fn compare(
    kernels: &NetworkKernels,
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    [height, width, channels, pixel_stride]: [usize; 4],
    rows: Range<usize>,
) -> Option<bool> {
    let [found, expected] = [kernels, &PORTABLE].map(|set| {
        let mut data = [7; OUTPUTS];
        let mut output = ViewMut { data: &mut data, height, width, channels, pixel_stride };
        let made = (set.depthwise_u8)(input, layer, &mut output, rows.clone(), &mut []);
        (made, data)
    });
    match found {
        (true, data) => (data == expected.1).then_some(true),
        (false, data) => (channels < 8 && data == [7; OUTPUTS]).then_some(false),
    }
}
