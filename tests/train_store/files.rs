//! The file of a store.

use crate::support::{ONNX, features, fill, letterbox, meta, taps};
use safetensors::{Dtype, SafeTensors};
use std::fs;
use zsseg::spec::Precision;
use zsseg::train::engine::Matrix;
use zsseg::train::store::{
    BackboneRecord, Shard, StoreMeta, StoreReader, StoreWriter, backbone_sha256, merge,
};
use zsseg::train::view::views_of;
use zsseg::train::{Error, View};

fn two_views() -> Vec<View> {
    views_of(&["flip"], 0).unwrap()
}

#[test]
fn what_was_put_is_read_and_the_file_is_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fill(&path, meta(&["a", "b", "c"], &two_views()));
    let store = StoreReader::open_complete(&path).unwrap();
    for (picture, view) in [(0, 0), (1, 1), (2, 0), (2, 1)] {
        for (tap, wanted) in features(picture, view).iter().enumerate() {
            assert_eq!(store.tap(picture, view, tap).unwrap().values(), wanted.values());
            assert_eq!(store.tap(picture, view, tap).unwrap().shape(), wanted.shape());
        }
    }
    assert!(matches!(store.tap(3, 0, 0), Err(Error::Config { .. })));
    assert!(matches!(store.tap(0, 2, 0), Err(Error::Config { .. })));
    assert!(matches!(store.tap(0, 0, 2), Err(Error::Config { .. })));

    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tap = tensors.tensor("tap.tap0").unwrap();
    assert_eq!((tap.dtype(), tap.shape()), (Dtype::F16, &[3, 2, 2, 3, 4][..]));
    assert_eq!(tensors.tensor("done").unwrap().data(), [1; 6]);
}

#[test]
fn what_is_missing_is_done_and_the_bytes_are_those_of_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    fill(&whole, meta(&["a", "b"], &two_views()));
    for (picture, view) in [(1, 1), (0, 1), (1, 0), (0, 0)] {
        let writer = StoreWriter::create(&parts, meta(&["a", "b"], &two_views())).unwrap();
        assert!(writer.missing_views(picture).unwrap().contains(&view));
        drop(writer);
        let error = StoreReader::open_complete(&parts).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("lacks picture \"a\", view 0"), "{error}");
        let writer = StoreWriter::create(&parts, meta(&["a", "b"], &two_views())).unwrap();
        writer.put(picture, view, &features(picture, view)).unwrap();
        assert!(!writer.missing_views(picture).unwrap().contains(&view));
    }
    assert_eq!(fs::read(&whole).unwrap(), fs::read(&parts).unwrap());
}

