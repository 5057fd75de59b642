//! Attacks on the container: cut, flipped and added bytes, the header, the section table.

use crate::fixture::*;
use zsseg::bundle::Bundle;
use zsseg::status::Status;

#[test]
fn every_truncation_is_refused() {
    for bytes in [sample(), smallest(), full()] {
        for len in 0..bytes.len() {
            assert_eq!(status(&bytes[..len]), Status::BundleFormat, "length {len}");
        }
    }
}

#[test]
fn every_truncation_with_matching_header_is_refused() {
    for whole in [sample(), full()] {
        for len in HEADER_BYTES..whole.len() {
            let mut bytes = whole[..len].to_vec();
            put(&mut bytes, 16, &(len as u64).to_le_bytes());
            seal(&mut bytes);
            assert_eq!(status(&bytes), Status::BundleFormat, "length {len}");
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    every_flip_is_noticed(sample());
    every_flip_is_noticed(full());
}

fn every_flip_is_noticed(whole: Vec<u8>) {
    let covered = region_statuses(&whole);
    let patterns = (0..8).map(|bit| 1u8 << bit).chain([0xFF, 0xAA]);
    for pattern in patterns {
        let mut bytes = whole.clone();
        for at in 0..whole.len() {
            bytes[at] ^= pattern;
            let found = status(&bytes);
            assert!(covered[at].contains(&found), "byte {at} ^ {pattern:#x}: {found:?}");
            bytes[at] ^= pattern;
        }
    }
}

/// The statuses that a change of each byte may give.
fn region_statuses(bytes: &[u8]) -> Vec<&'static [Status]> {
    use Status::{BundleChecksum, BundleContent, BundleFormat, BundleVersion, LimitExceeded};
    let mut covered: Vec<&'static [Status]> = vec![&[BundleFormat]; bytes.len()];
    covered[8..12].fill(&[BundleVersion, BundleFormat]);
    covered[12..16].fill(&[BundleChecksum, BundleFormat, LimitExceeded]);
    covered[16..24].fill(&[BundleFormat, LimitExceeded]);
    covered[32..entry(u32_at(bytes, 12) as usize)].fill(&[BundleChecksum]);
    for section in Bundle::open(bytes).unwrap().sections() {
        let start = section.offset as usize;
        let opaque = matches!(section.kind, HEAD_WEIGHTS | BACKBONE_ONNX);
        let statuses: &[Status] =
            if opaque { &[BundleChecksum] } else { &[BundleChecksum, BundleContent] };
        covered[start..start + section.bytes.len()].fill(statuses);
    }
    covered
}

#[test]
fn trailing_bytes_are_refused() {
    for extra in [1, 63, 64, 4096] {
        let mut bytes = sample();
        bytes.resize(bytes.len() + extra, 0);
        expect(&bytes, Status::BundleFormat, "length of the bundle");
        let total = bytes.len() as u64;
        put(&mut bytes, 16, &total.to_le_bytes());
        seal(&mut bytes);
        expect(&bytes, Status::BundleFormat, "bytes after the last section");
    }
}

#[test]
fn a_wrong_hash_names_its_section() {
    let whole = full();
    for (kind, name) in [
        (MANIFEST, "MANIFEST"),
        (CLASSES, "CLASSES"),
        (HEAD_WEIGHTS, "HEAD_WEIGHTS"),
        (HEAD_BIAS, "HEAD_BIAS"),
        (HEAD_SCALES, "HEAD_SCALES"),
        (BACKBONE_ONNX, "BACKBONE_ONNX"),
        (MODEL_CARD, "MODEL_CARD"),
        (PROVENANCE, "PROVENANCE"),
        (WORDS, "WORDS"),
        (PROJECTION, "PROJECTION"),
        (GENERATOR, "GENERATOR"),
        (FEATURE_STATISTICS, "FEATURE_STATISTICS"),
        (DECISION, "DECISION"),
        (SECOND_OUTPUT, "SECOND_OUTPUT"),
    ] {
        let mut bytes = whole.clone();
        bytes[entry(index_of(&whole, kind)) + 40] ^= 1;
        expect(&bytes, Status::BundleChecksum, "section table");
        seal_table_only(&mut bytes);
        assert!(Bundle::parse(&bytes).is_ok());
        expect(&bytes, Status::BundleChecksum, name);
    }
}

#[test]
fn hostile_headers_are_refused() {
    use Status::{BundleFormat, BundleVersion, LimitExceeded};
    let cases: [(usize, Vec<u8>, Status, &str); 14] = [
        (0, b"PK\x03\x04".to_vec(), BundleFormat, "magic number"),
        (4, b"\n\x1A\n\n".to_vec(), BundleFormat, "magic number"),
        (8, le(0), BundleFormat, "format version or reserved bytes of the header"),
        (8, le(2), BundleVersion, "format version"),
        (8, le(u32::MAX), BundleVersion, "format version"),
        (12, le(0), BundleFormat, "number of sections"),
        (12, le(65), LimitExceeded, "number of sections"),
        (12, le(u32::MAX), LimitExceeded, "number of sections"),
        (12, le(64), BundleFormat, "section table is cut off"),
        (16, 0u64.to_le_bytes().to_vec(), BundleFormat, "length of the bundle"),
        (16, u64::MAX.to_le_bytes().to_vec(), LimitExceeded, "length of the bundle"),
        (16, ((1u64 << 30) + 1).to_le_bytes().to_vec(), LimitExceeded, "length of the bundle"),
        (16, (1u64 << 30).to_le_bytes().to_vec(), BundleFormat, "length of the bundle"),
        (24, vec![1], BundleFormat, "format version or reserved bytes of the header"),
    ];
    for (at, value, wanted, what) in cases {
        expect_edit(wanted, what, |bytes| put(bytes, at, &value));
    }
}

#[test]
fn a_count_that_hides_or_adds_sections_is_refused() {
    for count in [1, 7, 9, 10] {
        let what = "offset of a section";
        expect_edit(Status::BundleFormat, what, |bytes| put(bytes, 12, &le(count)));
    }
}

#[test]
fn hostile_offsets_are_refused() {
    let offset = "offset of a section";
    let near_the_end = [u64::MAX, u64::MAX - 63, u64::MAX - 640, 1 << 63, 1 << 32];
    for value in near_the_end.into_iter().chain([0, 64, 1, 575, 577]) {
        for index in 0..8 {
            expect_edit(Status::BundleFormat, offset, |bytes| {
                put(bytes, entry(index) + 8, &value.to_le_bytes());
            });
        }
    }
}

#[test]
fn hostile_lengths_are_refused() {
    let past = "a section reaches past the end";
    for value in [u64::MAX, u64::MAX - 576, 1 << 63, 1 << 32, 1 << 30] {
        for index in 0..8 {
            expect_edit(Status::BundleFormat, past, |bytes| {
                put(bytes, entry(index) + 16, &value.to_le_bytes());
            });
        }
    }
    expect_edit(Status::BundleFormat, "a section is empty", |bytes| {
        put(bytes, entry(7) + 16, &[0; 8]);
    });
    expect_edit(Status::BundleFormat, "bytes after the last section", |bytes| {
        put(bytes, entry(7) + 16, &1u64.to_le_bytes());
    });
    expect_edit(Status::BundleFormat, past, |bytes| {
        put(bytes, entry(7) + 16, &3u64.to_le_bytes());
    });
}

#[test]
fn overlapping_sections_are_refused() {
    expect_edit(Status::BundleFormat, "offset of a section", |bytes| {
        let classes = start_of(bytes, CLASSES) as u64;
        let at = entry(index_of(bytes, HEAD_WEIGHTS));
        put(bytes, at + 8, &classes.to_le_bytes());
    });
    expect_edit(Status::BundleFormat, "offset of a section", |bytes| {
        // MANIFEST grows over CLASSES.
        put(bytes, entry(0) + 16, &(576 + 64u64).to_le_bytes());
    });
}

#[test]
fn sections_out_of_order_are_refused() {
    expect_edit(Status::BundleFormat, "offset of a section", |bytes| {
        let first = bytes[entry(0)..entry(1)].to_vec();
        bytes.copy_within(entry(1)..entry(2), entry(0));
        put(bytes, entry(1), &first);
    });
}

#[test]
fn holes_are_refused() {
    let whole = sample();
    let at = start_of(&whole, PROVENANCE);
    let mut bytes = whole[..at].to_vec();
    bytes.extend([0; 64]);
    bytes.extend_from_slice(&whole[at..]);
    put(&mut bytes, 16, &(whole.len() as u64 + 64).to_le_bytes());
    put(&mut bytes, entry(7) + 8, &(at as u64 + 64).to_le_bytes());
    seal(&mut bytes);
    expect(&bytes, Status::BundleFormat, "offset of a section");
}

#[test]
fn padding_that_is_not_zero_is_refused() {
    let what = "padding between sections is not zero";
    expect_edit(Status::BundleFormat, what, |bytes| {
        let before = start_of(bytes, HEAD_WEIGHTS) - 1;
        bytes[before] = 1;
    });
    expect_edit(Status::BundleFormat, what, |bytes| {
        let after = start_of(bytes, HEAD_WEIGHTS) + WEIGHTS.len();
        bytes[after] = 0x80;
    });
}

#[test]
fn hostile_entries_are_refused() {
    use Status::{BundleFormat, Unsupported};
    let flags = "flags or reserved bytes of a section";
    for (at, value) in [(4, 2), (4, 3), (4, u32::MAX), (24, 1), (28, 0x8000_0000)] {
        expect_edit(BundleFormat, flags, |bytes| put(bytes, entry(2) + at, &le(value)));
    }
    expect_edit(BundleFormat, "kind of a section", |bytes| put(bytes, entry(2), &le(0)));
    for kind in [16, 1000, u32::MAX] {
        let what = "unknown section that may not be skipped";
        expect_edit(Unsupported, what, |bytes| put(bytes, entry(2), &le(kind)));
    }
}

#[test]
fn duplicate_kinds_are_refused() {
    let what = "a kind of section occurs twice";
    for kind in [MANIFEST, CLASSES, PROVENANCE] {
        expect_sections(Status::BundleFormat, what, |sections| {
            let copy = sections.iter().find(|section| section.kind == kind).unwrap().clone();
            sections.push(copy);
        });
    }
    expect_sections(Status::BundleFormat, what, |sections| {
        sections.push(RawSection { kind: 77, flags: 1, bytes: vec![1] });
        sections.push(RawSection { kind: 77, flags: 1, bytes: vec![2] });
    });
}

#[test]
fn as_many_sections_as_allowed_and_no_more() {
    let mut sections = raw_sections(&sample());
    while sections.len() < 64 {
        let kind = 100 + sections.len() as u32;
        sections.push(RawSection { kind, flags: 1, bytes: vec![1, 2, 3] });
    }
    assert_eq!(status(&container(&sections)), Status::Ok);
    sections.push(RawSection { kind: 1000, flags: 1, bytes: vec![1] });
    expect(&container(&sections), Status::LimitExceeded, "number of sections");
}

#[test]
fn empty_containers_are_refused() {
    expect(&container(&[]), Status::BundleFormat, "number of sections");
    let only = RawSection { kind: 99, flags: 1, bytes: vec![1] };
    expect(&container(&[only]), Status::BundleContent, "MANIFEST is missing");
}
