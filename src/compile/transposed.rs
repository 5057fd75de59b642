//! Transposed convolutions as ordinary ones: with stride s, every s-th row and column of the output
//! (a phase) is a convolution of the input with every s-th tap. The phases of a row of output
//! pixels lie side by side as channels of one tensor, which is the same memory; rows are then put
//! one after another.

use super::graph::{Convolution, Graph, Node, Op, Quantization, Value, ValueId, Window};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// Replaces every transposed convolution.
pub fn expand(graph: &mut Graph) {
    for node in std::mem::take(&mut graph.nodes) {
        match &node.op {
            Op::Convolution(convolution) if convolution.transposed => {
                Spread::of(graph, &node, convolution).write();
            }
            _ => graph.nodes.push(node),
        }
    }
}

/// The convolution that makes every s-th output row or column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Phase {
    /// Of each tap the one of the transposed convolution, if it has one there.
    taps: Vec<Option<usize>>,
    pad_before: usize,
    pad_after: usize,
}

/// One axis of a transposed convolution.
#[derive(Clone, Copy, Debug)]
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
}

impl Axis {
    fn of(convolution: &Convolution, axis: usize) -> Axis {
        let window = convolution.window;
        Axis {
            input: convolution.input[axis],
            output: convolution.output[axis],
            kernel: window.kernel[axis],
            stride: window.stride[axis],
            dilation: window.dilation[axis],
            pad: window.pad_before[axis],
        }
    }

    /// Outputs of each phase; the last ones may lie beyond the output.
    fn count(&self) -> usize {
        self.output.div_ceil(self.stride)
    }

    /// Output `index * stride + phase` reads the input at `index + offset`, for each tap with a
    /// whole offset.
    fn phase(&self, phase: usize) -> Phase {
        let (stride, count) = (self.stride as isize, self.count() as isize);
        let reach = |tap: usize| (phase + self.pad) as isize - (tap * self.dilation) as isize;
        let hits: Vec<(isize, usize)> = (0..self.kernel)
            .filter(|&tap| reach(tap) % stride == 0)
            .map(|tap| (reach(tap) / stride, tap))
            .collect();
        let offsets = hits.iter().map(|(offset, _)| *offset);
        // No window may begin behind the input, and none may lie in the padding before it.
        let first = offsets.clone().fold((self.input as isize - count).min(0), isize::min);
        let last = offsets.fold(0, isize::max);
        let tap_at = |offset: isize| hits.iter().find(|hit| hit.0 == offset).map(|hit| hit.1);
        let beyond = count - 1 + last - (self.input as isize - 1);
        Phase {
            taps: (first..=last).map(tap_at).collect(),
            pad_before: first.unsigned_abs(),
            pad_after: beyond.max(0) as usize,
        }
    }

    fn phases(&self) -> Vec<Phase> {
        (0..self.stride).map(|phase| self.phase(phase)).collect()
    }
}

/// A transposed convolution being written as others.
struct Spread<'g> {
    graph: &'g mut Graph,
    node: &'g Node,
    convolution: &'g Convolution,
    quantization: Option<Quantization>,
    axes: [Axis; 2],
}

