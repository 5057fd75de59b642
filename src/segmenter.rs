//! The whole way of a frame: preprocessing, network, head, mask.

use crate::arena::Arena;
use crate::backbone::Backbone;
use crate::bundle::Bundle;
use crate::head::{Decoder, Grid, Linear, Output};
use crate::image::{Geometry, Image, Preprocessor};
use crate::limits::Limits;
use crate::map::Map;
use crate::math::kernels::Kernels;
use crate::spec::{Backbone as BackboneKind, HeadKind};
use crate::status::{Result, Status};
use crate::trace::{Clock, StageTimes};

#[cfg(feature = "tract")]
use crate::backbone::{
    Coverage,
    tract::{Options, TractBackbone},
};

/// Segments frames with one model, in memory that was set aside at init.
///
/// Everything of this library's own lies in the caller's arena. The tract engine has its own
/// heap beside it.
pub struct Segmenter<'a> {
    bundle: Bundle<'a>,
    engine: Engine,
    preprocessor: Preprocessor<'a>,
    decoder: Decoder<'a>,
    arena_bytes: usize,
    clock: Clock,
    times: StageTimes,
}

enum Engine {
    /// The caller brings the network's output.
    External,
    #[cfg(feature = "tract")]
    Tract(std::boxed::Box<TractBackbone>),
}

/// The buffers of a segmenter. One function serves to size them and to take them.
struct Buffers<'a> {
    preprocessor: Preprocessor<'a>,
    decoder: Decoder<'a>,
}

impl<'a> Buffers<'a> {
    fn carve(arena: &mut Arena<'a>, bundle: &Bundle<'a>, limits: &Limits) -> Result<Buffers<'a>> {
        let manifest = bundle.manifest();
        let grid = Grid {
            height: manifest.grid_height as usize,
            width: manifest.grid_width as usize,
            layout: manifest.output_layout,
        };
        let preprocessor =
            Preprocessor::carve(arena, &manifest.input, &manifest.preprocess, limits)?;
        let decoder = Decoder::carve(
            arena,
            &manifest.head,
            grid,
            linear_of(bundle)?,
            bundle.classes().map(|class| class.bias),
            limits,
            Kernels::detect(),
        )?;
        Ok(Buffers { preprocessor, decoder })
    }
}

fn linear_of<'a>(bundle: &Bundle<'a>) -> Result<Option<Linear<'a>>> {
    if bundle.manifest().head.kind == HeadKind::Logits {
        return Ok(None);
    }
    let missing = Status::BundleContent.about("weights of the head");
    let (Some(weights), Some(bias)) = (bundle.head_weights(), bundle.head_bias()) else {
        return Err(missing);
    };
    let scales = bundle.head_scales().unwrap_or_default();
    Ok(Some(Linear { weights, scales, bias }))
}

impl<'a> Segmenter<'a> {
    /// Exact size of the arena that [`Segmenter::new`] will need, in bytes. The very code that
    /// takes the buffers runs on a counting arena; the network is not loaded.
    ///
    /// # Errors
    /// Those of [`Limits::check`]; [`Status::LimitExceeded`] if the size leaves `usize`.
    pub fn arena_bytes(bundle: &Bundle<'a>, limits: &Limits) -> Result<usize> {
        limits.check()?;
        let mut arena = Arena::counting();
        Buffers::carve(&mut arena, bundle, limits)?;
        Ok(arena.used_bytes())
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
        let mut arena = Arena::over(arena)?;
        let Buffers { preprocessor, decoder } = Buffers::carve(&mut arena, bundle, limits)?;
        Ok(Segmenter {
            bundle: *bundle,
            engine: Engine::load(bundle, limits)?,
            preprocessor,
            decoder,
            arena_bytes: arena.used_bytes(),
            clock: Clock::NONE,
            times: StageTimes::default(),
        })
    }

