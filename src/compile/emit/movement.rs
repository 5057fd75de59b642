//! Nodes that move values: most become another way to see the same memory.

use super::super::graph::{Node, Op, ValueId};
use super::{Emitter, canonical, unsupported};
use crate::math::network::table_u8::build_table;
use crate::plan::{NO_TENSOR, Operation, Tensor, TensorIndex};
use crate::status::{Result, Status};
use std::vec::Vec;

impl Emitter<'_> {
    /// Finds values that can be written where a concatenation wants them.
    pub(super) fn plan_slices(&mut self) {
        let writers = self.graph.writers();
        for node in &self.graph.nodes {
            let Op::Concat { dim } = node.op else { continue };
            let whole = self.graph.value(node.output);
            if dim + 1 != whole.dims.len() || self.slices.contains_key(&node.output) {
                continue;
            }
            let mut first = 0;
            for &id in &node.inputs {
                let value = self.graph.value(id);
                let made = writers[id.0].map(|at| &self.graph.nodes[at].op);
                // A product's strides leave no room for a neighbour.
                let stays = matches!(
                    made,
                    None | Some(
                        Op::Reshape | Op::Slice { .. } | Op::Concat { .. } | Op::MatrixProduct(_)
                    )
                );
                let is_output = self.graph.outputs.contains(&id);
                let same = value.quantization == whole.quantization;
                let is_once = node.inputs.iter().filter(|&&other| other == id).count() == 1;
                let free = is_once
                    && !self.slices.contains_key(&id)
                    && !self.meets(id, node.output, &writers);
                if !stays && !is_output && same && free {
                    self.slices.insert(id, (node.output, first));
                }
                first += value.dims[dim];
            }
        }
    }

    /// Whether `id` is made from, or into, a value that is written into `whole` already: a step
    /// may not read and write the same tensor.
    fn meets(&self, id: ValueId, whole: ValueId, writers: &[Option<usize>]) -> bool {
        let reads = |from: ValueId, what: ValueId| {
            let node = writers[from.0].map(|at| &self.graph.nodes[at]);
            node.is_some_and(|node| {
                node.inputs.iter().any(|&input| self.graph.before_reshapes(input) == what)
            })
        };
        let others = self.slices.iter().filter(|(_, (other, _))| *other == whole);
        others.into_iter().any(|(&other, _)| reads(id, other) || reads(other, id))
    }

    /// The shape under which a concatenation puts its inputs side by side.
    pub(super) fn concat_shape(&self, id: ValueId) -> [usize; 3] {
        let dims = &self.graph.value(id).dims;
        let node = self.graph.nodes.iter().find(|node| node.output == id);
        match node.map(|node| &node.op) {
            Some(Op::Concat { dim }) => flattened(dims, *dim),
            _ => canonical(dims),
        }
    }

    pub(super) fn concat(&mut self, node: &Node, dim: usize) -> Result<()> {
        let whole = self.whole(node.output)?;
        let mut first = 0;
        for &id in &node.inputs {
            let value = self.graph.value(id);
            let shape = flattened(&value.dims, dim);
            let start = first;
            first += shape[2];
            if self.slices.get(&id) == Some(&(node.output, start)) {
                continue;
            }
            let source = self.shaped(id, shape)?;
            let target = self.slice_of(whole, start, shape, self.quantization(node.output))?;
            let table = match (value.quantization, self.quantization(node.output)) {
                (Some(from), Some(to)) if from != to => {
                    self.constants.add(&build_table(|value| value, from, to))
                }
                _ => Default::default(),
            };
            self.step(Operation::Copy, &[source], target, &[table], 0)?;
        }
        Ok(())
    }

    /// The same tensor; what needs the new shape asks for it.
    pub(super) fn reshape(&mut self, node: &Node) -> Result<()> {
        let index = self.read(node.inputs[0])?;
        self.of[node.output.0] = Some(index);
        Ok(())
    }

    pub(super) fn transpose(&mut self, node: &Node, order: &[usize]) -> Result<()> {
        let dims = &self.graph.value(node.inputs[0]).dims;
        let (sides, order) = merged(dims, order);
        let moves = moves_to(&order).ok_or(unsupported("transposition of so many axes"))?;
        let mut from = self.read(node.inputs[0])?;
        let mut sides = sides;
        for (index, next) in moves.iter().enumerate() {
            let (groups, order) = merged(&sides, next);
            let is_last = index + 1 == moves.len();
            let output = is_last.then_some(node.output);
            from = self.transposed(from, (node.inputs[0], output), &groups, &order)?;
            sides = next.iter().map(|&axis| sides[axis]).collect();
        }
        self.of[node.output.0] = Some(from);
        Ok(())
    }

    /// A transposition of at most three axes, of a tensor with the quantisation of `like`, to a
    /// tensor of its own or to a value.
    fn transposed(
        &mut self,
        source: TensorIndex,
        (like, output): (ValueId, Option<ValueId>),
        sides: &[usize],
        order: &[usize],
    ) -> Result<TensorIndex> {
        let pad = 3usize.checked_sub(sides.len()).ok_or(unsupported("transposition"))?;
        let mut shape = [1; 3];
        shape[pad..].copy_from_slice(sides);
        let mut axes = [0u8, 1, 2];
        for (place, from) in order.iter().enumerate() {
            axes[pad + place] = (pad + from) as u8;
        }
        let quantization = self.quantization(like);
        let input = self.reshaped(source, quantization, shape)?;
        let to = axes.map(|axis| shape[usize::from(axis)]);
        let output = match output {
            Some(id) => self.activation(id, to)?,
            None => self.tensor(quantization, to)?,
        };
        self.step(Operation::Transpose { axes }, &[input], output, &[], 0)?;
        Ok(output)
    }

    pub(super) fn slice(&mut self, node: &Node, start: &[usize], stride: &[usize]) -> Result<()> {
        let from = self.graph.value(node.inputs[0]).dims.clone();
        let to = self.graph.value(node.output).dims.clone();
        let cut: Vec<usize> =
            (0..from.len()).filter(|&dim| from[dim] != to[dim] || start[dim] != 0).collect();
        if let ([dim], false) = (&cut[..], cut.iter().any(|&dim| stride[dim] != 1)) {
            let shape = flattened(&to, *dim);
            let whole = flattened(&from, *dim);
            let source = self.read(node.inputs[0])?;
            let source_shape = self.shape(source);
            let is_row = source_shape[2] == whole[2]
                && source_shape[0] * source_shape[1] == whole[0] * whole[1];
            if is_row
                && self.at(source).parent == NO_TENSOR
                && !self.slices.contains_key(&node.output)
                && self.is_one_part(source, start[*dim] * (whole[2] / from[*dim]), shape[2])
            {
                let inner = whole[2] / from[*dim];
                let shape = [source_shape[0], source_shape[1], shape[2]];
                let quantization = self.quantization(node.output);
                let view = self.slice_of(source, start[*dim] * inner, shape, quantization)?;
                self.of[node.output.0] = Some(view);
                return Ok(());
            }
        }
        self.copied_slice(node, &cut, start, stride)
    }

    /// Whether `count` channels of a tensor from `first` on were written by one step: a view may
    /// not reach from one part of a concatenation into the next.
    fn is_one_part(&self, whole: TensorIndex, first: usize, count: usize) -> bool {
        let size = self.at(whole).element.bytes();
        let (start, end) = (first as u64 * size, (first + count) as u64 * size);
        let written = self.steps.iter().map(|step| self.at(step.output));
        let mut parts = written.filter(|part| part.parent == whole).peekable();
        let holds = |part: &Tensor| {
            part.offset_bytes <= start && end <= part.offset_bytes + u64::from(part.channels) * size
        };
        parts.peek().is_none() || parts.any(holds)
    }

    /// A slice that is one step of the last three dims, or one for each dim after another.
    fn copied_slice(
        &mut self,
        node: &Node,
        cut: &[usize],
        start: &[usize],
        stride: &[usize],
    ) -> Result<()> {
        let from = &self.graph.value(node.inputs[0]).dims;
        let to = &self.graph.value(node.output).dims;
        let strides_channels = stride.last().is_some_and(|&stride| stride != 1);
        if !strides_channels && cut.iter().all(|&dim| is_inner(from, dim)) {
            let operation = cutting(last_three(start, 0), last_three(stride, 1))?;
            let input = self.shaped(node.inputs[0], canonical(from))?;
            let output = self.activation(node.output, canonical(to))?;
            return self.step(operation, &[input], output, &[], 0);
        }
        let mut dims = from.clone();
        let quantization = self.quantization(node.output);
        let mut index = self.read(node.inputs[0])?;
        for (place, &dim) in cut.iter().enumerate() {
            let input = self.reshaped(index, quantization, around(&dims, dim))?;
            dims[dim] = to[dim];
            let shape = around(&dims, dim);
            index = match place + 1 == cut.len() {
                true => self.activation(node.output, shape)?,
                false => self.tensor(quantization, shape)?,
            };
            let operation = cutting([0, start[dim], 0], [1, stride[dim], 1])?;
            self.step(operation, &[input], index, &[], 0)?;
        }
        Ok(())
    }

    pub(super) fn pad(&mut self, node: &Node, before: &[usize], value: f32) -> Result<()> {
        let (from, to) = (self.graph.value(node.inputs[0]), self.graph.value(node.output));
        let rank = from.dims.len();
        let value = match from.quantization {
            Some(grid) => f32::from(grid.quantized(value)),
            None => value,
        };
        let padded: Vec<usize> = (0..rank).filter(|&dim| from.dims[dim] != to.dims[dim]).collect();
        if padded.iter().all(|&dim| is_inner(&from.dims, dim) && dim + 1 != rank) {
            let [top, left, _] = last_three(before, 0);
            return self.spatial(node, padding(top, left, value)?, &[]);
        }
        // One dim after the other, with what lies behind it as channels.
        let mut dims = from.dims.clone();
        let mut index = self.read(node.inputs[0])?;
        for (place, &dim) in padded.iter().enumerate() {
            let input = self.reshaped(index, from.quantization, around(&dims, dim))?;
            dims[dim] = to.dims[dim];
            let shape = around(&dims, dim);
            index = match place + 1 == padded.len() {
                true => self.activation(node.output, shape)?,
                false => self.tensor(from.quantization, shape)?,
            };
            self.step(padding(0, before[dim], value)?, &[input], index, &[], 0)?;
        }
        Ok(())
    }
}

