//! `QuantizeLinear` and `DequantizeLinear`, in place of tract's own.
//!
//! tract's operators multiply by the reciprocal of the scale where onnxruntime divides, call
//! libm for every element, and turn a softmax between them into a wrong lookup table. These
//! divide, round half to even in vector registers, and are folded into nothing that they are not
//! equal to.

use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::internal::{Expansion, expand};

/// Adding and subtracting it rounds a float of magnitude below 2^22 half to even.
pub(super) const ROUNDER: f32 = 12_582_912.0;

/// Integers that stand for numbers: `value = (integer - zero_point) * scale`, `integer` between
/// `low` and `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    /// Step between neighbouring integers.
    pub(super) scale: f32,
    /// Integer that stands for 0.
    pub(super) zero_point: i32,
    /// Smallest integer.
    pub(super) low: i32,
    /// Largest integer.
    pub(super) high: i32,
}

impl Grid {
    /// The grid of a u8 or i8 tensor.
    pub(super) fn of(element: DatumType, scale: f32, zero_point: i32) -> TractResult<Grid> {
        let (low, high) = match element {
            DatumType::U8 => (0, 255),
            DatumType::I8 => (-128, 127),
            other => bail!("quantisation to {other:?} is not supported"),
        };
        Ok(Grid { scale, zero_point, low, high })
    }

    /// Smallest and largest integer, with the zero point taken off.
    pub(super) fn steps(&self) -> (f32, f32) {
        ((self.low - self.zero_point) as f32, (self.high - self.zero_point) as f32)
    }

    /// The numbers that the smallest and the largest integer stand for, if a step is `unit`.
    pub(super) fn range(&self, unit: f32) -> (f32, f32) {
        let (low, high) = self.steps();
        (low * unit, high * unit)
    }

    /// Counts the steps to the nearest number of the grid, each of them as `unit`: with the
    /// scale bit-equal to quantising and dequantising. NaN becomes the smallest number, as in
    /// onnxruntime.
    pub(super) fn snap(&self, values: &mut [f32], unit: f32) {
        let (low, high) = self.steps();
        let scale = self.scale;
        for value in values {
            *value = (clamp(*value / scale, low, high) + ROUNDER - ROUNDER) * unit;
        }
    }

    /// The integer nearest to every value, modulo 256: the bits of a u8 or an i8.
    fn quantize(&self, values: &[f32], integers: impl Iterator<Item = impl FnOnce(u8)>) {
        let (low, high) = self.steps();
        let (scale, zero_point) = (self.scale, self.zero_point as u8);
        for (&value, write) in values.iter().zip(integers) {
            // The low bits of the sum's mantissa are the rounded value in two's complement.
            let bits = (clamp(value / scale, low, high) + ROUNDER).to_bits() as u8;
            write(bits.wrapping_add(zero_point));
        }
    }
}

/// `value` between `low` and `high`; NaN becomes `low`. Compiles to one maximum and one minimum,
/// which `f32::clamp` does not.
pub(super) fn clamp(value: f32, low: f32, high: f32) -> f32 {
    let value = if value > low { value } else { low };
    if value < high { value } else { high }
}

/// f32 to u8 or i8.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantize {
    pub(super) grid: Grid,
}

impl Eq for Quantize {}

impl Quantize {
    fn element(&self) -> DatumType {
        if self.grid.low < 0 { DatumType::I8 } else { DatumType::U8 }
    }

    fn apply(&self, values: &[f32], target: &mut Tensor) -> TractResult<()> {
        let mut target = target.try_as_plain_ram_mut()?;
        match self.element() {
            DatumType::I8 => {
                let integers = target.as_slice_mut::<i8>()?.iter_mut();
                self.grid.quantize(values, integers.map(|at| |bits: u8| *at = bits as i8));
            }
            _ => {
                let integers = target.as_slice_mut::<u8>()?.iter_mut();
                self.grid.quantize(values, integers.map(|at| |bits: u8| *at = bits));
            }
        }
        Ok(())
    }
}

impl ElementWiseMiniOp for Quantize {
    fn name(&self) -> String {
        "Quantize".into()
    }

    fn output_type(&self, input: DatumType) -> Option<DatumType> {
        (input == DatumType::F32).then_some(self.element())
    }

    fn eval_out_of_place(&self, t: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        let mut target = Tensor::zero_dt(self.element(), t.shape())?;
        self.apply(t.try_as_plain_ram()?.as_slice::<f32>()?, &mut target)?;
        Ok(target)
    }
}

/// u8, i8 or i32 to f32.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dequantize {
    pub(super) scale: f32,
    pub(super) zero_point: i32,
}

impl Eq for Dequantize {}

impl Dequantize {
    fn apply<T: Copy + Into<i32>>(&self, integers: &[T], values: &mut [f32]) {
        for (value, &integer) in values.iter_mut().zip(integers) {
            *value = integer.into().wrapping_sub(self.zero_point) as f32 * self.scale;
        }
    }
}

