//! Sums, means and extremes over axes.

use super::super::quantize::{Dequantize, Quantize};
use super::Lowering;
use super::place::{Placed, dims, with_units};
use crate::compile::graph::{Op, Window};
use crate::plan::{Activation, BinaryOp};
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::array::TypedConcat;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::nn::{Reduce, Reducer};

/// Axes of a tensor, none of length 1.
struct Split {
    /// In the order in memory that brings what goes in front of what stays.
    order: Vec<usize>,
    /// Values that become one.
    count: usize,
    /// Values that are left.
    kept: usize,
}

impl Lowering<'_> {
    pub(super) fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> TractResult<Placed> {
        let placed = self.input(node, 0)?;
        match op.reducer {
            Reducer::Sum => self.sum(node, op, placed),
            Reducer::MeanOfSquares => {
                let squares = self.apply(node, placed, Activation::Square);
                let count = self.split(node, op, &squares)?.count;
                let sum = self.sum(node, op, squares)?;
                Ok(self.scaled(node, sum, 1.0 / count as f32))
            }
            Reducer::Max => self.largest(node, op, placed),
            Reducer::Min => {
                let negated = self.apply(node, placed, Activation::Negate);
                let largest = self.largest(node, op, negated)?;
                Ok(self.apply(node, largest, Activation::Negate))
            }
            other => bail!("it reduces by {other:?}"),
        }
    }

    pub(super) fn apply(&mut self, node: &TypedNode, x: Placed, activation: Activation) -> Placed {
        let dims = self.graph.value(x.value).dims.clone();
        let op = Op::Unary { activation, slopes: Vec::new() };
        let value = self.graph.add_node(&node.name, op, vec![x.value], dims);
        Placed { value, order: x.order }
    }

    fn scaled(&mut self, node: &TypedNode, x: Placed, factor: f32) -> Placed {
        let dims = self.graph.value(x.value).dims.clone();
        let factor = self.graph.add_constant(&node.name, vec![1; dims.len()], vec![factor]);
        let op = Op::Binary { op: BinaryOp::Multiply, activation: Activation::None };
        let value = self.graph.add_node(&node.name, op, vec![x.value, factor], dims);
        Placed { value, order: x.order }
    }

    fn split(&self, node: &TypedNode, op: &Reduce, placed: &Placed) -> TractResult<Split> {
        let shape = self.input_shape(node, 0)?;
        let goes = |axis: &usize| op.axes.contains(axis);
        let (gone, kept): (Vec<usize>, Vec<usize>) = placed.order.iter().copied().partition(goes);
        let count = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product();
        let (count, left) = (count(&gone), count(&kept));
        Ok(Split { order: [gone, kept].concat(), count, kept: left })
    }

    /// The input as a matrix of what goes times what stays.
    fn matrix(&mut self, node: &TypedNode, placed: &Placed, split: &Split) -> TractResult<Placed> {
        let from = self.input_shape(node, 0)?;
        let order = with_units(&split.order, &from);
        let x = self.aligned(placed, &order, &from)?;
        let dims = vec![split.count, split.kept];
        let value = self.graph.add_node(&node.name, Op::Reshape, vec![x], dims);
        Ok(Placed { value, order: split.order.clone() })
    }

    /// The row that a matrix was reduced to, as the node's result.
    fn reduced(
        &mut self,
        node: &TypedNode,
        op: &Reduce,
        row: Op,
        x: &Placed,
    ) -> TractResult<Placed> {
        let to = self.output_shape(node)?;
        let kept = self.graph.value(x.value).dims[1];
        let value = self.graph.add_node(&node.name, row, vec![x.value], vec![1, kept]);
        let left = x.order.iter().copied().filter(|axis| !op.axes.contains(axis));
        let order = with_units(&left.collect::<Vec<_>>(), &to);
        let dims = dims(&order, &to);
        let value = self.graph.add_node(&node.name, Op::Reshape, vec![value], dims);
        Ok(Placed::new(value, &order, &to))
    }

    /// A sum over the channels or over everything else stays as it lies; for others what goes is
    /// brought in front.
    fn sum(&mut self, node: &TypedNode, op: &Reduce, placed: Placed) -> TractResult<Placed> {
        if let Some(sum) = self.sum_of_stack(node, op)? {
            return Ok(sum);
        }
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let order = with_units(&placed.order, &from);
        let goes = |axis: &usize| op.axes.contains(axis);
        let (inner, outer) = order.split_last().context("it has no axes")?;
        let long = outer.iter().filter(|axis| from[**axis] != 1);
        let over_channels = goes(inner) && !long.clone().any(goes);
        let over_pixels = !goes(inner) && long.clone().all(goes);
        if !over_channels && !over_pixels {
            let split = self.split(node, op, &placed)?;
            let x = self.matrix(node, &placed, &split)?;
            return self.reduced(node, op, Op::Sum { dims: vec![0] }, &x);
        }
        let x = self.aligned(&placed, &order, &from)?;
        let summed = |(_, axis): &(usize, &usize)| goes(axis);
        let dims_summed = order.iter().enumerate().filter(summed).map(|(dim, _)| dim).collect();
        let op = Op::Sum { dims: dims_summed };
        let value = self.graph.add_node(&node.name, op, vec![x], dims(&order, &to));
        Ok(Placed::new(value, &order, &to))
    }

    /// Tensors that were only put together to be summed are added one after the other.
    fn sum_of_stack(&mut self, node: &TypedNode, op: &Reduce) -> TractResult<Option<Placed>> {
        let stack = self.before_regridding(node.inputs[0]);
        let Some(concat) = stack.op_as::<TypedConcat>() else { return Ok(None) };
        let to = self.output_shape(node)?;
        let mut parts = Vec::with_capacity(stack.inputs.len());
        for (index, outlet) in stack.inputs.iter().enumerate() {
            if op.axes[..] != [concat.axis] || self.shape_of(*outlet)? != to {
                return Ok(None);
            }
            parts.push(self.input(stack, index)?);
        }
        let mut parts = parts.into_iter();
        let Some(mut sum) = parts.next() else { return Ok(None) };
        for part in parts {
            let shapes = [to.clone(), to.clone()];
            sum = self.combined(&node.name, BinaryOp::Add, [sum, part], shapes, &to)?;
        }
        Ok(Some(sum))
    }

    /// The node that writes `outlet`. A quantisation and dequantisation of tensors that all are on
    /// its grid already changes nothing, and is passed over.
    fn before_regridding(&self, outlet: OutletId) -> &TypedNode {
        let node = self.model.node(outlet.node);
        let grid = |id: usize| {
            let op = self.model.node(id).op_as::<ElementWiseOp>()?;
            let dequantize = op.0.downcast_ref::<Dequantize>()?;
            Some((dequantize.scale, dequantize.zero_point))
        };
        let (Some(whole), [quantized]) = (grid(node.id), &node.inputs[..]) else { return node };
        let quantize = self.model.node(quantized.node);
        let is_quantize = quantize.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<Quantize>());
        let Some(source) = quantize.inputs.first().filter(|_| is_quantize) else { return node };
        let stack = self.model.node(source.node);
        // Axes of length 1 are added behind the dequantisation of each.
        let on_grid = |part: &OutletId| {
            let mut at = self.model.node(part.node);
            while at.op_is::<AxisOp>() {
                at = self.model.node(at.inputs[0].node);
            }
            grid(at.id) == Some(whole)
        };
        if stack.op_is::<TypedConcat>() && stack.inputs.iter().all(on_grid) { stack } else { node }
    }

    /// The largest value: a pool whose window is everything.
    fn largest(&mut self, node: &TypedNode, op: &Reduce, placed: Placed) -> TractResult<Placed> {
        let split = self.split(node, op, &placed)?;
        let x = self.matrix(node, &placed, &split)?;
        let window = Window { kernel: [1, split.count], ..Window::POINT };
        let reduced = self.reduced(node, op, Op::MaxPool(window), &x)?;
        Ok(self.like_input(reduced, x.value))
    }
}
