//! The graph that a plan is compiled from: a network of batch 1 with channels last.
//!
//! A front end (`backbone::tract::lower`) builds it; the passes of this module rewrite it; `emit`
//! writes it down as steps. Constants are f32 throughout: quantised weights are recognised by
//! their values (see `quantized`).

pub use crate::math::network::quantization::Quantization;
use crate::plan::{Activation, BinaryOp, CoordinateMode, Interpolation};
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

/// Index of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// A tensor.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name of the tensor in the model, for errors and reports.
    pub name: String,
    /// Sides in memory order, the last one varying fastest.
    pub dims: Vec<usize>,
    /// `None`: f32.
    pub quantization: Option<Quantization>,
    /// The elements, if they are known. Always f32.
    pub constant: Option<Arc<Vec<f32>>>,
}

impl Value {
    /// Number of elements.
    pub fn element_count(&self) -> usize {
        self.dims.iter().product()
    }
}

/// The window of a convolution or a pool, with its padding on all four sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Distance of the window's taps.
    pub dilation: [usize; 2],
    /// Rows above, columns to the left.
    pub pad_before: [usize; 2],
    /// Rows below, columns to the right.
    pub pad_after: [usize; 2],
}

impl Window {
    /// The window of a matrix product.
    pub const POINT: Window = Window {
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pad_before: [0, 0],
        pad_after: [0, 0],
    };

    /// Whether each output pixel is made of the input pixel at the same place.
    pub fn is_point(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.pads() == [0; 4]
    }

    /// Whether every window meets the input along an axis, as steps want it: rows (0) or columns.
    pub fn fits_padding(&self, axis: usize) -> bool {
        let span = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        self.pad_before[axis] < span && self.pad_after[axis] < span
    }

    fn pads(&self) -> [usize; 4] {
        let ([top, left], [bottom, right]) = (self.pad_before, self.pad_after);
        [top, left, bottom, right]
    }
}

/// A convolution, a transposed one, or a product with a constant matrix.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Window over the input; of a transposed convolution over the output.
    pub window: Window,
    /// Whether input pixel (y, x) is added, times tap (i, j), to output pixel
    /// `y * stride + i * dilation - pad` (and so for columns), rather than the other way about.
    pub transposed: bool,
    /// Groups of channels; as many as channels in a depthwise convolution.
    pub groups: usize,
    /// Rows, columns and channels of the input.
    pub input: [usize; 3],
    /// Rows, columns and channels of the output.
    pub output: [usize; 3],
    /// output channel x kernel row x kernel column x input channel of the group.
    pub weights: Arc<Vec<f32>>,
    /// Per output channel.
    pub bias: Vec<f32>,
    /// Applied last.
    pub activation: Activation,
    /// Per output channel, for [`Activation::Prelu`].
    pub slopes: Vec<f32>,
    /// What the convolution's own result is rounded to before the residual (the node's second
    /// input) is added.
    pub inner: Option<Quantization>,
    /// Whether the residual is added after the activation.
    pub residual_after_activation: bool,
    /// Result for each u8 of the output, applied last; for quantised outputs only.
    pub table: Option<Arc<[u8; 256]>>,
}

impl Convolution {
    /// Whether it has one filter for each channel.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input[2] && self.groups == self.output[2]
    }

    /// Weights of one output channel.
    pub fn weights_per_output(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.input[2] / self.groups
    }
}

/// Elements from one index to the next along the axes of a batch of matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Between matrices.
    pub batch: usize,
    /// Between rows.
    pub row: usize,
    /// Between columns.
    pub column: usize,
}

/// A product of two activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixProduct {
    /// Number of products.
    pub batch: usize,
    /// Rows of the left operand.
    pub rows: usize,
    /// Length of the sums.
    pub depth: usize,
    /// Columns of the right operand.
    pub columns: usize,
    /// Left operand: rows x depth.
    pub left: Strides,
    /// Right operand: depth x columns.
    pub right: Strides,
    /// Result: rows x columns.
    pub output: Strides,
    /// Multiplies the result.
    pub factor: f32,
}

