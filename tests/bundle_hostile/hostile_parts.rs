//! Attacks on what is there for new classes: every field of every section.

use crate::fixture::*;
use half::f16;
use zsseg::bundle::{Bundle, ZeroShot};
use zsseg::spec::{Backbone, HeadKind, SecondOutput, WeightType};
use zsseg::status::Status;

const NOT_FINITE: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
/// Bits of f16 that are not finite.
const NOT_FINITE_HALVES: [u16; 4] = [0x7C00, 0xFC00, 0x7E00, 0xFFFF];

#[test]
fn hostile_manifests_are_refused() {
    let cosine = "scale of the cosines of another head";
    expect_full(MANIFEST, 516, &1f32.to_le_bytes(), cosine);
    expect_full(MANIFEST, 516, &(-0f32).to_le_bytes(), cosine);
    let flag = "unit length flag of embeddings";
    for code in [2, 255, 256, u32::MAX] {
        expect_full(MANIFEST, 524, &le(code), flag);
    }
    for dim in [4097, 0x8000_0000, u32::MAX] {
        expect_full(MANIFEST, 520, &le(dim), "numbers of an embedding");
    }
    expect_full(MANIFEST, 520, &le(0), "unit length of no embeddings");
    expect_full(MANIFEST, 520, &[0; 8], UNWANTED);
    expect_full(MANIFEST, 520, &le(2), "length of WORDS");
    expect_full(MANIFEST, 520, &le(4096), "length of WORDS");
    expect_full(MANIFEST, 528, &[1], "reserved bytes of the manifest");

    let edit = |kind, at: usize, value: &[u8], what| {
        let mut bytes = embedded(kind, &[1.0; 6]);
        let start = start_of(&bytes, MANIFEST);
        put(&mut bytes, start + at, value);
        seal(&mut bytes);
        expect(&bytes, Status::BundleContent, what);
    };
    let unit = HeadKind::Cosine(WeightType::F32);
    for value in NOT_FINITE.into_iter().chain([0.0, -0.0, -1.0]) {
        edit(unit, 516, &value.to_le_bytes(), "scale of the cosines");
    }
    for kind in [unit, HeadKind::Dot(WeightType::F32)] {
        for dim in [0, 1, 3, u32::MAX] {
            edit(kind, 520, &le(dim), "numbers of an embedding differ from the channels");
        }
    }
}

#[test]
fn sections_without_a_use_are_refused() {
    let sections = raw_sections(&full());
    let of_full = |kind: u32| sections.iter().find(|section| section.kind == kind).unwrap();
    let refused = |bundle: &[u8], kinds: &[u32]| {
        for kind in kinds {
            let mut sections = raw_sections(bundle);
            sections.push(of_full(*kind).clone());
            expect(&container(&sections), Status::BundleContent, UNWANTED);
        }
    };
    // No embeddings; a network that gives logits, outside the file; another head than linear.
    refused(&sample(), &[WORDS, PROJECTION, GENERATOR]);
    refused(&smallest(), &[WORDS, PROJECTION, GENERATOR, FEATURE_STATISTICS, SECOND_OUTPUT]);
    let dot = embedded(HeadKind::Dot(WeightType::F32), &[1.0; 6]);
    refused(&dot, &[PROJECTION, GENERATOR, HEAD_BIAS, HEAD_SCALES]);
    let mut without = sections.clone();
    without.retain(|section| section.kind != FEATURE_STATISTICS);
    let what = "GENERATOR without FEATURE_STATISTICS";
    expect(&container(&without), Status::BundleContent, what);
}

#[test]
fn wrong_lengths_are_refused() {
    for (kind, what) in [
        (WORDS, "length of WORDS"),
        (PROJECTION, "PROJECTION"),
        (GENERATOR, "length of GENERATOR"),
        (FEATURE_STATISTICS, "length of FEATURE_STATISTICS"),
        (DECISION, "length of DECISION"),
        (SECOND_OUTPUT, "length of SECOND_OUTPUT"),
    ] {
        let whole = raw_sections(&full());
        let index = whole.iter().position(|section| section.kind == kind).unwrap();
        let len = whole[index].bytes.len();
        for other in (1..len).chain([len + 1, len + 64]) {
            let mut sections = whole.clone();
            sections[index].bytes.resize(other, 0);
            expect(&container(&sections), Status::BundleContent, what);
        }
    }
}

