//! The tract engine: runs the ONNX network of a bundle on hosts and Linux boards.
//!
//! Loading goes through these steps, each in its own file:
//!
//! 1. `guard`: parse the bytes, refuse what is hostile or unknown.
//! 2. `cut`: leave only what lies between the input and the output.
//! 3. `legalise`: rewrite what tract cannot take into what it can.
//! 4. `integers`: let quantised layers compute in whole numbers.
//! 5. `load`: tract's own pipeline, from the rewritten graph to an execution plan.
//! 6. `quantize`, `requantize`, `fake_quantize` and `resize`: operators that tract lacks, or in
//!    place of its slow or wrong ones.
//! 7. `coverage`: what the plan computes in integers.
//!
//! Beside that, `append` adds layers to a network and `qdq` writes it with quantised ones, for
//! tools that make bundles.
//!
//! No other folder names tract. Unlike the rest of this library, tract allocates while it runs.

mod append;
mod coverage;
mod cut;
mod fake_quantize;
mod guard;
mod integers;
mod legalise;
mod load;
mod lower;
mod qdq;
mod quantize;
mod requantize;
mod resize;
mod simplify;
mod tap_shape;
mod taps;

pub use lower::{Network, lower, lower_network};
pub use qdq::{
    FloatNode, Layer, Norm, Numbers, QuantizableNetwork, Quantization, QuantizedTensor,
    QuantizedWeights, Unit, Wanted,
};
pub use tap_shape::PREFIX_TOKENS;
pub use taps::TractTaps;

pub use append::{BlockWeights, DecoderLayers, FEATURES, LayerWeights, append_features};

use super::{Backbone, Coverage};
use crate::bundle::Bundle;
use crate::image::Target;
use crate::map::{Layout, Map};
use crate::spec::{Input, Precision, SecondOutput};
use crate::status::{Error, Result, Status};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;
use tract_core::prelude::*;

/// What the bundle says about the network, and how to run it.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Shape and type of the input.
    pub input: Input,
    /// Name of the graph input that is fed. It must be the only one without an initialiser.
    pub input_name: &'a str,
    /// Name of the tensor that is read: any tensor of the graph. What only later tensors need is
    /// not run.
    pub output_name: &'a str,
    /// Channels of the output.
    pub channels: u32,
    /// Rows of the output.
    pub grid_height: u32,
    /// Columns of the output.
    pub grid_width: u32,
    /// Order of the output's elements: `[1, channels, height, width]`, or
    /// `[1, height, width, channels]`, which may also be `[1, height * width, channels]`.
    pub output_layout: Layout,
    /// A further tensor that is read, such as a transformer's keys.
    pub second: Option<SecondOutput<'a>>,
    /// Whether quantised activations are rounded to their grid.
    pub precision: Precision,
    /// Threads to run on: 1 to [`crate::limits::MAX_THREADS`].
    pub threads: u32,
}

impl<'a> Options<'a> {
    /// What a bundle says of its network.
    pub fn of_bundle(bundle: &Bundle<'a>, threads: u32) -> Options<'a> {
        let manifest = bundle.manifest();
        Options {
            input: manifest.input,
            input_name: manifest.input_name,
            output_name: manifest.output_name,
            channels: manifest.head.channels,
            grid_height: manifest.grid_height,
            grid_width: manifest.grid_width,
            output_layout: manifest.output_layout,
            second: bundle.second_output(),
            precision: manifest.precision,
            threads,
        }
    }
}

/// An ONNX network, ready to run.
pub struct TractBackbone {
    state: TypedSimpleState,
    input: Arc<Tensor>,
    /// What the latest run gave: the output and, if there is one, the second.
    outputs: TVec<TValue>,
    shape: OutputShape,
    second_shape: Option<OutputShape>,
    coverage: Coverage,
    poisoned: bool,
}

/// What [`Backbone::output`] promises.
#[derive(Clone, Copy, Debug)]
struct OutputShape {
    height: usize,
    width: usize,
    channels: usize,
    layout: Layout,
}

impl OutputShape {
    fn of(options: &Options<'_>) -> OutputShape {
        OutputShape {
            height: options.grid_height as usize,
            width: options.grid_width as usize,
            channels: options.channels as usize,
            layout: options.output_layout,
        }
    }

    fn of_second(options: &Options<'_>) -> Option<OutputShape> {
        options.second.map(|second| OutputShape {
            height: second.grid_height as usize,
            width: second.grid_width as usize,
            channels: second.channels as usize,
            layout: second.layout,
        })
    }

    /// Whether a tensor of these sides has this shape.
    fn matches(&self, sides: &[usize]) -> bool {
        let OutputShape { height, width, channels, layout } = *self;
        match layout {
            Layout::Chw => sides == [1, channels, height, width],
            Layout::Hwc => {
                sides == [1, height, width, channels] || sides == [1, height * width, channels]
            }
        }
    }
}

impl TractBackbone {
    /// Loads an ONNX model.
    ///
    /// # Errors
    /// [`Status::ModelLoad`] naming the node and the reason if the model is malformed or has
    /// something that the engine cannot run; [`Status::ModelShape`] if its input or output is not
    /// what `options` says; [`Status::LimitExceeded`] if it is larger than the caps of this
    /// library; [`Status::InvalidArgument`] if `options.threads` is out of range;
    /// [`Status::Panic`] if the engine panicked.
    pub fn load(onnx: &[u8], options: &Options<'_>) -> Result<TractBackbone> {
        let loaded = catch_unwind(|| load::load(onnx, options));
        let loaded = loaded.unwrap_or_else(|_| Err(Status::Panic.about("loading the network")))?;
        Ok(TractBackbone {
            state: loaded.state,
            input: loaded.input,
            outputs: tvec!(),
            shape: OutputShape::of(options),
            second_shape: OutputShape::of_second(options),
            coverage: loaded.coverage,
            poisoned: false,
        })
    }

