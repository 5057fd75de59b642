//! The steps of a plan: what one layer does, to which tensors, with which constants.

use super::tensor::TensorIndex;

/// Most tensors that a step reads.
pub const MAX_INPUTS: usize = 3;
/// Most constants that a step reads.
pub const MAX_CONSTANTS: usize = 5;
/// Most steps of a chain.
pub const MAX_CHAIN_STEPS: usize = 8;

/// A piece of the plan's constants: f32, i32, i8, u8 or f16 by its use. Empty where a step needs
/// none in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Constant {
    /// From the start of the constants, a multiple of 64; 0 for an empty one.
    pub offset_bytes: u64,
    /// Length.
    pub len_bytes: u64,
}

/// A window of a convolution or pool. Padding below and to the right follows from the output's
/// size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows of taps.
    pub kernel_height: u16,
    /// Columns of taps.
    pub kernel_width: u16,
    /// Rows from window to window.
    pub stride_y: u16,
    /// Columns from window to window.
    pub stride_x: u16,
    /// Rows from tap to tap.
    pub dilation_y: u16,
    /// Columns from tap to tap.
    pub dilation_x: u16,
    /// Rows of padding above the input.
    pub pad_top: u16,
    /// Columns of padding to the left of the input.
    pub pad_left: u16,
}

impl Window {
    /// One tap, no padding: a matrix product at every pixel.
    pub const POINT: Window = Window {
        kernel_height: 1,
        kernel_width: 1,
        stride_y: 1,
        stride_x: 1,
        dilation_y: 1,
        dilation_x: 1,
        pad_top: 0,
        pad_left: 0,
    };

    /// Number of taps.
    pub const fn taps(&self) -> usize {
        self.kernel_height as usize * self.kernel_width as usize
    }
}

