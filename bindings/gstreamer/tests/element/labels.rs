//! Labels against the Rust API's, pixel by pixel.

use crate::support::{Out, Pipeline, Rgb, image_of, labels_of, picture_path};
use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoCropMeta, VideoFormat, VideoFrameFlags, VideoInfo, VideoMeta};
use std::sync::{Arc, Mutex};

#[test]
fn a_picture_gets_the_labels_of_the_rust_api() {
    for name in ["chelsea", "astronaut"] {
        let picture = Rgb::read(name);
        let out = Pipeline::parse(&format!(
            "filesrc location={} ! pngdec ! videoconvert ! video/x-raw,format=RGB ! ZSSEG",
            picture_path(name)
        ));
        let frame = out.run().frame();
        assert_eq!(frame.text("format"), "GRAY8");
        assert_eq!(frame.frame().width(), picture.width);
        assert_eq!(frame.frame().height(), picture.height);
        let labels = labels_of(&picture.image());
        assert!(frame.pixels() == labels, "{name}");
        assert!(labels.iter().any(|label| *label != labels[0]));
    }
}

#[test]
fn several_threads_give_the_same_labels() {
    let picture = Rgb::read("chelsea");
    let out = Pipeline::parse(&format!(
        "filesrc location={} ! pngdec ! videoconvert ! video/x-raw,format=RGB ! ZSSEG threads=3",
        picture_path("chelsea")
    ));
    assert!(out.run().frame().pixels() == labels_of(&picture.image()));
}

/// A frame of chelsea's picture in another format, as videoconvert makes it.
fn converted(caps: &str) -> Out {
    let path = picture_path("chelsea");
    Pipeline::parse(&format!("filesrc location={path} ! pngdec ! videoconvert ! {caps}"))
        .run()
        .frame()
}

/// What the element makes of a frame.
fn segmented(input: &Out) -> Vec<u8> {
    let pipeline = Pipeline::parse("appsrc name=in format=time ! ZSSEG");
    let source = pipeline.source();
    source.set_caps(Some(&input.caps));
    source.push_buffer(input.buffer.clone()).unwrap();
    source.end_of_stream().unwrap();
    pipeline.run().frame().pixels()
}

#[test]
fn every_format_gets_the_labels_of_the_rust_api() {
    let formats = [
        "NV12", "NV21", "I420", "YUY2", "UYVY", "GRAY8", "RGB", "BGR", "RGBA", "RGBx", "BGRA",
        "BGRx",
    ];
    for format in formats {
        let input = converted(&format!("video/x-raw,format={format}"));
        assert_eq!(input.text("format"), format);
        assert!(segmented(&input) == labels_of(&image_of(&input.frame())), "{format}");
    }
}

#[test]
fn colorimetry_is_that_of_the_caps() {
    let mut masks = Vec::new();
    for colorimetry in ["bt601", "bt709", "1:4:0:0", "1:3:0:0"] {
        let input = converted("video/x-raw,format=NV12");
        let mut caps = input.caps.clone();
        caps.make_mut().set("colorimetry", colorimetry);
        let input = Out { caps, ..input };
        let labels = labels_of(&image_of(&input.frame()));
        assert!(segmented(&input) == labels, "{colorimetry}");
        masks.push(labels);
    }
    // Else the comparison would say nothing.
    masks.sort();
    masks.dedup();
    assert_eq!(masks.len(), 4);
}

