//! What GStreamer asks of an element.

use crate::frame::{self, Crop, Reading};
use crate::model::{BundleFile, Model};
use crate::overlay::Overlay;
use crate::problem::Problem;
use crate::settings::{Output, Settings};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoCropMeta, VideoFormat, VideoFrameRef, VideoInfo};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use zsseg::head::{Labels, Output as MaskOutput, PlaneMut, UNLABELED_U8};
use zsseg::limits::{MAX_FRAME_SIDE, MAX_THREADS};

static CATEGORY: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "zsseg",
        gst::DebugColorFlags::empty(),
        Some("Zero-shot semantic segmentation"),
    )
});

/// The element's state.
#[derive(Default)]
pub struct ZssegFilter {
    settings: Mutex<Settings>,
    /// From PAUSED on.
    model: Mutex<Option<Model>>,
    /// From caps on.
    stream: Mutex<Option<Stream>>,
}

/// What caps say.
struct Stream {
    reading: Reading,
    size: (u32, u32),
    overlay: Option<Overlay>,
}

/// The content of a lock. Panics leave nothing half-made behind: what they held is used again.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ZssegFilter {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        locked(&self.settings)
    }

    /// Tells applications which classes there are.
    fn post_classes(&self, model: &mut Model) {
        let message = gst::message::Element::builder(model.classes()).src(&*self.obj()).build();
        // Without a bus there is nobody to tell.
        drop(self.obj().post_message(message));
    }

    fn open(&self) -> Result<(), Problem> {
        let settings = {
            let mut settings = self.settings();
            settings.classes_changed = false;
            settings.clone()
        };
        let path = settings.bundle.as_ref().ok_or_else(Problem::no_bundle)?;
        // For the smallest frame, so that what is wrong with bundle and classes is said now; caps
        // come later.
        let mut model = Model::open(BundleFile::read(path)?, &settings, (1, 1))?;
        self.post_classes(&mut model);
        *locked(&self.model) = Some(model);
        Ok(())
    }

    fn negotiated(&self, in_info: &VideoInfo, out_info: &VideoInfo) -> Result<(), Problem> {
        let size = (in_info.width(), in_info.height());
        let reading = Reading::of(in_info)?;
        let mut model = locked(&self.model);
        let model = model.as_mut().ok_or_else(Problem::no_bundle)?;
        if model.size() != size {
            let settings = self.settings().clone();
            *model = model.resized(&settings, size)?;
            let bytes = model.with(|segmenter| segmenter.arena_used_bytes());
            let (width, height) = size;
            gst::info!(CATEGORY, imp = self, "took {bytes} bytes for {width} x {height} pixels");
        }
        model.with(|segmenter| segmenter.forget());
        let overlay = (self.settings().output == Output::Overlay).then(|| Overlay::new(out_info));
        *locked(&self.stream) = Some(Stream { reading, size, overlay });
        Ok(())
    }

    /// Follows properties that were set while the element runs. What does not fit is a warning:
    /// the stream goes on with the classes that do.
    fn follow(&self, model: &mut Model) {
        let settings = {
            let mut settings = self.settings();
            if !std::mem::take(&mut settings.classes_changed) {
                return;
            }
            settings.clone()
        };
        if let Err(problem) = model.set_classes(&settings) {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ["{}", problem.text()]);
        }
        self.post_classes(model);
    }

    fn segment(
        &self,
        inframe: &VideoFrameRef<&gst::BufferRef>,
        outframe: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<(), Problem> {
        let (mut model, mut stream) = (locked(&self.model), locked(&self.stream));
        let (Some(model), Some(stream)) = (model.as_mut(), stream.as_mut()) else {
            return Err(Problem::frame("a frame before caps"));
        };
        self.follow(model);
        if inframe.buffer().flags().contains(gst::BufferFlags::DISCONT) {
            model.with(|segmenter| segmenter.forget());
        }
        let crop = Crop::of(inframe, &stream.reading, stream.size)?;
        let image = frame::image(inframe, &stream.reading, &crop)?;
        let plane = match &mut stream.overlay {
            Some(overlay) => PlaneMut::new(&mut overlay.labels, crop.width as usize),
            None => {
                let stride = outframe.plane_stride().first().copied().unwrap_or(0);
                let stride = usize::try_from(stride).map_err(Problem::frame)?;
                PlaneMut::new(outframe.plane_data_mut(0).map_err(Problem::frame)?, stride)
            }
        };
        let labels = Labels::U8(plane);
        let mut mask = MaskOutput { labels, confidence: None, margin: None, unknown: None };
        let segmented = model.with(|segmenter| segmenter.segment(&image, &mut mask));
        segmented.map_err(|error| Problem::running(&error))?;
        let Some(overlay) = &mut stream.overlay else { return Ok(()) };
        let opacity = self.settings().opacity;
        overlay.draw(inframe, &crop, outframe, model, opacity)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for ZssegFilter {
    const NAME: &'static str = "GstZsseg";
    type Type = crate::ZssegFilter;
    type ParentType = gst_video::VideoFilter;
}

fn text(name: &str, nick: &str, blurb: &str) -> glib::ParamSpec {
    glib::ParamSpecString::builder(name).nick(nick).blurb(blurb).mutable_playing().build()
}

impl ObjectImpl for ZssegFilter {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("bundle")
                    .nick("Bundle")
                    .blurb("The model: a .zsb file")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<Output>("output")
                    .nick("Output")
                    .blurb("What comes out")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("opacity")
                    .nick("Opacity")
                    .blurb("Share of the classes' colours in overlays")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(Settings::OPACITY)
                    .mutable_playing()
                    .build(),
                text(
                    "add-class",
                    "Added classes",
                    "Classes to add, by names or words of the model's table: NAME or NAME=WORDS, \
                     with commas between",
                ),
                text(
                    "only-class",
                    "Only classes",
                    "Take only the classes named so, with commas between; all if empty",
                ),
                text(
                    "disable-class",
                    "Disabled classes",
                    "Leave classes out, by name, with commas between",
                ),
                glib::ParamSpecUInt::builder("extra-classes")
                    .nick("Room for classes")
                    .blurb("Room for classes that are added while the element runs")
                    .maximum(UNLABELED_U8.into())
                    .default_value(Settings::EXTRA_CLASSES)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("smoothing")
                    .nick("Smoothing")
                    .blurb("Weight of the newest frame against those before; 1 for none")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(1.0)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads for a frame, the streaming one among them")
                    .minimum(1)
                    .maximum(MAX_THREADS)
                    .default_value(1)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("classes")
                    .nick("Classes")
                    .blurb("Labels, names and colours of the classes, from PAUSED on")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let settings = &mut *self.settings();
        // GObject checked name and type against `properties`.
        let told = || value.get::<Option<String>>().ok().flatten();
        let number = || value.get::<f64>().ok();
        match spec.name() {
            "bundle" => settings.bundle = told().map(Into::into),
            "output" => settings.output = value.get().unwrap_or_default(),
            "opacity" => settings.opacity = number().unwrap_or(Settings::OPACITY),
            "add-class" => settings.add_class = told(),
            "only-class" => settings.only_class = told(),
            "disable-class" => settings.disable_class = told(),
            "extra-classes" => settings.extra_classes = value.get().unwrap_or_default(),
            "smoothing" => settings.smoothing = number().unwrap_or(1.0),
            "threads" => settings.threads = value.get().unwrap_or(1),
            _ => {}
        }
        settings.classes_changed |= spec.name().ends_with("-class");
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        if spec.name() == "classes" {
            return locked(&self.model).as_mut().map(Model::classes).to_value();
        }
        let settings = self.settings();
        match spec.name() {
            "bundle" => settings.bundle.as_ref().map(|path| path.display().to_string()).to_value(),
            "output" => settings.output.to_value(),
            "opacity" => settings.opacity.to_value(),
            "add-class" => settings.add_class.to_value(),
            "only-class" => settings.only_class.to_value(),
            "disable-class" => settings.disable_class.to_value(),
            "extra-classes" => settings.extra_classes.to_value(),
            "smoothing" => settings.smoothing.to_value(),
            "threads" => settings.threads.to_value(),
            _ => spec.default_value().clone(),
        }
    }
}

impl GstObjectImpl for ZssegFilter {}

impl ElementImpl for ZssegFilter {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Zero-shot semantic segmentation",
                "Filter/Effect/Video",
                "The class of every pixel, as labels or as an overlay; classes are added by name",
                "The zsseg authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction, formats: Vec<VideoFormat>| {
                let side = ..=MAX_FRAME_SIDE as i32;
                let caps = VideoCapsBuilder::new().format_list(formats);
                let caps = caps.width_range(side).height_range(side).build();
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
            };
            let sink = template("sink", gst::PadDirection::Sink, frame::formats().collect());
            let made = vec![VideoFormat::Gray8, VideoFormat::Rgb];
            let src = template("src", gst::PadDirection::Src, made);
            [sink, src].into_iter().flatten().collect()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for ZssegFilter {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.open().map_err(gst::ErrorMessage::from)
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *locked(&self.stream) = None;
        *locked(&self.model) = None;
        Ok(())
    }

    /// Everything but the format stays: size, frame rate, shape of pixels.
    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let made = match self.settings().output {
            Output::Labels => VideoFormat::Gray8,
            Output::Overlay => VideoFormat::Rgb,
        };
        let (mut other, formats) = match direction {
            gst::PadDirection::Src => {
                let made = VideoCapsBuilder::new().format(made).build();
                (caps.intersect(&made), frame::formats().collect())
            }
            _ => (caps.clone(), vec![made]),
        };
        let names = gst::List::new(formats.into_iter().map(VideoFormat::to_str));
        for structure in other.make_mut().iter_mut() {
            structure.set("format", &names);
            // They are about the format on the other side.
            structure.remove_fields(["colorimetry", "chroma-site"]);
        }
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            None => other,
        })
    }

    fn propose_allocation(
        &self,
        decide: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decide, query)?;
        query.add_allocation_meta::<VideoCropMeta>(None);
        Ok(())
    }
}

impl VideoFilterImpl for ZssegFilter {
    fn set_info(
        &self,
        incaps: &gst::Caps,
        in_info: &VideoInfo,
        outcaps: &gst::Caps,
        out_info: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        gst::debug!(CATEGORY, imp = self, "from {incaps} to {outcaps}");
        self.negotiated(in_info, out_info).map_err(|problem| {
            let error = gst::loggable_error!(CATEGORY, "{}", problem.text());
            self.post_error_message(problem.into());
            error
        })
    }

    fn transform_frame(
        &self,
        inframe: &VideoFrameRef<&gst::BufferRef>,
        outframe: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self.segment(inframe, outframe) {
            Ok(()) => Ok(gst::FlowSuccess::Ok),
            Err(problem) => {
                self.post_error_message(problem.into());
                Err(gst::FlowError::Error)
            }
        }
    }
}
