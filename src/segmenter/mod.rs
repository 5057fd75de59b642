//! The whole way of a frame: preprocessing, network, head, mask.

mod engine;
mod frame;
mod naming;
pub(crate) mod shapes;

pub use frame::{Frame, Source};
pub use naming::{ClassCost, ClassSource, Meaning};
pub use shapes::FusionSettings;

use crate::arena::Arena;
use crate::bundle::Bundle;
use crate::classes::ClassTable;
use crate::head::{Decoder, Grid, Linear, Output, Smoothing};
use crate::image::{Image, Preprocessor};
use crate::limits::Limits;
use crate::map::Map;
use crate::math::kernels::Kernels;
use crate::spec::{Decision, HeadKind};
use crate::spectral::Shape;
use crate::status::{Result, Status};
use crate::threads::ThreadPool;
use crate::trace::{Clock, StageTimes};
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicBool;
use engine::Engine;
use frame::Work;
use naming::Desk;
use shapes::{Shapes, affinity_of};

#[cfg(feature = "tract")]
use crate::backbone::Coverage;

/// Segments frames with one model, in memory that was set aside at init.
///
/// Everything of this library's own lies in the caller's arena, a compiled network's memory
/// included. The tract engine has its own heap beside it.
pub struct Segmenter<'a> {
    bundle: Bundle<'a>,
    engine: Engine<'a>,
    preprocessor: Preprocessor<'a>,
    decoder: Decoder<'a>,
    table: ClassTable<'a>,
    desk: Desk<'a>,
    shapes: Option<Shapes<'a>>,
    decision: Decision,
    work: Work,
    cancel: Option<&'a AtomicBool>,
    arena_bytes: usize,
    clock: Clock,
    times: StageTimes,
}

fn linear_of<'a>(bundle: &Bundle<'a>) -> Result<Option<Linear<'a>>> {
    if bundle.manifest().head.kind == HeadKind::Logits {
        return Ok(None);
    }
    let missing = Status::BundleContent.about("weights of the head");
    let weights = bundle.head_weights().ok_or(missing)?;
    let bias = bundle.head_bias().unwrap_or_default();
    let scales = bundle.head_scales().unwrap_or_default();
    Ok(Some(Linear { weights, scales, bias }))
}

