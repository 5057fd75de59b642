//! Random attacks and random models.

use crate::fixture::*;
use half::f16;
use proptest::prelude::*;
use zsseg::bundle::{Bundle, Contents, LinearHead, Manifest, StoredWeights, ZeroShot, write};
use zsseg::map::Layout;
use zsseg::spec::{
    Anchor, Backbone, ChannelOrder, Class, EmbeddingSpace, Filter, Fit, Head, HeadKind, Input,
    InputType, Precision, Preprocess, Quantization, WeightType, check_name,
};

/// Calls everything a bundle offers; what it says must hang together.
fn use_everything(bundle: &Bundle<'_>) {
    let manifest = *bundle.manifest();
    assert!(manifest.input.check().is_ok());
    assert!(manifest.preprocess.check().is_ok());
    assert!(manifest.head.check().is_ok());
    let classes = manifest.head.classes;
    assert_eq!(bundle.classes().count(), classes as usize);
    for (index, class) in (0..).zip(bundle.classes()) {
        assert_eq!(bundle.class(index).unwrap(), class);
        assert_eq!(bundle.class_index(class.name), Some(index));
    }
    assert!(bundle.class(classes).is_err());
    let kind = manifest.head.kind;
    assert_eq!(bundle.head_weights().map(|found| found.weight_type()), kind.weight_type());
    assert_eq!(bundle.head_bias().is_some(), matches!(kind, HeadKind::Linear(_)));
    use_zero_shot(bundle);
    assert_eq!(bundle.onnx().is_some(), manifest.backbone == Backbone::Onnx);
    assert!(bundle.sections().all(|section| !section.bytes.is_empty()));
    let _ = (bundle.model_card(), bundle.provenance(), bundle.sha256(), format!("{bundle:?}"));
}

fn use_zero_shot(bundle: &Bundle<'_>) {
    let dim = bundle.embedding().map_or(0, |space| space.dim as usize);
    if let Some(words) = bundle.words() {
        assert!(!words.is_empty() && words.dim == dim);
        for index in 0..words.len() {
            let word = words.word(index).unwrap();
            assert!(check_name(word).is_ok());
            assert_eq!(words.find(word), Some(index));
            assert_eq!(words.vector(index).filter(|value| value.is_finite()).count(), dim);
        }
        assert!(words.word(words.len()).is_none());
    }
    let channels = bundle.head().channels as usize;
    if let Some(projection) = bundle.projection() {
        assert_eq!(projection.weights.len(), (channels + 1) * dim);
    }
    if let Some(generator) = bundle.generator() {
        let (inputs, hidden) = (dim + generator.noise_dim, generator.hidden);
        assert_eq!(generator.hidden_weights.len(), hidden * inputs);
        assert_eq!(generator.output_weights.len(), channels * hidden);
        assert_eq!(generator.hidden_bias.len(), hidden);
        assert_eq!(generator.output_bias.len(), channels);
        assert!(bundle.feature_statistics().is_some());
    }
    if let Some(statistics) = bundle.feature_statistics() {
        let found = (0..bundle.head().classes).filter_map(|class| statistics.find(class));
        assert_eq!(found.clone().count(), statistics.classes.len());
        assert!(found.clone().all(|(mean, deviation)| mean.len() == deviation.len()));
        assert!(statistics.find(bundle.head().classes).is_none());
    }
    assert!(bundle.decision().check().is_ok());
    assert!(bundle.second_output().is_none_or(|second| second.check().is_ok()));
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Word(usize, u32),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Copy(usize, usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = 0usize..3500;
    let word = prop_oneof![Just(0u32), Just(u32::MAX), Just(1 << 31), 0u32..5000, any::<u32>()];
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, value)| Mutation::Set(at, value)),
        (at.clone(), word).prop_map(|(at, value)| Mutation::Word(at & !3, value)),
        at.clone().prop_map(Mutation::Cut),
        (at.clone(), proptest::collection::vec(any::<u8>(), 1..80))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at.clone(), at, 1usize..200).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: Mutation) {
    let len = bytes.len();
    match mutation {
        Mutation::Set(at, value) if at < len => bytes[at] = value,
        Mutation::Word(at, value) if at + 4 <= len => put(bytes, at, &value.to_le_bytes()),
        Mutation::Cut(at) => bytes.truncate(at.max(len / 2)),
        Mutation::Insert(at, new) if at <= len => drop(bytes.splice(at..at, new)),
        Mutation::Copy(from, to, count) if from + count <= len && to + count <= len => {
            bytes.copy_within(from..from + count, to);
        }
        _ => {}
    }
}

