//! The fields of an operation as bytes, one after another.

use super::step::{
    Activation, BinaryOp, CoordinateMode, Interpolation, MatrixStrides, Nearest, Window,
};
use crate::status::{Error, Result, Status};

/// Reads fields in order.
pub struct FieldReader<'a> {
    rest: &'a [u8],
}

fn invalid(what: &'static str) -> Error {
    Status::BundleContent.about(what)
}

impl<'a> FieldReader<'a> {
    pub fn over(bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader { rest: bytes }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(invalid("fields of an operation"));
        };
        self.rest = rest;
        Ok(*field)
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// A number, perhaps infinite.
    fn number(&mut self) -> Result<f32> {
        let value = self.take().map(f32::from_le_bytes)?;
        if value.is_nan() { Err(invalid("number of an operation")) } else { Ok(value) }
    }

    /// A finite number.
    pub fn f32(&mut self) -> Result<f32> {
        let value = self.number()?;
        if value.is_finite() { Ok(value) } else { Err(invalid("number of an operation")) }
    }

    pub fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(invalid("flag of an operation")),
        }
    }

    pub fn window(&mut self) -> Result<Window> {
        Ok(Window {
            kernel_height: self.u16()?,
            kernel_width: self.u16()?,
            stride_y: self.u16()?,
            stride_x: self.u16()?,
            dilation_y: self.u16()?,
            dilation_x: self.u16()?,
            pad_top: self.u16()?,
            pad_left: self.u16()?,
        })
    }

    pub fn activation(&mut self) -> Result<Activation> {
        Ok(match self.u8()? {
            0 => Activation::None,
            1 => Activation::Clip { low: self.number()?, high: self.number()? },
            2 => Activation::HardSwish,
            3 => Activation::HardSigmoid { alpha: self.f32()?, beta: self.f32()? },
            4 => Activation::Sigmoid,
            5 => Activation::Silu,
            6 => Activation::Tanh,
            7 => Activation::Gelu,
            8 => Activation::GeluTanh,
            9 => Activation::LeakyRelu { slope: self.f32()? },
            10 => Activation::Prelu,
            11 => Activation::Exp,
            12 => Activation::Sqrt,
            13 => Activation::ReciprocalSqrt,
            14 => Activation::Reciprocal,
            15 => Activation::Abs,
            16 => Activation::Negate,
            17 => Activation::Square,
            18 => Activation::Erf,
            19 => Activation::Log,
            _ => return Err(invalid("activation")),
        })
    }

    pub fn binary_op(&mut self) -> Result<BinaryOp> {
        Ok(match self.u8()? {
            0 => BinaryOp::Add,
            1 => BinaryOp::Subtract,
            2 => BinaryOp::Multiply,
            3 => BinaryOp::Divide,
            4 => BinaryOp::Minimum,
            5 => BinaryOp::Maximum,
            6 => BinaryOp::Power,
            _ => return Err(invalid("operator")),
        })
    }

    pub fn interpolation(&mut self) -> Result<Interpolation> {
        Ok(match self.u8()? {
            0 => Interpolation::Bilinear,
            1 => Interpolation::Nearest(Nearest::Floor),
            2 => Interpolation::Nearest(Nearest::Ceil),
            3 => Interpolation::Nearest(Nearest::RoundPreferFloor),
            4 => Interpolation::Nearest(Nearest::RoundPreferCeil),
            _ => return Err(invalid("interpolation")),
        })
    }

    pub fn coordinates(&mut self) -> Result<CoordinateMode> {
        Ok(match self.u8()? {
            0 => CoordinateMode::HalfPixel,
            1 => CoordinateMode::AlignCorners,
            2 => CoordinateMode::Asymmetric,
            3 => CoordinateMode::PytorchHalfPixel,
            _ => return Err(invalid("coordinates")),
        })
    }

    pub fn strides(&mut self) -> Result<MatrixStrides> {
        Ok(MatrixStrides { batch: self.u32()?, row: self.u32()?, column: self.u32()? })
    }

    /// Checks that all other bytes are zero.
    pub fn end(self) -> Result<()> {
        if self.rest.iter().any(|&byte| byte != 0) {
            return Err(invalid("reserved bytes of an operation"));
        }
        Ok(())
    }
}

