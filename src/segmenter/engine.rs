//! What computes the network's output.

use crate::backbone::Backbone;
use crate::bundle::Bundle;
use crate::limits::Limits;
use crate::spec::Backbone as BackboneKind;
use crate::status::Result;

#[cfg(feature = "tract")]
use crate::backbone::{
    Coverage,
    tract::{Options, TractBackbone},
};
#[cfg(not(feature = "tract"))]
use crate::status::Status;

pub(super) enum Engine {
    /// The caller brings the network's output.
    External,
    #[cfg(feature = "tract")]
    Tract(std::boxed::Box<TractBackbone>),
}

impl Engine {
    pub(super) fn backbone(&self) -> Option<&dyn Backbone> {
        match self {
            Engine::External => None,
            #[cfg(feature = "tract")]
            Engine::Tract(engine) => Some(engine.as_ref()),
        }
    }

    pub(super) fn backbone_mut(&mut self) -> Option<&mut dyn Backbone> {
        match self {
            Engine::External => None,
            #[cfg(feature = "tract")]
            Engine::Tract(engine) => Some(engine.as_mut()),
        }
    }

    #[cfg(feature = "tract")]
    pub(super) fn coverage(&self) -> Option<Coverage> {
        match self {
            Engine::External => None,
            Engine::Tract(engine) => Some(engine.coverage()),
        }
    }

    #[cfg(feature = "tract")]
    pub(super) fn load(bundle: &Bundle<'_>, limits: &Limits) -> Result<Engine> {
        let manifest = bundle.manifest();
        let (BackboneKind::Onnx, Some(onnx)) = (manifest.backbone, bundle.onnx()) else {
            return Ok(Engine::External);
        };
        let options = Options {
            input: manifest.input,
            input_name: manifest.input_name,
            output_name: manifest.output_name,
            channels: manifest.head.channels,
            grid_height: manifest.grid_height,
            grid_width: manifest.grid_width,
            output_layout: manifest.output_layout,
            second: bundle.second_output(),
            precision: manifest.precision,
            threads: limits.threads,
        };
        let engine = TractBackbone::load(onnx, &options)?;
        Ok(Engine::Tract(std::boxed::Box::new(engine)))
    }

    #[cfg(not(feature = "tract"))]
    pub(super) fn load(bundle: &Bundle<'_>, _limits: &Limits) -> Result<Engine> {
        match bundle.manifest().backbone {
            BackboneKind::External => Ok(Engine::External),
            BackboneKind::Onnx => Err(Status::Unsupported.about("a network, without an engine")),
        }
    }
}
