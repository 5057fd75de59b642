//! What the tests of several kernels need.

use super::view::{View, ViewMut};
use std::vec::Vec;

/// A small generator (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A byte; one in four is extreme.
    pub fn byte(&mut self) -> u8 {
        let bits = self.next();
        match bits % 8 {
            0 => 0,
            1 => 255,
            _ => (bits >> 32) as u8,
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// A number in `low..high`.
    pub fn float(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }
}

/// A map that owns its data, with 64 bytes after it.
#[derive(Clone, Debug)]
pub struct Map<T> {
    /// Data, then 64 elements more.
    pub data: Vec<T>,
    /// Height, width, channels, pixel stride.
    pub shape: [usize; 4],
}

impl<T: Copy> Map<T> {
    /// Filled by `value`, called for every element including the gaps.
    pub fn new(shape: [usize; 4], mut value: impl FnMut() -> T) -> Self {
        let len = shape[0] * shape[1] * shape[3] + 64;
        Map { data: (0..len).map(|_| value()).collect(), shape }
    }

    /// Element (y, x, c).
    pub fn at(&self, [y, x, c]: [usize; 3]) -> T {
        self.data[(y * self.shape[1] + x) * self.shape[3] + c]
    }

    /// Sets element (y, x, c).
    pub fn set(&mut self, [y, x, c]: [usize; 3], value: T) {
        self.data[(y * self.shape[1] + x) * self.shape[3] + c] = value;
    }

    /// As kernels read it.
    pub fn view(&self) -> View<'_, T> {
        let [height, width, channels, pixel_stride] = self.shape;
        View { data: &self.data, height, width, channels, pixel_stride }
    }

    /// As kernels write it.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        let [height, width, channels, pixel_stride] = self.shape;
        ViewMut { data: &mut self.data, height, width, channels, pixel_stride }
    }

    /// Sets every element inside rows `rows` from its position.
    pub fn fill(&mut self, rows: core::ops::Range<usize>, value: impl Fn([usize; 3]) -> T) {
        for y in rows {
            for x in 0..self.shape[1] {
                for c in 0..self.shape[2] {
                    self.set([y, x, c], value([y, x, c]));
                }
            }
        }
    }
}