impl ElementWiseMiniOp for Dequantize {
    fn name(&self) -> String {
        "Dequantize".into()
    }

    fn output_type(&self, _: DatumType) -> Option<DatumType> {
        Some(DatumType::F32)
    }

    fn eval_out_of_place(&self, t: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        let mut target = Tensor::zero::<f32>(t.shape())?;
        let mut view = target.try_as_plain_ram_mut()?;
        let (source, values) = (t.try_as_plain_ram()?, view.as_slice_mut::<f32>()?);
        match t.datum_type().unquantized() {
            DatumType::U8 => self.apply(source.as_slice::<u8>()?, values),
            DatumType::I8 => self.apply(source.as_slice::<i8>()?, values),
            DatumType::I32 => self.apply(source.as_slice::<i32>()?, values),
            other => bail!("dequantisation of {other:?} is not supported"),
        }
        Ok(target)
    }
}

/// Puts this file's operators into the place of tract's.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("QuantizeLinear", |context, node| onnx(context, node, Direction::Quantize));
    operators
        .insert("DequantizeLinear", |context, node| onnx(context, node, Direction::Dequantize));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Quantize,
    Dequantize,
}

fn onnx(
    _context: &ParsingContext<'_>,
    node: &NodeProto,
    direction: Direction,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let block_size = node.get_attr_opt::<i64>("block_size")?.unwrap_or(0);
    ensure!(block_size == 0, "quantisation by blocks is not supported");
    let element = match node.get_attr_opt::<i32>("output_dtype")?.unwrap_or(0) {
        0 => DatumType::U8,
        number if direction == Direction::Quantize => DataType::try_from(number)?.try_into()?,
        number => bail!("dequantisation to element type {number} is not supported"),
    };
    let has_zero_point = node.input.get(2).is_some_and(|name| !name.is_empty());
    let axis = node.get_attr_opt::<i64>("axis")?.unwrap_or(1);
    let op = Linear { direction, has_zero_point, element, axis };
    Ok((expand(op), Vec::new()))
}

/// Either ONNX operator, its parameters still being inputs.
#[derive(Clone, Debug)]
struct Linear {
    direction: Direction,
    has_zero_point: bool,
    /// Element type of the integers where there is no zero point to say so.
    element: DatumType,
    axis: i64,
}

impl Expansion for Linear {
    fn name(&self) -> StaticName {
        match self.direction {
            Direction::Quantize => "QuantizeLinear".into(),
            Direction::Dequantize => "DequantizeLinear".into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_zero_point))?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[1].datum_type, f32::datum_type())?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        let (float, integer) = match self.direction {
            Direction::Quantize => (&inputs[0], &outputs[0]),
            Direction::Dequantize => (&outputs[0], &inputs[0]),
        };
        solver.equals(&float.datum_type, f32::datum_type())?;
        if self.has_zero_point {
            return solver.equals(&integer.datum_type, &inputs[2].datum_type);
        }
        match self.direction {
            Direction::Quantize => solver.equals(&integer.datum_type, self.element),
            Direction::Dequantize => Ok(()),
        }
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let is_float = fact.datum_type == DatumType::F32;
        let quantizes = self.direction == Direction::Quantize;
        ensure!(is_float == quantizes, "{} of {:?}", self.name(), fact.datum_type);
        let scales = constant(model, inputs[1], "scale")?.cast_to::<f32>()?.into_owned();
        let (element, zero_points) = match self.has_zero_point {
            true => {
                let tensor = constant(model, inputs[2], "zero point")?;
                (tensor.datum_type(), tensor.cast_to::<i32>()?.into_owned())
            }
            false => (self.element, tensor0(0i32)),
        };
        let scales = scales.try_as_plain_ram()?.as_slice::<f32>()?;
        let zero_points = zero_points.try_as_plain_ram()?.as_slice::<i32>()?;
        let op = |lane: usize| -> TractResult<ElementWiseOp> {
            let (scale, zero_point) = (pick(scales, lane)?, pick(zero_points, lane)?);
            Ok(match self.direction {
                Direction::Dequantize => {
                    ElementWiseOp(Box::new(Dequantize { scale, zero_point }), None)
                }
                Direction::Quantize => {
                    let grid = Grid::of(element, scale, zero_point)?;
                    ElementWiseOp(Box::new(Quantize { grid }), None)
                }
            })
        };
        let lanes = scales.len().max(zero_points.len());
        // Weights are converted here, once: tract leaves large ones to every run.
        if let Some(weights) = &fact.konst {
            let weights = fold(weights, self.axis, lanes, op)?;
            return Ok(tvec!(model.add_const(prefix, weights)?));
        }
        ensure!(lanes == 1, "quantisation of an activation along an axis is not supported");
        model.wire_node(prefix, op(0)?, &inputs[..1])
    }
}

