//! The last pass: nodes become steps, values become tensors with a place in the arena.

mod chains;
mod constants;
mod elementwise;
mod movement;
mod places;
mod products;

use super::Settings;
use super::graph::{Graph, Node, Op, Quantization, ValueId};
use crate::plan::{
    Activation, Constant, Element, MAX_CONSTANTS, MAX_INPUTS, NO_TENSOR, Operation, Parts, Step,
    Tensor, TensorIndex, encode, scratch_bytes,
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
    /// Name of the tensor that each step makes, or makes a part of.
    pub tensors: Vec<String>,
    /// The largest sum of tensors that are needed at the same time: no arena can be smaller.
    pub bound_bytes: u64,
}

/// Writes `graph` down as a plan.
///
/// # Errors
/// [`Status::Unsupported`] with the name of a node that no step can do, and
/// [`Status::LimitExceeded`] if a number outgrows its field.
pub fn emit(graph: &Graph, settings: Settings, source_sha256: [u8; 32]) -> Result<Compiled> {
    let mut emitter = Emitter::new(graph, settings);
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
        if !emitter.at(*place).is_dense() {
            // Who reads it wants no gaps.
            *place = emitter.copied(*place)?;
        }
    }
    if emitter.steps.is_empty() {
        // Nothing is computed, and a plan has at least one step.
        outputs[0] = emitter.copied(outputs[0])?;
    }
    let Emitter { tensors, steps, .. } = emitter;
    let mut network = places::Network { tensors, steps, input, outputs };
    if settings.chains {
        chains::choose(&mut network, settings.target);
    }
    let memory = network.place();
    let parts = Parts {
        target: settings.target,
        arena_bytes: memory.bytes,
        source_sha256,
        tensors: &network.tensors,
        steps: &network.steps,
        input,
        outputs,
        constants: &emitter.constants.bytes,
    };
    let bytes = encode(&parts)?;
    let (names, tensors) = (emitter.names, emitter.written);
    Ok(Compiled { bytes, names, tensors, bound_bytes: memory.bound_bytes })
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
    settings: Settings,
    tensors: Vec<Tensor>,
    steps: Vec<Step>,
    names: Vec<String>,
    written: Vec<String>,
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
    fn new(graph: &'g Graph, settings: Settings) -> Emitter<'g> {
        Emitter {
            graph,
            settings,
            tensors: Vec::new(),
            steps: Vec::new(),
            names: Vec::new(),
            written: Vec::new(),
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
                self.spatial(node, Operation::MaxPool { window }, &[])
            }
            Op::AveragePool { window, count_include_pad } => {
                let window = products::window(window)?;
                let count_include_pad = *count_include_pad;
                self.spatial(node, Operation::AveragePool { window, count_include_pad }, &[])
            }
            Op::Resize { interpolation, coordinates, scale: [scale_y, scale_x], table } => {
                let table = table.as_ref().map(|table| self.constants.add(&table[..]));
                let operation = Operation::Resize {
                    interpolation: *interpolation,
                    coordinates: *coordinates,
                    scale_y: *scale_y,
                    scale_x: *scale_x,
                };
                self.spatial(node, operation, table.as_slice())
            }
            Op::Mean { dims } => self.mean(node, dims),
            Op::Reshape => self.reshape(node),
            Op::Transpose { order } => self.transpose(node, order),
            Op::Slice { start, stride } => self.slice(node, start, stride),
            Op::Concat { dim } => self.concat(node, *dim),
            Op::Pad { before, value, .. } => self.pad(node, before, *value),
            Op::Broadcast => self.spatial(node, Operation::Broadcast, &[]),
            Op::Sum { .. } | Op::RmsNorm { .. } => Err(unsupported("operator without a step")),
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
            buffered_rows: 0,
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
        let constant = match value.quantization {
            None => self.constants.add_f32(data),
            Some(grid) => {
                let bytes: Vec<u8> = data.iter().map(|&value| grid.quantized(value)).collect();
                self.constants.add(&bytes)
            }
        };
        let index = self.tensor(value.quantization, canonical(&value.dims))?;
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
        self.reshaped(index, self.quantization(id), shape)
    }

    /// A tensor under the shape that a step wants.
    fn reshaped(
        &mut self,
        index: TensorIndex,
        quantization: Option<Quantization>,
        shape: [usize; 3],
    ) -> Result<TensorIndex> {
        if self.shape(index) == shape {
            return Ok(index);
        }
        if let Some(&known) = self.shapes.get(&(index, shape)) {
            return Ok(known);
        }
        // A step copies to other channels only what has no gaps.
        let index = match self.at(index).is_dense() || self.shape(index)[2] == shape[2] {
            true => index,
            false => self.copied(index)?,
        };
        let copy = self.tensor(quantization, shape)?;
        self.step(Operation::Copy, &[index], copy, &[], 0)?;
        self.shapes.insert((index, shape), copy);
        Ok(copy)
    }

    /// The same values in a tensor of their own.
    fn copied(&mut self, index: TensorIndex) -> Result<TensorIndex> {
        let source = *self.at(index);
        let grid = Quantization { scale: source.scale, zero_point: source.zero_point };
        let quantization = (source.element == Element::U8).then_some(grid);
        let copy = self.tensor(quantization, source.shape().map(|side| side as usize))?;
        self.step(Operation::Copy, &[index], copy, &[], 0)?;
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
        let bytes = scratch_bytes(self.settings.target, &operation, read, self.at(output));
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
            strip_rows: 0,
        });
        let node = self.graph.nodes.get(self.current);
        self.names.push(node.map_or_else(String::new, |node| node.name.clone()));
        let written = node.map(|node| self.graph.value(node.output).name.clone());
        self.written.push(written.unwrap_or_default());
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
    fn spatial(&mut self, node: &Node, operation: Operation, constants: &[Constant]) -> Result<()> {
        let (from, to) = (self.graph.value(node.inputs[0]), self.graph.value(node.output));
        let (from, to) = (canonical(&from.dims), canonical(&to.dims));
        let input = self.shaped(node.inputs[0], from)?;
        let output = self.activation(node.output, to)?;
        self.step(operation, &[input], output, constants, 0)
    }
}
