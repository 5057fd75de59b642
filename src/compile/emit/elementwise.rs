//! Operators of two operands, and means.

use super::super::graph::{Node, ValueId};
use super::{Emitter, canonical, unsupported};
use crate::plan::{Activation, BinaryOp, Operation, TensorIndex};
use crate::status::Result;
use std::vec;
use std::vec::Vec;

impl Emitter<'_> {
    pub(super) fn mean(&mut self, node: &Node, dims: &[usize]) -> Result<()> {
        let from = &self.graph.value(node.inputs[0]).dims;
        let last = from.len() - 1;
        let long = |dim: &usize| from[*dim] != 1;
        let summed: Vec<usize> = dims.iter().copied().filter(long).collect();
        let others: Vec<usize> = (0..last).filter(long).collect();
        let shape = canonical(from);
        if summed == others {
            let input = self.shaped(node.inputs[0], shape)?;
            let output = self.activation(node.output, [1, 1, shape[2]])?;
            return self.step(Operation::GlobalAverage, &[input], output, &[], 0);
        }
        if summed == [last] {
            let input = self.shaped(node.inputs[0], shape)?;
            let output = self.activation(node.output, [shape[0], shape[1], 1])?;
            return self.step(Operation::ChannelMean, &[input], output, &[], 0);
        }
        Err(unsupported("mean over some axes in space"))
    }

    /// An operand repeated to `dims`, seen as `shape`.
    fn written_out(
        &mut self,
        id: ValueId,
        dims: &[usize],
        shape: [usize; 3],
    ) -> Result<TensorIndex> {
        let [from, to] = repetition(&self.graph.value(id).dims, dims)
            .ok_or(unsupported("operand that is repeated in several places"))?;
        let quantization = self.quantization(id);
        let source = self.shaped(id, from)?;
        let all = self.tensor(quantization, to)?;
        self.step(Operation::Broadcast, &[source], all, &[], 0)?;
        self.reshaped(all, quantization, shape)
    }

    pub(super) fn binary(
        &mut self,
        node: &Node,
        op: BinaryOp,
        activation: Activation,
    ) -> Result<()> {
        let [left, right] = node.inputs[..] else { return Err(unsupported("operands of a step")) };
        let values = [left, right].map(|id| self.graph.value(id));
        let len = self.graph.value(node.output).element_count();
        // The whole one first, which is written out where there is none.
        let is_known = values.map(|value| value.constant.is_some());
        let is_whole = |at: usize| values[at].element_count() == len && !is_known[at];
        let swapped = !is_whole(0) && (is_whole(1) || is_known[0]);
        let (whole, other) = if swapped { (right, left) } else { (left, right) };
        let dims = &self.graph.value(node.output).dims;
        let channels = dims.last().copied().unwrap_or(1);
        let mut index = match is_whole(usize::from(swapped)) {
            true => self.read(whole)?,
            false => self.written_out(whole, dims, canonical(dims))?,
        };
        let other_value = self.graph.value(other);
        if other_value.element_count() != 1 && self.shape(index)[2] != channels {
            index = self.reshaped(index, self.quantization(whole), canonical(dims))?;
        }
        let shape = self.shape(index);
        let operation = Operation::Binary { op, swapped, activation, low: 0, high: 255 };
        if let (Some(data), None) = (&other_value.constant, other_value.quantization) {
            let data = spread(data, &other_value.dims, dims)?;
            let constant = self.constants.add_f32(&data);
            let output = self.activation(node.output, shape)?;
            return self.step(operation, &[index], output, &[constant], 0);
        }
        let other = match repeated(&other_value.dims, dims, shape) {
            Ok(wanted) => self.shaped(other, wanted)?,
            Err(_) => self.written_out(other, dims, shape)?,
        };
        let output = self.activation(node.output, shape)?;
        self.step(operation, &[index, other], output, &[], 0)
    }
}

/// An operand that is repeated in a way that steps cannot: its sides and those of what it is
/// repeated over, with neighbours that behave alike taken together. `None` for more than three.
fn repetition(from: &[usize], to: &[usize]) -> Option<[[usize; 3]; 2]> {
    let mut groups: Vec<(bool, usize)> = Vec::new();
    for (&from, &to) in from.iter().zip(to).filter(|(_, to)| **to != 1) {
        match groups.last_mut() {
            Some((repeats, len)) if *repeats == (from == 1) => *len *= to,
            _ => groups.push((from == 1, to)),
        }
    }
    let pad = 3usize.checked_sub(groups.len()).filter(|_| from.len() == to.len())?;
    let mut sides = [[1; 3]; 2];
    for (at, (repeats, len)) in groups.into_iter().enumerate() {
        sides[0][pad + at] = if repeats { 1 } else { len };
        sides[1][pad + at] = len;
    }
    Some(sides)
}

/// A constant operand as one value, one per channel, or all.
fn spread(data: &[f32], from: &[usize], to: &[usize]) -> Result<Vec<f32>> {
    let channels = to.last().copied().unwrap_or(1);
    let is_row = data.len() == channels && from.last() == Some(&channels);
    if data.len() == 1 || is_row || data.len() == to.iter().product::<usize>() {
        return Ok(data.to_vec());
    }
    if from.len() != to.len() {
        return Err(unsupported("shape of a constant"));
    }
    let mut all = vec![0usize];
    let mut stride = data.len();
    for (&from, &to) in from.iter().zip(to) {
        stride /= from.max(1);
        let step = if from == 1 { 0 } else { stride };
        all = all.iter().flat_map(|&start| (0..to).map(move |at| start + at * step)).collect();
    }
    Ok(all.into_iter().map(|at| data[at]).collect())
}

/// The shape under which an operand of dims `from` is repeated over a tensor of dims `to` that a
/// step sees as `shape`.
fn repeated(from: &[usize], to: &[usize], shape: [usize; 3]) -> Result<[usize; 3]> {
    if from == to || from.iter().product::<usize>() == to.iter().product::<usize>() {
        return Ok(shape);
    }
    let long: Vec<usize> = (0..from.len()).filter(|&dim| from[dim] != 1).collect();
    match &long[..] {
        [] => Ok([1, 1, 1]),
        [dim] if *dim + 1 == to.len() && from.len() == to.len() => Ok([1, 1, shape[2]]),
        dims if from.len() == to.len() && dims.iter().all(|&dim| from[dim] == to[dim]) => {
            let is_plane =
                from.last() == Some(&1) && from.iter().product::<usize>() == shape[0] * shape[1];
            if is_plane {
                Ok([shape[0], shape[1], 1])
            } else {
                Err(unsupported("repeated operand"))
            }
        }
        _ => Err(unsupported("repeated operand")),
    }
}