#[test]
fn another_backbone_and_other_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fill(&path, meta(&["a", "b"], &two_views()));
    let before = fs::read(&path).unwrap();
    let names = || vec!["a".to_string(), "b".to_string()];
    let views = (&two_views()[..], 0);
    let own = || ("ab".repeat(32), letterbox());
    let of = |backbone, taps: &[_], views, names| {
        StoreMeta::new(backbone, taps, views, Shard::WHOLE, names)
    };
    let other = ("cd".repeat(32), letterbox());
    let cases = [
        (of(other, &taps(), views, names()), "another backbone: sha256 abab"),
        (of(own(), &taps()[..1], views, names()), "taps tap0, tap1, not tap0"),
        (of(own(), &taps(), (&[View::PLAIN], 0), names()), "other views"),
        (of(own(), &taps(), (&two_views(), 1), names()), "another seed"),
        (of(own(), &taps(), views, vec!["a".to_string()]), "2 pictures, not 1"),
        (meta(&["a", "c"], &two_views()), "\"b\" where \"c\""),
    ];
    for (meta, text) in cases {
        let error = StoreWriter::create(&path, meta).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(text) && error.contains("store"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn the_backbone_is_known_by_network_and_preprocessing() {
    let first = backbone_sha256(ONNX, &letterbox());
    assert_eq!(first, backbone_sha256(ONNX, &letterbox()));
    assert!(first != backbone_sha256(&ONNX[1..], &letterbox()));
    let fit = zsseg::spec::Fit::Stretch;
    let mut other = crate::support::preprocess(fit);
    let stretched = BackboneRecord::new(&crate::support::input(8, 6), &other, Precision::AsModel);
    other.mean[1] = 0.25;
    let moved = BackboneRecord::new(&crate::support::input(8, 6), &other, Precision::AsModel);
    assert!(first != backbone_sha256(ONNX, &stretched));
    assert!(backbone_sha256(ONNX, &moved) != backbone_sha256(ONNX, &stretched));
}

#[test]
fn one_writes_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let first = StoreWriter::create(&path, meta(&["a"], &[View::PLAIN])).unwrap();
    let second = StoreWriter::create(&path, meta(&["a"], &[View::PLAIN])).map(|_| ()).unwrap_err();
    assert!(second.to_string().contains("another process is writing"), "{second}");
    drop(first);
    StoreWriter::create(&path, meta(&["a"], &[View::PLAIN])).unwrap();
}

#[test]
fn features_that_f16_cannot_hold_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let writer = StoreWriter::create(&path, meta(&["a", "cow"], &[View::PLAIN])).unwrap();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 65_520.0, -1e30] {
        let mut rows = features(1, 0);
        rows[1].values_mut()[1] = value;
        let error = writer.put(1, 0, &rows).unwrap_err().to_string();
        assert!(error.contains("\"cow\"") && error.contains("\"tap1\""), "{error}");
        assert!(!writer.is_done(1, 0).unwrap());
    }
    let mut rows = features(1, 0);
    rows[1].values_mut()[1] = 65_519.0;
    writer.put(1, 0, &rows).unwrap();
    assert_eq!(StoreReader::open(&path).unwrap().tap(1, 0, 1).unwrap().values()[1], 65_504.0);
    let short = vec![Matrix::zeros([6, 4]).unwrap(), Matrix::zeros([1, 1]).unwrap()];
    assert!(writer.put(0, 0, &short).is_err());
    assert!(writer.put(0, 0, &rows[..1]).is_err());
    assert!(writer.put(2, 0, &rows).is_err());
}

#[test]
fn numbers_that_are_not_finite_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fill(&path, meta(&["a"], &[View::PLAIN]));
    let mut bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..header + 2].copy_from_slice(&0x7c00u16.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = StoreReader::open(&path).unwrap().tap(0, 0, 0).unwrap_err();
    assert!(error.to_string().contains("picture \"a\" has a feature that is not finite"));
}

/// The header with a text of it replaced; its length stays true.
fn with_header(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + len]).unwrap();
    assert!(header.contains(from), "no {from} in {header}");
    let header = header.replacen(from, to, 1);
    let start = (header.len() as u64).to_le_bytes();
    [&start[..], header.as_bytes(), &bytes[8 + len..]].concat()
}