    /// The model.
    pub fn bundle(&self) -> &Bundle<'a> {
        &self.bundle
    }

    /// Bytes of the arena in use; they never change after init.
    pub fn arena_used_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Measures stages with `clock` from the next frame on.
    pub fn set_clock(&mut self, clock: Clock) {
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
        match &self.engine {
            Engine::External => None,
            Engine::Tract(engine) => Some(engine.coverage()),
        }
    }

    /// Segments one frame: writes the class of every pixel, at the frame's own size.
    ///
    /// # Errors
    /// [`Status::FrameSize`] for a frame beyond the limits; errors of [`Output::check`];
    /// [`Status::ModelRun`]; [`Status::Unsupported`] if the bundle holds no network. `output` is
    /// written only on success.
    pub fn segment(&mut self, image: &Image<'_>, output: &mut Output<'_>) -> Result<()> {
        let geometry = self.check(image.width(), image.height(), output)?;
        let Some(backbone) = self.engine.backbone_mut() else {
            return Err(Status::Unsupported.about("segmenting without a network"));
        };
        let start = self.clock.now_ns();
        self.preprocessor.run(image, backbone.input()?)?;
        let fetched = self.clock.now_ns();
        backbone.run()?;
        let ran = self.clock.now_ns();
        self.decoder.run(&backbone.output()?, &geometry.y, &geometry.x, output)?;
        self.times.fetch_ns = fetched.saturating_sub(start);
        self.times.backbone_ns = ran.saturating_sub(fetched);
        self.note_decoder_times(ran);
        Ok(())
    }

    /// Segments a frame of `width` x `height` pixels whose features (or logits) another engine,
    /// such as an NPU, computed from the same preprocessing. `features` has the size, channels
    /// and layout that the bundle states.
    ///
    /// # Errors
    /// [`Status::ModelShape`] for a map of another shape; otherwise as for
    /// [`Segmenter::segment`].
    pub fn segment_features(
        &mut self,
        features: &Map<'_, f32>,
        width: u32,
        height: u32,
        output: &mut Output<'_>,
    ) -> Result<()> {
        let geometry = self.check(width, height, output)?;
        let start = self.clock.now_ns();
        self.decoder.run(features, &geometry.y, &geometry.x, output)?;
        self.times = StageTimes::default();
        self.note_decoder_times(start);
        Ok(())
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

    fn check(&self, width: u32, height: u32, output: &Output<'_>) -> Result<Geometry> {
        let geometry = self.preprocessor.geometry(width, height)?;
        let classes = self.bundle.manifest().head.classes as usize;
        output.check(width as usize, height as usize, classes)?;
        Ok(geometry)
    }

    fn note_decoder_times(&mut self, start: u64) {
        let total = self.clock.now_ns().saturating_sub(start);
        self.times.head_ns = self.decoder.head_ns();
        self.times.upsample_ns = total.saturating_sub(self.times.head_ns);
    }
}

impl Engine {
    fn backbone(&self) -> Option<&dyn Backbone> {
        match self {
            Engine::External => None,
            #[cfg(feature = "tract")]
            Engine::Tract(engine) => Some(engine.as_ref()),
        }
    }

    fn backbone_mut(&mut self) -> Option<&mut dyn Backbone> {
        match self {
            Engine::External => None,
            #[cfg(feature = "tract")]
            Engine::Tract(engine) => Some(engine.as_mut()),
        }
    }

    #[cfg(feature = "tract")]
    fn load(bundle: &Bundle<'_>, limits: &Limits) -> Result<Engine> {
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
            precision: manifest.precision,
            threads: limits.threads,
        };
        let engine = TractBackbone::load(onnx, &options)?;
        Ok(Engine::Tract(std::boxed::Box::new(engine)))
    }

    #[cfg(not(feature = "tract"))]
    fn load(bundle: &Bundle<'_>, _limits: &Limits) -> Result<Engine> {
        match bundle.manifest().backbone {
            BackboneKind::External => Ok(Engine::External),
            BackboneKind::Onnx => Err(Status::Unsupported.about("a network, without an engine")),
        }
    }
}