/// What is applied to a value in floats. Names and formulas are ONNX's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Between `low` and `high`, which may be infinite.
    Clip {
        /// Least value.
        low: f32,
        /// Greatest value.
        high: f32,
    },
    /// `x * clip(x / 6 + 1 / 2, 0, 1)`.
    HardSwish,
    /// `clip(alpha * x + beta, 0, 1)`.
    HardSigmoid {
        /// Factor.
        alpha: f32,
        /// Summand.
        beta: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x * sigmoid(x)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * (1 + erf(x / sqrt 2)) / 2`.
    Gelu,
    /// Gelu by its approximation with tanh.
    GeluTanh,
    /// `slope * x` where x is negative.
    LeakyRelu {
        /// Factor.
        slope: f32,
    },
    /// As LeakyRelu; slopes per channel are a constant of the step.
    Prelu,
    /// Exponential.
    Exp,
    /// Square root.
    Sqrt,
    /// `1 / sqrt(x)`.
    ReciprocalSqrt,
    /// `1 / x`.
    Reciprocal,
    /// Magnitude.
    Abs,
    /// `-x`.
    Negate,
    /// `x * x`.
    Square,
    /// Error function.
    Erf,
    /// Natural logarithm.
    Log,
}

/// An operator of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Subtract,
    /// `a * b`.
    Multiply,
    /// `a / b`.
    Divide,
    /// The lower.
    Minimum,
    /// The higher.
    Maximum,
    /// `a` to the power of `b`.
    Power,
}

/// Where an output coordinate of a resize lies in the input (ONNX's modes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinateMode {
    /// `(x + 1/2) / scale - 1/2`.
    HalfPixel,
    /// Corner on corner.
    AlignCorners,
    /// `x / scale`.
    Asymmetric,
    /// As HalfPixel; 0 for an output of one pixel.
    PytorchHalfPixel,
}

/// Which neighbour a coordinate between two belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// The lower.
    Floor,
    /// The higher.
    Ceil,
    /// The nearer, the lower on ties.
    RoundPreferFloor,
    /// The nearer, the higher on ties.
    RoundPreferCeil,
}

/// How a resize fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Linear along both axes.
    Bilinear,
    /// The value of one neighbour.
    Nearest(Nearest),
}

/// Axes of a batch of strided matrices in a tensor, in elements from neighbour to neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixStrides {
    /// From matrix to matrix.
    pub batch: u32,
    /// From row to row.
    pub row: u32,
    /// From column to column.
    pub column: u32,
}

/// What a step does. Inputs and outputs are tensors of the same element type unless said
/// otherwise. `inputs` and `constants` are those of the [`Step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// Convolution, also a matrix product with constant weights (1x1).
    ///
    /// U8: constants = [weights packed, bias i32, scales f32, tap sums i32 (empty: taps are never
    /// skipped), table of 256 u8 (empty: none)]; `low` and `high` clamp in integers. Biases and
    /// scales are per group, each padded to a multiple of 16 columns (padded scales are positive
    /// too). The output is U8, or F32: then `constants[1]` is the bias in f32, added after the
    /// scale, and `constants[4]` what is added to the integer sums, `-zero point * sum of weights`.
    ///
    /// F32: constants = [weights packed f32 or f16, bias f32, -, -, Prelu's slopes]; `activation`.
    /// Biases and slopes are as many as output channels.
    ///
    /// `inputs[1]`, if any, is a residual of the output's shape. U8: the convolution is quantised
    /// to `inner_scale` and `inner_zero_point` and looked up in the table, then the residual is
    /// added by the rule of U8 Binary, the sum quantised to the output's parameters and clamped.
    /// F32: added before (or after, by the flag) the activation.
    Convolution {
        /// Taps.
        window: Window,
        /// Groups of channels that do not see one another.
        groups: u32,
        /// F32: whether weights are stored as f16.
        weights_f16: bool,
        /// F32: applied last, or before the residual.
        activation: Activation,
        /// U8: least result.
        low: u8,
        /// U8: greatest result.
        high: u8,
        /// U8 with a residual: step of the convolution itself.
        inner_scale: f32,
        /// U8 with a table or a residual: zero point of the convolution itself.
        inner_zero_point: u8,
        /// F32 with a residual: whether it is added after the activation.
        residual_after_activation: bool,
        /// U8: the packed depth of each chunk of taps is a multiple of this.
        depth_align: u8,
    },
    /// Depthwise convolution, multiplier 1. Constants as of Convolution; no residual.
    Depthwise {
        /// Taps.
        window: Window,
        /// F32: applied last.
        activation: Activation,
        /// U8: least result.
        low: u8,
        /// U8: greatest result.
        high: u8,
        /// U8 with a table: zero point of the convolution itself.
        inner_zero_point: u8,
    },
    /// `inputs[0]` x `inputs[1]`, both activations: per batch `rows x depth` times `depth x
    /// columns`, the result times `factor`. U8: the output is quantised by its parameters.
    MatrixProduct {
        /// Number of products.
        batch: u32,
        /// Rows of `inputs[0]` and of the output.
        rows: u32,
        /// Columns of `inputs[0]`, rows of `inputs[1]`.
        depth: u32,
        /// Columns of `inputs[1]` and of the output.
        columns: u32,
        /// Where `inputs[0]` lies.
        left: MatrixStrides,
        /// Where `inputs[1]` lies.
        right: MatrixStrides,
        /// Where the output lies.
        output: MatrixStrides,
        /// Factor on the sums.
        factor: f32,
    },
    /// `softmax(q k^T * factor) v` per head; inputs = [q, k, v], F32. Pixels are tokens; a head is
    /// `head_channels` neighbouring channels.
    Attention {
        /// Number of heads.
        heads: u32,
        /// Channels of each.
        head_channels: u32,
        /// Factor on the products of q and k.
        factor: f32,
    },
    /// `inputs[0]` op `inputs[1]`, or op `constants[0]` (f32: 1, `channels` or all values) when
    /// `inputs[1]` is NO_TENSOR. `inputs[1]` has the same shape, 1x1xC, HxWx1 or 1x1x1. U8 only for
    /// Add, Subtract and Multiply of two activations.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Whether `inputs[1]` or the constant is the left operand.
        swapped: bool,
        /// F32: applied last.
        activation: Activation,
        /// U8: least result.
        low: u8,
        /// U8: greatest result.
        high: u8,
    },
    /// F32: `activation` (`constants[0]`: Prelu's slopes). U8: `constants[0]` is a table of 256. In
    /// place if input and output are the same bytes.
    Unary {
        /// F32: the function; None for U8.
        activation: Activation,
    },
    /// Greatest value under the window.
    MaxPool {
        /// Taps.
        window: Window,
    },
    /// Mean under the window.
    AveragePool {
        /// Taps.
        window: Window,
        /// Whether taps in the padding count as zeros; else they do not count.
        count_include_pad: bool,
    },
    /// Mean over height and width: the output is 1x1xC.
    GlobalAverage,
    /// Mean over channels: the output is HxWx1.
    ChannelMean,
    /// Resampling. U8 or F32; from U8 also to F32. U8 to U8: with `constants[0]`, a table of 256,
    /// results keep the input's quantisation and are then looked up.
    Resize {
        /// What lies between input pixels.
        interpolation: Interpolation,
        /// Where output pixels lie.
        coordinates: CoordinateMode,
        /// Output rows per input row, as the network states it.
        scale_y: f32,
        /// Output columns per input column.
        scale_x: f32,
    },
    /// Over channels. F32 (U8 in and out by dequantising and quantising around it).
    Softmax,
    /// Over channels; constants = [scale f32, bias f32]. Input and output each U8 or F32.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// F32 to U8.
    Quantize,
    /// U8 to F32.
    Dequantize,
    /// Copies to a tensor of the same number of elements, in the same order; U8 to other parameters
    /// through `constants[0]`, a table of 256, if any. In place, and then free, if both are dense
    /// and the same bytes: this is how a tensor gets another shape.
    Copy,
    /// Surrounds with `value`.
    Pad {
        /// Rows above.
        top: u32,
        /// Columns to the left.
        left: u32,
        /// F32: the value; U8: a whole number, usually the zero point.
        value: f32,
    },
    /// Output axis i is input axis `axes[i]` of (height, width, channels).
    Transpose {
        /// A permutation of 0, 1, 2.
        axes: [u8; 3],
    },
    /// Takes every `stride`-th row and column from (`offset_y`, `offset_x`) on, and channels from
    /// `offset_c` on.
    Slice {
        /// Rows from row to row.
        stride_y: u16,
        /// Columns from column to column.
        stride_x: u16,
        /// First row.
        offset_y: u32,
        /// First column.
        offset_x: u32,
        /// First channel.
        offset_c: u32,
    },
    /// Repeats 1x1xC, HxWx1 or 1x1x1 over the output's shape.
    Broadcast,
    /// Writes `constants[0]`, all values of the output. There is no input.
    Constant,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// What is read; NO_TENSOR behind the last.
    pub inputs: [TensorIndex; MAX_INPUTS],
    /// What is written.
    pub output: TensorIndex,
    /// Working memory of the step, or NO_TENSOR: a dense U8 tensor of height 1, as long as
    /// [`super::scratch_bytes`] says.
    pub scratch: TensorIndex,
    /// What is read of the plan's constants.
    pub constants: [Constant; MAX_CONSTANTS],
    /// Multiply-accumulates of the step, for reports.
    pub macs: u64,
    /// Rows of the output that a chain makes at a time, if this is the last step of one; else 0.
    ///
    /// A chain is consecutive steps, at most [`MAX_CHAIN_STEPS`], of which each reads what the one
    /// before it writes, and nobody else does. They take turns, strip after strip of the last one's
    /// output, so that of what lies between them only the rows that the next step needs are in
    /// memory ([`super::Tensor::buffered_rows`]). No row is computed twice.
    pub strip_rows: u32,
}
