//! The last step of a row: normalise, order the channels, quantise, and pad, straight into the
//! network's input.

use super::fetch::{Pixel, clamp_to_byte};
use crate::map::Layout;
use crate::math::pieces::piece_mut;
use crate::spec::{ChannelOrder, Input, InputType, Preprocess};
use crate::status::{Result, Status};

/// How pixel values become elements of the network's input.
pub(super) struct Writer {
    width: usize,
    height: usize,
    layout: Layout,
    order: ChannelOrder,
    /// Of R, G and B.
    channels: [Channel; 3],
    levels: Levels,
}

/// `value * gain + bias` is the normalised value, or for a quantised input the normalised value
/// divided by the quantisation's scale.
#[derive(Clone, Copy)]
struct Channel {
    gain: f32,
    bias: f32,
    /// The padding colour after gain and bias.
    pad: f32,
}

/// Integer range of a quantised input, as distances from the zero point.
#[derive(Clone, Copy)]
pub(super) struct Levels {
    low: f32,
    high: f32,
    zero_point: i32,
}

/// An element of the network's input.
pub(super) trait Element: Copy {
    /// From a value after gain and bias.
    fn from_value(value: f32, levels: &Levels) -> Self;
}

impl Element for f32 {
    fn from_value(value: f32, _: &Levels) -> f32 {
        value
    }
}

/// The byte of an integer, with or without sign as the levels have it.
impl Element for u8 {
    fn from_value(value: f32, levels: &Levels) -> u8 {
        levels.quantise(value) as u8
    }
}

impl Levels {
    fn of(element: InputType) -> Levels {
        let (low, high, zero_point) = match element {
            InputType::F32 => (0, 0, 0),
            InputType::U8(quantization) => (0, 255, quantization.zero_point),
            InputType::I8(quantization) => (-128, 127, quantization.zero_point),
        };
        let distance = |level: i32| level.saturating_sub(zero_point) as f32;
        Levels { low: distance(low), high: distance(high), zero_point }
    }

    /// Clamps, rounds half to even, adds the zero point. The result is in the integer range.
    ///
    /// Adding 1.5 * 2^23 leaves the rounded value in the low bits of the sum, on every CPU and in
    /// vector code; the clamp before it keeps |value| far below 2^22.
    fn quantise(&self, value: f32) -> i32 {
        const ROUND: f32 = 12_582_912.0;
        let value = if value > self.low { value } else { self.low };
        let value = if value < self.high { value } else { self.high };
        let bits = (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
        (bits as i32).wrapping_add(self.zero_point)
    }
}

/// Rows of the network's input: of each channel, or of all of them together in the first.
pub(super) struct RowsMut<'t, E> {
    planes: [&'t mut [E]; 3],
    /// Elements of a row of a plane.
    row_len: usize,
}

impl<'t, E> RowsMut<'t, E> {
    /// Takes the first `rows` rows away.
    pub(super) fn split_off(&mut self, rows: usize) -> RowsMut<'t, E> {
        let len = rows.saturating_mul(self.row_len);
        let planes = self.planes.each_mut().map(|plane| {
            let whole = core::mem::take(plane);
            let (above, below) = whole.split_at_mut_checked(len).unwrap_or_default();
            *plane = below;
            above
        });
        RowsMut { planes, row_len: self.row_len }
    }
}