impl<'g> Spread<'g> {
    fn of(graph: &'g mut Graph, node: &'g Node, convolution: &'g Convolution) -> Spread<'g> {
        let quantization = graph.value(node.output).quantization;
        let axes = [0, 1].map(|axis| Axis::of(convolution, axis));
        Spread { graph, node, convolution, quantization, axes }
    }

    fn write(mut self) {
        let columns = self.axes[1].phases();
        let rows = self.axes[0].phases().iter().map(|row| self.row(row, &columns)).collect();
        let whole = self.stacked(rows);
        let sides = self.axes.map(|axis| axis.count() * axis.stride);
        let cut = self.cut(whole, sides);
        let (name, inputs, output) = (self.node.name.clone(), vec![cut], self.node.output);
        self.graph.nodes.push(Node { name, op: Op::Reshape, inputs, output });
    }

    fn value(&mut self, dims: Vec<usize>) -> ValueId {
        let (name, quantization) = (self.node.name.clone(), self.quantization);
        self.graph.add_value(Value { name, dims, quantization, constant: None })
    }

    fn add(&mut self, op: Op, inputs: Vec<ValueId>, dims: Vec<usize>) -> ValueId {
        let output = self.value(dims);
        self.graph.nodes.push(Node { name: self.node.name.clone(), op, inputs, output });
        output
    }

    /// Every `stride`th row of the output: rows x columns x (phase of the column, channel).
    fn row(&mut self, row: &Phase, columns: &[Phase]) -> ValueId {
        let [height, width] = self.axes.map(|axis| axis.count());
        let channels = self.convolution.output[2];
        let geometry = |phase: &Phase| (phase.taps.len(), phase.pad_before, phase.pad_after);
        let alike = columns.iter().all(|column| geometry(column) == geometry(&columns[0]));
        if alike && self.convolution.groups == 1 {
            return self.phases(row, columns);
        }
        let parts = columns.iter().map(|column| self.phases(row, std::slice::from_ref(column)));
        let parts: Vec<ValueId> = parts.collect();
        match parts[..] {
            [part] => part,
            _ => {
                let dims = vec![height, width, channels * columns.len()];
                self.add(Op::Concat { dim: 2 }, parts, dims)
            }
        }
    }

    /// Phases of one geometry, by one convolution.
    fn phases(&mut self, row: &Phase, columns: &[Phase]) -> ValueId {
        let [height, width] = self.axes.map(|axis| axis.count());
        let whole = self.convolution;
        let channels = whole.output[2] * columns.len();
        let weights = columns.iter().flat_map(|column| self.weights(row, column)).collect();
        let column = &columns[0];
        let window = Window {
            kernel: [row.taps.len(), column.taps.len()],
            pad_before: [row.pad_before, column.pad_before],
            pad_after: [row.pad_after, column.pad_after],
            ..Window::POINT
        };
        let convolution = Convolution {
            window,
            transposed: false,
            output: [height, width, channels],
            weights: Arc::new(weights),
            bias: whole.bias.repeat(columns.len()),
            slopes: whole.slopes.repeat(columns.len()),
            ..whole.clone()
        };
        let inputs = self.node.inputs.clone();
        self.add(Op::Convolution(convolution), inputs, vec![height, width, channels])
    }

    /// output channel x row x column x input channel of the group
    fn weights(&self, row: &Phase, column: &Phase) -> Vec<f32> {
        let whole = self.convolution;
        let depth = whole.input[2] / whole.groups;
        let [_, width] = whole.window.kernel;
        let taps = row.taps.iter().flat_map(|y| column.taps.iter().map(move |x| y.zip(*x)));
        let taps: Vec<Option<(usize, usize)>> = taps.collect();
        let mut weights = Vec::with_capacity(whole.output[2] * taps.len() * depth);
        for filter in whole.weights.chunks(whole.weights_per_output()) {
            for tap in &taps {
                match tap {
                    Some((y, x)) => {
                        let start = (y * width + x) * depth;
                        weights.extend_from_slice(&filter[start..start + depth]);
                    }
                    None => weights.extend(std::iter::repeat_n(0.0, depth)),
                }
            }
        }
        weights
    }

    /// Rows of all phases in the order of the output.
    fn stacked(&mut self, rows: Vec<ValueId>) -> ValueId {
        let [one] = rows[..] else {
            let [height, width] = self.axes.map(|axis| axis.count());
            let row = width * self.axes[1].stride * self.convolution.output[2];
            let count = rows.len();
            let parts =
                rows.iter().map(|&id| self.add(Op::Reshape, vec![id], vec![height, 1, row]));
            let parts = parts.collect();
            return self.add(Op::Concat { dim: 1 }, parts, vec![height, count, row]);
        };
        one
    }

    /// What of the phases lies inside the output.
    fn cut(&mut self, whole: ValueId, sides: [usize; 2]) -> ValueId {
        let [height, width, channels] = self.convolution.output;
        if sides == [height, width] {
            return whole;
        }
        let dims = vec![sides[0], sides[1], channels];
        let shaped = self.add(Op::Reshape, vec![whole], dims);
        let slice = Op::Slice { start: vec![0; 3], stride: vec![1; 3] };
        self.add(slice, vec![shaped], vec![height, width, channels])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Along one axis, phases add up what the definition says.
        #[test]
        fn phases_are_the_definition(
            (input, kernel, stride, dilation) in (1usize..6, 1usize..6, 1usize..4, 1usize..3),
            (cut_before, cut_after, more) in (0usize..4, 0usize..4, 0usize..3),
        ) {
            let full = (input - 1) * stride + (kernel - 1) * dilation + 1 + more;
            prop_assume!(cut_before + cut_after < full);
            let output = full - cut_before - cut_after;
            let mut want = vec![Vec::new(); output];
            for x in 0..input {
                for tap in 0..kernel {
                    let place = (x * stride + tap * dilation).checked_sub(cut_before);
                    if let Some(sums) = place.and_then(|place| want.get_mut(place)) {
                        sums.push((x, tap));
                    }
                }
            }
            let axis = Axis { input, output, kernel, stride, dilation, pad: cut_before };
            for (phase, found) in axis.phases().iter().enumerate() {
                prop_assert!(found.pad_before < found.taps.len());
                prop_assert!(axis.count() - 1 < input + found.pad_before);
                for index in 0..axis.count() {
                    let Some(want) = want.get(index * stride + phase) else { continue };
                    let mut sums: Vec<(usize, usize)> = Vec::new();
                    for (at, tap) in found.taps.iter().enumerate() {
                        let x = (index + at).checked_sub(found.pad_before);
                        sums.extend(x.filter(|x| *x < input).zip(*tap));
                    }
                    sums.sort_unstable();
                    prop_assert_eq!(&sums, want);
                }
            }
        }
    }
}
