//! Which axis of a tract tensor lies where in memory.

use super::Lowering;
use crate::compile::graph::{Op, ValueId};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;

/// A tensor with its order in memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    /// The tensor, dense.
    pub(super) value: ValueId,
    /// tract's axes longer than 1, the one that varies slowest first.
    pub(super) order: Vec<usize>,
}

impl Placed {
    /// `order` may name axes of length 1, which are left out.
    pub(super) fn new(value: ValueId, order: &[usize], shape: &[usize]) -> Placed {
        Placed { value, order: without_units(order, shape) }
    }
}

/// The axes of `order` that are longer than 1.
pub(super) fn without_units(order: &[usize], shape: &[usize]) -> Vec<usize> {
    order.iter().copied().filter(|&axis| shape[axis] != 1).collect()
}

/// `order` with the axes of length 1 that it lacks put in front.
pub(super) fn with_units(order: &[usize], shape: &[usize]) -> Vec<usize> {
    let units = (0..shape.len()).filter(|axis| !order.contains(axis));
    units.chain(order.iter().copied()).collect()
}

/// Sides in the order of `order`.
pub(super) fn dims(order: &[usize], shape: &[usize]) -> Vec<usize> {
    order.iter().map(|&axis| shape[axis]).collect()
}

impl Lowering<'_> {
    /// The tensor with exactly the dims of `order`, which names all of tract's axes. Constants are
    /// rewritten, activations moved where their memory lies otherwise.
    pub(super) fn aligned(
        &mut self,
        placed: &Placed,
        order: &[usize],
        shape: &[usize],
    ) -> TractResult<ValueId> {
        let wanted = without_units(order, shape);
        ensure!(
            order.len() == shape.len() && is_permutation(&wanted, &placed.order),
            "axes differ"
        );
        let to = dims(order, shape);
        let mut value = placed.value;
        if wanted != placed.order {
            value = self.transposed(placed, &wanted, shape)?;
        }
        if self.graph.value(value).dims == to {
            return Ok(value);
        }
        let from = self.graph.value(value).clone();
        if let Some(constant) = from.constant {
            return Ok(self.graph.add_constant(&from.name, to, constant.to_vec()));
        }
        let reshaped = self.graph.add_node(&from.name, Op::Reshape, vec![value], to);
        self.value_mut(reshaped).quantization = from.quantization;
        Ok(reshaped)
    }

    fn transposed(
        &mut self,
        placed: &Placed,
        wanted: &[usize],
        shape: &[usize],
    ) -> TractResult<ValueId> {
        let from = self.graph.value(placed.value).clone();
        let have = dims(&placed.order, shape);
        let position = |axis: &usize| placed.order.iter().position(|other| other == axis);
        let order: Vec<usize> =
            wanted.iter().map(position).collect::<Option<_>>().context("axes differ")?;
        let to = dims(wanted, shape);
        if let Some(constant) = &from.constant {
            let data = permute(constant, &have, &order);
            return Ok(self.graph.add_constant(&from.name, to, data));
        }
        let mut source = placed.value;
        if from.dims != have {
            source = self.graph.add_node(&from.name, Op::Reshape, vec![source], have);
            self.value_mut(source).quantization = from.quantization;
        }
        let moved = self.graph.add_node(&from.name, Op::Transpose { order }, vec![source], to);
        self.value_mut(moved).quantization = from.quantization;
        Ok(moved)
    }

    /// A constant's elements with its axes in the order of `order`, which names all of them.
    pub(super) fn ordered_elements(
        &mut self,
        placed: &Placed,
        order: &[usize],
        shape: &[usize],
    ) -> TractResult<Arc<Vec<f32>>> {
        ensure!(self.elements(placed).is_some(), "an operand is not a constant");
        let value = self.aligned(placed, order, shape)?;
        self.graph.value(value).constant.clone().context("an operand is not a constant")
    }
}

fn is_permutation(one: &[usize], other: &[usize]) -> bool {
    let sorted = |axes: &[usize]| {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        axes
    };
    sorted(one) == sorted(other)
}

/// `data` of sides `dims` with its dims in the order of `order`.
pub(super) fn permute(data: &[f32], dims: &[usize], order: &[usize]) -> Vec<f32> {
    let mut strides = vec![1; dims.len()];
    for dim in (1..dims.len()).rev() {
        strides[dim - 1] = strides[dim] * dims[dim];
    }
    let mut offsets = vec![0usize];
    for &dim in order {
        let steps = |start: usize| (0..dims[dim]).map(move |index| (start, index));
        let places = offsets.iter().copied().flat_map(steps);
        offsets = places.map(|(start, index)| start + index * strides[dim]).collect();
    }
    offsets.into_iter().map(|offset| data[offset]).collect()
}
