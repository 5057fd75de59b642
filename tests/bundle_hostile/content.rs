//! Attacks on the sections: presence, lengths, the manifest, the classes, the head.

use crate::fixture::*;
use half::f16;
use zsseg::bundle::{Bundle, Contents, Manifest, WeightValues, ZeroShot, write};
use zsseg::spec::{Backbone, Class, HeadKind};
use zsseg::status::Status;

#[test]
fn missing_sections_are_refused() {
    for (kind, what) in [
        (MANIFEST, "MANIFEST is missing"),
        (CLASSES, "CLASSES"),
        (HEAD_WEIGHTS, "HEAD_WEIGHTS"),
        (HEAD_BIAS, "HEAD_BIAS"),
        (HEAD_SCALES, "HEAD_SCALES"),
        (BACKBONE_ONNX, "BACKBONE_ONNX is missing"),
    ] {
        expect_sections(Status::BundleContent, what, |sections| {
            sections.retain(|section| section.kind != kind);
        });
    }
    for kind in [MODEL_CARD, PROVENANCE] {
        let mut sections = raw_sections(&sample());
        sections.retain(|section| section.kind != kind);
        assert_eq!(status(&container(&sections)), Status::Ok);
    }
}

#[test]
fn sections_that_the_manifest_does_not_want_are_refused() {
    let what = "a section is not wanted by the manifest";
    for kind in [HEAD_WEIGHTS, HEAD_BIAS, HEAD_SCALES, BACKBONE_ONNX] {
        let mut sections = raw_sections(&smallest());
        sections.push(RawSection { kind, flags: 0, bytes: vec![0; 8] });
        expect(&container(&sections), Status::BundleContent, what);
    }
    let mut sections = raw_sections(&sample_with(WeightValues::F32(&[0.0; 6])));
    sections.push(RawSection { kind: HEAD_SCALES, flags: 0, bytes: vec![0; 12] });
    expect(&container(&sections), Status::BundleContent, what);
}

#[test]
fn wrong_lengths_are_refused() {
    for (kind, what) in [
        (MANIFEST, "length of MANIFEST"),
        (CLASSES, "CLASSES"),
        (HEAD_WEIGHTS, "HEAD_WEIGHTS"),
        (HEAD_BIAS, "HEAD_BIAS"),
        (HEAD_SCALES, "HEAD_SCALES"),
    ] {
        for longer in [false, true] {
            expect_sections(Status::BundleContent, what, |sections| {
                let mut section = sections.iter_mut().find(|section| section.kind == kind);
                let bytes = &mut section.as_mut().unwrap().bytes;
                let len = if longer { bytes.len() + 1 } else { bytes.len() - 1 };
                bytes.resize(len, 0);
            });
        }
    }
    expect_sections(Status::BundleContent, "CLASSES", |sections| {
        replace(sections, CLASSES, vec![0; 4 * CLASS_BYTES]);
    });
    expect_sections(Status::BundleContent, "length of MANIFEST", |sections| {
        replace(sections, MANIFEST, vec![0; 2 * 576]);
    });
}

#[test]
fn text_sections_must_be_utf8() {
    for (kind, what) in
        [(MODEL_CARD, "MODEL_CARD is not UTF-8"), (PROVENANCE, "PROVENANCE is not UTF-8")]
    {
        for bytes in [&b"\xFF"[..], b"caf\xC3", b"\xED\xA0\x80", b"\xC0\xAF"] {
            expect_sections(Status::BundleContent, what, |sections| {
                replace(sections, kind, bytes.to_vec());
            });
        }
    }
}

/// The sample with other bytes in its manifest gives [`Status::BundleContent`] about `what`.
#[track_caller]
fn expect_manifest(at: usize, value: &[u8], what: &str) {
    expect_edit(Status::BundleContent, what, |bytes| {
        let start = start_of(bytes, MANIFEST);
        put(bytes, start + at, value);
    });
}

#[test]
fn unknown_codes_are_refused() {
    for (at, first_unknown, what) in [
        (392, 2, "layout code of the input"),
        (396, 3, "element code of the input"),
        (408, 3, "fit code"),
        (416, 2, "anchor code"),
        (420, 2, "filter code"),
        (424, 2, "antialias flag"),
        (428, 2, "channel order code"),
        (472, 4, "head code"),
        (476, 3, "weight type code"),
        (488, 2, "align_corners flag"),
        (504, 2, "layout code of the output"),
        (508, 3, "backbone code"),
        (512, 2, "precision code"),
    ] {
        for code in [first_unknown, 255, 256, 0x8000_0000, u32::MAX] {
            expect_manifest(at, &le(code), what);
        }
    }
}