fn padding(top: usize, left: usize, value: f32) -> Result<Operation> {
    let number =
        |side: usize| u32::try_from(side).map_err(|_| Status::LimitExceeded.about("padding"));
    Ok(Operation::Pad { top: number(top)?, left: number(left)?, value })
}

fn cutting(start: [usize; 3], stride: [usize; 3]) -> Result<Operation> {
    let number =
        |value: usize| u32::try_from(value).map_err(|_| Status::LimitExceeded.about("slice"));
    let short =
        |value: usize| u16::try_from(value).map_err(|_| Status::LimitExceeded.about("slice"));
    Ok(Operation::Slice {
        stride_y: short(stride[0])?,
        stride_x: short(stride[1])?,
        offset_y: number(start[0])?,
        offset_x: number(start[1])?,
        offset_c: number(start[2])?,
    })
}

/// Whether a dim is channels, columns or rows of [`canonical`]; rows may have no other dim with
/// them.
fn is_inner(dims: &[usize], dim: usize) -> bool {
    let rows = dims.len().saturating_sub(3);
    dim > rows || (dim == rows && dims[..rows].iter().all(|&side| side == 1))
}

/// A dim as columns: those before it as rows, those behind it as channels.
fn around(dims: &[usize], dim: usize) -> [usize; 3] {
    [dims[..dim].iter().product(), dims[dim], dims[dim + 1..].iter().product()]
}

