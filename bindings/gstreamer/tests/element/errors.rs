//! What is wrong comes as an error on the bus, and nothing else happens.

use crate::support::{Pipeline, ROOT, Rgb, bundle};
use gst::glib;
use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoCropMeta, VideoFormat, VideoFrameFlags, VideoMeta};

/// The error of a pipeline whose element has these settings.
fn error_of(settings: &str) -> glib::Error {
    crate::support::init();
    let text = format!("videotestsrc num-buffers=2 ! zsseg name=zsseg {settings}");
    let run = Pipeline::parse(&text).run();
    assert_eq!(run.frames.len(), 0);
    run.error.expect("an error")
}

fn written(name: &str, bytes: &[u8]) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn no_bundle_and_a_missing_one_are_not_found() {
    assert!(error_of("").matches(gst::ResourceError::NotFound));
    let error = error_of("bundle=/nowhere/at/all.zsb");
    assert!(error.matches(gst::ResourceError::NotFound), "{error}");
}

#[test]
fn a_folder_cannot_be_opened() {
    let error = error_of(&format!("bundle={ROOT}/models"));
    assert!(error.matches(gst::ResourceError::OpenRead), "{error}");
}

#[test]
fn broken_bundles_cannot_be_read() {
    let whole = std::fs::read(bundle()).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let cases: [(&str, &[u8]); 5] = [
        ("empty.zsb", b""),
        ("text.zsb", b"not a bundle at all, but a text that is long enough to be one"),
        ("short.zsb", &whole[..100]),
        ("cut.zsb", &whole[..whole.len() / 2]),
        ("damaged.zsb", &damaged),
    ];
    for (name, bytes) in cases {
        let error = error_of(&format!("bundle={}", written(name, bytes)));
        assert!(error.matches(gst::ResourceError::Read), "{name}: {error}");
    }
}

#[cfg(not(feature = "tract"))]
#[test]
fn a_bundle_for_another_engine_says_so() {
    let error = error_of(&format!("bundle={ROOT}/models/voc11-lite0-zs-onnx.zsb"));
    assert!(error.matches(gst::CoreError::MissingPlugin), "{error}");
}

#[test]
fn classes_that_do_not_fit_are_errors_of_the_settings() {
    for settings in [
        "add-class=notaword",
        "add-class=person",
        "add-class=cat=",
        "only-class=notaclass",
        "disable-class=notaclass",
        "smoothing=0",
    ] {
        let error = error_of(&format!("bundle={} {settings}", bundle()));
        assert!(error.matches(gst::ResourceError::Settings), "{settings}: {error}");
    }
}

#[test]
fn an_element_that_failed_works_after_the_reason_is_gone() {
    let pipeline = Pipeline::parse("videotestsrc num-buffers=2 ! zsseg name=zsseg bundle=/nowhere");
    assert!(pipeline.run().error.is_some());
    pipeline.pipeline.set_state(gst::State::Null).unwrap();
    pipeline.zsseg().set_property("bundle", bundle());
    assert_eq!(pipeline.run().frames().len(), 2);
}

#[test]
fn frames_that_are_not_what_their_caps_say_are_errors_of_the_stream() {
    let picture = Rgb::read("chelsea");
    let crops = [(0, 0, 10, 10), (1, 0, picture.width, picture.height)];
    for crop in crops {
        let pipeline = Pipeline::parse("appsrc name=in format=time ! ZSSEG");
        let mut buffer = picture.buffer();
        let inner = buffer.get_mut().unwrap();
        let (width, height) = (picture.width, picture.height);
        VideoMeta::add(inner, VideoFrameFlags::empty(), VideoFormat::Rgb, width, height).unwrap();
        VideoCropMeta::add(inner, crop);
        let source = pipeline.source();
        source.set_caps(Some(&picture.caps()));
        source.push_buffer(buffer).unwrap();
        source.end_of_stream().unwrap();
        let run = pipeline.run();
        assert_eq!(run.frames.len(), 0);
        let error = run.error.expect("an error");
        assert!(error.matches(gst::StreamError::Format), "{crop:?}: {error}");
    }
}

#[test]
fn caps_that_do_not_go_together_are_not_linked() {
    crate::support::init();
    for text in [
        "videotestsrc ! zsseg ! video/x-raw,format=RGB ! fakesink",
        "videotestsrc ! zsseg output=overlay ! video/x-raw,format=GRAY8 ! fakesink",
        "videotestsrc ! video/x-raw,format=P010_10LE ! zsseg ! fakesink",
    ] {
        let error = gst::parse::launch(text).unwrap_err();
        assert!(error.matches(gst::ParseError::Link), "{text}: {error}");
    }
    // The size goes through, so that a source can be asked for it from behind.
    let pipeline = Pipeline::parse("videotestsrc num-buffers=1 ! ZSSEG ! video/x-raw,width=100");
    assert_eq!(pipeline.run().frame().frame().width(), 100);
}

#[test]
fn nothing_is_taken_where_nothing_can_be_given() {
    crate::support::init();
    for (format, takes) in [("GRAY8", true), ("RGB", false)] {
        let caps = gst::Caps::builder("video/x-raw").field("format", format).build();
        let zsseg = gst::ElementFactory::make("zsseg").build().unwrap();
        let filter =
            gst::ElementFactory::make("capsfilter").property("caps", caps).build().unwrap();
        let (from, to) = (zsseg.static_pad("src").unwrap(), filter.static_pad("sink").unwrap());
        from.link_full(&to, gst::PadLinkCheck::empty()).unwrap();
        let asked = zsseg.static_pad("sink").unwrap().query_caps(None);
        assert_eq!(!asked.is_empty(), takes, "{format}: {asked}");
    }
}
