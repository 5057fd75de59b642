//! tract's pipeline: from the bytes of an ONNX model to an execution plan.

use super::fake_quantize::emulate;
use super::simplify::{optimize, simplify};
use super::{
    Options, OutputShape, coverage, cut, guard, integers, legalise, quantize, requantize, resize,
};
use crate::backbone::Coverage;
use crate::limits::{MAX_THREADS, product};
use crate::map::Layout;
use crate::spec::{InputType, Precision};
use crate::status::{Error, Result, Status};
use std::format;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;
use tract_core::ops::array::Pad;
use tract_core::prelude::*;
use tract_core::runtime::RunOptions;
use tract_core::transform::get_transform;
use tract_linalg::multithread::Executor;
use tract_onnx::Onnx;
use tract_onnx::pb::ModelProto;
use tract_onnx::tract_hir::infer::InferenceModelExt;

/// Largest tensor that a network may have, in bytes.
const MAX_TENSOR_BYTES: u64 = 1 << 31;
/// Longest text of an error.
const MAX_TEXT_BYTES: usize = 400;

/// The tensor that a network reads.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    /// Name of the graph input.
    pub(super) name: &'a str,
    /// Type of its elements; the quantisation is not looked at.
    pub(super) element: InputType,
    /// Its sides.
    pub(super) shape: Vec<usize>,
}

impl<'a> Source<'a> {
    /// The picture of `options`.
    fn of(options: &Options<'a>) -> Source<'a> {
        let (name, element) = (options.input_name, options.input.element);
        Source { name, element, shape: input_shape(options).to_vec() }
    }
}

/// What loading gives.
pub(super) struct Loaded {
    /// The plan with its buffers.
    pub(super) state: TypedSimpleState,
    /// A zeroed input.
    pub(super) input: Arc<Tensor>,
    /// What the plan computes in integers.
    pub(super) coverage: Coverage,
}

/// Loads `onnx`; the errors are those of [`super::TractBackbone::load`].
pub(super) fn load(onnx: &[u8], options: &Options<'_>) -> Result<Loaded> {
    check_options(options)?;
    let typed = prepare(onnx, options, &wanted(options))?;
    check_outputs(&typed, options)?;
    finish(typed, options)
}

/// Loads `onnx` to read the tensors called `names`, whose sides it finds; the errors are those of
/// [`super::TractTaps::load`].
pub(super) fn load_taps(
    onnx: &[u8],
    options: &Options<'_>,
    names: &[&str],
) -> Result<(Loaded, Vec<Vec<usize>>)> {
    check_options(options)?;
    let typed = prepare(onnx, options, names)?;
    let mut shapes = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let fact = typed.output_fact(index).map_err(|error| load_error(&error))?;
        match fact.shape.as_concrete() {
            Some(shape) if fact.datum_type == DatumType::F32 => shapes.push(shape.to_vec()),
            _ => {
                let text = format!("found {fact:?} for \"{name}\", wanted F32 of fixed sides");
                return Err(Status::ModelShape.about("tap of the network").text(shorten(&text)));
            }
        }
    }
    Ok((finish(typed, options)?, shapes))
}

fn check_options(options: &Options<'_>) -> Result<()> {
    options.input.check()?;
    if options.threads == 0 || options.threads > MAX_THREADS {
        let error = Status::InvalidArgument.about("threads of the engine");
        return Err(error.numbers(options.threads.into(), MAX_THREADS.into()));
    }
    Ok(())
}

/// Names of the tensors that a backbone reads.
fn wanted<'o>(options: &Options<'o>) -> Vec<&'o str> {
    let second = options.second.map(|second| second.name);
    core::iter::once(options.output_name).chain(second).collect()
}

fn finish(typed: TypedModel, options: &Options<'_>) -> Result<Loaded> {
    let coverage = coverage::of(&typed).map_err(|error| load_error(&error))?;
    let state = plan(typed, options.threads).map_err(|error| load_error(&error))?;
    let input = Tensor::zero_dt(datum_type(options.input.element), &input_shape(options));
    let input = input.map_err(|error| load_error(&error))?;
    Ok(Loaded { state, input: Arc::new(input), coverage })
}

