//! Classes by embedding and by word, through a projection or as they are.

use crate::external::*;
use crate::support::*;
use zsseg::bundle::Bundle;
use zsseg::classes::{NewClass, Origin, embed};
use zsseg::segmenter::{ClassSource, Meaning, Segmenter};
use zsseg::spec::{EmbeddingSpace, HeadKind, WeightType};
use zsseg::status::{Result, Status};

const DIM: usize = 4;

/// Numbers that f16 holds, so that a word's vector is what is written here.
fn words() -> Vec<(&'static str, Vec<f32>)> {
    [
        ("cat", [1.0, 0.5, -0.25, 2.0]),
        ("cow", [-1.0, 0.25, 1.5, 0.125]),
        ("dining", [0.5, -0.5, 0.25, -0.25]),
        ("dining table", [3.0, 2.0, 1.0, 0.0]),
        ("potted", [0.5, 1.0, 2.0, 4.0]),
        ("plant", [1.5, -1.0, 0.0, -2.0]),
        ("über", [0.0, 0.0, 1.0, 1.0]),
        ("nothing", [0.0, 0.0, 0.0, 0.0]),
        ("minus", [-1.0, -0.5, 0.25, -2.0]),
    ]
    .map(|(word, vector)| (word, vector.to_vec()))
    .to_vec()
}

fn projected(unit: bool) -> Model {
    Model {
        embedding: Some(EmbeddingSpace { dim: DIM as u32, unit }),
        words: words(),
        projection: Some(Random(3).take(17 * DIM, 0.5)),
        ..model()
    }
}

fn by_word<'s>(word: &'s str) -> ClassSource<'s> {
    ClassSource::Meaning(Meaning::Word(word))
}

fn add_by(segmenter: &mut Segmenter<'_>, source: &ClassSource<'_>) -> Result<u16> {
    segmenter.add_class(&NewClass::named("new"), source)
}

/// The mask with a new class from this source.
fn with_class(model: &Model, source: &ClassSource<'_>, origin: Origin) -> Mask {
    let features = features(model);
    with_segmenter(&model.bundle(), &limits(1), |segmenter| {
        let label = add_by(segmenter, source).unwrap();
        assert_eq!(segmenter.class(label).unwrap().origin, origin);
        run(segmenter, &model.map(&features))
    })
}

/// What the projection makes of an embedding, in f64.
fn row_of(model: &Model, embedding: &[f32]) -> (Vec<f32>, f32) {
    let length = embedding.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let unit = model.embedding.is_some_and(|space| space.unit);
    let value = |x: f32| if unit { (f64::from(x) / length) as f32 } else { x };
    let product = |row: &[f32]| -> f64 {
        row.iter().zip(embedding).map(|(&w, &x)| f64::from(w) * f64::from(value(x))).sum()
    };
    let rows = model.projection.as_ref().unwrap().chunks(DIM);
    let mut row: Vec<f32> = rows.map(|row| product(row) as f32).collect();
    let bias = row.pop().unwrap();
    (row, bias)
}

#[test]
fn a_projection_turns_embeddings_into_rows() {
    for unit in [false, true] {
        let model = projected(unit);
        let embedding = [0.75, -1.5, 0.5, 3.0];
        let (weights, bias) = row_of(&model, &embedding);
        let want = with_class(&model, &ClassSource::Row { weights: &weights, bias }, Origin::Row);
        let source = ClassSource::Meaning(Meaning::Embedding(&embedding));
        let got = with_class(&model, &source, Origin::Embedding);
        assert!(got.labels.contains(&6));
        assert_eq!(got, want, "unit: {unit}");
    }
}

#[test]
fn unit_spaces_ignore_the_length_of_an_embedding() {
    let model = projected(true);
    let of = |embedding: &[f32]| {
        with_class(&model, &ClassSource::Meaning(Meaning::Embedding(embedding)), Origin::Embedding)
    };
    let want = of(&[0.75, -1.5, 0.5, 3.0]);
    assert_eq!(of(&[0.75, -1.5, 0.5, 3.0].map(|x| x * 1024.0)), want);
    assert_eq!(of(&[0.75, -1.5, 0.5, 3.0].map(|x| x / f32::powi(2.0, 120))), want);
    assert_ne!(
        with_class(&projected(false), &by_word("cat"), Origin::Word),
        with_class(&model, &by_word("cat"), Origin::Word)
    );
}

#[test]
fn a_word_is_its_embedding() {
    for unit in [false, true] {
        let model = projected(unit);
        for (word, vector) in words().into_iter().filter(|(word, _)| *word != "nothing") {
            let source = ClassSource::Meaning(Meaning::Embedding(&vector));
            let want = with_class(&model, &source, Origin::Embedding);
            assert_eq!(with_class(&model, &by_word(word), Origin::Word), want, "{word}");
        }
    }
}

/// The embedding of a phrase, or the error.
fn embedded(phrase: &str) -> Result<Vec<f32>> {
    let bytes = projected(false).bundle();
    let words = Bundle::open(&bytes).unwrap().words().unwrap();
    let mut embedding = vec![9.0; DIM];
    let done = embed(&words, phrase, &mut embedding);
    if done.is_err() {
        assert_eq!(embedding, [9.0; DIM], "nothing is written on an error");
    }
    done.map(|()| embedding)
}

