//! Operators that pick elements by constant places, repeat them or choose by a constant mask: in
//! slices, concatenations and products.

use super::Lowering;
use super::place::{Placed, dims, with_units};
use crate::compile::graph::{Op, ValueId};
use crate::plan::BinaryOp;
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::array::{Gather, GatherNd, Tile};
use tract_core::ops::logic::Iff;

/// Most slices that indexes may need: each of them is a step.
const MAX_RUNS: usize = 256;

/// Indexes at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: usize,
    stride: usize,
    count: usize,
}

/// Indexes along an axis, and the sides that they have as a tensor.
struct Indexes {
    axis: usize,
    places: Vec<usize>,
    sides: Vec<usize>,
}

impl Lowering<'_> {
    pub(super) fn picked(&mut self, node: &TypedNode) -> TractResult<Option<Placed>> {
        if let Some(op) = node.op_as::<Gather>() {
            return self.gather(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<GatherNd>() {
            return self.gather_grid(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<Tile>() {
            return self.tile(node, op).map(Some);
        }
        if node.op_is::<Iff>() && self.model.outlet_fact(node.inputs[0])?.konst.is_some() {
            return self.masked(node).map(Some);
        }
        Ok(None)
    }

    /// The elements and sides of a constant of integers.
    fn integers(&self, outlet: OutletId) -> TractResult<(Vec<i64>, Vec<usize>)> {
        let constant = self.model.outlet_fact(outlet)?.konst.clone();
        let constant = constant.context("its indexes are computed; export it for fixed sizes")?;
        let integers = constant.cast_to::<i64>()?;
        let data = integers.try_as_plain_ram()?.as_slice::<i64>()?.to_vec();
        Ok((data, constant.shape().to_vec()))
    }

    fn gather(&mut self, node: &TypedNode, op: &Gather) -> TractResult<Placed> {
        let (indexes, sides) = self.integers(node.inputs[1])?;
        let from = self.input_shape(node, 0)?;
        let places = places(&indexes, from[op.axis])?;
        let x = self.input(node, 0)?;
        let indexes = Indexes { axis: op.axis, places, sides };
        Ok(self.along_axis(node, &x, from, indexes)?.0)
    }

    /// Indexes of several axes at once that are those of every axis in turn: a grid.
    fn gather_grid(&mut self, node: &TypedNode, op: &GatherNd) -> TractResult<Placed> {
        ensure!(op.batch_dims == 0, "it has axes of a batch");
        let (indexes, mut sides) = self.integers(node.inputs[1])?;
        let mut from = self.input_shape(node, 0)?;
        let count = sides.pop().context("its indexes have no axes")?;
        ensure!(count > 0 && count <= from.len(), "its indexes have another number of axes");
        let grid = grid(&indexes, count, &sides).context("its indexes are no grid")?;
        let mut x = self.input(node, 0)?;
        let mut axis = 0;
        for (indexes, sides) in grid {
            let places = places(&indexes, from[axis])?;
            let skipped = sides.len();
            (x, from) = self.along_axis(node, &x, from, Indexes { axis, places, sides })?;
            axis += skipped;
        }
        Ok(x)
    }

    /// Picks along one axis, which becomes the axes of the indexes; also the new sides.
    fn along_axis(
        &mut self,
        node: &TypedNode,
        x: &Placed,
        from: Vec<usize>,
        indexes: Indexes,
    ) -> TractResult<(Placed, Vec<usize>)> {
        let Indexes { axis, places, sides } = indexes;
        let order = with_units(&x.order, &from);
        let value = self.aligned(x, &order, &from)?;
        let dim = order.iter().position(|&other| other == axis).context("an axis is missing")?;
        let value = self.picked_along(node, value, dim, &places)?;
        let mut to = from;
        to.splice(axis..=axis, sides.iter().copied());
        let renamed = order.iter().flat_map(|&other| match other.cmp(&axis) {
            core::cmp::Ordering::Less => other..other + 1,
            core::cmp::Ordering::Equal => axis..axis + sides.len(),
            core::cmp::Ordering::Greater => other + sides.len() - 1..other + sides.len(),
        });
        let order: Vec<usize> = renamed.collect();
        let wanted = dims(&order, &to);
        let reshaped = self.graph.add_node(&node.name, Op::Reshape, vec![value], wanted);
        Ok((self.like_input(Placed::new(reshaped, &order, &to), value), to))
    }

    /// The indexes `places` of a dim, one behind another.
    pub(super) fn picked_along(
        &mut self,
        node: &TypedNode,
        value: ValueId,
        dim: usize,
        places: &[usize],
    ) -> TractResult<ValueId> {
        let runs = runs(places);
        ensure!(runs.len() <= MAX_RUNS, "its indexes have no order");
        let from = self.graph.value(value).dims.clone();
        let mut parts = Vec::with_capacity(runs.len());
        for Run { start, stride, count } in runs {
            let (mut starts, mut strides) = (vec![0; from.len()], vec![1; from.len()]);
            (starts[dim], strides[dim]) = (start, stride);
            let mut to = from.clone();
            to[dim] = count;
            if to == from {
                parts.push(value);
                continue;
            }
            let op = Op::Slice { start: starts, stride: strides };
            let part = self.graph.add_node(&node.name, op, vec![value], to);
            self.value_mut(part).quantization = self.quantization(value);
            parts.push(part);
        }
        self.joined(node, dim, parts)
    }

    /// Values one after another along a dim.
    fn joined(
        &mut self,
        node: &TypedNode,
        dim: usize,
        parts: Vec<ValueId>,
    ) -> TractResult<ValueId> {
        let first = *parts.first().context("it is empty")?;
        if parts.len() == 1 {
            return Ok(first);
        }
        let mut to = self.graph.value(first).dims.clone();
        to[dim] = parts.iter().map(|part| self.graph.value(*part).dims[dim]).sum();
        let whole = self.graph.add_node(&node.name, Op::Concat { dim }, parts, to);
        self.value_mut(whole).quantization = self.quantization(first);
        Ok(whole)
    }

    /// Repeats axes.
    fn tile(&mut self, node: &TypedNode, op: &Tile) -> TractResult<Placed> {
        let (x, from) = (self.input(node, 0)?, self.input_shape(node, 0)?);
        let to = self.output_shape(node)?;
        let order = with_units(&x.order, &from);
        let mut value = self.aligned(&x, &order, &from)?;
        for (dim, &axis) in order.iter().enumerate().rev() {
            let times = op.multipliers[axis].to_usize()?;
            ensure!(times <= MAX_RUNS || from[axis] == 1, "it repeats too often");
            if from[axis] == 1 && times > 1 {
                let mut wide = self.graph.value(value).dims.clone();
                wide[dim] = times;
                let source = value;
                value = self.graph.add_node(&node.name, Op::Broadcast, vec![source], wide);
                self.value_mut(value).quantization = self.quantization(source);
            } else {
                value = self.joined(node, dim, vec![value; times])?;
            }
        }
        Ok(Placed::new(value, &order, &to))
    }

    /// `a` where a constant mask is true, `b` elsewhere: `a * mask + b * (1 - mask)`.
    fn masked(&mut self, node: &TypedNode) -> TractResult<Placed> {
        let mask = self.model.outlet_fact(node.inputs[0])?.konst.clone();
        let mask = mask.context("its condition is not known")?;
        let mask_shape = mask.shape().to_vec();
        let mask = mask.cast_to::<f32>()?;
        let mask = mask.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        let to = self.output_shape(node)?;
        let order: Vec<usize> = (0..mask_shape.len()).collect();
        let mut parts = Vec::new();
        for (slot, chosen) in [(1, 1.0), (2, 0.0)] {
            let (x, shape) = (self.input(node, slot)?, self.input_shape(node, slot)?);
            if let Some(constant) = self.elements(&x) {
                if constant.iter().any(|value| *value != 0.0) {
                    let mask = (&mask[..], &mask_shape[..], chosen);
                    parts.push(self.masked_constant(node, (&x, &shape), mask, &to)?);
                }
                continue; // Zeros add nothing.
            }
            let factors = mask.iter().map(|one| f32::from(*one == chosen)).collect();
            let factors = self.graph.add_constant(&node.name, mask_shape.clone(), factors);
            let factors = Placed::new(factors, &order, &mask_shape);
            let (operands, shapes) = ([x, factors], [shape, mask_shape.clone()]);
            let product = self.combined(&node.name, BinaryOp::Multiply, operands, shapes, &to)?;
            parts.push((product, to.clone()));
        }
        match <[_; 2]>::try_from(parts) {
            Ok([(first, first_shape), (second, second_shape)]) => {
                let (operands, shapes) = ([first, second], [first_shape, second_shape]);
                self.combined(&node.name, BinaryOp::Add, operands, shapes, &to)
            }
            Err(parts) => {
                let (part, shape) = parts.into_iter().next().context("it chooses between zeros")?;
                ensure!(shape == to, "it chooses between constants");
                Ok(part)
            }
        }
    }

    /// A constant where the mask is `chosen`, 0 elsewhere; not by products, which make no number of
    /// an infinite one, as masks of a softmax are. If all its elements are the same it has the
    /// mask's sides, else those of the result.
    fn masked_constant(
        &mut self,
        node: &TypedNode,
        (x, shape): (&Placed, &[usize]),
        (mask, mask_shape, chosen): (&[f32], &[usize], f32),
        to: &[usize],
    ) -> TractResult<(Placed, Vec<usize>)> {
        let order: Vec<usize> = (0..shape.len()).collect();
        let values = self.ordered_elements(x, &order, shape)?;
        let is_uniform = values.iter().all(|value| value.to_bits() == values[0].to_bits());
        let sides = if is_uniform { mask_shape } else { to };
        let values = match is_uniform {
            true => vec![values[0]; mask.len()],
            false => repeated(&values, shape, to),
        };
        let chooses = repeated(mask, mask_shape, sides);
        let chosen = |(value, one)| if one == chosen { value } else { 0.0 };
        let data = values.into_iter().zip(chooses).map(chosen).collect();
        let value = self.graph.add_constant(&node.name, sides.to_vec(), data);
        let order: Vec<usize> = (0..sides.len()).collect();
        Ok((Placed::new(value, &order, sides), sides.to_vec()))
    }
}

/// The elements of a tensor of sides `from` repeated to those of `to`, which has as many axes or
/// more.
fn repeated(data: &[f32], from: &[usize], to: &[usize]) -> Vec<f32> {
    let missing = to.len().saturating_sub(from.len());
    let side = |axis: usize| axis.checked_sub(missing).map_or(1, |axis| from[axis]);
    let mut offsets = vec![0];
    let mut stride = data.len();
    for (axis, &len) in to.iter().enumerate() {
        stride /= side(axis).max(1);
        let step = if side(axis) == 1 { 0 } else { stride };
        let along = |start: usize| (0..len).map(move |at| start + at * step);
        offsets = offsets.into_iter().flat_map(along).collect();
    }
    offsets.into_iter().map(|offset| data[offset]).collect()
}

/// Indexes from the first element on; negative ones count from the end.
fn places(indexes: &[i64], len: usize) -> TractResult<Vec<usize>> {
    let place = |&index: &i64| {
        let place = if index < 0 { index.checked_add(len as i64)? } else { index };
        usize::try_from(place).ok().filter(|place| *place < len)
    };
    indexes.iter().map(place).collect::<Option<_>>().context("an index is beyond the axis")
}

/// The fewest runs that a look at one index after another finds.
fn runs(places: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &place in places {
        match runs.last_mut() {
            Some(run) if run.count == 1 && place > run.start => {
                *run = Run { stride: place - run.start, count: 2, ..*run };
            }
            Some(run) if run.count > 1 && place == run.start + run.count * run.stride => {
                run.count += 1;
            }
            _ => runs.push(Run { start: place, stride: 1, count: 1 }),
        }
    }
    runs
}

/// The indexes of each axis with their sides, if `indexes`, `count` for each element of `sides`,
/// are all combinations of them in order.
fn grid(indexes: &[i64], count: usize, sides: &[usize]) -> Option<Vec<(Vec<i64>, Vec<usize>)>> {
    let mut strides = vec![count; sides.len()];
    for axis in (1..sides.len()).rev() {
        strides[axis - 1] = strides[axis] * sides[axis];
    }
    // The first axis of the indexes that each axis of the data changes along.
    let changes = |part: usize, axis: usize| {
        (1..sides[axis]).any(|at| indexes.get(at * strides[axis] + part) != indexes.get(part))
    };
    let owner = |axis: usize| (0..count).find(|&part| changes(part, axis));
    let mut owners = Vec::with_capacity(sides.len());
    for axis in 0..sides.len() {
        let last = owners.last().copied().unwrap_or(0);
        owners.push(owner(axis).unwrap_or(last));
    }
    if !owners.is_sorted() {
        return None;
    }
    let mut result = Vec::with_capacity(count);
    for part in 0..count {
        let own: Vec<usize> = (0..sides.len()).filter(|&axis| owners[axis] == part).collect();
        let own_sides: Vec<usize> = own.iter().map(|&axis| sides[axis]).collect();
        let total: usize = own_sides.iter().product();
        let step = own.last().map_or(0, |&axis| strides[axis]);
        let values = (0..total).map(|at| indexes.get(at * step + part).copied());
        result.push((values.collect::<Option<Vec<i64>>>()?, own_sides));
    }
    let is_grid = indexes.chunks_exact(count).enumerate().all(|(at, found)| {
        let mut rest = at;
        (0..count).rev().all(|part| {
            let (values, _) = &result[part];
            let index = values.get(rest % values.len().max(1));
            rest /= values.len().max(1);
            index == found.get(part)
        })
    });
    is_grid.then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_become_few_runs() {
        assert_eq!(runs(&[3]), [Run { start: 3, stride: 1, count: 1 }]);
        let found = runs(&[0, 1, 2, 2, 3, 4, 9, 7]);
        let wanted = [(0, 1, 3), (2, 1, 3), (9, 1, 1), (7, 1, 1)];
        assert_eq!(found, wanted.map(|(start, stride, count)| Run { start, stride, count }));
        assert_eq!(runs(&[1, 4, 7]), [Run { start: 1, stride: 3, count: 3 }]);
    }

    #[test]
    fn negative_indexes_count_from_the_end() {
        assert_eq!(places(&[0, -1], 3).unwrap(), [0, 2]);
        assert!(places(&[3], 3).is_err());
        assert!(places(&[-4], 3).is_err());
        assert!(places(&[i64::MIN], 3).is_err());
    }

    #[test]
    fn a_grid_of_indexes_is_taken_apart() {
        // Rows [[0, 1], [1, 2]] and columns [5, 3].
        let mut indexes = Vec::new();
        for row in [0, 1, 1, 2] {
            for column in [5, 3] {
                indexes.extend([row, column]);
            }
        }
        let found = grid(&indexes, 2, &[2, 2, 2]).unwrap();
        assert_eq!(found, [(vec![0, 1, 1, 2], vec![2, 2]), (vec![5, 3], vec![2])]);
        indexes[0] = 2;
        assert_eq!(grid(&indexes, 2, &[2, 2, 2]), None);
    }
}
