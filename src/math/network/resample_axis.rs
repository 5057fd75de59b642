//! Where an interpolation reads: one axis of ONNX's Resize.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How an output index becomes an input coordinate; `scale` is output steps per input step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `(index + 0.5) / scale - 0.5`.
    HalfPixel,
    /// As `HalfPixel`; 0 where the output has one position.
    PytorchHalfPixel,
    /// `index * (input - 1) / (output - 1)`; 0 where the output has one position.
    AlignCorners,
    /// `index / scale`.
    Asymmetric,
}

/// Which whole position stands for a coordinate between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// The nearer one, the lower of two equally near.
    RoundPreferFloor,
    /// The nearer one, the higher of two equally near.
    RoundPreferCeil,
    /// The lower one.
    Floor,
    /// The higher one.
    Ceil,
}

/// Two neighbours and the weight of the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Tap {
    /// The first neighbour.
    pub index: u32,
    /// The second: the next position, the same one at the end.
    pub next: u32,
    /// In 0..1.
    pub fraction: f32,
}

/// One axis of a resize. All arithmetic is in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResampleAxis {
    /// Input positions, at most 2^24.
    pub input: usize,
    /// Output positions, at most 2^24.
    pub output: usize,
    /// Output steps per input step: the operator's scale, or `output as f32 / input as f32`.
    pub scale: f32,
    /// From index to coordinate.
    pub coordinates: Coordinates,
}

impl ResampleAxis {
    fn coordinate(&self, index: usize) -> f32 {
        let position = index as f32;
        match self.coordinates {
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if self.output <= 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => {
                (position + 0.5) / self.scale - 0.5
            }
            Coordinates::AlignCorners => {
                let [input, output] = [self.input, self.output].map(|len| len.saturating_sub(1));
                position * input as f32 / output as f32
            }
            Coordinates::Asymmetric => position / self.scale,
        }
    }

    /// What output position `index` blends.
    pub fn bilinear(&self, index: usize) -> Tap {
        let last = self.input.saturating_sub(1);
        let coordinate = self.coordinate(index).max(0.0).min(last as f32);
        let first = coordinate as u32;
        let next = first.saturating_add(1).min(last as u32);
        Tap { index: first, next, fraction: coordinate - first as f32 }
    }

    /// The input position that output position `index` copies.
    pub fn nearest(&self, index: usize, nearest: Nearest) -> usize {
        let last = self.input.saturating_sub(1);
        let coordinate = self.coordinate(index).max(0.0).min(last as f32);
        let lower = coordinate as usize;
        let beyond = coordinate - lower as f32;
        let up = match nearest {
            Nearest::RoundPreferFloor => beyond > 0.5,
            Nearest::RoundPreferCeil => beyond >= 0.5,
            Nearest::Floor => false,
            Nearest::Ceil => beyond > 0.0,
        };
        (lower + usize::from(up)).min(last)
    }

    /// The taps of the first positions, as many as there are places.
    pub fn fill_bilinear(&self, taps: &mut [Tap]) {
        for (index, tap) in taps.iter_mut().enumerate() {
            *tap = self.bilinear(index);
        }
    }

    /// What the first positions copy, as many as there are places.
    pub fn fill_nearest(&self, nearest: Nearest, positions: &mut [u32]) {
        for (index, position) in positions.iter_mut().enumerate() {
            *position = self.nearest(index, nearest) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(input: usize, output: usize, coordinates: Coordinates) -> ResampleAxis {
        ResampleAxis { input, output, scale: output as f32 / input as f32, coordinates }
    }

    #[test]
    fn coordinates_follow_the_standard() {
        let fractions = |coordinates| {
            let axis = axis(2, 4, coordinates);
            [0, 1, 2, 3].map(|index| {
                let tap = axis.bilinear(index);
                tap.index as f32 + tap.fraction
            })
        };
        assert_eq!(fractions(Coordinates::HalfPixel), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(fractions(Coordinates::AlignCorners), [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
        assert_eq!(fractions(Coordinates::Asymmetric), [0.0, 0.5, 1.0, 1.0]);
        let one = |coordinates| axis(5, 1, coordinates).bilinear(0);
        assert_eq!(one(Coordinates::HalfPixel), Tap { index: 2, next: 3, fraction: 0.0 });
        assert_eq!(one(Coordinates::PytorchHalfPixel), Tap { index: 0, next: 1, fraction: 0.0 });
        let end = axis(3, 6, Coordinates::HalfPixel).bilinear(5);
        assert_eq!(end, Tap { index: 2, next: 2, fraction: 0.0 });
    }

    #[test]
    fn nearest_follows_the_standard() {
        let picks = |nearest| {
            let axis = axis(2, 4, Coordinates::Asymmetric);
            [0, 1, 2, 3].map(|index| axis.nearest(index, nearest))
        };
        assert_eq!(picks(Nearest::Floor), [0, 0, 1, 1]);
        assert_eq!(picks(Nearest::Ceil), [0, 1, 1, 1]);
        assert_eq!(picks(Nearest::RoundPreferFloor), [0, 0, 1, 1]);
        assert_eq!(picks(Nearest::RoundPreferCeil), [0, 1, 1, 1]);
    }

    #[test]
    fn coordinates_beyond_all_integers_are_the_last_position() {
        let axis = ResampleAxis { scale: f32::MIN_POSITIVE, ..axis(7, 3, Coordinates::HalfPixel) };
        assert_eq!([0, 1, 2].map(|index| axis.nearest(index, Nearest::RoundPreferCeil)), [6, 6, 6]);
    }
}
