//! `ConvTranspose`, in place of tract's own, which knows no `auto_pad` beside `output_shape`, cuts
//! the wrong end where `output_shape` says how much to cut, and panics at too much.

use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::nn::DataFormat;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::internal::{Expansion, expand};

pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("ConvTranspose", conv_transpose);
}

fn conv_transpose(
    _context: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let auto_pad = match node.get_attr_opt::<&str>("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" => AutoPad::None,
        "VALID" => AutoPad::Valid,
        "SAME_UPPER" => AutoPad::SameUpper,
        "SAME_LOWER" => AutoPad::SameLower,
        other => bail!("auto_pad {other} is not known"),
    };
    let list = |name: &str| node.get_attr_opt_tvec::<usize>(name);
    let op = ConvTranspose {
        auto_pad,
        pads: list("pads").context("negative pads are not supported")?,
        strides: list("strides")?,
        dilations: list("dilations")?,
        output_padding: list("output_padding")?,
        output_shape: list("output_shape")?,
        group: node.get_attr_opt::<usize>("group")?.unwrap_or(1),
        has_bias: node.input.get(2).is_some_and(|name| !name.is_empty()),
    };
    Ok((expand(op), Vec::new()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AutoPad {
    None,
    Valid,
    SameUpper,
    SameLower,
}

/// The ONNX operator.
#[derive(Clone, Debug)]
struct ConvTranspose {
    auto_pad: AutoPad,
    pads: Option<TVec<usize>>,
    strides: Option<TVec<usize>>,
    dilations: Option<TVec<usize>>,
    output_padding: Option<TVec<usize>>,
    output_shape: Option<TVec<usize>>,
    group: usize,
    has_bias: bool,
}

/// What is added at the end and cut off around it.
struct Ends {
    before: TVec<usize>,
    after: TVec<usize>,
    added: TVec<usize>,
    sides: TVec<usize>,
}

impl ConvTranspose {
    /// Of an input of these sides.
    fn ends(&self, input: &[usize], kernel: &[usize]) -> TractResult<Ends> {
        let rank = kernel.len();
        ensure!(input.len() == rank, "the kernel has {rank} sides, the input {}", input.len());
        let list = |values: &Option<TVec<usize>>, default: usize, name: &str| {
            let values = values.clone().unwrap_or_else(|| tvec!(default; rank));
            ensure!(values.len() == rank, "{name} has not {rank} numbers");
            Ok(values)
        };
        let strides = list(&self.strides, 1, "strides")?;
        let dilations = list(&self.dilations, 1, "dilations")?;
        let mut added = list(&self.output_padding, 0, "output_padding")?;
        let wanted =
            self.output_shape.as_ref().map(|_| list(&self.output_shape, 0, "output_shape"));
        let wanted = wanted.transpose()?;
        let pads = self.pads.clone().unwrap_or_else(|| tvec!(0; 2 * rank));
        ensure!(pads.len() == 2 * rank, "pads has not {} numbers", 2 * rank);
        let (mut before, mut after, mut sides) = (tvec!(), tvec!(), tvec!());
        for axis in 0..rank {
            ensure!(input[axis] > 0 && kernel[axis] > 0, "its input or kernel is empty");
            let reach = (kernel[axis] - 1) * dilations[axis] + 1;
            let mut full = (input[axis] - 1) * strides[axis] + added[axis] + reach;
            if let Some(wanted) = &wanted {
                // What is wanted beyond that is added at the end.
                added[axis] += wanted[axis].saturating_sub(full);
                full = full.max(wanted[axis]);
            }
            let (first, last) = match (&wanted, self.auto_pad) {
                (Some(wanted), _) => self.cut(full, wanted[axis])?,
                (None, AutoPad::None) => (pads[axis], pads[rank + axis]),
                (None, AutoPad::Valid) => (0, 0),
                (None, _) => self.cut(full, input[axis] * strides[axis])?,
            };
            ensure!(first + last < full, "its pads cut off everything");
            before.push(first);
            after.push(last);
            sides.push(full - first - last);
        }
        Ok(Ends { before, after, added, sides })
    }

    /// What to cut off at both ends, the odd one where ONNX has it.
    fn cut(&self, full: usize, wanted: usize) -> TractResult<(usize, usize)> {
        let total = full.checked_sub(wanted);
        let total = total.with_context(|| format!("it makes {full} elements, not {wanted}"))?;
        let (less, more) = (total / 2, total - total / 2);
        Ok(if self.auto_pad == AutoPad::SameUpper { (less, more) } else { (more, less) })
    }

    fn output_shape(&self, input: &[usize], weights: &[usize]) -> TractResult<TVec<TDim>> {
        ensure!(input.len() == weights.len() && input.len() > 2, "its operands' axes differ");
        let mut shape = tvec!(input[0].to_dim(), (weights[1] * self.group).to_dim());
        shape.extend(self.ends(&input[2..], &weights[2..])?.sides.iter().map(|n| n.to_dim()));
        Ok(shape)
    }
}

impl Expansion for ConvTranspose {
    fn name(&self) -> StaticName {
        "ConvTranspose".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_bias))?;
        check_output_arity(outputs, 1)?;
        for tensor in inputs {
            solver.equals(&tensor.datum_type, &outputs[0].datum_type)?;
        }
        solver.given_2(&inputs[0].shape, &inputs[1].shape, move |solver, input, weights| {
            let sides = |shape: TVec<TDim>| -> Option<TVec<usize>> {
                shape.iter().map(|side| side.to_usize().ok()).collect()
            };
            if let (Some(input), Some(weights)) = (sides(input), sides(weights)) {
                solver.equals(&outputs[0].shape, self.output_shape(&input, &weights)?)?;
            }
            Ok(())
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let input = fact.shape.as_concrete().context("its input has no fixed sides")?;
        // From groups * inputs, outputs to outputs, groups * inputs, as tract has it.
        let name = |what: &str| format!("{prefix}.{what}");
        let (group, kernel) = (self.group, inputs[1]);
        let kernel = AxisOp::wire_split_axis(model, name("groups"), kernel, 0, group)?;
        let kernel = model.wire_node(name("moved"), AxisOp::Move(1, 2), &kernel)?;
        let kernel = AxisOp::wire_collapse_axis(model, name("kernel"), kernel[0], 0)?[0];
        let shape = model.outlet_fact(kernel)?.shape.clone();
        let shape = shape.as_concrete().context("its kernel has no fixed sides")?;
        let ends = self.ends(&input[2..], &shape[2..])?;
        let pool_spec = PoolSpec::new(
            DataFormat::NCHW,
            shape[2..].into(),
            PaddingSpec::Explicit(ends.before, ends.after),
            self.dilations.clone(),
            self.strides.clone(),
            KernelFormat::OIHW.input_channels(shape, group).into_owned(),
            KernelFormat::OIHW.output_channels(shape, group).into_owned(),
        );
        let bias = match self.has_bias {
            true => inputs[2],
            false => model.add_const(name("bias"), Tensor::zero_scalar_dt(fact.datum_type)?)?,
        };
        let op = Deconv::new(pool_spec, KernelFormat::OIHW, ends.added, group);
        model.wire_node(prefix, op, &[inputs[0], kernel, bias])
    }
}