fn constant(model: &TypedModel, outlet: OutletId, what: &str) -> TractResult<Arc<Tensor>> {
    let konst = model.outlet_fact(outlet)?.konst.clone();
    konst.with_context(|| format!("the {what} is not a constant"))
}

/// The value of a lane; a single one stands for all.
fn pick<T: Copy>(values: &[T], lane: usize) -> TractResult<T> {
    let at = if values.len() == 1 { 0 } else { lane };
    values.get(at).copied().context("a scale or zero point is missing")
}

/// `weights` with the operator of lane `i` applied to its `i`th slice along `axis`.
fn fold(
    weights: &Tensor,
    axis: i64,
    lanes: usize,
    op: impl Fn(usize) -> TractResult<ElementWiseOp>,
) -> TractResult<Tensor> {
    if lanes == 1 {
        return op(0)?.0.eval_out_of_place(weights, None);
    }
    let rank = weights.rank() as i64;
    let axis = if axis < 0 { axis + rank } else { axis };
    ensure!((0..rank).contains(&axis), "axis {axis} of the quantisation is out of range");
    let axis = axis as usize;
    ensure!(weights.shape()[axis] == lanes, "axis {axis} has another length than the scale");
    let slices = (0..lanes).map(|lane| {
        let slice = weights.slice(axis, lane, lane + 1)?;
        op(lane)?.0.eval_out_of_place(&slice, None)
    });
    Tensor::stack_tensors(axis, &slices.collect::<TractResult<Vec<Tensor>>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grids() -> Vec<Grid> {
        let scales = [1.0, 0.1, 0.003_921_569, 0.023_5, 1e-30, 3e8, f32::MIN_POSITIVE / 4.0];
        let u8s = [0, 3, 128, 255].map(|zero_point| (DatumType::U8, zero_point));
        let i8s = [-128, -5, 0, 127].map(|zero_point| (DatumType::I8, zero_point));
        let kinds = [u8s, i8s].concat();
        let grid = |(element, zero_point), scale| Grid::of(element, scale, zero_point).unwrap();
        scales.iter().flat_map(|&scale| kinds.iter().map(move |&kind| grid(kind, scale))).collect()
    }

    /// Extremes, every half step with its neighbours, and noise.
    fn values(scale: f32) -> Vec<f32> {
        let extremes = [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::EPSILON, 1e-45];
        let mut values = extremes.to_vec();
        values.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        for half in -600..600 {
            let value = half as f32 * 0.5 * scale;
            values.extend([value.next_down(), value, value.next_up()]);
        }
        let mut state = 1u32;
        for _ in 0..10_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            values.push(f32::from_bits(state));
            values.push(((state >> 8) as f32 / 65_536.0 - 128.0) * scale);
        }
        values
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn snapping_is_bit_equal_to_quantising_and_dequantising() {
        for grid in grids() {
            let values = values(grid.scale);
            let mut snapped = values.clone();
            grid.snap(&mut snapped, grid.scale);
            let dequantize = Dequantize { scale: grid.scale, zero_point: grid.zero_point };
            let quantized = Quantize { grid }.eval_out_of_place(&tensor1(&values), None).unwrap();
            let both = dequantize.eval_out_of_place(&quantized, None).unwrap();
            let both = both.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
            assert_eq!(bits(&snapped), bits(&both), "{grid:?}");
        }
    }

    #[test]
    fn quantising_divides_rounds_half_to_even_and_saturates() {
        for grid in grids() {
            let values = values(grid.scale);
            let op = Quantize { grid };
            let found = op.eval_out_of_place(&tensor1(&values), None).unwrap();
            let found = found.cast_to::<i32>().unwrap().into_owned();
            let view = found.try_as_plain_ram().unwrap();
            for (value, found) in values.iter().zip(view.as_slice::<i32>().unwrap()) {
                let steps = f64::from((value / grid.scale).round_ties_even());
                let wanted = (steps + f64::from(grid.zero_point)) as i32;
                let wanted = if value.is_nan() { grid.low } else { wanted };
                assert_eq!(*found, wanted.clamp(grid.low, grid.high), "{value} {grid:?}");
            }
        }
    }

    #[test]
    fn weights_are_folded_along_their_axis() {
        let weights = tensor2(&[[1i8, 2, 3], [4, 5, 6]]);
        let op = |axis: usize| {
            move |lane: usize| {
                let op = Dequantize { scale: [1.0, 10.0, 100.0][lane], zero_point: axis as i32 };
                Ok(ElementWiseOp(Box::new(op), None))
            }
        };
        let rows = fold(&weights, 0, 2, op(0)).unwrap();
        assert_eq!(rows, tensor2(&[[1f32, 2., 3.], [40., 50., 60.]]));
        let columns = fold(&weights, -1, 3, op(1)).unwrap();
        assert_eq!(columns, tensor2(&[[0f32, 10., 200.], [3., 40., 500.]]));
        assert!(fold(&weights, 0, 3, op(0)).is_err());
        assert!(fold(&weights, 2, 3, op(0)).is_err());
    }
}
