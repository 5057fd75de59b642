//! The loss of SAZS and its derivative by all parameters (methods.md 6.7).

use super::edges::attention_weights;
use super::settings::EdgeInput;
use super::shape::{EdgeMaps, InverseForm, moment_loss};
use crate::status::Result;
use crate::train::engine::{CrossEntropy, Engine, Loss, Normalised, Product, Real, Targets};
use crate::train::task::IGNORED;
use std::vec;
use std::vec::Vec;

/// What is learnt: values, or derivatives.
#[derive(Clone, Debug)]
pub struct Parameters<T> {
    /// Of the alignment: `[dim, channels]`.
    pub weight: T,
    /// `[1, dim]`.
    pub bias: T,
    /// Of the edge head: `[1, dim]`, or `[1, channels]` over the features.
    pub edge_weight: T,
    /// `[1, 1]`.
    pub edge_bias: T,
}

/// A picture of a step.
#[derive(Clone, Debug)]
pub struct Example<T> {
    /// `[cells, channels]`.
    pub features: T,
    /// Embeddings of the classes, times the scale of the logits: `[classes, dim]`.
    pub embeddings: T,
    /// Row of `embeddings` for each cell; negative ones are ignored.
    pub labels: Vec<i32>,
    /// 1 for each cell with an edge, 0 for each without; others are ignored.
    pub edges: Vec<i32>,
}

/// How shapes are compared.
#[derive(Clone, Debug)]
pub enum Shapes<'a, T> {
    /// [`moment_loss`] for tiles with at least this number of edge cells.
    Surrogate(f64),
    /// InverseForm's network.
    Sigmoid(&'a InverseForm<T>),
    /// Not at all: value 0.
    Dead,
}

/// What the loss is put together of.
#[derive(Clone, Debug)]
pub struct LossSettings<'a, T> {
    /// Whether aligned features are brought to length 1.
    pub normalize: bool,
    /// What the edge head sees.
    pub edge_input: EdgeInput,
    /// Edge logits above this take part in the loss at edges.
    pub attention_threshold: f64,
    /// Weights of the losses of classes, of edges, of classes at edges, and of shapes.
    pub weights: [f64; 4],
    /// How shapes are compared.
    pub shapes: Shapes<'a, T>,
    /// Rows and columns of tiles.
    pub tiles: [usize; 2],
    /// Rows and columns of the features' grid.
    pub grid: [usize; 2],
}

/// The losses, without their weights, and their weighted sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Of classes.
    pub segmentation: f64,
    /// Of edges.
    pub edge: f64,
    /// Of classes at edges.
    pub attention: f64,
    /// Of shapes.
    pub shape: f64,
    /// The weighted sum.
    pub total: f64,
}

/// What the forward pass leaves of a picture.
struct Forward<T> {
    aligned: T,
    /// Without it logits are products of `aligned`.
    unit: Option<Normalised<T>>,
    logits: T,
}

/// The losses of a batch and the derivative of their weighted sum. `2 cells dim (3 channels + 2
/// classes)` operations for each picture.
///
/// # Errors
/// Those of the engine, for shapes that do not fit.
pub fn losses<F: Real, E: Engine<F>>(
    engine: &E,
    parameters: &Parameters<E::Tensor>,
    examples: &[Example<E::Tensor>],
    settings: &LossSettings<'_, E::Tensor>,
) -> Result<(Losses, Parameters<E::Tensor>)> {
    let mut passes = Vec::with_capacity(examples.len());
    let (mut edge_logits, mut edge_targets) = (Vec::new(), Vec::new());
    for example in examples {
        let pass = forward(engine, parameters, example, settings.normalize)?;
        let input = edge_input(settings.edge_input, example, &pass);
        let (weight, bias) = (&parameters.edge_weight, &parameters.edge_bias);
        let logits = engine.product(Product::Nt, input, weight, Some(bias))?;
        edge_logits.extend(engine.download(&logits)?);
        edge_targets.extend_from_slice(&example.edges);
        passes.push(pass);
    }
    let edges = Edges { logits: edge_logits, targets: edge_targets };
    let [_, edge_weight, _, shape_weight] = settings.weights;
    let (edge, edge_slopes) = edge_loss(engine, &edges)?;
    let shape = shape_loss(engine, &edges, settings)?;
    let slopes = edge_slopes.iter().zip(&shape.gradient);
    let (by_edge, by_shape) = (F::of(edge_weight), F::of(shape_weight));
    let edge_slopes: Vec<F> = slopes.map(|(e, s)| by_edge * *e + by_shape * *s).collect();
    let (segmentation, attention, slopes) =
        class_losses(engine, &passes, examples, &edges, settings)?;
    let values = [segmentation, edge, attention, shape.value];
    let total = values.iter().zip(&settings.weights).map(|(value, weight)| value * weight).sum();
    let gradients =
        backward(engine, parameters, examples, &passes, &slopes, &edge_slopes, settings)?;
    Ok((Losses { segmentation, edge, attention, shape: shape.value, total }, gradients))
}

