//! Operations to and from the parameters of a step record.
//!
//! The fields follow one another in the order of [`read`]; a flag is one byte, a window eight u16,
//! an activation its code and its numbers.

use super::fields::FieldReader;
#[cfg(feature = "std")]
use super::fields::FieldWriter;
use super::layout::PARAMETER_BYTES;
use super::step::Operation;
use crate::status::{Result, Status};

/// Kind codes.
mod kind {
    pub const CONVOLUTION: u16 = 1;
    pub const DEPTHWISE: u16 = 2;
    pub const MATRIX_PRODUCT: u16 = 3;
    pub const ATTENTION: u16 = 4;
    pub const BINARY: u16 = 5;
    pub const UNARY: u16 = 6;
    pub const MAX_POOL: u16 = 7;
    pub const AVERAGE_POOL: u16 = 8;
    pub const GLOBAL_AVERAGE: u16 = 9;
    pub const CHANNEL_MEAN: u16 = 10;
    pub const RESIZE: u16 = 11;
    pub const SOFTMAX: u16 = 12;
    pub const LAYER_NORM: u16 = 13;
    pub const QUANTIZE: u16 = 14;
    pub const DEQUANTIZE: u16 = 15;
    pub const COPY: u16 = 16;
    pub const PAD: u16 = 17;
    pub const TRANSPOSE: u16 = 18;
    pub const SLICE: u16 = 19;
    pub const BROADCAST: u16 = 20;
    pub const CONSTANT: u16 = 21;
}

/// The operation of a step record.
pub fn read(code: u16, parameters: &[u8; PARAMETER_BYTES]) -> Result<Operation> {
    let mut fields = FieldReader::over(parameters);
    let operation = match code {
        kind::CONVOLUTION..=kind::ATTENTION => read_product(code, &mut fields)?,
        kind::BINARY..=kind::CHANNEL_MEAN => read_pointwise(code, &mut fields)?,
        _ => read_other(code, &mut fields)?,
    };
    fields.end()?;
    Ok(operation)
}

fn unknown(code: u16) -> crate::status::Error {
    Status::BundleContent.about("kind of a step").numbers(code.into(), kind::CONSTANT.into())
}

fn read_product(code: u16, fields: &mut FieldReader<'_>) -> Result<Operation> {
    Ok(match code {
        kind::CONVOLUTION => Operation::Convolution {
            window: fields.window()?,
            groups: fields.u32()?,
            weights_f16: fields.bool()?,
            activation: fields.activation()?,
            low: fields.u8()?,
            high: fields.u8()?,
            inner_scale: fields.f32()?,
            inner_zero_point: fields.u8()?,
            residual_after_activation: fields.bool()?,
            depth_align: fields.u8()?,
        },
        kind::DEPTHWISE => Operation::Depthwise {
            window: fields.window()?,
            activation: fields.activation()?,
            low: fields.u8()?,
            high: fields.u8()?,
            inner_zero_point: fields.u8()?,
        },
        kind::MATRIX_PRODUCT => Operation::MatrixProduct {
            batch: fields.u32()?,
            rows: fields.u32()?,
            depth: fields.u32()?,
            columns: fields.u32()?,
            left: fields.strides()?,
            right: fields.strides()?,
            output: fields.strides()?,
            factor: fields.f32()?,
        },
        kind::ATTENTION => Operation::Attention {
            heads: fields.u32()?,
            head_channels: fields.u32()?,
            factor: fields.f32()?,
        },
        _ => return Err(unknown(code)),
    })
}

fn read_pointwise(code: u16, fields: &mut FieldReader<'_>) -> Result<Operation> {
    Ok(match code {
        kind::BINARY => Operation::Binary {
            op: fields.binary_op()?,
            swapped: fields.bool()?,
            activation: fields.activation()?,
            low: fields.u8()?,
            high: fields.u8()?,
        },
        kind::UNARY => Operation::Unary { activation: fields.activation()? },
        kind::MAX_POOL => Operation::MaxPool { window: fields.window()? },
        kind::AVERAGE_POOL => {
            Operation::AveragePool { window: fields.window()?, count_include_pad: fields.bool()? }
        }
        kind::GLOBAL_AVERAGE => Operation::GlobalAverage,
        kind::CHANNEL_MEAN => Operation::ChannelMean,
        _ => return Err(unknown(code)),
    })
}

