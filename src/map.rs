//! The one tensor type of the core: a borrowed map of height x width x channels.

use crate::limits::product;
use crate::status::{Result, Status};

/// Order of a map's elements in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Channel planes one after another: element (y, x, c) at `(c * height + y) * width + x`.
    /// What ONNX networks read and write (batch 1).
    Chw,
    /// Channels of a pixel side by side: element (y, x, c) at `(y * width + x) * channels + c`.
    Hwc,
}

/// A borrowed, dense map. The length always equals `height * width * channels`, none of them 0.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a, T> {
    data: &'a [T],
    height: usize,
    width: usize,
    channels: usize,
    layout: Layout,
}

impl<'a, T> Map<'a, T> {
    /// Wraps `data`, whose length must be exactly `height * width * channels`.
    pub fn new(
        data: &'a [T],
        height: usize,
        width: usize,
        channels: usize,
        layout: Layout,
    ) -> Result<Map<'a, T>> {
        let want = product("map", &[height, width, channels])?;
        if want == 0 || data.len() != want {
            let error = Status::InvalidArgument.about("length of a map");
            return Err(error.numbers(data.len() as u64, want as u64));
        }
        Ok(Map { data, height, width, channels, layout })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values per cell.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Order of the elements.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// All elements in memory order.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Row `y` of channel `c` of a [`Layout::Chw`] map; empty for other layouts or out of range.
    pub fn plane_row(&self, c: usize, y: usize) -> &'a [T] {
        if self.layout != Layout::Chw || c >= self.channels || y >= self.height {
            return &[];
        }
        let start = (c * self.height + y) * self.width;
        self.data.get(start..start + self.width).unwrap_or(&[])
    }

    /// Row `y`, all channels, of a [`Layout::Hwc`] map; empty for other layouts or out of range.
    pub fn pixel_row(&self, y: usize) -> &'a [T] {
        if self.layout != Layout::Hwc || y >= self.height {
            return &[];
        }
        let len = self.width * self.channels;
        self.data.get(y * len..(y + 1) * len).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_both_layouts() {
        let data: [u8; 12] = core::array::from_fn(|i| i as u8);
        let planar = Map::new(&data, 2, 3, 2, Layout::Chw).unwrap();
        assert_eq!(planar.plane_row(1, 0), [6, 7, 8]);
        assert!(planar.pixel_row(0).is_empty());
        let interleaved = Map::new(&data, 2, 3, 2, Layout::Hwc).unwrap();
        assert_eq!(interleaved.pixel_row(1), [6, 7, 8, 9, 10, 11]);
        assert!(interleaved.plane_row(0, 0).is_empty());
    }

    #[test]
    fn wrong_lengths_and_empty_maps_are_refused() {
        assert!(Map::new(&[0u8; 5], 2, 3, 1, Layout::Chw).is_err());
        assert!(Map::<u8>::new(&[], 0, 3, 1, Layout::Chw).is_err());
    }
}