impl<'a> Segmenter<'a> {
    /// Takes the buffers, from a counting arena too; an engine with a heap is not loaded.
    #[inline(always)] // Written once, to where the caller has it.
    fn carve(arena: &mut Arena<'a>, bundle: &Bundle<'a>, limits: &Limits) -> Result<Segmenter<'a>> {
        limits.check()?;
        let manifest = bundle.manifest();
        let kernels = Kernels::detect();
        let grid = Grid {
            height: manifest.grid_height as usize,
            width: manifest.grid_width as usize,
            layout: manifest.output_layout,
        };
        let extra = limits.extra_classes as usize;
        let table = ClassTable::carve(arena, bundle.head().classes, bundle.classes(), extra)?;
        // A counting arena's table has no places that could be counted.
        let classes = (bundle.head().classes as usize).saturating_add(extra);
        let scores = Shape { height: grid.height, width: grid.width, channels: classes };
        let shapes = match limits.fusion {
            true => {
                let source = limits.affinity.unwrap_or(affinity_of(bundle));
                Some(Shapes::carve(arena, source, scores, kernels)?)
            }
            false => None,
        };
        let preprocessor =
            Preprocessor::carve(arena, &manifest.input, &manifest.preprocess, limits)?;
        let linear = linear_of(bundle)?;
        let decoder = Decoder::carve(arena, &manifest.head, grid, linear, limits, kernels)?;
        Ok(Segmenter {
            bundle: *bundle,
            desk: Desk::carve(arena, bundle, limits)?,
            engine: Engine::carve(arena, bundle, limits.threads)?,
            preprocessor,
            decoder,
            table,
            shapes,
            decision: bundle.decision(),
            work: Work::IDLE,
            cancel: None,
            arena_bytes: arena.used_bytes(),
            clock: Clock::NONE,
            times: StageTimes::default(),
        })
    }

    /// Exact size of the arena that [`Segmenter::new`] will need, in bytes. The very code that
    /// takes the buffers runs on a counting arena; the network is not loaded.
    ///
    /// # Errors
    /// Those of [`Limits::check`]; [`Status::LimitExceeded`] if the size leaves `usize`;
    /// [`Status::Unsupported`] if the limits ask for a generator that the bundle has not.
    pub fn arena_bytes(bundle: &Bundle<'a>, limits: &Limits) -> Result<usize> {
        Ok(Segmenter::carve(&mut Arena::counting(), bundle, limits)?.arena_bytes)
    }

    /// Verifies the bundle's checksums, takes the buffers from `arena` and loads the network.
    /// `arena` starts at a multiple of [`crate::arena::ALIGN_BYTES`] and holds at least
    /// [`Segmenter::arena_bytes`].
    ///
    /// # Errors
    /// [`Status::BundleChecksum`] before anything else is looked at; [`Status::ArenaTooSmall`],
    /// [`Status::ArenaAlignment`]; [`Status::Unsupported`] if the bundle holds a network and this
    /// build has no engine; [`Status::ModelLoad`] or [`Status::ModelShape`] naming node and
    /// reason.
    pub fn new(bundle: &Bundle<'a>, limits: &Limits, arena: &'a mut [u8]) -> Result<Segmenter<'a>> {
        limits.check()?;
        bundle.verify()?;
        let mut segmenter = Segmenter::carve(&mut Arena::over(arena)?, bundle, limits)?;
        segmenter.start(limits)?;
        Ok(segmenter)
    }

    /// As [`Segmenter::new`], but writes to where the segmenter will stay: moving 3 KB from place
    /// to place takes several times as much of a small processor's stack. Nothing is dropped after
    /// an error, and nothing needs to be.
    ///
    /// # Errors
    /// Those of [`Segmenter::new`].
    #[inline(never)]
    pub fn new_in<'p>(
        place: &'p mut MaybeUninit<Segmenter<'a>>,
        bundle: &Bundle<'a>,
        limits: &Limits,
        arena: &'a mut [u8],
    ) -> Result<&'p mut Segmenter<'a>> {
        limits.check()?;
        bundle.verify()?;
        let segmenter = place.write(Segmenter::carve(&mut Arena::over(arena)?, bundle, limits)?);
        segmenter.start(limits)?;
        Ok(segmenter)
    }

    fn start(&mut self, limits: &Limits) -> Result<()> {
        self.engine.load(&self.bundle, limits)?;
        self.arrange();
        Ok(())
    }

    /// The model.
    pub fn bundle(&self) -> &Bundle<'a> {
        &self.bundle
    }

    /// Bytes of the arena in use; they never change after init.
    pub fn arena_used_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Has frames, the layers of a compiled network and masks cut into as many parts as the limits
    /// say `threads`, and worked on by `pool`; with `None`, as at init, the caller's thread does
    /// all. The masks are the same. Other engines bring threads of their own.
    pub fn set_thread_pool(&mut self, pool: Option<&'a dyn ThreadPool>) {
        self.preprocessor.set_thread_pool(pool);
        self.decoder.set_thread_pool(pool);
        self.engine.set_thread_pool(pool);
    }

    /// Measures stages with `clock` from the next frame on. A frame at work, whose time began by
    /// another clock, is given up.
    pub fn set_clock(&mut self, clock: Clock) {
        self.cancel_frame();
        self.clock = clock;
        self.decoder.set_clock(clock);
    }

    /// Stage times of the latest frame; zeros without a clock.
    pub fn stage_times(&self) -> StageTimes {
        self.times
    }

    /// How much of the network runs in integers; `None` without an engine.
    #[cfg(feature = "tract")]
    pub fn coverage(&self) -> Option<Coverage> {
        self.engine.coverage()
    }

    /// Segments one frame: writes the class of every pixel, at the frame's own size.
    ///
    /// # Errors
    /// Those of [`Segmenter::begin`] and [`Segmenter::step`]. `output` is written only on
    /// success, unless the frame is cancelled or its deadline passes.
    pub fn segment(&mut self, image: &Image<'_>, output: &mut Output<'_>) -> Result<()> {
        self.segment_frame(&Frame::of(image), output)
    }

    /// Segments a frame of `width` x `height` pixels whose features (or logits) another engine,
    /// such as an NPU, computed from the same preprocessing. `features` has the size, channels
    /// and layout that the bundle states.
    ///
    /// # Errors
    /// As for [`Segmenter::segment`].
    pub fn segment_features(
        &mut self,
        features: &Map<'_, f32>,
        width: u32,
        height: u32,
        output: &mut Output<'_>,
    ) -> Result<()> {
        let source = Source::Features { map: features, width, height };
        self.segment_frame(&Frame { source, affinity: None }, output)
    }

    /// The network's output for the latest frame: features, or logits for a head that has none.
    ///
    /// # Errors
    /// [`Status::InvalidState`] before the first frame; [`Status::Unsupported`] without a
    /// network.
    pub fn features(&self) -> Result<Map<'_, f32>> {
        let missing = Status::Unsupported.about("features without a network");
        self.engine.backbone().ok_or(missing)?.output()
    }

    /// How pixels are decided.
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// Changes how pixels are decided, from the next frame on. At init it is as the bundle says.
    /// A frame at work is given up.
    ///
    /// # Errors
    /// Those of [`Decision::check`]; nothing is changed then.
    pub fn set_decision(&mut self, decision: Decision) -> Result<()> {
        decision.check()?;
        self.decision = decision;
        self.arrange();
        Ok(())
    }

    /// Smooths frames from the next one on; the past is forgotten. A frame at work is given up.
    ///
    /// # Errors
    /// Those of [`Decoder::set_smoothing`]; nothing is changed then.
    pub fn set_smoothing(&mut self, smoothing: Smoothing) -> Result<()> {
        self.decoder.set_smoothing(smoothing)?;
        self.cancel_frame();
        Ok(())
    }

    /// Forgets the frames that later ones would be smoothed with, as after a change of camera. A
    /// frame at work is given up.
    pub fn forget(&mut self) {
        self.cancel_frame();
        self.decoder.forget();
    }

    /// Moves masks towards spectral segments from the next frame on, or no longer. A frame at
    /// work is given up.
    ///
    /// # Errors
    /// [`Status::Unsupported`] if the limits did not ask for fusion; [`Status::InvalidArgument`]
    /// for settings outside their ranges. Nothing is changed then.
    pub fn set_fusion(&mut self, fusion: Option<FusionSettings>) -> Result<()> {
        let Some(shapes) = self.shapes.as_mut() else {
            return match fusion {
                None => Ok(()),
                Some(_) => Err(Status::Unsupported.about("fusion, which the limits left out")),
            };
        };
        shapes.set(fusion)?;
        self.decoder.keep_evidence(fusion.is_some())?;
        self.cancel_frame();
        Ok(())
    }
}
