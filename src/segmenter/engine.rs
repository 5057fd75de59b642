//! What computes the network's output.

use crate::arena::Arena;
use crate::backbone::{Backbone, plan::PlanBackbone};
use crate::bundle::Bundle;
use crate::limits::Limits;
use crate::map::Layout;
use crate::plan::Plan;
use crate::spec::Backbone as BackboneKind;
use crate::status::{Result, Status};
use crate::threads::ThreadPool;

#[cfg(feature = "tract")]
use crate::backbone::{
    Coverage,
    tract::{Options, TractBackbone},
};

/// How far a network goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advance {
    /// So many pieces of about equal work. Rows by themselves are slower than whole layers: weights
    /// are read again for each piece.
    Pieces(u32),
    /// One step of the plan, a layer.
    Step,
    /// All that is left.
    ToTheEnd,
}

// Large variants: there is no heap to put them on.
#[allow(clippy::large_enum_variant)]
pub(super) enum Engine<'a> {
    /// The caller brings the network's output.
    External,
    /// The compiled network, in the arena.
    Plan(PlanBackbone<'a>),
    #[cfg(feature = "tract")]
    Tract(std::boxed::Box<TractBackbone>),
}

impl<'a> Engine<'a> {
    pub(super) fn backbone(&self) -> Option<&dyn Backbone> {
        match self {
            Engine::External => None,
            Engine::Plan(engine) => Some(engine),
            #[cfg(feature = "tract")]
            Engine::Tract(engine) => Some(engine.as_ref()),
        }
    }

    pub(super) fn backbone_mut(&mut self) -> Option<&mut dyn Backbone> {
        match self {
            Engine::External => None,
            Engine::Plan(engine) => Some(engine),
            #[cfg(feature = "tract")]
            Engine::Tract(engine) => Some(engine.as_mut()),
        }
    }

    /// Carries the network on; `true` when its output is there. Only plans can be divided.
    pub(super) fn advance(&mut self, by: Advance) -> Result<bool> {
        match (self, by) {
            (Engine::External, _) => Ok(true),
            (Engine::Plan(engine), Advance::ToTheEnd) => engine.run().map(|()| true),
            (Engine::Plan(engine), Advance::Step) => engine.run_steps(1),
            (Engine::Plan(engine), Advance::Pieces(pieces)) => engine.run_pieces(pieces as usize),
            #[cfg(feature = "tract")]
            (Engine::Tract(engine), _) => engine.run().map(|()| true),
        }
    }

    /// Has a compiled network's layers worked on by `pool`; tract has threads of its own.
    pub(super) fn set_thread_pool(&mut self, pool: Option<&'a dyn ThreadPool>) {
        match self {
            Engine::Plan(engine) => engine.set_thread_pool(pool),
            Engine::External => {}
            #[cfg(feature = "tract")]
            Engine::Tract(_) => {}
        }
    }

    #[cfg(feature = "tract")]
    pub(super) fn coverage(&self) -> Option<Coverage> {
        match self {
            Engine::External | Engine::Plan(_) => None,
            Engine::Tract(engine) => Some(engine.coverage()),
        }
    }

    /// Takes the memory of an engine that lives in the arena, if the bundle has one.
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        bundle: &Bundle<'a>,
        threads: u32,
    ) -> Result<Engine<'a>> {
        let Some(bytes) = bundle.plan() else { return Ok(Engine::External) };
        let plan = Plan::new(bytes)?;
        let manifest = bundle.manifest();
        if PlanBackbone::input_of(&plan)? != manifest.input {
            return Err(Status::ModelShape.about("input of the plan"));
        }
        let engine = PlanBackbone::carve(arena, plan, threads as usize)?;
        let wanted = [manifest.grid_height, manifest.grid_width, manifest.head.channels];
        let second = bundle.second_output();
        let second = second.map(|one| [one.grid_height, one.grid_width, one.channels]);
        let sides = |shape: [u32; 3]| shape.map(|side| side as usize);
        let is_last = manifest.output_layout == Layout::Hwc;
        if engine.output_shape() != sides(wanted)
            || engine.second_shape() != second.map(sides)
            || !is_last
        {
            return Err(Status::ModelShape.about("outputs of the plan"));
        }
        Ok(Engine::Plan(engine))
    }

    /// Loads the engine of a network that is not compiled, which lives outside the arena.
    #[cfg(feature = "tract")]
    pub(super) fn load(&mut self, bundle: &Bundle<'_>, limits: &Limits) -> Result<()> {
        let Engine::External = self else { return Ok(()) };
        let (BackboneKind::Onnx, Some(onnx)) = (bundle.backbone(), bundle.onnx()) else {
            return Ok(());
        };
        let options = Options::of_bundle(bundle, limits.threads);
        *self = Engine::Tract(std::boxed::Box::new(TractBackbone::load(onnx, &options)?));
        Ok(())
    }

    /// Refuses a network that is not compiled: no other engine is there.
    #[cfg(not(feature = "tract"))]
    pub(super) fn load(&mut self, bundle: &Bundle<'_>, _limits: &Limits) -> Result<()> {
        match (self, bundle.manifest().backbone) {
            (Engine::External, BackboneKind::Onnx) => {
                Err(Status::Unsupported.about("a network, without an engine"))
            }
            _ => Ok(()),
        }
    }
}