/// Sides of the output; the errors are those of [`super::TractBackbone::output_shape`].
pub(super) fn output_shape(onnx: &[u8], options: &Options<'_>) -> Result<Vec<usize>> {
    options.input.check()?;
    let typed = prepare(onnx, options, &wanted(options))?;
    let fact = typed.output_fact(0).map_err(|error| load_error(&error))?;
    match fact.shape.as_concrete() {
        Some(shape) => Ok(shape.to_vec()),
        None => Err(load_refusal("the output has no fixed shape")),
    }
}

/// Every step up to tract's decluttered graph.
fn prepare(onnx: &[u8], options: &Options<'_>, wanted: &[&str]) -> Result<TypedModel> {
    let framework = framework();
    let source = Source::of(options);
    let mut model = checked(&framework, onnx, &source, wanted)?;
    if options.precision == Precision::AsModel {
        integers::rewrite(&mut model.graph);
    }
    typed_model(&framework, &model.into_proto(), &source, options.precision)
}

/// The part of the network that leads to `wanted`, in operators that are known.
fn checked(
    framework: &Onnx,
    onnx: &[u8],
    source: &Source<'_>,
    wanted: &[&str],
) -> Result<guard::GraphModel> {
    let mut model = guard::parse(framework, onnx)?;
    cut::cut(&mut model.graph, source, wanted)?;
    let version = model.version();
    legalise::legalise(&mut model.graph, version)?;
    guard::check(framework, &model.graph)?;
    Ok(model)
}

/// tract's typed graph, its tensors of bounded size.
fn typed(framework: &Onnx, proto: &ModelProto, source: &Source<'_>) -> Result<TypedModel> {
    let build = || -> TractResult<TypedModel> {
        let mut model = framework.parse(proto, None)?.model;
        model.set_input_fact(0, datum_type(source.element).fact(&*source.shape).into())?;
        model.into_typed()
    };
    let model = build().map_err(|error| load_error(&error))?;
    check_sizes(&model)?;
    check_pads(&model)?;
    Ok(model)
}

/// The decluttered graph with its quantisations as the model has them, for a plan.
pub(super) fn lowering_model(onnx: &[u8], options: &Options<'_>) -> Result<TypedModel> {
    check_options(options)?;
    let model = decluttered(onnx, &Source::of(options), &wanted(options))?;
    check_outputs(&model, options)?;
    Ok(model)
}

/// The decluttered graph between a source and the tensors called `wanted`.
pub(super) fn decluttered(onnx: &[u8], source: &Source<'_>, wanted: &[&str]) -> Result<TypedModel> {
    let framework = framework();
    let model = checked(&framework, onnx, source, wanted)?;
    let mut model = typed(&framework, &model.into_proto(), source)?;
    simplify(&mut model).map_err(|error| load_error(&error))?;
    Ok(model)
}

/// tract's ONNX front end with this library's operators in place of some of its own.
pub(super) fn framework() -> Onnx {
    let mut framework = tract_onnx::onnx().with_ignore_output_types(true);
    quantize::register(&mut framework.op_register);
    requantize::register(&mut framework.op_register);
    legalise::register(&mut framework.op_register);
    framework
}

/// The decluttered model with its quantised activations as `precision` says.
fn typed_model(
    framework: &Onnx,
    proto: &ModelProto,
    source: &Source<'_>,
    precision: Precision,
) -> Result<TypedModel> {
    let mut model = typed(framework, proto, source)?;
    let finish = |model: &mut TypedModel| -> TractResult<()> {
        emulate(model, precision)?;
        simplify(model)?;
        // Decluttering moves reshapes from between a quantisation and its dequantisation.
        emulate(model, precision)
    };
    finish(&mut model).map_err(|error| load_error(&error))?;
    Ok(model)
}

