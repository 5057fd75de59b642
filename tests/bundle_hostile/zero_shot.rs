//! What is there for new classes: read back as written.

use crate::fixture::*;
use half::f16;
use proptest::prelude::*;
use zsseg::bundle::{Bundle, ClassStatistics, GeneratorValues, Manifest, WeightValues, ZeroShot};
use zsseg::map::Layout;
use zsseg::spec::{
    Decision, EmbeddingSpace, Head, HeadKind, Noise, SecondOutput, Stacking, UnknownScore,
    WeightType,
};
use zsseg::status::Status;

fn floats_of(values: &[zerocopy::little_endian::F32]) -> Vec<f32> {
    floats(Some(values))
}

#[test]
fn every_part_is_read_back() {
    let bytes = full();
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(bundle.embedding(), Some(EmbeddingSpace { dim: 3, unit: true }));
    assert_eq!(bundle.decision(), DECISION_OF_FULL);
    assert_eq!(bundle.second_output(), Some(SECOND_OF_FULL));

    let words = bundle.words().unwrap();
    let found: Vec<&str> = (0..words.len()).filter_map(|index| words.word(index)).collect();
    assert_eq!(found, ["Straße", "a b", "cat", "tree"]);
    assert_eq!(words.find("cat"), Some(2));
    assert_eq!((words.find("ca"), words.find("cats"), words.find("")), (None, None, None));
    assert_eq!(words.vector(3).collect::<Vec<_>>(), [1.0, -2.0, 0.5]);
    assert_eq!(words.vector(4).count(), 0);

    let projection = bundle.projection().unwrap();
    assert_eq!(floats_of(projection.weights), PROJECTION_OF_FULL);
    let statistics = bundle.feature_statistics().unwrap();
    let row = |class| statistics.find(class).map(|(m, d)| [floats_of(m), floats_of(d)].concat());
    assert_eq!(row(0).unwrap(), [1.0, 2.0, 0.5, 0.25]);
    assert_eq!(row(2).unwrap(), [3.0, 4.0, 0.0, 1.5]);
    assert_eq!((row(1), row(3)), (None, None));
}

