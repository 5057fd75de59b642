//! The last pass: nodes become steps, values become tensors with a place in the arena.

mod constants;
mod movement;
mod places;
mod products;

use super::graph::{Graph, Node, Op, Quantization, ValueId};
use crate::plan::{
    Activation, BinaryOp, Constant, Element, MAX_CONSTANTS, MAX_INPUTS, NO_TENSOR, Operation,
    Parts, Step, Target, Tensor, TensorIndex, encode, scratch_bytes,
};
use crate::status::{Error, Result, Status};
use constants::Constants;
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Channels of the tensors that stand for working memory.
const SCRATCH_CHANNELS: usize = 64;

/// A plan and what reports say about it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The plan section.
    pub bytes: Vec<u8>,
    /// Name of the node behind each step.
    pub names: Vec<String>,
    /// The largest sum of tensors that are needed at the same time: no arena can be smaller.
    pub bound_bytes: u64,
}

/// Writes `graph` down as a plan.
///
/// # Errors
/// [`Status::Unsupported`] with the name of a node that no step can do, and
/// [`Status::LimitExceeded`] if a number outgrows its field.
pub fn emit(graph: &Graph, target: Target, source_sha256: [u8; 32]) -> Result<Compiled> {
    let mut emitter = Emitter::new(graph, target);
    emitter.plan_slices();
    let input = graph.input.ok_or(Status::Unsupported.about("network without an input"))?;
    let input = emitter.activation(input, canonical(&graph.value(input).dims))?;
    for (index, node) in graph.nodes.iter().enumerate() {
        emitter.current = index;
        emitter.node(node).map_err(|error| named(error, &node.name))?;
    }
    let mut outputs = [NO_TENSOR; 2];
    if graph.outputs.len() > outputs.len() {
        return Err(Status::Unsupported.about("network with more than two outputs"));
    }
    for (place, &id) in outputs.iter_mut().zip(&graph.outputs) {
        *place = emitter.shaped(id, canonical(&graph.value(id).dims))?;
    }
    let memory = places::place(&mut emitter.tensors, &emitter.steps, input, &outputs);
    let parts = Parts {
        target,
        arena_bytes: memory.bytes,
        source_sha256,
        tensors: &emitter.tensors,
        steps: &emitter.steps,
        input,
        outputs,
        constants: &emitter.constants.bytes,
    };
    let bytes = encode(&parts)?;
    Ok(Compiled { bytes, names: emitter.names, bound_bytes: memory.bound_bytes })
}

fn named(error: Error, node: &str) -> Error {
    error.text(format!("node \"{node}\""))
}

fn unsupported(what: &'static str) -> Error {
    Status::Unsupported.about(what)
}

/// Rows, columns and channels of a tensor of any number of dims.
fn canonical(dims: &[usize]) -> [usize; 3] {
    let (channels, others) = dims.split_last().map_or((1, &[][..]), |(last, rest)| (*last, rest));
    let (width, others) = others.split_last().map_or((1, &[][..]), |(last, rest)| (*last, rest));
    [others.iter().product(), width, channels]
}

struct Emitter<'g> {
    graph: &'g Graph,
    target: Target,
    tensors: Vec<Tensor>,
    steps: Vec<Step>,
    names: Vec<String>,
    constants: Constants,
    /// The tensor of each value.
    of: Vec<Option<TensorIndex>>,
    /// Values that are written into a concatenation: its output and the first channel.
    slices: HashMap<ValueId, (ValueId, usize)>,
    /// Tensors that hold a value under another shape.
    shapes: HashMap<(TensorIndex, [usize; 3]), TensorIndex>,
    /// The node being written.
    current: usize,
}

