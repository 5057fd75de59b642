//! Activations of float layers, and what a product's sums pass through on their way out.

use super::floats::{Floats, Portable};
use super::functions_f32 as functions;
use core::marker::PhantomData;

/// What is applied to every value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation<'a> {
    /// Nothing.
    None,
    /// `min(max(x, low), high)`: ReLU with 0 and infinity, ReLU6 with 0 and 6.
    Clip {
        /// The least value.
        low: f32,
        /// The greatest value.
        high: f32,
    },
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `min(max(alpha * x + beta, 0), 1)`.
    HardSigmoid {
        /// Factor.
        alpha: f32,
        /// Summand.
        beta: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x / 2 * (1 + erf(x / sqrt 2))`.
    Gelu,
    /// GELU by its approximation with a hyperbolic tangent.
    GeluTanh,
    /// `x` above 0, else `slope * x`.
    LeakyRelu {
        /// Factor below 0.
        slope: f32,
    },
    /// As leaky ReLU, with a slope for every channel. Channels beyond the slice have slope 0.
    Prelu {
        /// A factor per channel.
        slopes: &'a [f32],
    },
    /// `exp(x)`.
    Exp,
    /// The error function.
    Erf,
    /// `sqrt(x)`.
    Sqrt,
    /// `|x|`.
    Abs,
    /// `factor * x + summand`.
    Affine {
        /// Factor.
        factor: f32,
        /// Summand.
        summand: f32,
    },
}

/// A function of vectors of values and the number of the first one's channel. A trait and not a
/// closure: closures are inlined as the compiler likes, and outside a function compiled for an
/// instruction set they are slow.
pub trait Function<V: Floats>: Copy {
    /// The function's values.
    fn apply(self, x: V, channel: usize) -> V;
}

/// Nothing.
#[derive(Clone, Copy)]
pub struct Identity;

impl<V: Floats> Function<V> for Identity {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x
    }
}

/// [`Activation::HardSwish`].
#[derive(Clone, Copy)]
pub struct HardSwish;

impl<V: Floats> Function<V> for HardSwish {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        let gate = x.mul_add(V::splat(1.0 / 6.0), V::splat(0.5));
        x.mul(gate.max(V::splat(0.0)).min(V::splat(1.0)))
    }
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl<V: Floats> Function<V> for Sigmoid {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        functions::sigmoid(x)
    }
}

#[derive(Clone, Copy)]
struct Silu;

impl<V: Floats> Function<V> for Silu {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x.mul(functions::sigmoid(x))
    }
}

#[derive(Clone, Copy)]
struct Tanh;

impl<V: Floats> Function<V> for Tanh {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        functions::tanh(x)
    }
}

#[derive(Clone, Copy)]
struct Gelu;

impl<V: Floats> Function<V> for Gelu {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        functions::gelu(x)
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

impl<V: Floats> Function<V> for GeluTanh {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        functions::gelu_tanh(x)
    }
}

#[derive(Clone, Copy)]
struct Exp;

impl<V: Floats> Function<V> for Exp {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        functions::exp(x)
    }
}

#[derive(Clone, Copy)]
struct Erf;

impl<V: Floats> Function<V> for Erf {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        functions::erf(x)
    }
}

#[derive(Clone, Copy)]
struct Sqrt;

impl<V: Floats> Function<V> for Sqrt {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x.sqrt()
    }
}

#[derive(Clone, Copy)]
struct Abs;

impl<V: Floats> Function<V> for Abs {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x.abs()
    }
}

/// [`Activation::Clip`].
#[derive(Clone, Copy)]
pub struct Clip<V> {
    /// The least value.
    pub low: V,
    /// The greatest value.
    pub high: V,
}

impl<V: Floats> Function<V> for Clip<V> {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x.max(self.low).min(self.high)
    }
}

#[derive(Clone, Copy)]
struct HardSigmoid<V> {
    alpha: V,
    beta: V,
}

impl<V: Floats> Function<V> for HardSigmoid<V> {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x.mul_add(self.alpha, self.beta).max(V::splat(0.0)).min(V::splat(1.0))
    }
}

#[derive(Clone, Copy)]
struct LeakyRelu<V> {
    slope: V,
}

impl<V: Floats> Function<V> for LeakyRelu<V> {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x.if_greater(V::splat(0.0), x, x.mul(self.slope))
    }
}

#[derive(Clone, Copy)]
struct Affine<V> {
    factor: V,
    summand: V,
}

impl<V: Floats> Function<V> for Affine<V> {
    #[inline(always)]
    fn apply(self, x: V, _: usize) -> V {
        x.mul_add(self.factor, self.summand)
    }
}

#[derive(Clone, Copy)]
struct Prelu<'a> {
    slopes: &'a [f32],
}

impl<V: Floats> Function<V> for Prelu<'_> {
    #[inline(always)]
    fn apply(self, x: V, channel: usize) -> V {
        let slope = V::load(self.slopes.get(channel..).unwrap_or_default());
        x.if_greater(V::splat(0.0), x, x.mul(slope))
    }
}

/// Something done to vectors of values by a function.
pub trait Job<V: Floats> {
    /// Runs with the function of the activation.
    fn run(self, function: impl Function<V>);
}

impl<'a> Activation<'a> {
    /// The part from channel `first` on.
    pub fn from_channel(self, first: usize) -> Activation<'a> {
        match self {
            Activation::Prelu { slopes } => {
                Activation::Prelu { slopes: slopes.get(first..).unwrap_or_default() }
            }
            other => other,
        }
    }

    /// Runs the job with the activation's function; not at all where there is none.
    #[inline(always)]
    fn dispatch<V: Floats>(self, job: impl Job<V>) {
        match self {
            Activation::None => {}
            Activation::HardSwish => job.run(HardSwish),
            Activation::Sigmoid => job.run(Sigmoid),
            Activation::Silu => job.run(Silu),
            Activation::Tanh => job.run(Tanh),
            Activation::Gelu => job.run(Gelu),
            Activation::GeluTanh => job.run(GeluTanh),
            Activation::Exp => job.run(Exp),
            Activation::Erf => job.run(Erf),
            Activation::Sqrt => job.run(Sqrt),
            Activation::Abs => job.run(Abs),
            Activation::Clip { low, high } => {
                let (low, high) = (V::splat(low), V::splat(high));
                job.run(Clip { low, high });
            }
            Activation::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = (V::splat(alpha), V::splat(beta));
                job.run(HardSigmoid { alpha, beta });
            }
            Activation::LeakyRelu { slope } => {
                let slope = V::splat(slope);
                job.run(LeakyRelu { slope });
            }
            Activation::Affine { factor, summand } => {
                let (factor, summand) = (V::splat(factor), V::splat(summand));
                job.run(Affine { factor, summand });
            }
            Activation::Prelu { slopes } => job.run(Prelu { slopes }),
        }
    }
}

/// Values added to those of a product, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// From the first row's first value on.
    pub data: &'a [f32],
    /// Elements from row to row.
    pub stride: usize,
    /// Whether it is added behind the activation, not before it.
    pub after_activation: bool,
}

/// What happens to the sums of a product before they are written:
/// `activation(sum * scale + bias + residual)`, or with the residual added last.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Factor of all sums.
    pub scale: f32,
    /// A summand per column; columns beyond the slice have 0.
    pub bias: &'a [f32],
    /// Further summands; values beyond the slice are 0.
    pub residual: Option<Residual<'a>>,
    /// The activation.
    pub activation: Activation<'a>,
}

impl<'a> Epilogue<'a> {
    /// Sums are written as they are.
    pub const NONE: Epilogue<'static> =
        Epilogue { scale: 1.0, bias: &[], residual: None, activation: Activation::None };

    /// The part from this row and column on.
    pub fn from(self, row: usize, column: usize) -> Epilogue<'a> {
        let residual = self.residual.map(|residual| {
            let first = residual.stride.saturating_mul(row).saturating_add(column);
            Residual { data: residual.data.get(first..).unwrap_or_default(), ..residual }
        });
        Epilogue {
            bias: self.bias.get(column..).unwrap_or_default(),
            residual,
            activation: self.activation.from_channel(column),
            ..self
        }
    }

    /// Whether no residual is added and the activation takes few operations.
    pub fn is_plain(&self) -> bool {
        let simple = matches!(
            self.activation,
            Activation::None | Activation::Clip { .. } | Activation::HardSwish
        );
        self.residual.is_none() && simple
    }

    /// What is added to a row, if it is added after the activation or before it as asked.
    fn extra(&self, row: usize, after_activation: bool) -> &'a [f32] {
        match self.residual {
            Some(residual) if residual.after_activation == after_activation => {
                residual.data.get(row.saturating_mul(residual.stride)..).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Whether nothing but the activation is applied.
    fn is_activation(&self) -> bool {
        self.scale == 1.0 && self.bias.is_empty() && self.residual.is_none()
    }
}

/// Rows of values to be changed in place.
#[derive(Debug)]
pub struct Rows<'a> {
    /// From the first row on.
    pub data: &'a mut [f32],
    /// Number of rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// Elements from row to row.
    pub stride: usize,
}

/// Takes rows of sums through an epilogue. Places beyond the slice are left out.
pub type FinishKernel = fn(&Epilogue<'_>, Rows<'_>);

/// Values that are changed between two choices of the activation.
const BLOCK: usize = 64;

/// The kernel over vectors.
#[inline(always)]
pub fn finish<V: Floats>(epilogue: &Epilogue<'_>, rows: Rows<'_>) {
    finish_rows::<V, ByBlock<V>>(epilogue, rows);
}

/// The portable kernel, once for all that call it.
#[inline(never)]
pub fn finish_portable(epilogue: &Epilogue<'_>, rows: Rows<'_>) {
    finish_rows::<Portable, ByVector>(epilogue, rows);
}

#[inline(always)]
fn finish_rows<V: Floats, B: ChangeBlock>(epilogue: &Epilogue<'_>, rows: Rows<'_>) {
    let mut rest = rows.data;
    for row in 0..rows.rows {
        let columns = rows.columns.min(rest.len());
        let Some((places, _)) = rest.split_at_mut_checked(columns) else { return };
        if !epilogue.is_activation() {
            add_before::<V>(epilogue, row, places);
        }
        // Block after block: a loop over the whole row for each activation would take ten times
        // the code.
        for (index, block) in places.chunks_mut(BLOCK).enumerate() {
            B::change(epilogue.activation, block, index * BLOCK);
        }
        add_behind::<V>(epilogue, row, places);
        rest = rest.get_mut(rows.stride..).unwrap_or_default();
    }
}

/// Scales the sums and adds what comes before the activation.
#[inline(always)]
fn add_before<V: Floats>(epilogue: &Epilogue<'_>, row: usize, places: &mut [f32]) {
    let extra = epilogue.extra(row, false);
    let scale = V::splat(epilogue.scale);
    for (index, place) in places.chunks_mut(V::COUNT).enumerate() {
        let first = index * V::COUNT;
        let bias = V::load(epilogue.bias.get(first..).unwrap_or_default());
        let extra = V::load(extra.get(first..).unwrap_or_default());
        V::load(place).mul_add(scale, bias).add(extra).store(place);
    }
}

/// Adds what comes behind the activation.
#[inline(always)]
fn add_behind<V: Floats>(epilogue: &Epilogue<'_>, row: usize, places: &mut [f32]) {
    let extra = epilogue.extra(row, true);
    for (place, extra) in places.chunks_mut(V::COUNT).zip(extra.chunks(V::COUNT)) {
        V::load(place).add(V::load(extra)).store(place);
    }
}

/// A trait for the reason that [`Function`] is one.
trait ChangeBlock {
    /// Replaces the values of a block, the first of which has this channel, by the activation's.
    fn change(activation: Activation<'_>, block: &mut [f32], channel: usize);
}

/// Chooses the activation once for a block.
struct ByBlock<V>(PhantomData<V>);

impl<V: Floats> ChangeBlock for ByBlock<V> {
    #[inline(always)]
    fn change(activation: Activation<'_>, block: &mut [f32], channel: usize) {
        activation.dispatch::<V>(ApplyToBlock { block, channel });
    }
}

struct ApplyToBlock<'a> {
    block: &'a mut [f32],
    channel: usize,
}

impl<V: Floats> Job<V> for ApplyToBlock<'_> {
    #[inline(always)]
    fn run(self, function: impl Function<V>) {
        for (index, place) in self.block.chunks_mut(V::COUNT).enumerate() {
            function.apply(V::load(place), self.channel + index * V::COUNT).store(place);
        }
    }
}

/// Chooses the activation for every vector, since compilers unroll portable loops.
struct ByVector;

impl ChangeBlock for ByVector {
    #[inline(always)]
    fn change(activation: Activation<'_>, block: &mut [f32], channel: usize) {
        for (index, place) in block.chunks_mut(Portable::COUNT).enumerate() {
            let value = Portable::load(place);
            apply_portable(activation, value, channel + index * Portable::COUNT).store(place);
        }
    }
}

#[inline(never)]
fn apply_portable(activation: Activation<'_>, x: Portable, channel: usize) -> Portable {
    let mut value = x;
    activation.dispatch(ApplyOnce { value: &mut value, channel });
    value
}

/// Applies a function to one vector.
struct ApplyOnce<'a> {
    value: &'a mut Portable,
    channel: usize,
}

impl Job<Portable> for ApplyOnce<'_> {
    #[inline(always)]
    fn run(self, function: impl Function<Portable>) {
        *self.value = function.apply(*self.value, self.channel);
    }
}