fn contents_strategy() -> impl Strategy<Value = (Manifest<'static>, Vec<String>, Vec<i8>)> {
    let fit = prop_oneof![
        Just(Fit::Stretch),
        Just(Fit::Letterbox(Anchor::Center)),
        Just(Fit::Letterbox(Anchor::TopLeft)),
        (1u32..=4096).prop_map(|size| Fit::ShortSide { size, anchor: Anchor::Center }),
        (1u32..=4096).prop_map(|size| Fit::ShortSide { size, anchor: Anchor::TopLeft }),
    ];
    let quantization = |low, high| {
        (1e-6f32..10.0, low..=high)
            .prop_map(|(scale, zero_point)| Quantization { scale, zero_point })
    };
    let element = prop_oneof![
        Just(InputType::F32),
        quantization(0, 255).prop_map(InputType::U8),
        quantization(-128, 127).prop_map(InputType::I8),
    ];
    let weight_type =
        prop_oneof![Just(WeightType::F32), Just(WeightType::F16), Just(WeightType::I8)];
    let kind = weight_type.prop_flat_map(|stored| {
        let kinds = [HeadKind::Linear(stored), HeadKind::Dot(stored), HeadKind::Cosine(stored)];
        (0usize..4).prop_map(move |index| kinds.get(index).copied().unwrap_or(HeadKind::Logits))
    });
    let flags = any::<[bool; 8]>();
    let names = proptest::collection::hash_set("[^\\p{Cc}]{1,15}", 1..20)
        .prop_map(|names| names.into_iter().collect::<Vec<String>>());
    let sides = (1u32..=4096, 1u32..=4096, 1u32..=4096, 1u32..=4096, 1u32..9);
    (fit, element, kind, flags, names, sides, -1e3f32..1e3).prop_flat_map(
        |(fit, element, kind, flags, names, sides, number)| {
            let layout = |flag| if flag { Layout::Chw } else { Layout::Hwc };
            let classes = names.len() as u32;
            let channels = if kind == HeadKind::Logits { classes } else { sides.4 };
            let base = manifest(kind, classes, channels);
            let manifest = Manifest {
                input: Input { width: sides.0, height: sides.1, layout: layout(flags[0]), element },
                preprocess: Preprocess {
                    fit,
                    filter: if flags[1] { Filter::Bilinear } else { Filter::Bicubic },
                    antialias: flags[2],
                    order: if flags[3] { ChannelOrder::Rgb } else { ChannelOrder::Bgr },
                    scale: number.abs() + 1e-3,
                    mean: [number, -number, 0.0],
                    std: [1.0, number.abs() + 0.5, 2.0],
                    pad: [number; 3],
                },
                head: Head {
                    align_corners: flags[4],
                    cosine_scale: match kind {
                        HeadKind::Cosine(_) => number.abs() + 0.5,
                        _ => 1.0,
                    },
                    ..base.head
                },
                embedding: match kind {
                    HeadKind::Logits => None,
                    _ => Some(EmbeddingSpace { dim: channels, unit: flags[7] }),
                },
                grid_height: sides.2,
                grid_width: sides.3,
                output_layout: layout(flags[5]),
                backbone: if flags[6] { Backbone::Onnx } else { Backbone::External },
                precision: if flags[7] { Precision::AsModel } else { Precision::FloatActivations },
                ..base
            };
            let count = (classes * channels) as usize;
            (Just(manifest), Just(names), proptest::collection::vec(any::<i8>(), count))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..1024),
        with_header in any::<bool>(),
        count in 0u32..70,
    ) {
        let mut bytes = bytes;
        if with_header && bytes.len() >= HEADER_BYTES {
            put(&mut bytes, 0, &sample()[..12]);
            put(&mut bytes, 12, &le(count));
            let total = bytes.len() as u64;
            put(&mut bytes, 16, &total.to_le_bytes());
            put(&mut bytes, 24, &[0; 8]);
            seal(&mut bytes);
        }
        prop_assert!(Bundle::open(&bytes).is_err());
    }

    #[test]
    fn mutated_bundles_are_errors(mutations in proptest::collection::vec(mutation(), 1..6)) {
        let whole = full();
        let mut bytes = whole.clone();
        for mutation in mutations {
            apply(&mut bytes, mutation);
        }
        prop_assert_eq!(Bundle::open(&bytes).is_ok(), bytes == whole);
    }

    #[test]
    fn mutated_and_resealed_bundles_are_errors_or_usable(
        mutations in proptest::collection::vec(mutation(), 1..6),
        matching_length in any::<bool>(),
    ) {
        let mut bytes = full();
        for mutation in mutations {
            apply(&mut bytes, mutation);
        }
        if matching_length && bytes.len() >= HEADER_BYTES {
            let total = bytes.len() as u64;
            put(&mut bytes, 16, &total.to_le_bytes());
        }
        seal(&mut bytes);
        if let Ok(bundle) = Bundle::open(&bytes) {
            use_everything(&bundle);
        }
    }

    #[test]
    fn mutated_sections_are_errors_or_usable(
        section in 0usize..14,
        mutations in proptest::collection::vec(mutation(), 1..4),
    ) {
        let mut sections = raw_sections(&full());
        let len = sections[section].bytes.len();
        for mutation in mutations {
            let inside = match mutation {
                Mutation::Set(at, value) => Mutation::Set(at % len, value),
                Mutation::Word(at, value) => Mutation::Word((at % len) & !3, value),
                Mutation::Insert(at, bytes) => Mutation::Insert(at % len, bytes),
                Mutation::Copy(from, to, count) => Mutation::Copy(from % len, to % len, count),
                cut => cut,
            };
            apply(&mut sections[section].bytes, inside);
        }
        if let Ok(bundle) = Bundle::open(&container(&sections)) {
            use_everything(&bundle);
        }
    }

    #[test]
    fn what_is_written_is_read((manifest, names, values) in contents_strategy()) {
        let mut bias = -1.0;
        let classes: Vec<Class<'_>> = names
            .iter()
            .map(|name| {
                bias += 0.5;
                let color = [name.len() as u8, 0, 255];
                Class { name, color, seen: bias > 1.0, background: bias > 2.0, bias }
            })
            .collect();
        let singles: Vec<f32> = values.iter().map(|&value| f32::from(value) / 3.0).collect();
        let halves: Vec<f16> = singles.iter().map(|&value| f16::from_f32(value)).collect();
        let biases = vec![0.25; classes.len()];
        let scales = vec![0.125; classes.len()];
        let nonzero: Vec<f32> =
            singles.iter().map(|&value| if value == 0.0 { 1.0 } else { value }).collect();
        let written = match manifest.head.kind {
            HeadKind::Logits => None,
            HeadKind::Linear(WeightType::F32) => Some(StoredWeights::F32(singles)),
            HeadKind::Linear(WeightType::F16) => Some(StoredWeights::F16(halves)),
            HeadKind::Linear(WeightType::I8) => Some(StoredWeights::I8 { values, scales }),
            kind => {
                let channels = manifest.head.channels as usize;
                Some(StoredWeights::round(kind, &nonzero, channels).unwrap())
            }
        };
        let linear = matches!(manifest.head.kind, HeadKind::Linear(_));
        let bias = if linear { &biases[..] } else { &[] };
        let contents = Contents {
            manifest,
            classes: &classes,
            head: written.as_ref().map(|rows| LinearHead { weights: rows.values(), bias }),
            onnx: (manifest.backbone == Backbone::Onnx).then_some(&b"\x08\x07"[..]),
            model_card: (names.len() > 3).then_some("card"),
            provenance: (names.len() > 6).then_some("{\"source\": \"here\"}"),
            zero_shot: ZeroShot::default(),
        };
        let bytes = write(&contents).unwrap();
        let bundle = Bundle::open(&bytes).unwrap();
        use_everything(&bundle);
        prop_assert_eq!(bundle.manifest(), &manifest);
        prop_assert_eq!(bundle.classes().collect::<Vec<_>>(), &classes[..]);
        prop_assert_eq!(bundle.onnx(), contents.onnx);
        prop_assert_eq!(bundle.model_card(), contents.model_card);
        prop_assert_eq!(bundle.provenance(), contents.provenance);
        prop_assert_eq!(stored(&bundle), written);
    }
}