#[test]
fn rows_with_padding_are_read_by_their_stride() {
    let plain = converted("video/x-raw,format=NV12");
    let frame = plain.frame();
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let strides = [512 + 64, 512];
    let offsets = [256, 256 + strides[0] * height];
    let chroma_rows = height.div_ceil(2);
    let mut bytes = vec![0xa5; offsets[1] + strides[1] * chroma_rows];
    for (plane, rows) in [(0, height), (1, chroma_rows)] {
        let from = frame.plane_data(plane as u32).unwrap();
        let from = from.chunks(frame.plane_stride()[plane] as usize);
        let row_bytes = if plane == 0 { width } else { width.div_ceil(2) * 2 };
        for (index, row) in from.take(rows).enumerate() {
            let start = offsets[plane] + index * strides[plane];
            bytes[start..start + row_bytes].copy_from_slice(&row[..row_bytes]);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        VideoFrameFlags::empty(),
        VideoFormat::Nv12,
        width as u32,
        height as u32,
        &offsets,
        &strides.map(|stride| stride as i32),
    )
    .unwrap();
    let padded = Out { caps: plain.caps.clone(), buffer };
    assert!(segmented(&padded) == segmented(&plain));
}

#[test]
fn crops_are_read_in_place_and_not_handed_on() {
    let picture = Rgb::read("chelsea");
    let path = picture_path("chelsea");
    for (format, left, top) in [("RGB", 31, 17), ("RGB", 0, 0), ("RGBA", 5, 8)] {
        let (right, bottom) = (40, 23);
        let pipeline = Pipeline::parse(&format!(
            "filesrc location={path} ! pngdec ! videoconvert ! video/x-raw,format={format} \
             ! videocrop name=crop left={left} top={top} right={right} bottom={bottom} ! ZSSEG"
        ));
        // What reaches the element must be the whole frame and a note, or nothing is tested.
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let pad = pipeline.zsseg().static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            notes.lock().unwrap().push(buffer.meta::<VideoCropMeta>().map(|meta| meta.rect()));
            gst::PadProbeReturn::Ok
        });
        let out = pipeline.run().frame();
        let (width, height) = (picture.width - left - right, picture.height - top - bottom);
        assert_eq!(*seen.lock().unwrap(), [Some((left, top, width, height))]);
        assert!(out.buffer.meta::<VideoCropMeta>().is_none());
        let part = picture.cropped(left, top, width, height);
        assert!(out.pixels() == labels_of(&part.image()), "{format} {left} {top}");
    }
}

#[test]
fn crops_of_frames_with_coarse_chroma_are_read_in_place() {
    for (format, x, y) in [("NV12", 32, 18), ("I420", 8, 4), ("YUY2", 6, 3), ("NV12", 33, 19)] {
        let whole = converted(&format!("video/x-raw,format={format}"));
        // An odd start moves to the even one before it.
        let at = (x & !1, if format == "YUY2" { y } else { y & !1 });
        let (width, height) = (300, 200);
        let info = VideoInfo::from_caps(&whole.caps).unwrap();
        let mut buffer = whole.buffer.copy_deep().unwrap();
        let inner = buffer.get_mut().unwrap();
        if inner.meta::<VideoMeta>().is_none() {
            VideoMeta::add(
                inner,
                VideoFrameFlags::empty(),
                info.format(),
                info.width(),
                info.height(),
            )
            .unwrap();
        }
        VideoCropMeta::add(inner, (x, y, width, height));
        let mut caps = whole.caps.clone();
        caps.make_mut().set("width", width as i32);
        caps.make_mut().set("height", height as i32);
        let labels = segmented(&Out { caps: caps.clone(), buffer });

        let part = copied(&whole, at, (width, height), caps);
        assert!(labels == labels_of(&image_of(&part.frame())), "{format} {x} {y}");
    }
}

/// A part of a frame in memory of its own.
fn copied(whole: &Out, at: (u32, u32), size: (u32, u32), caps: gst::Caps) -> Out {
    let info = VideoInfo::from_caps(&caps).unwrap();
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    let from = whole.frame();
    {
        let inner = buffer.get_mut().unwrap();
        let mut to = gst_video::VideoFrameRef::from_buffer_ref_writable(inner, &info).unwrap();
        let format = from.format_info();
        let packed = from.n_planes() == 1;
        for plane in 0..from.n_planes() {
            let component = (0..format.n_components())
                .find(|component| format.plane()[*component as usize] == plane)
                .unwrap() as usize;
            let (w_sub, h_sub) = (format.w_sub()[component], format.h_sub()[component]);
            let bytes = format.pixel_stride()[component] as usize;
            let w_sub = if packed { 0 } else { w_sub };
            let (from_stride, to_stride) =
                (from.plane_stride()[plane as usize], to.plane_stride()[plane as usize]);
            let source = from.plane_data(plane).unwrap();
            let target = to.plane_data_mut(plane).unwrap();
            let row_bytes = (size.0 as usize).div_ceil(1 << w_sub) * bytes;
            for row in 0..(size.1 as usize).div_ceil(1 << h_sub) {
                let start = (row + (at.1 as usize >> h_sub)) * from_stride as usize
                    + (at.0 as usize >> w_sub) * bytes;
                let to_start = row * to_stride as usize;
                target[to_start..to_start + row_bytes]
                    .copy_from_slice(&source[start..start + row_bytes]);
            }
        }
    }
    Out { caps, buffer }
}