fn plan(mut model: TypedModel, threads: u32) -> TractResult<TypedSimpleState> {
    // tract's depthwise convolutions are several times faster with the channels last.
    if let Some(channels_last) = get_transform("conv_nhwc")? {
        channels_last.transform(&mut model)?;
        simplify(&mut model)?;
    }
    resize::replace(&mut model)?;
    // Always explicit: otherwise the plan would follow a default of the whole process.
    let executor = match threads {
        0 | 1 => Executor::SingleThread,
        threads => Executor::multithread(threads as usize),
    };
    let options = RunOptions { executor: Some(executor), ..RunOptions::default() };
    optimize(&mut model)?;
    TypedSimplePlan::new_with_options(model, &options)?.spawn()
}

/// `[1, 3, height, width]` or `[1, height, width, 3]`.
fn input_shape(options: &Options<'_>) -> [usize; 4] {
    let (height, width) = (options.input.height as usize, options.input.width as usize);
    match options.input.layout {
        Layout::Chw => [1, 3, height, width],
        Layout::Hwc => [1, height, width, 3],
    }
}

fn datum_type(element: InputType) -> DatumType {
    match element {
        InputType::F32 => DatumType::F32,
        InputType::U8(_) => DatumType::U8,
        InputType::I8(_) => DatumType::I8,
    }
}

/// Refuses models with a tensor that is symbolic or larger than [`MAX_TENSOR_BYTES`].
fn check_sizes(model: &TypedModel) -> Result<()> {
    for node in model.nodes() {
        for output in &node.outputs {
            let Some(shape) = output.fact.shape.as_concrete() else { continue };
            let elements = product("tensor of the network", shape)?;
            let bytes = (elements as u64).saturating_mul(output.fact.datum_type.size_of() as u64);
            if bytes > MAX_TENSOR_BYTES {
                let error = Status::LimitExceeded.about("tensor of the network");
                return Err(error.text(format!("{} has {bytes} bytes", node.name)));
            }
        }
    }
    Ok(())
}

/// Refuses pads below 0 that are computed, which tract takes for giant ones.
fn check_pads(model: &TypedModel) -> Result<()> {
    for node in model.nodes() {
        let pads = node.op_as::<Pad>().map_or(&[][..], |pad| &pad.pads);
        if pads.iter().any(|&(before, after)| before.max(after) > isize::MAX as usize) {
            let text = format!("node \"{}\": negative pads that are computed", node.name);
            return Err(load_refusal(&text));
        }
    }
    Ok(())
}

fn check_outputs(model: &TypedModel, options: &Options<'_>) -> Result<()> {
    let shapes = [Some(OutputShape::of(options)), OutputShape::of_second(options)];
    for (index, shape) in shapes.into_iter().flatten().enumerate() {
        let fact = model.output_fact(index).map_err(|error| load_error(&error))?;
        let fits = fact.shape.as_concrete().is_some_and(|sides| shape.matches(sides));
        if fact.datum_type != DatumType::F32 || !fits {
            let text = format!("found {fact:?}, wanted F32 of {shape:?}");
            return Err(Status::ModelShape.about("network's output").text(shorten(&text)));
        }
    }
    Ok(())
}

/// A model that is refused for `reason`.
pub(super) fn load_refusal(reason: &str) -> Error {
    Status::ModelLoad.about("network").text(shorten(reason))
}

fn load_error(error: &TractError) -> Error {
    tract_error(Status::ModelLoad, "loading the network", error)
}

/// An error with the whole chain of tract's reasons on one line.
pub(super) fn tract_error(status: Status, what: &'static str, error: &TractError) -> Error {
    status.about(what).text(shorten(&format!("{error:#}")))
}

/// `text` on one line, cut to [`MAX_TEXT_BYTES`].
pub(super) fn shorten(text: &str) -> String {
    let mut line = String::new();
    for character in text.split_whitespace().flat_map(|word| " ".chars().chain(word.chars())) {
        if line.len() + character.len_utf8() > MAX_TEXT_BYTES - 4 {
            return line + " ...";
        }
        if !(line.is_empty() && character == ' ') {
            line.push(if character.is_control() { '/' } else { character });
        }
    }
    line
}