#[test]
fn hostile_sizes_are_refused() {
    let cap = 4096;
    for (at, what) in [
        (384, "side of the network's input"),
        (388, "side of the network's input"),
        (412, "preprocessing short side"),
        (480, "number of classes"),
        (484, "channels of the network's output"),
        (496, "rows of the network's output"),
        (500, "columns of the network's output"),
    ] {
        for value in [0, cap + 1, 0x1_0000, 0x8000_0000, u32::MAX] {
            expect_manifest(at, &le(value), what);
        }
    }
    // Inside the caps, but not what the sections hold.
    expect_manifest(480, &le(2), "HEAD_WEIGHTS");
    expect_manifest(484, &le(cap), "HEAD_WEIGHTS");
    let largest = [le(cap), le(cap)].concat();
    expect_manifest(480, &largest, "HEAD_WEIGHTS");
}

#[test]
fn impossible_numbers_are_refused() {
    let not_finite = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let subject = "preprocessing has a number that is not finite";
    for at in (432..472).step_by(4) {
        for value in not_finite {
            expect_manifest(at, &value.to_le_bytes(), subject);
        }
    }
    for at in [432, 448, 452, 456] {
        for value in [0.0f32, -0.0, -1.0] {
            let what = "preprocessing scale or std is not positive";
            expect_manifest(at, &value.to_le_bytes(), what);
        }
    }
    for value in not_finite.into_iter().chain([0.0, -0.0, -1.0]) {
        expect_manifest(400, &value.to_le_bytes(), "quantisation of the network's input");
        expect_manifest(492, &value.to_le_bytes(), "confidence scale");
    }
    for value in [-1i32, 256, i32::MIN, i32::MAX] {
        expect_manifest(404, &value.to_le_bytes(), "quantisation of the network's input");
    }
}

#[test]
fn fields_without_a_meaning_must_be_zero() {
    let at_zero = le(0);
    // Stretch, with the short side and the anchor of the sample left in place.
    expect_manifest(408, &at_zero, "anchor of a stretch");
    let stretch = [le(0), le(24), le(0)].concat();
    expect_manifest(408, &stretch, "short side of a stretch");
    expect_manifest(408, &le(1), "short side of a letterbox");
    // A float input, with the quantisation of the sample left in place.
    expect_manifest(396, &at_zero, "quantisation step of a float input");
    let negative_zero = [le(0), (-0.0f32).to_le_bytes().to_vec(), le(0)].concat();
    expect_manifest(396, &negative_zero, "quantisation step of a float input");
    expect_manifest(396, &[le(0), le(0), le(1)].concat(), "zero point of a float input");
    // A head of logits, with the weight type of the sample left in place.
    expect_manifest(472, &at_zero, "weight type of a head without weights");
    for at in [528, 551, 575] {
        expect_manifest(at, &[1], "reserved bytes of the manifest");
    }
}

#[test]
fn contradictions_are_refused() {
    let logits = [le(0), le(0), le(3), le(2)].concat();
    expect_manifest(472, &logits, "channels of a network that gives logits");
    let logits = [le(0), le(0), le(3), le(3)].concat();
    expect_manifest(472, &logits, "a section is not wanted by the manifest");
    expect_manifest(508, &le(0), "a section is not wanted by the manifest");
    expect_manifest(476, &le(0), "HEAD_WEIGHTS");
    expect_manifest(476, &le(1), "HEAD_WEIGHTS");
}

#[test]
fn hostile_texts_of_the_manifest_are_refused() {
    for (at, len, what) in [
        (0, 64, "model name"),
        (64, 64, "licence"),
        (128, 128, "name of the network's input"),
        (256, 128, "name of the network's output"),
    ] {
        for text in hostile_texts(len) {
            expect_manifest(at, &text, what);
        }
        expect_manifest(at, &vec![0; len], what);
    }
    // Without a network its tensors need no names, but what is there must be text.
    let whole = smallest();
    for at in [128, 256] {
        let mut bytes = whole.clone();
        let start = start_of(&bytes, MANIFEST);
        put(&mut bytes, start + at, b"\xFF");
        seal(&mut bytes);
        assert_eq!(status(&bytes), Status::BundleContent);
    }
}

/// Field contents of this length that are not NUL-padded text.
fn hostile_texts(len: usize) -> Vec<Vec<u8>> {
    let texts: [&[u8]; 9] = [
        b"\xFF",         // not UTF-8
        b"\xC3",         // cut off
        b"\xED\xA0\x80", // a surrogate
        b"\xC0\x80",     // an overlong NUL
        b"a\nb",         // a line end
        b"\x1B[2J",      // a terminal escape
        b"\x7F",         // delete
        b"a\xC2\x9Bb",   // a C1 control
        b"a\0b",         // text after the end
    ];
    let pad = |text: &[u8]| {
        let mut field = text.to_vec();
        field.resize(len, 0);
        field
    };
    let mut fields: Vec<Vec<u8>> = texts.map(pad).to_vec();
    fields.push(vec![b'a'; len]);
    let mut late = vec![0; len];
    late[0] = b'a';
    late[len - 1] = 1;
    fields.push(late);
    fields
}

