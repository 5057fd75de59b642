//! The overlay against the library's own, and against GStreamer's conversion.

use crate::support::{Pipeline, Rgb, picture_path, reference};
use gst_video::{VideoCropMeta, VideoFormat, VideoFrameFlags, VideoMeta};
use zsseg::viz::{Picture, blend};

fn overlay(format: &str, settings: &str) -> crate::support::Out {
    let path = picture_path("chelsea");
    Pipeline::parse(&format!(
        "filesrc location={path} ! pngdec ! videoconvert ! video/x-raw,format={format} \
         ! ZSSEG output=overlay {settings}"
    ))
    .run()
    .frame()
}

#[test]
fn half_of_the_colours_is_what_the_command_draws() {
    let picture = Rgb::read("chelsea");
    let out = overlay("RGB", "add-class=cat");
    assert_eq!(out.text("format"), "RGB");
    let (labels, palette) = reference(&picture.image(), &["cat"]);
    let whole = Picture::new(picture.width, picture.height, picture.bytes.clone()).unwrap();
    let wanted = blend(&whole, &labels, 12, &palette).unwrap();
    assert!(out.pixels() == wanted.rgb());
    assert!(out.pixels() != picture.bytes);
}

#[test]
fn opacity_goes_from_the_frame_to_the_colours() {
    let picture = Rgb::read("chelsea");
    assert!(overlay("RGB", "opacity=0").pixels() == picture.bytes);
    let (labels, palette) = reference(&picture.image(), &[]);
    let colors: Vec<u8> = labels.iter().flat_map(|label| palette.color((*label).into())).collect();
    let out = overlay("RGB", "opacity=1").pixels();
    let differ = out.chunks(3).zip(colors.chunks(3)).zip(&labels);
    assert_eq!(differ.filter(|((made, color), label)| **label != 255 && made != color).count(), 0);
}

#[test]
fn other_formats_are_converted_as_videoconvert_does() {
    let path = picture_path("chelsea");
    for format in ["NV12", "I420", "YUY2", "GRAY8", "BGRx"] {
        let converted = Pipeline::parse(&format!(
            "filesrc location={path} ! pngdec ! videoconvert ! video/x-raw,format={format} \
             ! videoconvert dither=none ! video/x-raw,format=RGB"
        ));
        let wanted = converted.run().frame().pixels();
        let made = overlay(format, "opacity=0").pixels();
        let off = made.iter().zip(&wanted).map(|(made, wanted)| made.abs_diff(*wanted)).max();
        assert!(off <= Some(1), "{format}: {off:?}");
        assert!(overlay(format, "").pixels() != made);
    }
}

#[test]
fn crops_are_drawn_as_they_are_segmented() {
    let picture = Rgb::read("chelsea");
    let path = picture_path("chelsea");
    let (left, top) = (31, 17);
    let run = |settings: &str| {
        Pipeline::parse(&format!(
            "filesrc location={path} ! pngdec ! videoconvert ! video/x-raw,format=RGB \
             ! videocrop left={left} top={top} ! ZSSEG output=overlay {settings}"
        ))
        .run()
        .frame()
        .pixels()
    };
    let part = picture.cropped(left, top, picture.width - left, picture.height - top);
    assert!(run("opacity=0") == part.bytes);
    let (labels, palette) = reference(&part.image(), &[]);
    let whole = Picture::new(part.width, part.height, part.bytes.clone()).unwrap();
    assert!(run("") == blend(&whole, &labels, 11, &palette).unwrap().rgb());
}

#[test]
fn crops_may_move_without_new_caps() {
    let picture = Rgb::read("chelsea");
    let (width, height) = (200, 150);
    let pipeline = Pipeline::parse("appsrc name=in format=time ! ZSSEG output=overlay opacity=0");
    pipeline.play();
    pipeline.source().set_caps(Some(&picture.cropped(0, 0, width, height).caps()));
    for (x, y) in [(0, 0), (13, 0), (13, 70), (251, 150)] {
        let mut buffer = picture.buffer();
        let inner = buffer.get_mut().unwrap();
        let (whole, high) = (picture.width, picture.height);
        VideoMeta::add(inner, VideoFrameFlags::empty(), VideoFormat::Rgb, whole, high).unwrap();
        VideoCropMeta::add(inner, (x, y, width, height));
        pipeline.source().push_buffer(buffer).unwrap();
        let part = picture.cropped(x, y, width, height);
        assert!(pipeline.pull().unwrap().pixels() == part.bytes, "{x} {y}");
    }
}
