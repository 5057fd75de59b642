//! A bundle, and a segmenter beside the memory that it borrows.

use crate::problem::Problem;
use crate::settings::Settings;
use self_cell::{MutBorrow, self_cell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::classes::voc_color;
use zsseg::head::{Smoothing, UNLABELED_U8};
use zsseg::limits::{Limits, MAX_BUNDLE_BYTES};
use zsseg::segmenter::Segmenter;
use zsseg::status::{Error, Result as LibraryResult};
use zsseg::threads::Workers;
use zsseg::viz::Palette;

/// A bundle's file in memory. Copies share it.
#[derive(Clone)]
pub struct BundleFile {
    path: PathBuf,
    bytes: Arc<AlignedBytes>,
}

impl BundleFile {
    /// Reads the file; what is in it is looked at when a [`Model`] is made.
    pub fn read(path: &Path) -> Result<BundleFile, Problem> {
        let bytes = AlignedBytes::read(path, MAX_BUNDLE_BYTES)
            .map_err(|error| Problem::reading(path, &error))?;
        Ok(BundleFile { path: path.to_path_buf(), bytes: Arc::new(bytes) })
    }
}

/// Owner of what a segmenter borrows.
struct Memory {
    bundle: Arc<AlignedBytes>,
    arena: MutBorrow<AlignedBytes>,
    workers: Workers,
}

self_cell!(
    struct OwnedSegmenter {
        owner: Memory,

        #[not_covariant]
        dependent: Segmenter,
    }
);

/// A segmenter for frames up to a size, with the classes that the properties name.
pub struct Model {
    file: BundleFile,
    size: (u32, u32),
    segmenter: OwnedSegmenter,
    palette: Palette,
    label_capacity: usize,
}

impl Model {
    /// Takes all memory that frames of `width` x `height` pixels will need.
    ///
    /// # Errors
    /// For a broken bundle, one that needs another engine, one with more classes than fit in a
    /// byte, and for classes that it does not know.
    pub fn open(file: BundleFile, settings: &Settings, size: (u32, u32)) -> Result<Model, Problem> {
        let opening = |error: Error| Problem::opening(&file.path, &error);
        let bundle = Bundle::parse(file.bytes.as_slice()).map_err(opening)?;
        let classes = bundle.head().classes;
        if classes > u32::from(UNLABELED_U8) {
            return Err(Problem::unsupported(format!(
                "{classes} classes: a byte holds 255 labels"
            )));
        }
        let limits = settings.limits(size, classes);
        let segmenter = own(file.bytes.clone(), &limits).map_err(opening)?;
        let label_capacity = (classes + limits.extra_classes) as usize;
        let palette = Palette::of_classes([]);
        let mut model = Model { file, size, segmenter, palette, label_capacity };
        if limits.smoothing {
            let smoothing = Smoothing { weight: settings.smoothing as f32, cut: 1.0 };
            let set = model.with(|segmenter| segmenter.set_smoothing(smoothing));
            set.map_err(|error| Problem::setting(format!("smoothing: {error}")))?;
        }
        model.set_classes(settings)?;
        Ok(model)
    }

    /// A model of the same bundle for frames of another size.
    pub fn resized(&self, settings: &Settings, size: (u32, u32)) -> Result<Model, Problem> {
        Model::open(self.file.clone(), settings, size)
    }

    /// The size of frames that memory was taken for.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Makes the classes those of the properties.
    ///
    /// # Errors
    /// As for [`Settings::apply`].
    pub fn set_classes(&mut self, settings: &Settings) -> Result<(), Problem> {
        let applied = self.with(|segmenter| settings.apply(segmenter));
        let colors: Vec<_> = (0..self.label_capacity).map(|label| self.color(label)).collect();
        self.palette = Palette::of_classes(colors);
        applied
    }

    fn color(&mut self, label: usize) -> [u8; 3] {
        self.with(|segmenter| {
            let class = u16::try_from(label).ok().and_then(|label| segmenter.class(label).ok());
            class.map_or(voc_color(label), |class| class.color)
        })
    }

    /// Colours of the labels.
    pub fn palette(&self) -> &Palette {
        &self.palette
    }

    /// Labels are smaller than this.
    pub fn label_capacity(&self) -> usize {
        self.label_capacity
    }

    /// Runs with the segmenter.
    pub fn with<R>(&mut self, run: impl FnOnce(&mut Segmenter<'_>) -> R) -> R {
        self.segmenter.with_dependent_mut(|_, segmenter| run(segmenter))
    }

    /// The classes as applications read them: `labels`, `names` and `colors` (0xRRGGBB) of those
    /// that take part.
    pub fn classes(&mut self) -> gst::Structure {
        self.with(|segmenter| {
            let classes = || segmenter.classes().filter(|class| class.enabled);
            let color = |[red, green, blue]: [u8; 3]| u32::from_be_bytes([0, red, green, blue]);
            gst::Structure::builder("zsseg-classes")
                .field("model", segmenter.bundle().model_name())
                .field("labels", gst::Array::new(classes().map(|class| u32::from(class.label))))
                .field("names", gst::Array::new(classes().map(|class| class.name.to_string())))
                .field("colors", gst::Array::new(classes().map(|class| color(class.color))))
                .build()
        })
    }
}

/// Checks the bundle and sets a segmenter up in an arena of its own.
fn own(bundle: Arc<AlignedBytes>, limits: &Limits) -> LibraryResult<OwnedSegmenter> {
    let arena_bytes = Segmenter::arena_bytes(&Bundle::parse(bundle.as_slice())?, limits)?;
    let memory = Memory {
        bundle,
        arena: MutBorrow::new(AlignedBytes::zeros(arena_bytes)),
        workers: Workers::new(limits.threads)?,
    };
    OwnedSegmenter::try_new(memory, |memory| -> Result<_, Error> {
        let bundle = Bundle::parse(memory.bundle.as_slice())?;
        let arena = memory.arena.borrow_mut().as_mut_slice();
        let mut segmenter = Segmenter::new(&bundle, limits, arena)?;
        segmenter.set_thread_pool(Some(&memory.workers));
        Ok(segmenter)
    })
}