#[test]
fn word_tables_that_lie_about_their_length_are_refused() {
    let length = "length of WORDS";
    for words in [1, 3, 5, 0x1_0000, 0x8000_0000, u32::MAX] {
        expect_full(WORDS, 0, &le(words), length);
    }
    expect_full(WORDS, 0, &le(0), "number of words");
    for text_bytes in [0, 16, 18, 0x8000_0000, u32::MAX] {
        expect_full(WORDS, 4, &le(text_bytes), length);
    }
    for at in [8, 15] {
        expect_full(WORDS, at, &[1], "reserved bytes of the words");
    }
    // One word less, and what it took in text and vectors given to the last word.
    let mut sections = raw_sections(&full());
    let table = sections.iter_mut().find(|section| section.kind == WORDS).unwrap();
    table.bytes.truncate(16);
    put(&mut table.bytes, 0, &le(1));
    put(&mut table.bytes, 4, &le(5));
    table.bytes.extend_from_slice(&[le(3), vec![0; 6], b"treee".to_vec()].concat());
    expect(&container(&sections), Status::BundleContent, "text behind the last word");
}

#[test]
fn hostile_words_are_refused() {
    // Ends 7, 10, 13, 17; vectors; "Straßea bcattree".
    let bytes = full();
    let section = start_of(&bytes, WORDS);
    assert_eq!(bytes[section + 16..section + 20], le(7));
    let text = 16 + 4 * 4 + 2 * 4 * DIM;
    assert_eq!(&bytes[section + text..section + text + 17], "Straßea bcattree".as_bytes());

    let name = "a word is empty, too long or not plain UTF-8";
    let end = "end of a word";
    for (index, right) in [7, 10, 13, 17].into_iter().enumerate() {
        for wrong in [18, 0x8000_0000, u32::MAX] {
            expect_full(WORDS, 16 + 4 * index, &le(wrong), end);
        }
        let before = if index == 0 { 0 } else { [7, 10, 13][index - 1] };
        expect_full(WORDS, 16 + 4 * index, &le(before), name);
        assert!(before < right);
    }
    expect_full(WORDS, 16 + 4, &le(6), end);
    // Cuts the letter of two bytes in two.
    expect_full(WORDS, 16, &le(5), name);
    expect_full(WORDS, 16 + 4 * 3, &le(16), "text behind the last word");
    for byte in [0x00, 0x0A, 0x1B, 0x7F, 0xFF] {
        expect_full(WORDS, text + 8, &[byte], name);
    }
    let order = "order of the words, or a word occurs twice";
    expect_full(WORDS, text + 7, b"z", order);
    expect_full(WORDS, text + 7, b"cat", order);
    for element in 0..4 * DIM {
        for bits in NOT_FINITE_HALVES {
            let what = "a number of a word vector is not finite";
            expect_full(WORDS, 32 + 2 * element, &bits.to_le_bytes(), what);
        }
    }
}

#[test]
fn the_longest_word_fits_and_no_longer_one() {
    let table = |len: usize| {
        let word = "w".repeat(len);
        let vector = vec![0; 2 * DIM];
        let head = [le(1), le(len as u32), vec![0; 8], le(len as u32)].concat();
        let mut sections = raw_sections(&full());
        replace(&mut sections, WORDS, [head, vector, word.into_bytes()].concat());
        container(&sections)
    };
    assert_eq!(status(&table(63)), Status::Ok);
    assert_eq!(status(&table(64)), Status::BundleContent);
}

