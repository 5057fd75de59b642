//! The tensors of a plan: activations in the arena.

use crate::arena::ALIGN_BYTES;

/// Index of a tensor in the plan's table.
pub type TensorIndex = u16;
/// In place of an index: there is no such tensor.
pub const NO_TENSOR: TensorIndex = u16::MAX;
/// Readable bytes behind every activation: kernels load whole vectors.
pub const TAIL_BYTES: u64 = 64;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Quantised activations: `value = (q - zero_point) * scale`.
    U8,
    /// Floats.
    F32,
}

impl Element {
    /// Size of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            Element::U8 => 1,
            Element::F32 => 4,
        }
    }
}

/// Where an activation lies in the arena, channels last, batch 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// Start of element (0, 0, 0), in bytes from the start of the arena: a multiple of 64, or
    /// inside the parent.
    pub offset_bytes: u64,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Values per pixel.
    pub channels: u32,
    /// Elements from pixel to pixel; more than `channels` in a slice of a wider tensor.
    pub pixel_stride: u32,
    /// Type.
    pub element: Element,
    /// Quantisation step of U8; 1 for F32.
    pub scale: f32,
    /// Zero point of U8; 0 for F32.
    pub zero_point: u8,
    /// The wider tensor of which this is a slice of channels, or NO_TENSOR. A parent has none.
    pub parent: TensorIndex,
    /// Rows that are in memory at a time, of a tensor inside a chain ([`super::Step::strip_rows`]);
    /// 0: all.
    pub buffered_rows: u32,
}

impl Tensor {
    /// Height, width and channels.
    pub const fn shape(&self) -> [u32; 3] {
        [self.height, self.width, self.channels]
    }

    /// Pixels. Sides are at most 2^20, as [`super::Plan`] has checked, so nothing wraps here or
    /// below.
    pub const fn pixels(&self) -> u64 {
        (self.height as u64).wrapping_mul(self.width as u64)
    }

    /// Values.
    pub const fn values(&self) -> u64 {
        self.pixels().wrapping_mul(self.channels as u64)
    }

    /// Whether only some rows at a time are in memory.
    pub const fn is_buffered(&self) -> bool {
        self.buffered_rows != 0
    }

    /// Elements from the first to the last in memory, gaps between pixels included.
    pub const fn extent(&self) -> u64 {
        let rows = if self.is_buffered() { self.buffered_rows } else { self.height };
        let pixels = (rows as u64).wrapping_mul(self.width as u64).saturating_sub(1);
        pixels.wrapping_mul(self.pixel_stride as u64).wrapping_add(self.channels as u64)
    }

    /// Bytes from the first element to the last.
    pub const fn extent_bytes(&self) -> u64 {
        self.extent().wrapping_mul(self.element.bytes())
    }

    /// Bytes that a tensor without a parent occupies in the arena: its extent up to a multiple of
    /// 64, and the tail. No other tensor that lives at the same time may lie in them.
    pub const fn footprint_bytes(&self) -> u64 {
        let mask = ALIGN_BYTES as u64 - 1;
        (self.extent_bytes().wrapping_add(mask) & !mask).wrapping_add(TAIL_BYTES)
    }

    /// Whether pixels follow one another without gaps.
    pub const fn is_dense(&self) -> bool {
        self.pixel_stride == self.channels
    }
}