/// Edge logits of all pictures, one after another, and what they should be.
struct Edges<F> {
    logits: Vec<F>,
    targets: Vec<i32>,
}

fn forward<F: Real, E: Engine<F>>(
    engine: &E,
    parameters: &Parameters<E::Tensor>,
    example: &Example<E::Tensor>,
    normalize: bool,
) -> Result<Forward<E::Tensor>> {
    let (weight, bias) = (&parameters.weight, Some(&parameters.bias));
    let aligned = engine.product(Product::Nt, &example.features, weight, bias)?;
    let unit = if normalize { Some(engine.normalise(&aligned)?) } else { None };
    let rows = unit.as_ref().map_or(&aligned, |unit| &unit.rows);
    let logits = engine.product(Product::Nt, rows, &example.embeddings, None)?;
    Ok(Forward { aligned, unit, logits })
}

fn edge_input<'a, T>(input: EdgeInput, example: &'a Example<T>, pass: &'a Forward<T>) -> &'a T {
    match input {
        EdgeInput::Aligned => &pass.aligned,
        EdgeInput::Features => &example.features,
    }
}

fn edge_loss<F: Real, E: Engine<F>>(engine: &E, edges: &Edges<F>) -> Result<(f64, Vec<F>)> {
    let logits = engine.upload([edges.logits.len(), 1], &edges.logits)?;
    let loss = engine.balanced_cross_entropy(&logits, &edges.targets)?;
    Ok((loss.value, engine.download(&loss.gradient)?))
}

fn shape_loss<F: Real, E: Engine<F>>(
    engine: &E,
    edges: &Edges<F>,
    settings: &LossSettings<'_, E::Tensor>,
) -> Result<Loss<Vec<F>>> {
    let maps = EdgeMaps { grid: settings.grid, logits: &edges.logits, targets: &edges.targets };
    match &settings.shapes {
        Shapes::Surrogate(least_cells) => Ok(moment_loss(&maps, settings.tiles, *least_cells)),
        Shapes::Sigmoid(network) => network.loss(engine, &maps, settings.tiles),
        Shapes::Dead => Ok(Loss { value: 0.0, gradient: vec![F::ZERO; edges.logits.len()] }),
    }
}