    /// Sides of the tensor `options.output_name`, for tools that make bundles. What `options` says
    /// about the output's shape and the threads is not looked at.
    ///
    /// # Errors
    /// As for [`TractBackbone::load`].
    pub fn output_shape(onnx: &[u8], options: &Options<'_>) -> Result<Vec<usize>> {
        let shape = catch_unwind(|| load::output_shape(onnx, options));
        shape.unwrap_or_else(|_| Err(Status::Panic.about("loading the network")))
    }

    /// What of the network runs in integers.
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// Elements of an output of the latest successful run.
    fn elements(&self, index: usize) -> Result<&[f32]> {
        self.check_usable()?;
        let missing = Status::InvalidState.about("the network has not run");
        let tensor = self.outputs.get(index).ok_or(missing)?;
        let view = tensor.try_as_plain_ram().and_then(|view| view.as_slice::<f32>());
        view.map_err(|error| load::tract_error(Status::ModelRun, "output", &error))
    }

    fn map(&self, index: usize, shape: OutputShape) -> Result<Map<'_, f32>> {
        let data = self.elements(index)?;
        let OutputShape { height, width, channels, layout } = shape;
        Map::new(data, height, width, channels, layout)
    }

    fn check_usable(&self) -> Result<()> {
        match self.poisoned {
            true => Err(Status::InvalidState.about("the engine panicked earlier")),
            false => Ok(()),
        }
    }
}

impl Backbone for TractBackbone {
    fn input(&mut self) -> Result<Target<'_>> {
        self.check_usable()?;
        // Uniquely ours again after a run, so nothing is copied unless the output is the input.
        let tensor = Arc::make_mut(&mut self.input);
        Ok(match tensor.datum_type() {
            DatumType::F32 => Target::F32(elements(tensor)?),
            DatumType::U8 => Target::U8(elements(tensor)?),
            _ => Target::I8(elements(tensor)?),
        })
    }

    fn run(&mut self) -> Result<()> {
        self.check_usable()?;
        self.outputs.clear();
        let inputs = tvec!(self.input.clone().into_tvalue());
        // After a panic nothing of the state is used again.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.state.run(inputs)));
        let Ok(outcome) = outcome else {
            self.poisoned = true;
            return Err(Status::Panic.about("running the network"));
        };
        match outcome {
            Ok(outputs) => self.outputs = outputs,
            Err(error) => {
                // What the failed run computed would otherwise keep its memory, the input's too.
                let _ = self.state.reset_turn();
                return Err(load::tract_error(Status::ModelRun, "running the network", &error));
            }
        }
        Ok(())
    }

    fn output(&self) -> Result<Map<'_, f32>> {
        self.map(0, self.shape)
    }

    fn second_output(&self) -> Result<Option<Map<'_, f32>>> {
        self.second_shape.map(|shape| self.map(1, shape)).transpose()
    }
}

fn elements<T: Datum>(tensor: &mut Tensor) -> Result<&mut [T]> {
    let internal = || -> Error { Status::ModelRun.about("memory of the network's input") };
    let view = tensor.to_plain_array_view_mut::<T>().map_err(|_| internal())?;
    view.into_slice().ok_or_else(internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::string::String;
    use tract_core::internal::*;
    use tract_core::ops::element_wise::ElementWiseOp;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Panicking;

    impl ElementWiseMiniOp for Panicking {
        fn name(&self) -> String {
            "Panicking".into()
        }

        fn eval_in_place(&self, _: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
            panic!("on purpose");
        }
    }

    #[test]
    fn a_panic_poisons_the_engine() {
        let mut model = TypedModel::default();
        let source = model.add_source("source", f32::fact([1, 1, 1, 1])).unwrap();
        let op = ElementWiseOp(Box::new(Panicking), None);
        let outputs = model.wire_node("panicking", op, &[source]).unwrap();
        model.select_output_outlets(&outputs).unwrap();
        let mut backbone = TractBackbone {
            state: TypedSimplePlan::new(model).unwrap().spawn().unwrap(),
            input: Arc::new(Tensor::zero::<f32>(&[1, 1, 1, 1]).unwrap()),
            outputs: tvec!(),
            shape: OutputShape { height: 1, width: 1, channels: 1, layout: Layout::Chw },
            second_shape: None,
            coverage: Coverage::default(),
            poisoned: false,
        };
        assert!(backbone.input().is_ok());
        assert_eq!(backbone.run().unwrap_err().status(), Status::Panic);
        assert_eq!(backbone.run().unwrap_err().status(), Status::InvalidState);
        assert_eq!(backbone.input().unwrap_err().status(), Status::InvalidState);
        assert_eq!(backbone.output().unwrap_err().status(), Status::InvalidState);
    }
}