#[test]
fn a_generator_is_read_back() {
    let bytes = full();
    let generator = Bundle::open(&bytes).unwrap().generator().unwrap();
    let sizes = (generator.dim, generator.noise_dim, generator.hidden, generator.channels);
    assert_eq!(sizes, (3, 2, 4, 2));
    assert_eq!((generator.noise, generator.slope, generator.relu), (Noise::Normal, 0.25, true));
    assert_eq!(floats_of(generator.hidden_bias), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(floats_of(generator.output_bias), [5.0, 6.0]);
    let bits = |value: f32| f16::from_f32(value).to_bits();
    assert_eq!(generator.hidden_weights.len(), 20);
    assert!(generator.hidden_weights.iter().all(|found| found.get() == bits(0.5)));
    assert_eq!(generator.output_weights.len(), 8);
    assert!(generator.output_weights.iter().all(|found| found.get() == bits(1.0)));
}

#[test]
fn nothing_is_the_default() {
    let bytes = sample();
    let bundle = Bundle::open(&bytes).unwrap();
    assert!(bundle.embedding().is_none() && bundle.words().is_none());
    assert!(bundle.projection().is_none() && bundle.generator().is_none());
    assert!(bundle.feature_statistics().is_none() && bundle.second_output().is_none());
    assert_eq!(bundle.decision(), Decision::PLAIN);
}

#[test]
fn what_changes_no_mask_may_be_skipped() {
    let bytes = full();
    let optional = Bundle::open(&bytes).unwrap().sections().filter(|section| section.optional);
    let kinds: Vec<u32> = optional.map(|section| section.kind).collect();
    assert_eq!(kinds, [WORDS, PROJECTION, GENERATOR, FEATURE_STATISTICS, SECOND_OUTPUT]);
}

#[test]
fn embeddings_are_rows_of_dot_and_cosine_heads() {
    let rows = [3.0, 4.0, -1.0, 0.0, 0.5, 0.5];
    for stored in [WeightType::F32, WeightType::F16, WeightType::I8] {
        for kind in [HeadKind::Dot(stored), HeadKind::Cosine(stored)] {
            let bytes = embedded(kind, &rows);
            let bundle = Bundle::open(&bytes).unwrap();
            assert_eq!(bundle.head().kind, kind);
            assert!(bundle.head_bias().is_none());
            assert_eq!(bundle.head_scales().is_some(), stored == WeightType::I8);
            let scale = if matches!(kind, HeadKind::Cosine(_)) { 20.0 } else { 1.0 };
            assert_eq!(bundle.head().cosine_scale, scale);
            assert_eq!(bundle.embedding(), Some(EmbeddingSpace { dim: 2, unit: false }));
        }
    }
}

#[test]
fn statistics_of_no_class_are_in_order() {
    let parts = ZeroShot { statistics: Some(&[]), ..parts_of_full() };
    let bytes = write_full(manifest_of_full(), parts).unwrap();
    let statistics = Bundle::open(&bytes).unwrap().feature_statistics().unwrap();
    assert!(statistics.classes.is_empty() && statistics.find(0).is_none());
}

#[test]
fn parts_stand_alone() {
    let sections = raw_sections(&full());
    for kind in [WORDS, PROJECTION, GENERATOR, DECISION, SECOND_OUTPUT] {
        let mut without = sections.clone();
        without.retain(|section| section.kind != kind);
        assert_eq!(status(&container(&without)), Status::Ok);
    }
}

#[test]
fn the_writer_refuses_what_does_not_fit_together() {
    let (manifest, parts) = (manifest_of_full(), parts_of_full());
    let refused = |what: &str, manifest: Manifest<'_>, parts: ZeroShot<'_>| {
        let error = write_full(manifest, parts).expect_err(what);
        assert_eq!((error.status(), error.what()), (Status::BundleContent, what));
    };
    let given = |what: &str, parts: ZeroShot<'_>| refused(what, manifest_of_full(), parts);
    let (three, two): (&[f16], &[f16]) = (&[f16::ONE; 3], &[f16::ONE; 2]);
    given("numbers of a word vector", ZeroShot { words: &[("cat", two)], ..parts });
    let words = &[("cat", three), ("a", three), ("cat", three)];
    given("a word occurs twice", ZeroShot { words, ..parts });
    given("PROJECTION", ZeroShot { projection: Some(&[1.0; 6]), ..parts });

    let row = ClassStatistics { class: 1, mean: &[1.0; 2], deviation: &[1.0; 2] };
    let twice = [row, row];
    given("class of a row of the statistics", ZeroShot { statistics: Some(&twice), ..parts });
    let short = [ClassStatistics { mean: &[1.0], deviation: &[1.0; 3], ..row }];
    given("numbers of a class's statistics", ZeroShot { statistics: Some(&short), ..parts });

    let decision = Decision { min_margin: f32::NAN, ..parts.decision };
    given("least margin", ZeroShot { decision, ..parts });
    // One weight moved from a layer to the other: the same length in all.
    let good = parts.generator.unwrap();
    let moved = GeneratorValues { output_weights: &[f16::ONE; 9], ..good };
    given("weights of the generator", ZeroShot { generator: Some(moved), ..parts });
    let moved = GeneratorValues { hidden_weights: &[f16::ONE; 19], ..good };
    given("weights of the hidden layer", ZeroShot { generator: Some(moved), ..parts });
    let longer = GeneratorValues { output_bias: &[1.0; 3], ..good };
    given("biases of the generator", ZeroShot { generator: Some(longer), ..parts });

    let only = ZeroShot { projection: parts.projection, ..ZeroShot::default() };
    refused(UNWANTED, Manifest { embedding: None, ..manifest }, only);
    let embedding = Some(EmbeddingSpace { dim: 0, unit: false });
    refused("numbers of an embedding", Manifest { embedding, ..manifest }, parts);
    let head = Head { cosine_scale: 2.0, ..manifest.head };
    refused("scale of the cosines of another head", Manifest { head, ..manifest }, parts);
    let same = Manifest { output_name: SECOND_OF_FULL.name, ..manifest };
    refused("name of the second output", same, parts);
}

#[test]
fn only_the_type_of_the_manifest_is_written() {
    let bytes = embedded(HeadKind::Dot(WeightType::F16), &[1.0; 6]);
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(bundle.head_weights().unwrap().weight_type(), WeightType::F16);
    assert!(matches!(stored(&bundle).unwrap().values(), WeightValues::F16(_)));
}

fn decision() -> impl Strategy<Value = Decision> {
    let stacking = prop_oneof![
        Just(Stacking::Off),
        (-9f32..9.0).prop_map(Stacking::Logits),
        (0f32..=1.0).prop_map(Stacking::Probabilities),
    ];
    let unknown = prop_oneof![
        Just(UnknownScore::Margin),
        (-9f32..9.0).prop_map(|reference| UnknownScore::Energy { reference }),
    ];
    let share = || 0f32..=1.0;
    (stacking, share(), share(), unknown, share()).prop_map(
        |(stacking, min_confidence, min_margin, unknown, max_unknown)| Decision {
            stacking,
            min_confidence,
            min_margin,
            unknown,
            max_unknown,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_parts_are_read_back(
        table in proptest::collection::btree_map("[^\\p{Cc}]{1,15}", -9f32..9.0, 1..40),
        dim in 1usize..6,
        decision in decision(),
        rows in proptest::sample::subsequence(vec![0u32, 1, 2], 0..=3),
        sides in (1u32..=64, 1u32..=64, 1u32..=4096, any::<bool>()),
        generator in (1usize..5, 1usize..5, any::<bool>(), 0f32..=1.0),
    ) {
        let vectors: Vec<Vec<f16>> = table
            .values()
            .map(|&first| (0..dim).map(|at| f16::from_f32(first + at as f32)).collect())
            .collect();
        let words: Vec<(&str, &[f16])> =
            table.keys().zip(&vectors).rev().map(|(word, v)| (word.as_str(), &v[..])).collect();
        let row = |&class| ClassStatistics { class, mean: &[1.5, -2.0], deviation: &[0.0, 3.0] };
        let statistics: Vec<ClassStatistics<'_>> = rows.iter().rev().map(row).collect();
        let (noise_dim, hidden, flag, slope) = generator;
        let half = |count| vec![f16::from_f32(0.125); count];
        let (hidden_weights, output_weights) = (half(hidden * (dim + noise_dim)), half(2 * hidden));
        let hidden_bias = vec![0.5; hidden];
        let second = SecondOutput {
            name: "tokens",
            grid_height: sides.0,
            grid_width: sides.1,
            channels: sides.2,
            layout: if sides.3 { Layout::Chw } else { Layout::Hwc },
        };
        let generator = GeneratorValues {
            noise_dim: noise_dim as u32,
            noise: if flag { Noise::Uniform } else { Noise::Normal },
            slope,
            relu: flag,
            hidden_weights: &hidden_weights,
            hidden_bias: &hidden_bias,
            output_weights: &output_weights,
            output_bias: &[0.25, -0.25],
        };
        let parts = ZeroShot {
            words: &words,
            projection: None,
            generator: Some(generator),
            statistics: Some(&statistics),
            decision,
            second_output: Some(second),
        };
        let embedding = Some(EmbeddingSpace { dim: dim as u32, unit: flag });
        let bytes = write_full(Manifest { embedding, ..manifest_of_full() }, parts).unwrap();
        let bundle = Bundle::open(&bytes).unwrap();
        prop_assert_eq!(bundle.decision(), decision);
        prop_assert_eq!(bundle.second_output(), Some(second));
        let found = bundle.words().unwrap();
        prop_assert_eq!(found.len(), table.len());
        for ((word, _), vector) in table.iter().zip(&vectors) {
            let index = found.find(word).unwrap();
            let wanted: Vec<f32> = vector.iter().map(|half| half.to_f32()).collect();
            prop_assert_eq!(found.vector(index).collect::<Vec<_>>(), wanted);
        }
        let statistics = bundle.feature_statistics().unwrap();
        for class in 0..3 {
            prop_assert_eq!(statistics.find(class).is_some(), rows.contains(&class));
        }
        let found = bundle.generator().unwrap();
        prop_assert_eq!((found.noise_dim, found.hidden, found.slope), (noise_dim, hidden, slope));
        prop_assert_eq!(found.relu, flag);
    }
}