/// Writes fields in the order in which [`FieldReader`] reads them.
#[cfg(feature = "std")]
#[derive(Default)]
pub struct FieldWriter {
    bytes: std::vec::Vec<u8>,
}

#[cfg(feature = "std")]
impl FieldWriter {
    pub fn u8(&mut self, value: u8) -> &mut FieldWriter {
        self.bytes.push(value);
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut FieldWriter {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut FieldWriter {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn f32(&mut self, value: f32) -> &mut FieldWriter {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut FieldWriter {
        self.u8(value.into())
    }

    pub fn window(&mut self, window: &Window) -> &mut FieldWriter {
        self.u16(window.kernel_height).u16(window.kernel_width);
        self.u16(window.stride_y).u16(window.stride_x);
        self.u16(window.dilation_y).u16(window.dilation_x);
        self.u16(window.pad_top).u16(window.pad_left)
    }

    pub fn activation(&mut self, activation: &Activation) -> &mut FieldWriter {
        match *activation {
            Activation::None => self.u8(0),
            Activation::Clip { low, high } => self.u8(1).f32(low).f32(high),
            Activation::HardSwish => self.u8(2),
            Activation::HardSigmoid { alpha, beta } => self.u8(3).f32(alpha).f32(beta),
            Activation::Sigmoid => self.u8(4),
            Activation::Silu => self.u8(5),
            Activation::Tanh => self.u8(6),
            Activation::Gelu => self.u8(7),
            Activation::GeluTanh => self.u8(8),
            Activation::LeakyRelu { slope } => self.u8(9).f32(slope),
            Activation::Prelu => self.u8(10),
            Activation::Exp => self.u8(11),
            Activation::Sqrt => self.u8(12),
            Activation::ReciprocalSqrt => self.u8(13),
            Activation::Reciprocal => self.u8(14),
            Activation::Abs => self.u8(15),
            Activation::Negate => self.u8(16),
            Activation::Square => self.u8(17),
            Activation::Erf => self.u8(18),
            Activation::Log => self.u8(19),
        }
    }

    pub fn binary_op(&mut self, op: BinaryOp) -> &mut FieldWriter {
        self.u8(match op {
            BinaryOp::Add => 0,
            BinaryOp::Subtract => 1,
            BinaryOp::Multiply => 2,
            BinaryOp::Divide => 3,
            BinaryOp::Minimum => 4,
            BinaryOp::Maximum => 5,
            BinaryOp::Power => 6,
        })
    }

    pub fn interpolation(&mut self, interpolation: Interpolation) -> &mut FieldWriter {
        self.u8(match interpolation {
            Interpolation::Bilinear => 0,
            Interpolation::Nearest(Nearest::Floor) => 1,
            Interpolation::Nearest(Nearest::Ceil) => 2,
            Interpolation::Nearest(Nearest::RoundPreferFloor) => 3,
            Interpolation::Nearest(Nearest::RoundPreferCeil) => 4,
        })
    }

    pub fn coordinates(&mut self, coordinates: CoordinateMode) -> &mut FieldWriter {
        self.u8(match coordinates {
            CoordinateMode::HalfPixel => 0,
            CoordinateMode::AlignCorners => 1,
            CoordinateMode::Asymmetric => 2,
            CoordinateMode::PytorchHalfPixel => 3,
        })
    }

    pub fn strides(&mut self, strides: &MatrixStrides) -> &mut FieldWriter {
        self.u32(strides.batch).u32(strides.row).u32(strides.column)
    }

    /// The bytes, filled up with zeros to `N`.
    pub fn finish<const N: usize>(self) -> [u8; N] {
        let mut field = [0; N];
        crate::math::pieces::copy(&mut field, &self.bytes);
        field
    }
}