impl Writer {
    /// All rows of `target`, the whole input.
    pub(super) fn rows<'t, E>(&self, target: &'t mut [E]) -> RowsMut<'t, E> {
        let area = self.width.saturating_mul(self.height);
        match self.layout {
            Layout::Hwc => RowsMut {
                planes: [target, &mut [], &mut []],
                row_len: self.width.saturating_mul(3),
            },
            Layout::Chw => {
                let (one, rest) = target.split_at_mut_checked(area).unwrap_or_default();
                let (two, three) = rest.split_at_mut_checked(area).unwrap_or_default();
                RowsMut { planes: [one, two, three], row_len: self.width }
            }
        }
    }

    /// # Errors
    /// [`Status::BundleContent`] if scale, mean, std and quantisation, each possible in itself,
    /// give a number beyond the range of f32.
    pub(super) fn new(input: &Input, preprocess: &Preprocess) -> Result<Writer> {
        let step = match input.element {
            InputType::F32 => 1.0,
            InputType::U8(quantization) | InputType::I8(quantization) => {
                f64::from(quantization.scale)
            }
        };
        let mut channels = [Channel { gain: 0.0, bias: 0.0, pad: 0.0 }; 3];
        let numbers = preprocess.mean.iter().zip(&preprocess.std).zip(&preprocess.pad);
        for (channel, ((&mean, &std), &pad)) in channels.iter_mut().zip(numbers) {
            let unit = f64::from(std) * step;
            let gain = (f64::from(preprocess.scale) / unit) as f32;
            let bias = (-f64::from(mean) / unit) as f32;
            *channel = Channel { gain, bias, pad: pad * gain + bias };
            if !(gain.is_finite() && (255.0 * gain + bias).is_finite() && channel.pad.is_finite()) {
                return Err(Status::BundleContent.about("preprocessing leaves the range of f32"));
            }
        }
        // The numbers come in the order of the network's channels.
        if preprocess.order == ChannelOrder::Bgr {
            channels.reverse();
        }
        Ok(Writer {
            width: input.width as usize,
            height: input.height as usize,
            layout: input.layout,
            order: preprocess.order,
            channels,
            levels: Levels::of(input.element),
        })
    }

    /// Writes row `y` of `target`. `content` lies from column `left` on; everything else is
    /// padding.
    pub(super) fn write_row<E: Element>(
        &self,
        target: &mut RowsMut<'_, E>,
        y: usize,
        content: &[Pixel],
        left: usize,
    ) {
        match self.layout {
            Layout::Chw => self.write_planar(&mut target.planes, y, content, left),
            Layout::Hwc => {
                let [pixels, ..] = &mut target.planes;
                self.write_interleaved(pixels, y, content, left);
            }
        }
    }

    fn write_planar<E: Element>(
        &self,
        [one, two, three]: &mut [&mut [E]; 3],
        y: usize,
        content: &[Pixel],
        left: usize,
    ) {
        let (red, blue) = match self.order {
            ChannelOrder::Rgb => (one, three),
            ChannelOrder::Bgr => (three, one),
        };
        let [red_channel, green_channel, blue_channel] = &self.channels;
        self.write_plane(red, y, left, red_channel, content.iter().map(|&[r, _, _, _]| r));
        self.write_plane(two, y, left, green_channel, content.iter().map(|&[_, g, _, _]| g));
        self.write_plane(blue, y, left, blue_channel, content.iter().map(|&[_, _, b, _]| b));
    }

    fn write_plane<E: Element>(
        &self,
        map: &mut [E],
        y: usize,
        left: usize,
        channel: &Channel,
        content: impl ExactSizeIterator<Item = f32>,
    ) {
        let Some(row) = piece_mut(map, y, self.width) else { return };
        let Some((before, row)) = row.split_at_mut_checked(left) else { return };
        let Some((row, after)) = row.split_at_mut_checked(content.len()) else { return };
        let pad = E::from_value(channel.pad, &self.levels);
        before.fill(pad);
        after.fill(pad);
        for (out, value) in row.iter_mut().zip(content) {
            *out = self.element(channel, value);
        }
    }

    fn write_interleaved<E: Element>(
        &self,
        target: &mut [E],
        y: usize,
        content: &[Pixel],
        left: usize,
    ) {
        let (pixels, _) = target.as_chunks_mut::<3>();
        let Some(row) = piece_mut(pixels, y, self.width) else { return };
        let Some((before, row)) = row.split_at_mut_checked(left) else { return };
        let Some((row, after)) = row.split_at_mut_checked(content.len()) else { return };
        let pad = self.channels.map(|channel| E::from_value(channel.pad, &self.levels));
        let pad = self.ordered(pad);
        before.fill(pad);
        after.fill(pad);
        let [red, green, blue] = &self.channels;
        for (out, &[r, g, b, _]) in row.iter_mut().zip(content) {
            let rgb = [self.element(red, r), self.element(green, g), self.element(blue, b)];
            *out = self.ordered(rgb);
        }
    }

    /// R, G, B in the order in which the channels are written.
    fn ordered<E>(&self, [red, green, blue]: [E; 3]) -> [E; 3] {
        match self.order {
            ChannelOrder::Rgb => [red, green, blue],
            ChannelOrder::Bgr => [blue, green, red],
        }
    }

    /// A resampled value, which bicubic may have brought beyond 0..=255, as an element.
    fn element<E: Element>(&self, channel: &Channel, value: f32) -> E {
        E::from_value(clamp_to_byte(value) * channel.gain + channel.bias, &self.levels)
    }
}