#[test]
fn damaged_headers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fill(&path, meta(&["a", "b"], &two_views()));
    let whole = fs::read(&path).unwrap();
    let header_len = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut damaged: Vec<(String, Vec<u8>)> = Vec::new();
    for len in [0, 7, 8, 9, header_len, header_len + 8, whole.len() - 1] {
        damaged.push((format!("cut to {len}"), whole[..len].to_vec()));
    }
    damaged.push(("longer".to_string(), [&whole[..], &[0]].concat()));
    for len in [0, 1, u64::MAX, whole.len() as u64, 1 << 62, header_len as u64 - 8] {
        let bytes = [&len.to_le_bytes()[..], &whole[8..]].concat();
        damaged.push((format!("header of {len}"), bytes));
    }
    let huge = "18446744073709551615";
    for (from, to) in [
        ("\\\"rows\\\":2", &*format!("\\\"rows\\\":{huge}")),
        ("\\\"columns\\\":3", "\\\"columns\\\":0"),
        ("\\\"channels\\\":4", "\\\"channels\\\":5"),
        ("\\\"channels\\\":4", "\\\"channels\\\":-4"),
        ("\\\"format\\\":1", "\\\"format\\\":2"),
        ("\\\"number\\\":1", "\\\"number\\\":0"),
        ("\\\"of\\\":1", "\\\"of\\\":0"),
        ("\\\"height\\\":6", "\\\"height\\\":0"),
        ("\\\"width\\\":8", "\\\"width\\\":1000000"),
        ("letterbox", "letterbix"),
        ("\\\"side\\\":1.0", "\\\"side\\\":1e39"),
        ("\\\"side\\\":1.0", "\\\"side\\\":0.5"),
        ("\\\"flip\\\":true", "\\\"flip\\\":false,\\\"x\\\":1"),
        ("[\\\"a\\\",\\\"b\\\"]", "[\\\"a\\\",\\\"a\\\"]"),
        ("[\\\"a\\\",\\\"b\\\"]", "[\\\"a\\\",\\\"\\\"]"),
        ("[\\\"a\\\",\\\"b\\\"]", "[\\\"a\\\"]"),
        ("\\\"name\\\":\\\"tap1\\\"", "\\\"name\\\":\\\"tap0\\\""),
        ("\"dtype\":\"F16\"", "\"dtype\":\"F32\""),
        ("\"shape\":[2,2,2,3,4]", &*format!("\"shape\":[{huge},2,2,3,4]")),
        ("\"shape\":[2,2,2,3,4]", "\"shape\":[2,2,4,3,2]"),
        ("\"data_offsets\":[0,", "\"data_offsets\":[8,"),
        ("\"zsseg\":\"{", "\"zsseg\":\"["),
        ("\"zsseg\"", "\"other\""),
    ] {
        damaged.push((format!("{from} as {to}"), with_header(&whole, from, to)));
    }
    for (what, bytes) in damaged {
        fs::write(&path, &bytes).unwrap();
        let error = StoreReader::open(&path).map(|_| ()).expect_err(&what);
        assert!(matches!(error, Error::Broken { .. }), "{what}: {error}");
        let error = StoreWriter::create(&path, meta(&["a", "b"], &two_views())).map(|_| ());
        assert!(matches!(error, Err(Error::Broken { .. })), "{what}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: it was written to");
    }
}

#[test]
fn metadata_without_sense_make_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let flip = View { flip: true, ..View::PLAIN };
    for wrong in [meta(&["a", "a"], &[View::PLAIN]), meta(&["a"], &[flip]), meta(&["a"], &[])] {
        assert!(matches!(StoreWriter::create(&path, wrong), Err(Error::Config { .. })));
    }
    assert!(!path.exists());
    let nowhere = folder.path().join("no/where");
    let error = StoreWriter::create(&nowhere, meta(&["a"], &[View::PLAIN])).map(|_| ());
    assert!(matches!(error, Err(Error::File { path, .. }) if path == nowhere));
}

#[test]
fn shards_put_together_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let names = ["a", "b", "c", "d", "e"];
    fill(&at("whole"), meta(&names, &two_views()));
    let mut parts = Vec::new();
    for number in [3, 1, 2] {
        let shard = Shard { number, of: 3 };
        let own: Vec<usize> = (0..names.len()).filter(|place| shard.has(*place)).collect();
        let own_names = own.iter().map(|place| names[*place].to_string()).collect();
        let backbone = ("ab".repeat(32), letterbox());
        let meta = StoreMeta::new(backbone, &taps(), (&two_views(), 0), shard, own_names);
        let path = at(&format!("part{number}"));
        let writer = StoreWriter::create(&path, meta).unwrap();
        for (row, picture) in own.iter().enumerate() {
            writer.put(row, 0, &features(*picture, 0)).unwrap();
            writer.put(row, 1, &features(*picture, 1)).unwrap();
        }
        parts.push(path);
    }
    assert_eq!(merge(&parts, &at("merged")).unwrap(), 5);
    assert_eq!(fs::read(at("whole")).unwrap(), fs::read(at("merged")).unwrap());

    let error = |parts: &[_]| merge(parts, &at("other")).unwrap_err().to_string();
    assert!(error(&parts[..2]).contains("shard 1 of 3"));
    assert!(error(&[]).contains("no stores"));
    let twice = [parts[0].clone(), parts[0].clone(), parts[2].clone()];
    assert!(error(&twice).contains("should be shards 1 to 3 of 3"));
    assert!(!at("other").exists());
}