fn read_other(code: u16, fields: &mut FieldReader<'_>) -> Result<Operation> {
    Ok(match code {
        kind::RESIZE => Operation::Resize {
            interpolation: fields.interpolation()?,
            coordinates: fields.coordinates()?,
            scale_y: fields.f32()?,
            scale_x: fields.f32()?,
        },
        kind::SOFTMAX => Operation::Softmax,
        kind::LAYER_NORM => Operation::LayerNorm { epsilon: fields.f32()? },
        kind::QUANTIZE => Operation::Quantize,
        kind::DEQUANTIZE => Operation::Dequantize,
        kind::COPY => Operation::Copy,
        kind::PAD => {
            Operation::Pad { top: fields.u32()?, left: fields.u32()?, value: fields.f32()? }
        }
        kind::TRANSPOSE => {
            Operation::Transpose { axes: [fields.u8()?, fields.u8()?, fields.u8()?] }
        }
        kind::SLICE => Operation::Slice {
            stride_y: fields.u16()?,
            stride_x: fields.u16()?,
            offset_y: fields.u32()?,
            offset_x: fields.u32()?,
            offset_c: fields.u32()?,
        },
        kind::BROADCAST => Operation::Broadcast,
        kind::CONSTANT => Operation::Constant,
        _ => return Err(unknown(code)),
    })
}

/// Kind code and parameters of an operation; [`read`] gives it back.
#[cfg(feature = "std")]
pub fn write(operation: &Operation) -> (u16, [u8; PARAMETER_BYTES]) {
    let mut fields = FieldWriter::default();
    let code = write_product(operation, &mut fields)
        .or_else(|| write_pointwise(operation, &mut fields))
        .unwrap_or_else(|| write_other(operation, &mut fields));
    (code, fields.finish())
}

#[cfg(feature = "std")]
fn write_product(operation: &Operation, fields: &mut FieldWriter) -> Option<u16> {
    match operation {
        Operation::Convolution {
            window,
            groups,
            weights_f16,
            activation,
            low,
            high,
            inner_scale,
            inner_zero_point,
            residual_after_activation,
            depth_align,
        } => {
            fields.window(window).u32(*groups).bool(*weights_f16).activation(activation);
            fields.u8(*low).u8(*high).f32(*inner_scale).u8(*inner_zero_point);
            fields.bool(*residual_after_activation).u8(*depth_align);
            Some(kind::CONVOLUTION)
        }
        Operation::Depthwise { window, activation, low, high, inner_zero_point } => {
            fields.window(window).activation(activation).u8(*low).u8(*high).u8(*inner_zero_point);
            Some(kind::DEPTHWISE)
        }
        Operation::MatrixProduct { batch, rows, depth, columns, left, right, output, factor } => {
            fields.u32(*batch).u32(*rows).u32(*depth).u32(*columns);
            fields.strides(left).strides(right).strides(output).f32(*factor);
            Some(kind::MATRIX_PRODUCT)
        }
        Operation::Attention { heads, head_channels, factor } => {
            fields.u32(*heads).u32(*head_channels).f32(*factor);
            Some(kind::ATTENTION)
        }
        _ => None,
    }
}

#[cfg(feature = "std")]
fn write_pointwise(operation: &Operation, fields: &mut FieldWriter) -> Option<u16> {
    match operation {
        Operation::Binary { op, swapped, activation, low, high } => {
            fields.binary_op(*op).bool(*swapped).activation(activation).u8(*low).u8(*high);
            Some(kind::BINARY)
        }
        Operation::Unary { activation } => {
            fields.activation(activation);
            Some(kind::UNARY)
        }
        Operation::MaxPool { window } => {
            fields.window(window);
            Some(kind::MAX_POOL)
        }
        Operation::AveragePool { window, count_include_pad } => {
            fields.window(window).bool(*count_include_pad);
            Some(kind::AVERAGE_POOL)
        }
        Operation::GlobalAverage => Some(kind::GLOBAL_AVERAGE),
        Operation::ChannelMean => Some(kind::CHANNEL_MEAN),
        _ => None,
    }
}

/// 0, which is no kind, for operations that the functions above write.
#[cfg(feature = "std")]
fn write_other(operation: &Operation, fields: &mut FieldWriter) -> u16 {
    match operation {
        Operation::Resize { interpolation, coordinates, scale_y, scale_x } => {
            fields.interpolation(*interpolation).coordinates(*coordinates);
            fields.f32(*scale_y).f32(*scale_x);
            kind::RESIZE
        }
        Operation::Softmax => kind::SOFTMAX,
        Operation::LayerNorm { epsilon } => {
            fields.f32(*epsilon);
            kind::LAYER_NORM
        }
        Operation::Quantize => kind::QUANTIZE,
        Operation::Dequantize => kind::DEQUANTIZE,
        Operation::Copy => kind::COPY,
        Operation::Pad { top, left, value } => {
            fields.u32(*top).u32(*left).f32(*value);
            kind::PAD
        }
        Operation::Transpose { axes: [first, second, third] } => {
            fields.u8(*first).u8(*second).u8(*third);
            kind::TRANSPOSE
        }
        Operation::Slice { stride_y, stride_x, offset_y, offset_x, offset_c } => {
            fields.u16(*stride_y).u16(*stride_x).u32(*offset_y).u32(*offset_x).u32(*offset_c);
            kind::SLICE
        }
        Operation::Broadcast => kind::BROADCAST,
        Operation::Constant => kind::CONSTANT,
        _ => 0,
    }
}
