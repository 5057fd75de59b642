//! Pictures, pipelines, and the Rust API as reference.

use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoFrameRef, VideoInfo};
use std::sync::Once;
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::classes::NewClass;
use zsseg::head::Output;
use zsseg::image::{Image, PixelFormat, Plane};
use zsseg::limits::Limits;
use zsseg::segmenter::{ClassSource, Meaning, Segmenter};
use zsseg::viz::Palette;

pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Most seconds that a pipeline of these tests may take.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(120);

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstzsseg::plugin_register_static().unwrap();
    });
}

pub fn bundle() -> String {
    format!("{ROOT}/models/voc11-lite0-zs.zsb")
}

pub fn picture_path(name: &str) -> String {
    format!("{ROOT}/tests/data/{name}.png")
}

/// Packed pixels of three bytes.
#[derive(Clone)]
pub struct Rgb {
    pub width: u32,
    pub height: u32,
    pub bytes: Vec<u8>,
}

impl Rgb {
    pub fn read(name: &str) -> Rgb {
        let picture = image::open(picture_path(name)).unwrap().to_rgb8();
        Rgb { width: picture.width(), height: picture.height(), bytes: picture.into_raw() }
    }

    pub fn cropped(&self, x: u32, y: u32, width: u32, height: u32) -> Rgb {
        let row = |y: u32| {
            let start = ((y * self.width + x) * 3) as usize;
            &self.bytes[start..start + width as usize * 3]
        };
        Rgb { width, height, bytes: (y..y + height).flat_map(row).copied().collect() }
    }

    pub fn image(&self) -> Image<'_> {
        Image::rgb8(&self.bytes, self.width, self.height).unwrap()
    }

    /// A buffer as GStreamer lays RGB frames out.
    pub fn buffer(&self) -> gst::Buffer {
        let info = VideoInfo::builder(VideoFormat::Rgb, self.width, self.height).build().unwrap();
        let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
        let mut frame =
            VideoFrameRef::from_buffer_ref_writable(buffer.get_mut().unwrap(), &info).unwrap();
        let stride = frame.plane_stride()[0] as usize;
        let rows = frame.plane_data_mut(0).unwrap().chunks_mut(stride);
        for (to, from) in rows.zip(self.bytes.chunks(self.width as usize * 3)) {
            to[..from.len()].copy_from_slice(from);
        }
        drop(frame);
        buffer
    }

    pub fn caps(&self) -> gst::Caps {
        let info = VideoInfo::builder(VideoFormat::Rgb, self.width, self.height);
        info.fps(gst::Fraction::new(25, 1)).build().unwrap().to_caps().unwrap()
    }
}

/// Labels and colours by the Rust API.
pub fn reference(image: &Image<'_>, added: &[&str]) -> (Vec<u8>, Palette) {
    let bytes = std::fs::read(bundle()).unwrap();
    let bundle = Bundle::open(&bytes).unwrap();
    // As many as the element has room for: the colours of the labels are compared as well.
    let limits = Limits { extra_classes: 16, ..Limits::for_frames(image.width(), image.height()) };
    let mut memory = AlignedBytes::zeros(Segmenter::arena_bytes(&bundle, &limits).unwrap());
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice()).unwrap();
    for name in added {
        let source = ClassSource::Meaning(Meaning::Word(name));
        segmenter.add_class(&NewClass::named(name), &source).unwrap();
    }
    let width = image.width() as usize;
    let mut labels = vec![0; width * image.height() as usize];
    segmenter.segment(image, &mut Output::labels_u8(&mut labels, width)).unwrap();
    let colors: Vec<_> = segmenter.classes().map(|class| class.color).collect();
    (labels, Palette::of_classes(colors))
}

pub fn labels_of(image: &Image<'_>) -> Vec<u8> {
    reference(image, &[]).0
}

/// A frame as an image of the library, with the strides of its buffer.
pub fn image_of<'f>(frame: &'f VideoFrame<gst_video::video_frame::Readable>) -> Image<'f> {
    use zsseg::image::{ColorMatrix, ColorRange};
    let format = match frame.format() {
        VideoFormat::Nv12 => PixelFormat::Nv12,
        VideoFormat::Nv21 => PixelFormat::Nv21,
        VideoFormat::I420 => PixelFormat::I420,
        VideoFormat::Yuy2 => PixelFormat::Yuyv,
        VideoFormat::Uyvy => PixelFormat::Uyvy,
        VideoFormat::Gray8 => PixelFormat::Gray8,
        VideoFormat::Rgb => PixelFormat::Rgb8,
        VideoFormat::Bgr => PixelFormat::Bgr8,
        VideoFormat::Rgba | VideoFormat::Rgbx => PixelFormat::Rgba8,
        VideoFormat::Bgra | VideoFormat::Bgrx => PixelFormat::Bgra8,
        other => panic!("{other:?}"),
    };
    let planes: Vec<Plane<'_>> = (0..frame.n_planes())
        .map(|plane| Plane {
            data: frame.plane_data(plane).unwrap(),
            stride_bytes: frame.plane_stride()[plane as usize] as usize,
        })
        .collect();
    let colorimetry = frame.info().colorimetry();
    let matrix = match colorimetry.matrix() {
        gst_video::VideoColorMatrix::Bt709 => ColorMatrix::Bt709,
        _ => ColorMatrix::Bt601,
    };
    let range = match colorimetry.range() {
        gst_video::VideoColorRange::Range0_255 => ColorRange::Full,
        _ => ColorRange::Limited,
    };
    Image::new(format, frame.width(), frame.height(), &planes, matrix, range).unwrap()
}