#[test]
fn phrases_are_the_mean_of_their_words() {
    let mean = vec![1.0, 0.0, 1.0, 1.0];
    for phrase in
        ["potted plant", "potted-plant", "potted_plant", "Potted  PLANT", " potted -plant_"]
    {
        assert_eq!(embedded(phrase).unwrap(), mean, "{phrase}");
    }
    assert_eq!(embedded("cat cat cat cat").unwrap(), [1.0, 0.5, -0.25, 2.0]);
    // What the table has as one word is not taken apart.
    assert_eq!(embedded("Dining Table").unwrap(), [3.0, 2.0, 1.0, 0.0]);
    assert_eq!(embedded("dining").unwrap(), [0.5, -0.5, 0.25, -0.25]);
    assert_eq!(embedded("CAT").unwrap(), embedded("cat").unwrap());
    // Only letters of ASCII have their case folded.
    assert_eq!(embedded("über").unwrap(), [0.0, 0.0, 1.0, 1.0]);
    assert!(embedded("Über").is_err());
}

#[test]
fn unknown_words_are_counted_out() {
    let unknown = |phrase: &str| {
        let error = embedded(phrase).unwrap_err();
        assert_eq!(error.status(), Status::UnknownWord, "{phrase}");
        error.to_string()
    };
    assert!(unknown("dog").contains("(found 1, wanted 1)"));
    assert!(unknown("cat dog").contains("(found 2, wanted 2)"));
    assert!(unknown("potted dog plant").contains("(found 2, wanted 3)"));
    unknown("dining table cloth");
    unknown("ca");
    unknown("cats");
    unknown(&"x".repeat(63));
    unknown(&"x".repeat(64));
    unknown(&"x".repeat(100_000));
    unknown("cat\0");
    for phrase in ["", " ", "-_ -"] {
        assert_eq!(embedded(phrase).unwrap_err().status(), Status::InvalidArgument, "{phrase:?}");
    }
}

#[test]
fn words_without_a_direction_are_refused() {
    // A word of zeros, and words that cancel out.
    for phrase in ["nothing", "cat minus"] {
        for model in [projected(true), projected(false), dot()] {
            with_segmenter(&model.bundle(), &limits(1), |segmenter| {
                let before = list(segmenter);
                let error = add_by(segmenter, &by_word(phrase)).unwrap_err();
                assert_eq!(error.status(), Status::InvalidArgument, "{phrase}");
                assert_eq!(list(segmenter), before);
            });
        }
    }
}

fn dot() -> Model {
    let kind = HeadKind::Dot(WeightType::F32);
    Model { words: words(), ..Model::new(kind, 6, DIM, (5, 6)) }
}

#[test]
fn words_are_rows_of_dot_and_cosine_heads() {
    for stored in [WeightType::F32, WeightType::F16, WeightType::I8] {
        for kind in [HeadKind::Dot(stored), HeadKind::Cosine(stored)] {
            for unit in [false, true] {
                let embedding = Some(EmbeddingSpace { dim: DIM as u32, unit });
                let model = Model { words: words(), embedding, ..Model::new(kind, 6, DIM, (5, 6)) };
                let vector = vec![1.0, 0.5, -0.25, 2.0];
                let length = vector.iter().map(|x: &f32| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                let weights: Vec<f32> = match unit {
                    true => vector.iter().map(|&x| (f64::from(x) / length) as f32).collect(),
                    false => vector,
                };
                let source = ClassSource::Row { weights: &weights, bias: 0.0 };
                let want = with_class(&model, &source, Origin::Row);
                let got = with_class(&model, &by_word("cat"), Origin::Word);
                assert_eq!(got, want, "{kind:?}, unit: {unit}");
            }
        }
    }
}

#[test]
fn what_a_bundle_lacks_is_said() {
    let vector = [1.0; DIM];
    let embedding = ClassSource::Meaning(Meaning::Embedding(&vector));
    let refused = |model: &Model, source: &ClassSource<'_>| {
        with_segmenter(&model.bundle(), &limits(1), |segmenter| {
            let before = list(segmenter);
            let added = add_by(segmenter, source).unwrap_err().status();
            assert_eq!(segmenter.replace_class(0, source).unwrap_err().status(), added);
            assert_eq!(list(segmenter), before);
            added
        })
    };
    // No space; a space, but no projection; a projection, but no words; no generator.
    assert_eq!(refused(&model(), &embedding), Status::Unsupported);
    assert_eq!(refused(&model(), &by_word("cat")), Status::Unsupported);
    let space = Model { projection: None, ..projected(false) };
    assert_eq!(refused(&space, &embedding), Status::Unsupported);
    let wordless = Model { words: Vec::new(), ..projected(false) };
    assert_eq!(refused(&wordless, &by_word("cat")), Status::Unsupported);
    let generated = ClassSource::Generated(Meaning::Embedding(&vector));
    assert_eq!(refused(&projected(false), &generated), Status::Unsupported);
    let logits = Model::of_logits(6, (5, 6));
    let row = ClassSource::Row { weights: &[1.0; 6], bias: 0.0 };
    assert_eq!(refused(&logits, &row), Status::Unsupported);
}