/// Both losses of classes, and the derivative of their weighted sum by each picture's logits.
fn class_losses<F: Real, E: Engine<F>>(
    engine: &E,
    passes: &[Forward<E::Tensor>],
    examples: &[Example<E::Tensor>],
    edges: &Edges<F>,
    settings: &LossSettings<'_, E::Tensor>,
) -> Result<(f64, f64, Vec<E::Tensor>)> {
    let kept = kept_labels(examples, edges, settings.attention_threshold);
    let classes = passes.first().map_or(0, |pass| engine.shape(&pass.logits)[1]);
    let all: Vec<i32> = kept.iter().flatten().copied().collect();
    let class_weights: Vec<F> = attention_weights(&all, classes).into_iter().map(F::of).collect();
    let mut plain: Vec<CrossEntropy<E::Tensor>> = Vec::with_capacity(passes.len());
    let mut at_edges = Vec::with_capacity(passes.len());
    for ((pass, example), kept) in passes.iter().zip(examples).zip(&kept) {
        let targets = Targets { labels: &example.labels, class_weights: None, row_weights: None };
        plain.push(engine.cross_entropy(&pass.logits, &targets)?);
        let class_weights = Some(class_weights.as_slice());
        let targets = Targets { labels: kept, class_weights, row_weights: None };
        at_edges.push(engine.cross_entropy(&pass.logits, &targets)?);
    }
    let rows: f64 = plain.iter().map(|loss| loss.weight).sum::<f64>().max(1.0);
    let [by_class, _, by_attention, _] = settings.weights;
    let mut slopes = Vec::with_capacity(passes.len());
    for (plain, at_edges) in plain.iter().zip(&at_edges) {
        let zeros = engine.shape(&plain.gradient);
        let mut slope = engine.upload(zeros, &vec![F::ZERO; zeros[0] * zeros[1]])?;
        engine.add_scaled(&mut slope, F::of(by_class * plain.weight / rows), &plain.gradient)?;
        engine.add_scaled(&mut slope, F::of(by_attention), &at_edges.gradient)?;
        slopes.push(slope);
    }
    let segmentation = plain.iter().map(|loss| loss.value * loss.weight / rows).sum();
    Ok((segmentation, at_edges.iter().map(|loss| loss.value).sum(), slopes))
}

/// Labels of each picture's cells whose edge logit is above the threshold; the others are ignored.
fn kept_labels<F: Real, T>(
    examples: &[Example<T>],
    edges: &Edges<F>,
    threshold: f64,
) -> Vec<Vec<i32>> {
    let mut logits = edges.logits.iter();
    let mut of_picture = |example: &Example<T>| {
        let labels = example.labels.iter().zip(logits.by_ref());
        let kept = labels.map(|(label, logit)| match logit.to_f64() > threshold {
            true => *label,
            false => IGNORED,
        });
        kept.collect()
    };
    examples.iter().map(&mut of_picture).collect()
}

fn backward<F: Real, E: Engine<F>>(
    engine: &E,
    parameters: &Parameters<E::Tensor>,
    examples: &[Example<E::Tensor>],
    passes: &[Forward<E::Tensor>],
    slopes: &[E::Tensor],
    edge_slopes: &[F],
    settings: &LossSettings<'_, E::Tensor>,
) -> Result<Parameters<E::Tensor>> {
    let zeros = |tensor: &E::Tensor| {
        let shape = engine.shape(tensor);
        engine.upload(shape, &vec![F::ZERO; shape[0] * shape[1]])
    };
    let mut sums = Parameters {
        weight: zeros(&parameters.weight)?,
        bias: zeros(&parameters.bias)?,
        edge_weight: zeros(&parameters.edge_weight)?,
        edge_bias: zeros(&parameters.edge_bias)?,
    };
    let mut start = 0;
    for ((example, pass), slope) in examples.iter().zip(passes).zip(slopes) {
        let cells = example.edges.len();
        let of_picture = edge_slopes.get(start..start + cells).unwrap_or_default();
        start += cells;
        let edge_slope = engine.upload([of_picture.len(), 1], of_picture)?;
        let input = edge_input(settings.edge_input, example, pass);
        let by_edge_weight = engine.product(Product::Tn, &edge_slope, input, None)?;
        engine.add_scaled(&mut sums.edge_weight, F::ONE, &by_edge_weight)?;
        engine.add_scaled(&mut sums.edge_bias, F::ONE, &engine.column_sums(&edge_slope)?)?;
        let by_unit = engine.product(Product::Nn, slope, &example.embeddings, None)?;
        let mut by_aligned = match &pass.unit {
            Some(unit) => engine.normalise_backward(unit, &by_unit)?,
            None => by_unit,
        };
        if settings.edge_input == EdgeInput::Aligned {
            let weight = &parameters.edge_weight;
            let by_edges = engine.product(Product::Nn, &edge_slope, weight, None)?;
            engine.add_scaled(&mut by_aligned, F::ONE, &by_edges)?;
        }
        let by_weight = engine.product(Product::Tn, &by_aligned, &example.features, None)?;
        engine.add_scaled(&mut sums.weight, F::ONE, &by_weight)?;
        engine.add_scaled(&mut sums.bias, F::ONE, &engine.column_sums(&by_aligned)?)?;
    }
    Ok(sums)
}