/// A frame that came out.
pub struct Out {
    pub caps: gst::Caps,
    pub buffer: gst::Buffer,
}

impl Out {
    pub fn frame(&self) -> VideoFrame<gst_video::video_frame::Readable> {
        let info = VideoInfo::from_caps(&self.caps).unwrap();
        VideoFrame::from_buffer_readable(self.buffer.clone(), &info).unwrap()
    }

    /// The pixels without padding.
    pub fn pixels(&self) -> Vec<u8> {
        let frame = self.frame();
        let row_bytes = (frame.width() * frame.format_info().pixel_stride()[0] as u32) as usize;
        let rows = frame.plane_data(0).unwrap().chunks(frame.plane_stride()[0] as usize);
        rows.take(frame.height() as usize).flat_map(|row| &row[..row_bytes]).copied().collect()
    }

    pub fn text(&self, field: &str) -> String {
        self.caps.structure(0).unwrap().get(field).unwrap()
    }
}

/// What a pipeline gave until it ended: frames at its sink, messages on its bus.
pub struct Run {
    pub frames: Vec<Out>,
    pub messages: Vec<gst::Message>,
    pub error: Option<gst::glib::Error>,
}

impl Run {
    pub fn frames(self) -> Vec<Out> {
        assert_eq!(self.error, None);
        self.frames
    }

    /// The only frame.
    pub fn frame(self) -> Out {
        let mut frames = self.frames();
        assert_eq!(frames.len(), 1);
        frames.remove(0)
    }
}

/// A pipeline whose last element is an appsink that is called `out`.
pub struct Pipeline {
    pub pipeline: gst::Pipeline,
}

impl Pipeline {
    /// Parses `text`, in which `ZSSEG` stands for the element with the shipped bundle, and puts
    /// the sink behind it.
    pub fn parse(text: &str) -> Pipeline {
        init();
        let zsseg = format!("zsseg name=zsseg bundle={}", bundle());
        let text = text.replace("ZSSEG", &zsseg) + " ! appsink name=out sync=false";
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        Pipeline { pipeline }
    }

    pub fn element(&self, name: &str) -> gst::Element {
        self.pipeline.by_name(name).unwrap()
    }

    pub fn zsseg(&self) -> gst::Element {
        self.element("zsseg")
    }

    pub fn source(&self) -> gst_app::AppSrc {
        self.element("in").downcast().unwrap()
    }

    pub fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    /// The next frame; none at the end or after an error.
    pub fn pull(&self) -> Option<Out> {
        let sink: gst_app::AppSink = self.element("out").downcast().unwrap();
        let sample = sink.try_pull_sample(PATIENCE)?;
        Some(Out { caps: sample.caps_owned()?, buffer: sample.buffer_owned()? })
    }

    /// The messages of the bus so far.
    pub fn messages(&self) -> Vec<gst::Message> {
        let bus = self.pipeline.bus().unwrap();
        std::iter::from_fn(|| bus.pop()).collect()
    }

    /// Plays to the end, or to the first error.
    pub fn run(&self) -> Run {
        let started = self.pipeline.set_state(gst::State::Playing);
        let mut frames = Vec::new();
        if started.is_ok() {
            frames = std::iter::from_fn(|| self.pull()).collect();
        }
        let messages = self.messages();
        let error = messages.iter().find_map(|message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error()),
            _ => None,
        });
        assert!(started.is_ok() || error.is_some(), "a failure without a word");
        Run { frames, messages, error }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// The classes of a `zsseg-classes` message.
pub fn classes_in(messages: &[gst::Message]) -> Vec<gst::Structure> {
    let structures = messages.iter().filter_map(|message| match message.view() {
        gst::MessageView::Element(element) => element.structure().map(|found| found.to_owned()),
        _ => None,
    });
    structures.filter(|structure| structure.name() == "zsseg-classes").collect()
}

/// Strings or numbers of a field.
pub fn values<T: for<'v> gst::glib::value::FromValue<'v> + 'static>(
    structure: &gst::Structure,
    field: &str,
) -> Vec<T> {
    let array = structure.get::<gst::Array>(field).unwrap();
    array.iter().map(|value| value.get::<T>().unwrap()).collect()
}
