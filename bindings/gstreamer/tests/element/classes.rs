//! Classes that are added by their names, left out, and told to applications.

use crate::support::{Out, Pipeline, Rgb, classes_in, reference, values};
use gst::prelude::*;

#[test]
fn an_added_class_is_found_and_told() {
    let picture = Rgb::read("chelsea");
    let path = crate::support::picture_path("chelsea");
    let pipeline = Pipeline::parse(&format!(
        "filesrc location={path} ! pngdec ! videoconvert ! video/x-raw,format=RGB \
         ! ZSSEG add-class=\"cat, pet=brown cat\""
    ));
    let run = pipeline.run();
    let told = classes_in(&run.messages);
    assert_eq!(told.len(), 1);
    let names = values::<String>(&told[0], "names");
    assert_eq!(names.len(), 13);
    assert_eq!(names[0], "background");
    assert_eq!(names[11..], ["cat", "pet"]);
    assert_eq!(values::<u32>(&told[0], "labels"), (0..13).collect::<Vec<_>>());
    let (_, palette) = reference(&picture.image(), &["cat"]);
    let [red, green, blue] = palette.color(11);
    let color = u32::from_be_bytes([0, red, green, blue]);
    assert_eq!(values::<u32>(&told[0], "colors")[11], color);
    assert_eq!(told[0].get::<String>("model").unwrap(), "voc11-lite0-zs");
    assert!(run.frame().pixels().contains(&11));
}

/// Pushes the picture once more.
fn next(pipeline: &Pipeline, picture: &Rgb) -> Out {
    pipeline.source().push_buffer(picture.buffer()).unwrap();
    pipeline.pull().unwrap()
}

#[test]
fn classes_come_and_go_while_the_stream_runs() {
    let picture = Rgb::read("chelsea");
    let pipeline = Pipeline::parse("appsrc name=in format=time ! ZSSEG");
    pipeline.play();
    pipeline.source().set_caps(Some(&picture.caps()));
    let (without, _) = reference(&picture.image(), &[]);
    let (with, _) = reference(&picture.image(), &["cat"]);
    assert!(with != without);
    assert!(next(&pipeline, &picture).pixels() == without);
    pipeline.messages();

    let zsseg = pipeline.zsseg();
    zsseg.set_property("add-class", "cat");
    assert!(next(&pipeline, &picture).pixels() == with);
    let told = classes_in(&pipeline.messages());
    assert_eq!(told.len(), 1);
    assert_eq!(values::<String>(&told[0], "names")[11], "cat");
    let asked = zsseg.property::<gst::Structure>("classes");
    assert_eq!(values::<String>(&asked, "names"), values::<String>(&told[0], "names"));

    zsseg.set_property("disable-class", "cat");
    assert!(next(&pipeline, &picture).pixels() == without);
    zsseg.set_property("disable-class", "");
    assert!(next(&pipeline, &picture).pixels() == with);
    zsseg.set_property("only-class", "cat,background");
    let only = next(&pipeline, &picture).pixels();
    assert!(only.iter().all(|label| [0, 11, 255].contains(label)));
    assert!(only.contains(&0) && only.contains(&11));
    zsseg.set_property("only-class", None::<String>);
    zsseg.set_property("add-class", None::<String>);
    assert!(next(&pipeline, &picture).pixels() == without);
}

#[test]
fn a_word_that_is_not_known_is_a_warning_while_the_stream_runs() {
    let picture = Rgb::read("chelsea");
    let pipeline = Pipeline::parse("appsrc name=in format=time ! ZSSEG extra-classes=2");
    pipeline.play();
    pipeline.source().set_caps(Some(&picture.caps()));
    next(&pipeline, &picture);
    for (wrong, left) in [("cat,notaword", "cat"), ("cat,cow,train,boat", "cow")] {
        pipeline.messages();
        pipeline.zsseg().set_property("add-class", wrong);
        next(&pipeline, &picture);
        let messages = pipeline.messages();
        let warning = messages.iter().find_map(|message| match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error()),
            _ => None,
        });
        assert!(warning.unwrap().matches(gst::ResourceError::Settings));
        let names = values::<String>(&classes_in(&messages)[0], "names");
        assert_eq!(names.last().map(String::as_str), Some(left));
    }
}

#[test]
fn classes_outlast_a_change_of_size() {
    let picture = Rgb::read("chelsea");
    let pipeline = Pipeline::parse("appsrc name=in format=time ! ZSSEG");
    pipeline.play();
    pipeline.source().set_caps(Some(&picture.caps()));
    next(&pipeline, &picture);
    pipeline.zsseg().set_property("add-class", "cat");
    next(&pipeline, &picture);
    let part = picture.cropped(50, 0, 300, 300);
    pipeline.source().set_caps(Some(&part.caps()));
    let (labels, _) = reference(&part.image(), &["cat"]);
    assert!(labels.contains(&11));
    assert!(next(&pipeline, &part).pixels() == labels);
}