#[test]
fn hostile_projections_and_generators_are_refused() {
    for element in 0..9 {
        for value in NOT_FINITE {
            let what = "a weight of the projection is not finite";
            expect_full(PROJECTION, 4 * element, &value.to_le_bytes(), what);
        }
    }
    let noise = "numbers of the generator's noise";
    let hidden = "width of the generator's hidden layer";
    for value in [0, 4097, 0x8000_0000, u32::MAX] {
        expect_full(GENERATOR, 0, &le(value), noise);
        expect_full(GENERATOR, 4, &le(value), hidden);
    }
    for value in [1, 3, 4096] {
        expect_full(GENERATOR, 0, &le(value), "length of GENERATOR");
        expect_full(GENERATOR, 4, &le(value), "length of GENERATOR");
    }
    for code in [2, 255, 256, u32::MAX] {
        expect_full(GENERATOR, 8, &le(code), "noise code of the generator");
        expect_full(GENERATOR, 12, &le(code), "ReLU flag of the generator");
    }
    for slope in NOT_FINITE.into_iter().chain([-0.1, 1.1]) {
        expect_full(GENERATOR, 16, &slope.to_le_bytes(), "slope of the generator");
    }
    for at in [20, 31] {
        expect_full(GENERATOR, at, &[1], "reserved bytes of the generator");
    }
    for element in 0..6 {
        for value in NOT_FINITE {
            let what = "a bias of the generator is not finite";
            expect_full(GENERATOR, 32 + 4 * element, &value.to_le_bytes(), what);
        }
    }
    for element in 0..28 {
        for bits in NOT_FINITE_HALVES {
            let what = "a weight of the generator is not finite";
            expect_full(GENERATOR, 56 + 2 * element, &bits.to_le_bytes(), what);
        }
    }
}

#[test]
fn hostile_statistics_are_refused() {
    for rows in [0, 1, 3] {
        expect_full(FEATURE_STATISTICS, 0, &le(rows), "length of FEATURE_STATISTICS");
    }
    for rows in [4, 0x8000_0000, u32::MAX] {
        expect_full(FEATURE_STATISTICS, 0, &le(rows), "rows of the statistics");
    }
    for at in [4, 15] {
        expect_full(FEATURE_STATISTICS, at, &[1], "reserved bytes of the statistics");
    }
    let class = "class of a row of the statistics";
    expect_full(FEATURE_STATISTICS, 16, &[le(2), le(2)].concat(), class);
    expect_full(FEATURE_STATISTICS, 16, &[le(2), le(0)].concat(), class);
    for index in [3, u32::MAX] {
        expect_full(FEATURE_STATISTICS, 20, &le(index), class);
    }
    let mean = "a mean of the statistics is not finite";
    let deviation = "a deviation is not finite or is negative";
    for element in 0..4 {
        for value in NOT_FINITE {
            expect_full(FEATURE_STATISTICS, 24 + 4 * element, &value.to_le_bytes(), mean);
        }
        for value in NOT_FINITE.into_iter().chain([-1.0]) {
            expect_full(FEATURE_STATISTICS, 40 + 4 * element, &value.to_le_bytes(), deviation);
        }
    }
}

#[test]
fn hostile_decisions_are_refused() {
    for code in [3, 255, 256, u32::MAX] {
        expect_full(DECISION, 0, &le(code), "stacking code");
    }
    for code in [2, 255, 256, u32::MAX] {
        expect_full(DECISION, 16, &le(code), "code of the unknown score");
    }
    expect_full(DECISION, 0, &le(0), "handicap without stacking");
    expect_full(DECISION, 16, &le(0), "reference of a margin");
    for at in [28, 31] {
        expect_full(DECISION, at, &[1], "reserved bytes of the decision");
    }
    for value in NOT_FINITE {
        expect_full(DECISION, 20, &value.to_le_bytes(), "reference of the unknown score");
    }
    for value in NOT_FINITE.into_iter().chain([-0.01, 1.01]) {
        for (at, what) in [
            (4, "handicap of the seen classes"),
            (8, "least confidence"),
            (12, "least margin"),
            (24, "highest unknown score"),
        ] {
            expect_full(DECISION, at, &value.to_le_bytes(), what);
        }
    }
    // On logits every finite handicap has a meaning.
    for (gamma, wanted) in [(7.5f32, Status::Ok), (f32::NAN, Status::BundleContent)] {
        let mut bytes = full();
        let start = start_of(&bytes, DECISION);
        put(&mut bytes, start, &[le(1), gamma.to_le_bytes().to_vec()].concat());
        seal(&mut bytes);
        assert_eq!(status(&bytes), wanted);
    }
}

