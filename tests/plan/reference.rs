//! The plainest statement of every operation.

use zsseg::plan::{Element, Tensor, Window};

/// Dense values of a tensor; u8 and f32 both fit f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    pub shape: [usize; 3],
    pub data: Vec<f64>,
}

impl Values {
    pub fn zeros(tensor: &Tensor) -> Values {
        let shape = tensor.shape().map(|side| side as usize);
        Values { shape, data: vec![0.0; shape.iter().product()] }
    }

    fn index(&self, y: usize, x: usize, c: usize) -> usize {
        assert!(y < self.shape[0] && x < self.shape[1] && c < self.shape[2]);
        (y * self.shape[1] + x) * self.shape[2] + c
    }

    pub fn at(&self, y: usize, x: usize, c: usize) -> f64 {
        self.data[self.index(y, x, c)]
    }

    /// The value with all indices moved; `None` in the padding.
    pub fn inside(&self, y: i64, x: i64, c: usize) -> Option<f64> {
        let inside = |at: i64, side: usize| (0..side as i64).contains(&at);
        let [height, width, _] = self.shape;
        (inside(y, height) && inside(x, width)).then(|| self.at(y as usize, x as usize, c))
    }

    pub fn fill(&mut self, mut value: impl FnMut(usize, usize, usize) -> f64) {
        let [height, width, channels] = self.shape;
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let index = self.index(y, x, c);
                    self.data[index] = value(y, x, c);
                }
            }
        }
    }

    fn place(tensor: &Tensor, y: usize, x: usize, c: usize) -> usize {
        let pixel = y * tensor.width as usize + x;
        let element = pixel * tensor.pixel_stride as usize + c;
        tensor.offset_bytes as usize + element * tensor.element.bytes() as usize
    }

    pub fn write(&self, tensor: &Tensor, arena: &mut [u8]) {
        self.clone().fill(|y, x, c| {
            let place = Values::place(tensor, y, x, c);
            let value = self.at(y, x, c);
            match tensor.element {
                Element::U8 => arena[place] = value as u8,
                Element::F32 => {
                    arena[place..place + 4].copy_from_slice(&(value as f32).to_le_bytes());
                }
            }
            value
        });
    }

    pub fn read(tensor: &Tensor, arena: &[u8]) -> Values {
        let mut values = Values::zeros(tensor);
        values.fill(|y, x, c| {
            let place = Values::place(tensor, y, x, c);
            match tensor.element {
                Element::U8 => arena[place].into(),
                Element::F32 => {
                    f32::from_le_bytes(arena[place..place + 4].try_into().unwrap()).into()
                }
            }
        });
        values
    }
}

/// Rounds half to even and clamps: `steps` relative to the zero point.
pub fn quantize(steps: f32, zero_point: u8, low: u8, high: u8) -> f64 {
    let bound = |end: u8| f32::from(end) - f32::from(zero_point);
    let steps = steps.max(bound(low)).min(bound(high));
    f64::from(steps.round_ties_even() + f32::from(zero_point))
}

/// The sum of two quantised values by the rule of U8 Binary.
pub fn add(parts: [(f64, u8, f32); 2], zero_point: u8, low: u8, high: u8) -> f64 {
    let [first, second] =
        parts.map(|(value, zero, ratio)| (value as f32 - f32::from(zero)) * ratio);
    quantize(first + second, zero_point, low, high)
}

/// Calls `visit` with each tap of the window of an output pixel: its kernel row and column, and its
/// place in the input, perhaps in the padding.
pub fn for_each_tap(
    window: &Window,
    y: usize,
    x: usize,
    mut visit: impl FnMut([usize; 2], [i64; 2]),
) {
    for ky in 0..usize::from(window.kernel_height) {
        for kx in 0..usize::from(window.kernel_width) {
            let down = y * usize::from(window.stride_y) + ky * usize::from(window.dilation_y);
            let right = x * usize::from(window.stride_x) + kx * usize::from(window.dilation_x);
            let place = [
                down as i64 - i64::from(window.pad_top),
                right as i64 - i64::from(window.pad_left),
            ];
            visit([ky, kx], place);
        }
    }
}