/// What is said of the last three dims; `absent` for those that are missing.
fn last_three(values: &[usize], absent: usize) -> [usize; 3] {
    [3, 2, 1].map(|back| values.len().checked_sub(back).map_or(absent, |at| values[at]))
}

/// The shortest way to an order by steps that each move three runs of neighbours about. `None` for
/// more than six axes.
fn moves_to(order: &[usize]) -> Option<Vec<Vec<usize>>> {
    let rank = order.len();
    if rank > 6 {
        return None;
    }
    let start: Vec<usize> = (0..rank).collect();
    let mut ways = std::collections::VecDeque::from([(start.clone(), Vec::new())]);
    let mut seen = std::collections::HashSet::from([start]);
    while let Some((reached, way)) = ways.pop_front() {
        if reached == order {
            // An order that is reached at once still is a step.
            return Some(if way.is_empty() { std::vec![reached] } else { way });
        }
        for next in block_moves(rank) {
            let after: Vec<usize> = next.iter().map(|&place| reached[place]).collect();
            if seen.insert(after.clone()) {
                ways.push_back((after, [&way[..], &[next]].concat()));
            }
        }
    }
    None
}

/// Every order that a transposition of three runs of neighbours makes of `rank` axes.
fn block_moves(rank: usize) -> Vec<Vec<usize>> {
    let mut moves = Vec::new();
    for first in 0..rank {
        for second in first..rank {
            let runs = [0..first, first..second, second..rank];
            for [a, b, c] in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let order = [a, b, c].into_iter().flat_map(|run: usize| runs[run].clone());
                moves.push(order.collect());
            }
        }
    }
    moves
}