/// The sample with other bytes in one class gives [`Status::BundleContent`] about `what`.
#[track_caller]
fn expect_class(index: usize, at: usize, value: &[u8], what: &str) {
    expect_edit(Status::BundleContent, what, |bytes| {
        let start = start_of(bytes, CLASSES) + index * CLASS_BYTES;
        put(bytes, start + at, value);
    });
}

#[test]
fn hostile_classes_are_refused() {
    for index in 0..3 {
        for text in hostile_texts(64) {
            expect_class(index, 0, &text, "class name");
        }
        expect_class(index, 0, &[0; 64], "class name is empty");
        expect_class(index, 67, &[1], "reserved byte of a class");
        for flags in [4, 8, 0x8000_0000, u32::MAX] {
            expect_class(index, 68, &le(flags), "class flags");
        }
        for bias in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            expect_class(index, 72, &bias.to_le_bytes(), "class bias");
        }
    }
}

#[test]
fn hostile_name_orders_are_refused() {
    let what = "order of the class names, or a name occurs twice";
    let twice = [b"road".to_vec(), vec![0; 60]].concat();
    expect_class(1, 0, &twice, what);
    expect_class(2, 0, &twice, what);
    for index in 0..3 {
        for rank in [3, 4096, u32::MAX] {
            expect_class(index, 76, &le(rank), what);
        }
    }
    // Every order of the indices, repeated ones included, but the right one.
    let right = [1, 2, 0]; // "Straße", "cat", "road"
    for code in 0..27u32 {
        let order = [code % 3, code / 3 % 3, code / 9];
        let mut bytes = sample();
        for (index, rank) in order.into_iter().enumerate() {
            let at = start_of(&bytes, CLASSES) + index * CLASS_BYTES + 76;
            put(&mut bytes, at, &le(rank));
        }
        seal(&mut bytes);
        if order == right {
            assert_eq!(status(&bytes), Status::Ok);
        } else {
            expect(&bytes, Status::BundleContent, what);
        }
    }
}

#[test]
fn the_largest_class_list_is_read_in_one_pass() {
    let prefix = "x".repeat(59);
    let names: Vec<String> =
        (0..4096u32).map(|index| format!("{prefix}{:04}", index * 2731 % 4096)).collect();
    let classes: Vec<Class<'_>> = names.iter().map(|name| class(name)).collect();
    let contents = Contents {
        manifest: Manifest {
            backbone: Backbone::External,
            grid_height: 4096,
            grid_width: 4096,
            ..manifest(HeadKind::Logits, 4096, 4096)
        },
        classes: &classes,
        head: None,
        onnx: None,
        model_card: None,
        provenance: None,
        zero_shot: ZeroShot::default(),
    };
    let bytes = write(&contents).unwrap();
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(bundle.classes().count(), 4096);
    for index in [0, 1, 2047, 4095] {
        assert_eq!(bundle.class_index(&names[index]), Some(index as u32));
    }
}

#[test]
fn numbers_of_the_head_must_be_finite() {
    let not_finite = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let whole = sample_with(WeightValues::F32(&[1.0; 6]));
    for value in not_finite {
        for element in 0..6 {
            let mut bytes = whole.clone();
            let at = start_of(&bytes, HEAD_WEIGHTS) + 4 * element;
            put(&mut bytes, at, &value.to_le_bytes());
            seal(&mut bytes);
            expect(&bytes, Status::BundleContent, "a weight of the head is not finite");
        }
        for element in 0..3 {
            expect_edit(Status::BundleContent, "a bias of the head is not finite", |bytes| {
                let at = start_of(bytes, HEAD_BIAS) + 4 * element;
                put(bytes, at, &value.to_le_bytes());
            });
        }
    }
    for value in not_finite.into_iter().chain([0.0, -0.0, -1.0]) {
        let what = "a scale of the head is not finite and positive";
        for element in 0..3 {
            expect_edit(Status::BundleContent, what, |bytes| {
                let at = start_of(bytes, HEAD_SCALES) + 4 * element;
                put(bytes, at, &value.to_le_bytes());
            });
        }
    }
}

#[test]
fn half_weights_must_be_finite() {
    let whole = sample_with(WeightValues::F16(&[f16::ONE; 6]));
    for bits in 0..=u16::MAX {
        let mut bytes = whole.clone();
        let at = start_of(&bytes, HEAD_WEIGHTS) + 10;
        put(&mut bytes, at, &bits.to_le_bytes());
        seal_table_only(&mut bytes);
        let found = Bundle::parse(&bytes).map_or_else(|error| error.status(), |_| Status::Ok);
        let wanted =
            if f16::from_bits(bits).is_finite() { Status::Ok } else { Status::BundleContent };
        assert_eq!(found, wanted, "{bits:#06x}");
    }
}