#[test]
fn hostile_second_outputs_are_refused() {
    let name = "name of the second output";
    let field = |text: &[u8]| [text, &vec![0; 128 - text.len()]].concat();
    for text in [&b""[..], b"features", b"\xFF", b"a\nb", b"a\0b", b"\x7F", &[b'a'; 128]] {
        expect_full(SECOND_OUTPUT, 0, &field(text), name);
    }
    let cells = "cells of the second output";
    for (height, width) in
        [(0, 5), (2, 0), (1, 4097), (4097, 1), (64, 65), (0x1_0000, 0x1_0000), (u32::MAX, u32::MAX)]
    {
        expect_full(SECOND_OUTPUT, 128, &[le(height), le(width)].concat(), cells);
    }
    for channels in [0, 4097, u32::MAX] {
        expect_full(SECOND_OUTPUT, 136, &le(channels), "channels of the second output");
    }
    for code in [2, 255, 256, u32::MAX] {
        expect_full(SECOND_OUTPUT, 140, &le(code), "layout code of the second output");
    }
    for at in [144, 159] {
        expect_full(SECOND_OUTPUT, at, &[1], "reserved bytes of the second output");
    }
    let largest =
        SecondOutput { grid_height: 64, grid_width: 64, channels: 4096, ..SECOND_OF_FULL };
    let parts = ZeroShot { second_output: Some(largest), ..parts_of_full() };
    let bytes = write_full(manifest_of_full(), parts).unwrap();
    assert_eq!(Bundle::open(&bytes).unwrap().second_output(), Some(largest));
}

#[test]
fn rows_of_another_length_are_refused() {
    let what = "a row of a cosine head is not of unit length";
    let edit = |kind, element_bytes: usize, section, value: &[u8], wanted: Option<&str>| {
        let mut bytes = embedded(kind, &[1.0, 0.0, 0.0, 1.0, -1.0, 0.0]);
        let start = start_of(&bytes, section);
        put(&mut bytes, start + element_bytes, value);
        seal(&mut bytes);
        match wanted {
            Some(what) => expect(&bytes, Status::BundleContent, what),
            None => assert_eq!(status(&bytes), Status::Ok),
        }
    };
    let unit = HeadKind::Cosine(WeightType::F32);
    for (value, wanted) in [
        (0.985f32, None),
        (1.015, None),
        (0.975, Some(what)),
        (1.025, Some(what)),
        (0.0, Some(what)),
        (1e30, Some(what)),
        (-1.0, None),
    ] {
        for row in [0, 3, 4] {
            edit(unit, 4 * row, HEAD_WEIGHTS, &value.to_le_bytes(), wanted);
        }
        let half = f16::from_f32(value);
        let of_half =
            if half.is_finite() { wanted } else { Some("a weight of the head is not finite") };
        edit(HeadKind::Cosine(WeightType::F16), 8, HEAD_WEIGHTS, &half.to_le_bytes(), of_half);
        let scale = value / 127.0;
        if scale > 0.0 {
            let kind = HeadKind::Cosine(WeightType::I8);
            edit(kind, 8, HEAD_SCALES, &scale.to_le_bytes(), wanted);
        }
    }
}

#[test]
fn rows_of_nothing_are_refused() {
    let refused = |kind, zeros: &[u8], what| {
        let mut bytes = embedded(kind, &[1.0; 6]);
        let start = start_of(&bytes, HEAD_WEIGHTS);
        put(&mut bytes, start + zeros.len(), zeros);
        seal(&mut bytes);
        expect(&bytes, Status::BundleContent, what);
    };
    for (stored, zeros) in [
        (WeightType::F32, &[0, 0, 0, 0, 0, 0, 0, 0x80][..]),
        (WeightType::F16, &[0, 0, 0, 0x80]),
        (WeightType::I8, &[0, 0]),
    ] {
        refused(HeadKind::Dot(stored), zeros, "a row of a dot head is zero");
        let what = "a row of a cosine head is not of unit length";
        refused(HeadKind::Cosine(stored), zeros, what);
    }
    // Numbers whose squares vanish are not zero.
    let bytes = embedded(HeadKind::Dot(WeightType::F32), &[1e-30; 6]);
    assert_eq!(status(&bytes), Status::Ok);
}

#[test]
fn external_networks_have_no_second_output() {
    let bytes = full();
    let mut sections = raw_sections(&bytes);
    sections.retain(|section| section.kind != BACKBONE_ONNX);
    let manifest = sections.iter_mut().find(|section| section.kind == MANIFEST).unwrap();
    put(&mut manifest.bytes, 508, &le(0));
    expect(&container(&sections), Status::BundleContent, UNWANTED);
    sections.retain(|section| section.kind != SECOND_OUTPUT);
    let bytes = container(&sections);
    assert_eq!(Bundle::open(&bytes).unwrap().backbone(), Backbone::External);
}
