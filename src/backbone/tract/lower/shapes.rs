//! Operators that move elements and compute nothing.

use super::super::quantize::Dequantize;
use super::Lowering;
use super::place::{Placed, dims, with_units, without_units};
use crate::compile::graph::{Op, ValueId};
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::Downsample;
use tract_core::ops::array::{MultiBroadcastTo, Pad, PadMode, Slice, TypedConcat};
use tract_core::ops::cast::Cast;
use tract_core::ops::identity::Identity;

impl Lowering<'_> {
    pub(super) fn shape_change(&mut self, node: &TypedNode) -> TractResult<Option<Placed>> {
        if let Some(op) = node.op_as::<AxisOp>() {
            return self.axis_op(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<Slice>() {
            let (start, _) = (op.start.to_usize()?, op.end.to_usize()?);
            return self.slice(node, op.axis, start, 1).map(Some);
        }
        if let Some(op) = node.op_as::<Downsample>() {
            ensure!(op.stride > 0, "it runs backwards");
            return self.slice(node, op.axis, op.modulo, op.stride as usize).map(Some);
        }
        if let Some(op) = node.op_as::<TypedConcat>() {
            return self.concat(node, op.axis).map(Some);
        }
        if let Some(op) = node.op_as::<Pad>() {
            return self.pad(node, op).map(Some);
        }
        if node.op_is::<MultiBroadcastTo>() {
            return self.broadcast(node).map(Some);
        }
        if let Some(op) = node.op_as::<Cast>() {
            return self.cast(node, op).map(Some);
        }
        if node.op_is::<Identity>() { self.input(node, 0).map(Some) } else { Ok(None) }
    }

    /// Floats of any width are computed in f32. The network's input, if it is of bytes, stands for
    /// them as they are.
    fn cast(&mut self, node: &TypedNode, op: &Cast) -> TractResult<Placed> {
        let from = self.model.outlet_fact(node.inputs[0])?.datum_type;
        ensure!(op.to.is_float(), "it casts to {:?}", op.to);
        ensure!(from != DatumType::Bool, "it makes numbers of what a comparison finds");
        if from.is_float() {
            return self.input(node, 0);
        }
        let placed = self.input(node, 0)?;
        let is_input = self.graph.input == Some(placed.value);
        ensure!(is_input && matches!(from, DatumType::U8 | DatumType::I8), "it casts {from:?}");
        self.dequantize(node, &Dequantize { scale: 1.0, zero_point: 0 })
    }

    /// A result with the quantisation of what it was made from.
    pub(super) fn like_input(&mut self, placed: Placed, input: ValueId) -> Placed {
        self.value_mut(placed.value).quantization = self.quantization(input);
        placed
    }

    fn axis_op(&mut self, node: &TypedNode, op: &AxisOp) -> TractResult<Placed> {
        let placed = self.input(node, 0)?;
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let renamed = |rename: &dyn Fn(usize) -> usize| Placed {
            value: placed.value,
            order: placed.order.iter().map(|&axis| rename(axis)).collect(),
        };
        Ok(match op {
            AxisOp::Add(at) => renamed(&|axis| axis + usize::from(axis >= *at)),
            AxisOp::Rm(at) => renamed(&|axis| axis - usize::from(axis > *at)),
            AxisOp::Move(at, target) => renamed(&|axis| moved(axis, *at, *target)),
            AxisOp::Reshape(at, before, after) => {
                self.reshape(&placed, (*at, before.len(), after.len()), &from, &to)?
            }
        })
    }

    /// `count` axes from `at` on become `new` axes. Where the old ones lie side by side in memory
    /// nothing moves.
    fn reshape(
        &mut self,
        placed: &Placed,
        (at, count, new): (usize, usize, usize),
        from: &[usize],
        to: &[usize],
    ) -> TractResult<Placed> {
        let old: Vec<usize> = (at..at + count).filter(|&axis| from[axis] != 1).collect();
        let first = placed.order.iter().position(|axis| old.contains(axis));
        let together = first.is_none_or(|first| placed.order[first..].starts_with(&old));
        let (value, order) = if together {
            (placed.value, placed.order.clone())
        } else {
            let order: Vec<usize> = (0..from.len()).collect();
            (self.aligned(placed, &order, from)?, without_units(&order, from))
        };
        let rename = |axis: usize| if axis >= at + count { axis + new - count } else { axis };
        let mut renamed = Vec::new();
        let mut is_placed = false;
        for axis in order {
            if !old.contains(&axis) {
                renamed.push(rename(axis));
            } else if !is_placed {
                renamed.extend((at..at + new).filter(|&axis| to[axis] != 1));
                is_placed = true;
            }
        }
        // The dims of the value follow its new axes.
        let full = with_units(&renamed, to);
        let wanted = dims(&full, to);
        let source = self.graph.value(value).clone();
        let value = match source.constant {
            _ if source.dims == wanted => value,
            Some(constant) => self.graph.add_constant(&source.name, wanted, constant.to_vec()),
            None => {
                let reshaped = self.graph.add_node(&source.name, Op::Reshape, vec![value], wanted);
                self.value_mut(reshaped).quantization = source.quantization;
                reshaped
            }
        };
        Ok(Placed { value, order: renamed })
    }

    fn slice(
        &mut self,
        node: &TypedNode,
        axis: usize,
        start: usize,
        stride: usize,
    ) -> TractResult<Placed> {
        let placed = self.input(node, 0)?;
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let order = with_units(&placed.order, &from);
        let x = self.aligned(&placed, &order, &from)?;
        let at = order.iter().position(|&other| other == axis).context("an axis is missing")?;
        let mut op = (vec![0; order.len()], vec![1; order.len()]);
        op.0[at] = start;
        op.1[at] = stride;
        let op = Op::Slice { start: op.0, stride: op.1 };
        let value = self.graph.add_node(&node.name, op, vec![x], dims(&order, &to));
        Ok(self.like_input(Placed::new(value, &order, &to), x))
    }

    fn concat(&mut self, node: &TypedNode, axis: usize) -> TractResult<Placed> {
        let to = self.output_shape(node)?;
        let mut first = None;
        for index in 0..node.inputs.len() {
            let placed = self.input(node, index)?;
            let is_activation = self.elements(&placed).is_none();
            let shape = self.input_shape(node, index)?;
            if is_activation && first.is_none() {
                first = Some((placed, shape));
            }
        }
        let (placed, shape) = first.context("all operands are constants")?;
        // An axis of length 1 has no place in memory yet: channels of a picture go inside, others
        // outside.
        let order = match (shape[axis], to.len()) {
            (1, 4) => vec![0, 2, 3, 1],
            (1, _) => {
                let others = with_units(&placed.order, &shape);
                core::iter::once(axis).chain(others.into_iter().filter(|at| *at != axis)).collect()
            }
            _ => with_units(&placed.order, &shape),
        };
        let inputs = (0..node.inputs.len()).map(|index| {
            let placed = self.input(node, index)?;
            let shape = self.input_shape(node, index)?;
            self.aligned(&placed, &order, &shape)
        });
        let inputs = inputs.collect::<TractResult<Vec<ValueId>>>()?;
        let dim = order.iter().position(|&other| other == axis).context("an axis is missing")?;
        let first = inputs[0];
        let value = self.graph.add_node(&node.name, Op::Concat { dim }, inputs, dims(&order, &to));
        Ok(self.like_input(Placed::new(value, &order, &to), first))
    }

    fn pad(&mut self, node: &TypedNode, op: &Pad) -> TractResult<Placed> {
        let PadMode::Constant(value) = &op.mode else { return self.extended(node, op) };
        let placed = self.input(node, 0)?;
        let value = self.padding(node, value, placed.value)?;
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let order = with_units(&placed.order, &from);
        let x = self.aligned(&placed, &order, &from)?;
        let before = order.iter().map(|&axis| op.pads[axis].0).collect();
        let after = order.iter().map(|&axis| op.pads[axis].1).collect();
        let op = Op::Pad { before, after, value };
        let value = self.graph.add_node(&node.name, op, vec![x], dims(&order, &to));
        Ok(self.like_input(Placed::new(value, &order, &to), x))
    }

    /// What a padding stands for, as a finite number: infinite ones are for pools to overlook.
    fn padding(&self, node: &TypedNode, value: &Tensor, x: ValueId) -> TractResult<f32> {
        let value = *value.cast_to_scalar::<f32>().as_ref().map_err(|e| format_err!("{e}"))?;
        ensure!(!value.is_nan(), "it pads with what is no number");
        let element = self.model.outlet_fact(node.inputs[0])?.datum_type.unquantized();
        if element.is_float() {
            return Ok(value.clamp(f32::MIN, f32::MAX));
        }
        let grid = self.quantization(x).context("nothing says what its integers stand for")?;
        let lowest = if element == DatumType::I8 { -128.0 } else { 0.0 };
        Ok((value - lowest - f32::from(grid.zero_point)) * grid.scale)
    }

    /// Padding with what lies at the border: an axis is picked anew with some of its indexes twice.
    fn extended(&mut self, node: &TypedNode, op: &Pad) -> TractResult<Placed> {
        let placed = self.input(node, 0)?;
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let order = with_units(&placed.order, &from);
        let mut value = self.aligned(&placed, &order, &from)?;
        for (dim, &axis) in order.iter().enumerate() {
            let (before, after) = op.pads[axis];
            if (before, after) == (0, 0) {
                continue;
            }
            let last = from[axis] as i64 - 1;
            let mirrors = matches!(op.mode, PadMode::Reflect);
            ensure!(!mirrors || before.max(after) as i64 <= last, "it mirrors more than there is");
            let place = |at: i64| match mirrors {
                true => (last - (last - at.abs()).abs()) as usize,
                false => at.clamp(0, last) as usize,
            };
            let places: Vec<usize> = (-(before as i64)..=last + after as i64).map(place).collect();
            value = self.picked_along(node, value, dim, &places)?;
        }
        Ok(Placed::new(value, &order, &to))
    }

    fn broadcast(&mut self, node: &TypedNode) -> TractResult<Placed> {
        let placed = self.input(node, 0)?;
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        ensure!(from.len() == to.len(), "it adds axes");
        if from == to {
            return Ok(placed);
        }
        let order: Vec<usize> = match to.len() {
            4 => vec![0, 2, 3, 1],
            rank => (0..rank).collect(),
        };
        let x = self.aligned(&placed, &order, &from)?;
        let value = self.graph.add_node(&node.name, Op::Broadcast, vec![x], dims(&order, &to));
        Ok(self.like_input(Placed::new(value, &order, &to), x))
    }
}

/// Where `axis` is after the axis at `from` was moved to `to`.
fn moved(axis: usize, from: usize, to: usize) -> usize {
    if axis == from {
        return to;
    }
    let without = axis - usize::from(axis > from);
    without + usize::from(without >= to)
}
