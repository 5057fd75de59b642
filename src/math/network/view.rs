//! Activations as kernels see them.

/// A borrowed activation map, channels last: element (y, x, c) at
/// `(y * width + x) * pixel_stride + c`. `pixel_stride` is at least `channels`; more where the map
/// is a slice of a wider one, as the inputs of a concatenation are.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// From element (0, 0, 0) on, at least up to the last pixel's last channel.
    pub data: &'a [T],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
    /// Elements from pixel to pixel.
    pub pixel_stride: usize,
}

/// As [`View`], to be written.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    /// From element (0, 0, 0) on, at least up to the last pixel's last channel.
    pub data: &'a mut [T],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
    /// Elements from pixel to pixel.
    pub pixel_stride: usize,
}

/// Whether `len` elements hold a map.
const fn fits(len: usize, height: usize, width: usize, channels: usize, stride: usize) -> bool {
    let pixels = height.saturating_mul(width);
    let last = pixels.saturating_sub(1).saturating_mul(stride);
    pixels == 0 || (channels <= stride && last.saturating_add(channels) <= len)
}

impl<T> View<'_, T> {
    /// Whether the slice holds all pixels.
    pub fn fits(&self) -> bool {
        fits(self.data.len(), self.height, self.width, self.channels, self.pixel_stride)
    }
}

impl<T> ViewMut<'_, T> {
    /// Whether the slice holds all pixels.
    pub fn fits(&self) -> bool {
        fits(self.data.len(), self.height, self.width, self.channels, self.pixel_stride)
    }
}