impl<'g> Emitter<'g> {
    fn new(graph: &'g Graph, target: Target) -> Emitter<'g> {
        Emitter {
            graph,
            target,
            tensors: Vec::new(),
            steps: Vec::new(),
            names: Vec::new(),
            constants: Constants::default(),
            of: vec![None; graph.values.len()],
            slices: HashMap::new(),
            shapes: HashMap::new(),
            current: 0,
        }
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        match &node.op {
            Op::Convolution(convolution) => self.convolution(node, convolution),
            Op::MatrixProduct(product) => self.matrix_product(node, product),
            Op::Attention { heads, head_channels, factor } => {
                self.attention(node, *heads, *head_channels, *factor)
            }
            Op::Binary { op, activation } => self.binary(node, *op, *activation),
            Op::Unary { activation, slopes } => {
                let slopes = self.constants.add_f32(slopes);
                let operation = Operation::Unary { activation: *activation };
                self.map(node, operation, &[slopes])
            }
            Op::Table(table) => {
                let table = self.constants.add(&table[..]);
                self.map(node, Operation::Unary { activation: Activation::None }, &[table])
            }
            Op::Quantize => self.map(node, Operation::Quantize, &[]),
            Op::Dequantize => self.map(node, Operation::Dequantize, &[]),
            Op::Softmax => self.map(node, Operation::Softmax, &[]),
            Op::LayerNorm { epsilon, scale, bias } => {
                let constants = [self.constants.add_f32(scale), self.constants.add_f32(bias)];
                self.map(node, Operation::LayerNorm { epsilon: *epsilon }, &constants)
            }
            Op::MaxPool(window) => {
                let window = products::window(window)?;
                self.spatial(node, Operation::MaxPool { window })
            }
            Op::AveragePool { window, count_include_pad } => {
                let window = products::window(window)?;
                let count_include_pad = *count_include_pad;
                self.spatial(node, Operation::AveragePool { window, count_include_pad })
            }
            Op::Resize { interpolation, coordinates, scale: [scale_y, scale_x] } => {
                let operation = Operation::Resize {
                    interpolation: *interpolation,
                    coordinates: *coordinates,
                    scale_y: *scale_y,
                    scale_x: *scale_x,
                };
                self.spatial(node, operation)
            }
            Op::Mean { dims } => self.mean(node, dims),
            Op::Reshape => self.reshape(node),
            Op::Transpose { order } => self.transpose(node, order),
            Op::Slice { start, stride } => self.slice(node, start, stride),
            Op::Concat { dim } => self.concat(node, *dim),
            Op::Pad { before, value, .. } => self.pad(node, before, *value),
            Op::Broadcast => self.spatial(node, Operation::Broadcast),
            Op::Sum { .. } => Err(unsupported("sum that is not a mean")),
            Op::RmsNorm { .. } => Err(unsupported("normalisation by the mean of squares")),
        }
    }

    fn quantization(&self, id: ValueId) -> Option<Quantization> {
        self.graph.value(id).quantization
    }

    /// A tensor of its own with the value's type.
    fn tensor(
        &mut self,
        quantization: Option<Quantization>,
        shape: [usize; 3],
    ) -> Result<TensorIndex> {
        let side = |side: usize| u32::try_from(side).map_err(|_| unsupported("side of a tensor"));
        let [height, width, channels] = [side(shape[0])?, side(shape[1])?, side(shape[2])?];
        self.push(Tensor {
            offset_bytes: 0,
            height,
            width,
            channels,
            pixel_stride: channels,
            element: if quantization.is_some() { Element::U8 } else { Element::F32 },
            scale: quantization.map_or(1.0, |grid| grid.scale),
            zero_point: quantization.map_or(0, |grid| grid.zero_point),
            parent: NO_TENSOR,
        })
    }

    fn push(&mut self, tensor: Tensor) -> Result<TensorIndex> {
        let index = TensorIndex::try_from(self.tensors.len()).ok().filter(|&at| at != NO_TENSOR);
        let index = index.ok_or(Status::LimitExceeded.about("tensors of the plan"))?;
        self.tensors.push(tensor);
        Ok(index)
    }

    /// The tensor that a node writes for `id`: of its own, or a slice of a concatenation.
    fn activation(&mut self, id: ValueId, shape: [usize; 3]) -> Result<TensorIndex> {
        let quantization = self.quantization(id);
        let index = match self.slices.get(&id).copied() {
            Some((whole, first)) if self.concat_shape(whole)[..2] == shape[..2] => {
                let parent = self.whole(whole)?;
                self.slice_of(parent, first, shape, quantization)?
            }
            _ => {
                self.slices.remove(&id);
                self.tensor(quantization, shape)?
            }
        };
        self.of[id.0] = Some(index);
        Ok(index)
    }

    /// Channels of a tensor from `first` on.
    fn slice_of(
        &mut self,
        parent: TensorIndex,
        first: usize,
        shape: [usize; 3],
        quantization: Option<Quantization>,
    ) -> Result<TensorIndex> {
        let whole = self.tensors[usize::from(parent)];
        let index = self.tensor(quantization, shape)?;
        let slice = &mut self.tensors[usize::from(index)];
        // Relative to the parent until that has its place.
        slice.offset_bytes = first as u64 * whole.element.bytes();
        slice.pixel_stride = whole.pixel_stride;
        slice.parent = parent;
        Ok(index)
    }

    /// The output of a concatenation, made when the first of its slices is written.
    fn whole(&mut self, id: ValueId) -> Result<TensorIndex> {
        if let Some(index) = self.of[id.0] {
            return Ok(index);
        }
        let shape = self.concat_shape(id);
        let index = self.tensor(self.quantization(id), shape)?;
        self.of[id.0] = Some(index);
        Ok(index)
    }

    /// The tensor of a value, written already or known.
    fn read(&mut self, id: ValueId) -> Result<TensorIndex> {
        if let Some(index) = self.of[id.0] {
            return Ok(index);
        }
        let value = self.graph.value(id);
        let Some(data) = &value.constant else {
            return Err(unsupported("value that nothing writes"));
        };
        let constant = self.constants.add_f32(data);
        let index = self.tensor(None, canonical(&value.dims))?;
        self.step(Operation::Constant, &[], index, &[constant], 0)?;
        self.of[id.0] = Some(index);
        Ok(index)
    }

    fn at(&self, index: TensorIndex) -> &Tensor {
        &self.tensors[usize::from(index)]
    }

    fn shape(&self, index: TensorIndex) -> [usize; 3] {
        self.at(index).shape().map(|side| side as usize)
    }

    /// The tensor of a value under the shape that a step wants.
    fn shaped(&mut self, id: ValueId, shape: [usize; 3]) -> Result<TensorIndex> {
        let index = self.read(id)?;
        if self.shape(index) == shape {
            return Ok(index);
        }
        if let Some(&known) = self.shapes.get(&(index, shape)) {
            return Ok(known);
        }
        let copy = self.tensor(self.quantization(id), shape)?;
        self.step(Operation::Copy, &[index], copy, &[], 0)?;
        self.shapes.insert((index, shape), copy);
        Ok(copy)
    }

    /// Appends a step with the working memory that it wants.
    fn step(
        &mut self,
        operation: Operation,
        inputs: &[TensorIndex],
        output: TensorIndex,
        constants: &[Constant],
        macs: u64,
    ) -> Result<()> {
        let mut all_inputs = [NO_TENSOR; MAX_INPUTS];
        let mut all_constants = [Constant::default(); MAX_CONSTANTS];
        if inputs.len() > MAX_INPUTS || constants.len() > MAX_CONSTANTS {
            return Err(unsupported("operands of a step"));
        }
        all_inputs[..inputs.len()].copy_from_slice(inputs);
        all_constants[..constants.len()].copy_from_slice(constants);
        let read = all_inputs.map(|index| (index != NO_TENSOR).then(|| self.at(index)));
        let bytes = scratch_bytes(self.target, &operation, read, self.at(output));
        let scratch = match bytes {
            0 => NO_TENSOR,
            bytes => {
                let grid = Quantization { scale: 1.0, zero_point: 0 };
                // Wide pixels: a side has a limit that bytes have not.
                self.tensor(Some(grid), [1, bytes.div_ceil(SCRATCH_CHANNELS), SCRATCH_CHANNELS])?
            }
        };
        self.steps.push(Step {
            operation,
            inputs: all_inputs,
            output,
            scratch,
            constants: all_constants,
            macs,
        });
        self.names.push(self.graph.nodes[self.current].name.clone());
        Ok(())
    }

    /// A step from one value to another of the same shape.
    fn map(&mut self, node: &Node, operation: Operation, constants: &[Constant]) -> Result<()> {
        let last = |id: ValueId| self.graph.value(id).dims.last().copied().unwrap_or(1);
        let channels = last(node.inputs[0]);
        let index = self.read(node.inputs[0])?;
        let over_channels = matches!(operation, Operation::Softmax | Operation::LayerNorm { .. })
            || matches!(operation, Operation::Unary { activation: Activation::Prelu });
        let index = if over_channels && self.shape(index)[2] != channels {
            self.shaped(node.inputs[0], canonical(&self.graph.value(node.inputs[0]).dims))?
        } else {
            index
        };
        let shape = self.shape(index);
        let output = self.activation(node.output, shape)?;
        self.step(operation, &[index], output, constants, 0)
    }

    /// A step on rows, columns and channels.
    fn spatial(&mut self, node: &Node, operation: Operation) -> Result<()> {
        let (from, to) = (self.graph.value(node.inputs[0]), self.graph.value(node.output));
        let (from, to) = (canonical(&from.dims), canonical(&to.dims));
        let input = self.shaped(node.inputs[0], from)?;
        let output = self.activation(node.output, to)?;
        self.step(operation, &[input], output, &[], 0)
    }

    fn mean(&mut self, node: &Node, dims: &[usize]) -> Result<()> {
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

    fn binary(&mut self, node: &Node, op: BinaryOp, activation: Activation) -> Result<()> {
        let [left, right] = node.inputs[..] else { return Err(unsupported("operands of a step")) };
        let values = [left, right].map(|id| self.graph.value(id));
        let len = self.graph.value(node.output).element_count();
        // The whole one first.
        let is_whole =
            |at: usize| values[at].element_count() == len && values[at].constant.is_none();
        let swapped = !is_whole(0);
        let (whole, other) = if swapped { (right, left) } else { (left, right) };
        if !is_whole(usize::from(swapped)) {
            return Err(unsupported("operands that both are repeated"));
        }
        let dims = &self.graph.value(node.output).dims;
        let channels = dims.last().copied().unwrap_or(1);
        let mut index = self.read(whole)?;
        let other_value = self.graph.value(other);
        if other_value.element_count() != 1 && self.shape(index)[2] != channels {
            index = self.shaped(whole, canonical(dims))?;
        }
        let shape = self.shape(index);
        let operation = Operation::Binary { op, swapped, activation, low: 0, high: 255 };
        if let Some(data) = &other_value.constant {
            let data = spread(data, &other_value.dims, dims)?;
            let constant = self.constants.add_f32(&data);
            let output = self.activation(node.output, shape)?;
            return self.step(operation, &[index], output, &[constant], 0);
        }
        let wanted = repeated(&other_value.dims, dims, shape)?;
        let other = self.shaped(other, wanted)?;
        let output = self.activation(node.output, shape)?;
        self.step(operation, &[index, other], output, &[], 0)
    }
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
