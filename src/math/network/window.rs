//! The geometry of operators that slide a window over a map.

/// A window's size and steps; index 0 is vertical, 1 horizontal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps, at least 1.
    pub kernel: [usize; 2],
    /// Input steps per output step, at least 1.
    pub stride: [usize; 2],
    /// Input steps per tap, at least 1.
    pub dilation: [usize; 2],
    /// Positions before the first row and column of the input that the first window covers.
    pub padding: [usize; 2],
}

impl Window {
    /// A 1x1 kernel.
    pub const ONE: Window =
        Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: [0, 0] };

    /// Input positions that `count` outputs span along an axis, 0 down, 1 right.
    pub const fn span(&self, axis: usize, count: usize) -> usize {
        let (kernel, stride) = if axis == 0 {
            (self.kernel[0].saturating_sub(1).saturating_mul(self.dilation[0]), self.stride[0])
        } else {
            (self.kernel[1].saturating_sub(1).saturating_mul(self.dilation[1]), self.stride[1])
        };
        count.saturating_sub(1).saturating_mul(stride).saturating_add(kernel).saturating_add(1)
    }

    /// The input row that tap `tap` of output row `row` meets, if it is inside a map of `height`.
    #[inline(always)]
    pub fn input_row(&self, row: usize, tap: usize, height: usize) -> Option<usize> {
        position(row, tap, [self.stride[0], self.dilation[0], self.padding[0], height])
    }

    /// The input column that tap `tap` of output column `column` meets, if it is inside a map of
    /// `width`.
    #[inline(always)]
    pub fn input_column(&self, column: usize, tap: usize, width: usize) -> Option<usize> {
        position(column, tap, [self.stride[1], self.dilation[1], self.padding[1], width])
    }
}

#[inline(always)]
fn position(
    output: usize,
    tap: usize,
    [stride, dilation, padding, len]: [usize; 4],
) -> Option<usize> {
    let position = (output * stride + tap * dilation).checked_sub(padding)?;
    (position < len).then_some(position)
}