/// One row with all dims from `dim` on as channels, one pixel for each index before.
fn flattened(dims: &[usize], dim: usize) -> [usize; 3] {
    if dim + 1 == dims.len() {
        return canonical(dims);
    }
    [1, dims[..dim].iter().product(), dims[dim..].iter().product()]
}

/// Dims without those of length 1, neighbours that stay neighbours taken together, and their order.
fn merged(dims: &[usize], order: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let order: Vec<usize> = order.iter().copied().filter(|&dim| dims[dim] != 1).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &dim in &order {
        let follows = |last: usize| last < dim && (last + 1..dim).all(|between| dims[between] == 1);
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|&last| follows(last)) => group.push(dim),
            _ => groups.push(std::vec![dim]),
        }
    }
    let mut sorted: Vec<usize> = (0..groups.len()).collect();
    sorted.sort_by_key(|&group| groups[group][0]);
    let side = |group: &Vec<usize>| group.iter().map(|&dim| dims[dim]).product();
    let sides = sorted.iter().map(|&group| side(&groups[group])).collect();
    let place = |group: usize| sorted.iter().position(|&other| other == group).unwrap_or(group);
    (sides, (0..groups.len()).map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_reached_by_moves_of_three_runs() {
        let orders: [&[usize]; 6] =
            [&[0], &[2, 0, 1], &[0, 2, 1, 3], &[3, 1, 2, 0], &[0, 3, 1, 4, 2], &[4, 2, 5, 0, 3, 1]];
        for order in orders {
            let moves = moves_to(order).unwrap();
            let mut reached: Vec<usize> = (0..order.len()).collect();
            for next in &moves {
                assert!(merged(&std::vec![2; order.len()], next).0.len() <= 3);
                reached = next.iter().map(|&place| reached[place]).collect();
            }
            assert_eq!(reached, order);
            assert!(moves.len() <= 3, "{order:?} takes {moves:?}");
        }
        assert_eq!(moves_to(&[6, 5, 4, 3, 2, 1, 0]), None);
    }
}