/// What a node computes.
#[derive(Clone, Debug)]
pub enum Op {
    /// Inputs: the activation, and a residual of the output's shape if there are two.
    Convolution(Convolution),
    /// Inputs: two activations.
    MatrixProduct(MatrixProduct),
    /// `softmax(q k^T * factor) v` per head. Inputs q, k, v: tokens x (heads * channels).
    Attention {
        /// Number of heads.
        heads: usize,
        /// Channels of each.
        head_channels: usize,
        /// Factor on the products of q and k.
        factor: f32,
    },
    /// Inputs: two values of the same number of dims, which broadcast. One may be constant.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Applied last.
        activation: Activation,
    },
    /// One input. `slopes` are for [`Activation::Prelu`].
    Unary {
        /// The function.
        activation: Activation,
        /// Per channel.
        slopes: Vec<f32>,
    },
    /// One quantised input: another one by a table.
    Table(Arc<[u8; 256]>),
    /// Largest of a window; padding does not count.
    MaxPool(Window),
    /// Mean of a window.
    AveragePool {
        /// The window.
        window: Window,
        /// Whether taps in the padding count as zeros.
        count_include_pad: bool,
    },
    /// Sum over dims, which stay with length 1.
    Sum {
        /// Which, in rising order.
        dims: Vec<usize>,
    },
    /// Mean over dims, which stay with length 1.
    Mean {
        /// Which, in rising order.
        dims: Vec<usize>,
    },
    /// Of rows and columns (all dims but the last one).
    Resize {
        /// What lies between input pixels.
        interpolation: Interpolation,
        /// Where output pixels lie.
        coordinates: CoordinateMode,
        /// Output rows per input row and columns per column, as the model states them.
        scale: [f32; 2],
        /// Result for each u8 on the input's grid, applied last; between 8-bit numbers only.
        table: Option<Arc<[u8; 256]>>,
    },
    /// Over the last dim.
    Softmax,
    /// `x / sqrt(mean(x^2) + epsilon)` over the last dim.
    RmsNorm {
        /// Added to the mean.
        epsilon: f32,
    },
    /// Normalises the last dim to mean 0 and deviation 1, times scale, plus bias.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
        /// Per channel.
        scale: Vec<f32>,
        /// Per channel.
        bias: Vec<f32>,
    },
    /// To the output's quantisation.
    Quantize,
    /// To f32.
    Dequantize,
    /// The same elements in the same order under other dims.
    Reshape,
    /// Output dim `i` is input dim `order[i]`.
    Transpose {
        /// A permutation of the dims.
        order: Vec<usize>,
    },
    /// Of each dim every `stride`th index from `start` on.
    Slice {
        /// First index of each dim.
        start: Vec<usize>,
        /// Distance of the indexes of each dim.
        stride: Vec<usize>,
    },
    /// Inputs one after another along a dim.
    Concat {
        /// Which.
        dim: usize,
    },
    /// Surrounds with a value.
    Pad {
        /// Before the first index of each dim.
        before: Vec<usize>,
        /// Behind the last index of each dim.
        after: Vec<usize>,
        /// What is put there.
        value: f32,
    },
    /// Repeats dims of length 1.
    Broadcast,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name of the node in the model.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it writes.
    pub output: ValueId,
}

/// A network: nodes in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All tensors.
    pub values: Vec<Value>,
    /// All operations, each after those that it reads from.
    pub nodes: Vec<Node>,
    /// What the caller writes: rows x columns x 3.
    pub input: Option<ValueId>,
    /// What the caller reads.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// Adds a tensor.
    pub fn add_value(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId(self.values.len() - 1)
    }

    /// Adds an f32 activation.
    pub fn add_activation(&mut self, name: &str, dims: Vec<usize>) -> ValueId {
        self.add_value(Value { name: name.into(), dims, quantization: None, constant: None })
    }

    /// Adds known elements.
    pub fn add_constant(&mut self, name: &str, dims: Vec<usize>, data: Vec<f32>) -> ValueId {
        let constant = Some(Arc::new(data));
        self.add_value(Value { name: name.into(), dims, quantization: None, constant })
    }

    /// Adds a node that writes a new tensor of its name.
    pub fn add_node(
        &mut self,
        name: &str,
        op: Op,
        inputs: Vec<ValueId>,
        dims: Vec<usize>,
    ) -> ValueId {
        let output = self.add_activation(name, dims);
        self.nodes.push(Node { name: name.into(), op, inputs, output });
        output
    }

    /// A tensor.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The node that writes each tensor.
    pub fn writers(&self) -> Vec<Option<usize>> {
        let mut writers = std::vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            writers[node.output.0] = Some(index);
        }
        writers
    }

    /// How often each tensor is read, as an output of the network too.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = std::vec![0; self.values.len()];
        let read = self.nodes.iter().flat_map(|node| &node.inputs);
        for id in read.chain(&self.outputs) {
            readers[id.0] += 1;
        }
        readers
    }

    /// Leaves out nodes that nothing depends on.
    pub fn drop_unread(&mut self) {
        let mut needed = std::vec![false; self.values.len()];
        for id in &self.outputs {
            needed[id.0] = true;
        }
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if needed[node.output.0] {
                for id in &node.inputs {
                    needed[id.0] = true;
                }
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
    }
}
