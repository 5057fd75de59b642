//! Streams: as many frames out as in, at their times, at sizes that change.

use crate::support::{Pipeline, Rgb, bundle, labels_of};
use gst::glib;
use gst::prelude::*;
use gst_video::prelude::*;
use std::sync::{Arc, Mutex};

#[test]
fn thirty_frames_come_out_at_their_times() {
    let pipeline = Pipeline::parse(
        "videotestsrc num-buffers=30 pattern=ball \
         ! video/x-raw,format=NV12,width=320,height=240,framerate=30000/1001,\
           pixel-aspect-ratio=12/11 ! ZSSEG",
    );
    let frames = pipeline.run().frames();
    assert_eq!(frames.len(), 30);
    for (index, out) in (0u64..).zip(&frames) {
        let at = |frame: u64| gst::ClockTime::from_nseconds(frame * 1_001_000_000_000 / 30_000);
        assert!(out.buffer.pts().unwrap().absdiff(at(index)) <= gst::ClockTime::NSECOND);
        let length = at(index + 1) - at(index);
        assert!(out.buffer.duration().unwrap().absdiff(length) <= gst::ClockTime::NSECOND);
        let caps = out.caps.structure(0).unwrap();
        assert_eq!(caps.get::<gst::Fraction>("framerate"), Ok(gst::Fraction::new(30_000, 1001)));
        let shape = caps.get::<gst::Fraction>("pixel-aspect-ratio");
        assert_eq!(shape, Ok(gst::Fraction::new(12, 11)));
        assert_eq!((caps.get("width"), caps.get("height")), (Ok(320), Ok(240)));
    }
}

#[test]
fn sizes_may_change_in_the_stream() {
    let picture = Rgb::read("chelsea");
    let sizes = [(300, 200), (451, 300), (451, 300), (64, 48), (300, 200)];
    for output in ["labels", "overlay"] {
        let pipeline =
            Pipeline::parse(&format!("appsrc name=in format=time ! ZSSEG output={output}"));
        pipeline.play();
        for (width, height) in sizes {
            let part = picture.cropped(0, 0, width, height);
            let source = pipeline.source();
            source.set_caps(Some(&part.caps()));
            source.push_buffer(part.buffer()).unwrap();
            let out = pipeline.pull().unwrap();
            assert_eq!((out.frame().width(), out.frame().height()), (width, height));
            if output == "labels" {
                assert!(out.pixels() == labels_of(&part.image()), "{width} x {height}");
            }
        }
        pipeline.source().end_of_stream().unwrap();
        assert!(pipeline.pull().is_none());
    }
}

/// The lines that elements of these tests logged about the memory they took.
fn taken() -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    // The lines are read here, not by people.
    gst::log::remove_default_log_function();
    gst::log::set_threshold_for_name("zsseg", gst::DebugLevel::Info);
    gst::log::add_log_function(move |category, _, _, _, _, object, message| {
        let text = message.get().map(|text| text.to_string()).unwrap_or_default();
        let of = object.map(|object| object.to_string()).unwrap_or_default();
        if category.name() == "zsseg" && text.starts_with("took ") {
            log.lock().unwrap().push(format!("{of}: {text}"));
        }
    });
    lines
}

#[test]
fn memory_is_taken_once_for_a_size_and_not_for_frames() {
    crate::support::init();
    let lines = taken();
    let picture = Rgb::read("chelsea");
    let text = format!("appsrc name=in format=time ! zsseg name=counted bundle={}", bundle());
    let pipeline = Pipeline::parse(&text);
    pipeline.play();
    let sizes = [(300, 200), (300, 200), (300, 200), (128, 96), (128, 96)];
    for (rate, (width, height)) in (1..).zip(sizes) {
        let part = picture.cropped(0, 0, width, height);
        // Other caps for every frame: frames alone would not ask for anything.
        let mut caps = part.caps();
        caps.make_mut().set("framerate", gst::Fraction::new(rate, 1));
        pipeline.source().set_caps(Some(&caps));
        pipeline.source().push_buffer(part.buffer()).unwrap();
        pipeline.pull().unwrap();
    }
    let lines = lines.lock().unwrap();
    let sizes: Vec<&str> = lines
        .iter()
        .filter(|line| line.contains("counted"))
        .filter_map(|line| line.split(" for ").nth(1))
        .collect();
    assert_eq!(sizes, ["300 x 200 pixels", "128 x 96 pixels"]);
}

#[test]
fn buffers_are_given_back() {
    let picture = Rgb::read("chelsea");
    for output in ["labels", "overlay"] {
        let pipeline =
            Pipeline::parse(&format!("appsrc name=in format=time ! ZSSEG output={output}"));
        pipeline.play();
        pipeline.source().set_caps(Some(&picture.caps()));
        let given = Arc::new(Mutex::new(0));
        for _ in 0..4 {
            let counted = Counted { bytes: picture_bytes(&picture), given: given.clone() };
            pipeline.source().push_buffer(gst::Buffer::from_slice(counted)).unwrap();
            drop(pipeline.pull().unwrap());
        }
        pipeline.source().end_of_stream().unwrap();
        assert!(pipeline.pull().is_none());
        assert_eq!(*given.lock().unwrap(), 4, "{output}");
    }
}

/// Bytes that count when they are dropped.
struct Counted {
    bytes: Vec<u8>,
    given: Arc<Mutex<u32>>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *self.given.lock().unwrap() += 1;
    }
}

fn picture_bytes(picture: &Rgb) -> Vec<u8> {
    picture.buffer().map_readable().unwrap().to_vec()
}

#[test]
fn smoothing_carries_frames_on_until_the_stream_breaks() {
    let (cat, person) = (Rgb::read("chelsea"), Rgb::read("astronaut").cropped(0, 0, 451, 300));
    let alone = labels_of(&person.image());
    let pipeline = Pipeline::parse("appsrc name=in format=time ! ZSSEG smoothing=0.3");
    pipeline.play();
    pipeline.source().set_caps(Some(&cat.caps()));
    let labels = |picture: &Rgb, flags: gst::BufferFlags| {
        let mut buffer = picture.buffer();
        buffer.get_mut().unwrap().set_flags(flags);
        pipeline.source().push_buffer(buffer).unwrap();
        pipeline.pull().unwrap().pixels()
    };
    assert!(labels(&cat, gst::BufferFlags::empty()) == labels_of(&cat.image()));
    assert!(labels(&person, gst::BufferFlags::empty()) != alone);
    assert!(labels(&person, gst::BufferFlags::DISCONT) == alone);
}

#[test]
fn a_stream_can_be_started_again() {
    let pipeline = Pipeline::parse("videotestsrc num-buffers=3 ! video/x-raw,format=I420 ! ZSSEG");
    for _ in 0..3 {
        assert_eq!(pipeline.run().frames().len(), 3);
        pipeline.pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(pipeline.zsseg().property::<Option<gst::Structure>>("classes"), None);
    }
}

#[test]
fn properties_are_what_they_were_set_to() {
    crate::support::init();
    let element = gst::ElementFactory::make("zsseg").build().unwrap();
    let count = element.list_properties().len();
    assert!(count > 9);
    for (name, text) in [
        ("bundle", "some.zsb"),
        ("add-class", "cat,cow"),
        ("only-class", "cat"),
        ("disable-class", "dog"),
        ("output", "overlay"),
        ("opacity", "0.25"),
        ("extra-classes", "3"),
        ("smoothing", "0.5"),
    ] {
        element.set_property_from_str(name, text);
        let value: glib::Value = element.property_value(name);
        let shown = value.serialize().unwrap();
        let shown = shown.trim_matches('"').replace('\\', "");
        assert!(shown == text || shown.parse::<f64>() == text.parse::<f64>(), "{name}: {shown}");
    }
}
