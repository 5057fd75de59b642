//! Models as files.

use crate::support::normal;
use std::path::Path;
use zsseg::spec::{Decision, Stacking, UnknownScore};
use zsseg::train::engine::Matrix;
use zsseg::train::run::{decode_model, encode_model};
use zsseg::train::{GeneratorParts, Head, HeadForm, Model};

/// A model with everything that one can have, and numbers that texts round badly.
pub fn model(form: HeadForm) -> Model {
    let mut weights = normal([3, 4], 1, 0);
    weights.values_mut()[..3].copy_from_slice(&[-0.0, f32::MIN_POSITIVE / 8.0, 0.1]);
    Model {
        classes: vec![0, 2, 5],
        seen: vec![true, true, false],
        head: Head { form, weights, bias: normal([1, 3], 2, 0) },
        decoder: None,
        alignment: Some([normal([4, 9], 9, 0), normal([1, 4], 10, 0)]),
        decision: Decision {
            stacking: Stacking::Logits(0.1),
            min_confidence: 0.3,
            min_margin: 0.7,
            unknown: UnknownScore::Energy { reference: -1.1 },
            max_unknown: 0.9,
        },
        projection: Some(normal([5, 6], 3, 0)),
        generator: Some(GeneratorParts {
            w1: normal([7, 8], 4, 0),
            b1: normal([1, 7], 5, 0),
            w2: normal([4, 7], 6, 0),
            b2: normal([1, 4], 7, 0),
            slope: 0.2,
            normal_noise: true,
            relu: true,
        }),
        statistics: Some([normal([3, 4], 8, 0), Matrix::zeros([3, 4]).unwrap()]),
    }
}

fn names() -> Vec<String> {
    ["ground", "cat", "dog", "horse", "cow", "sheep"].map(String::from).to_vec()
}

#[test]
fn models_keep_their_bits() {
    for form in [HeadForm::Linear, HeadForm::Dot, HeadForm::Cosine { scale: 0.1 }] {
        let model = model(form);
        let bytes = encode_model(&model, &names()).unwrap();
        assert_eq!(bytes, encode_model(&model, &names()).unwrap(), "equal models, equal bytes");
        let (found, named) = decode_model(Path::new("m"), &bytes).unwrap();
        assert_eq!(named, ["ground", "dog", "sheep"]);
        assert_eq!(encode_model(&found, &names()).unwrap(), bytes);
        assert_eq!(format!("{found:?}"), format!("{model:?}"));
        let bits = |model: &Model| -> Vec<u32> {
            model.head.weights.values().iter().map(|value| value.to_bits()).collect()
        };
        assert_eq!(bits(&found), bits(&model));
        assert_eq!(found.decision, model.decision);
    }
}

#[test]
fn every_turned_bit_is_found() {
    let bytes = encode_model(&model(HeadForm::Linear), &names()).unwrap();
    for place in (0..bytes.len()).step_by(7) {
        let mut turned = bytes.clone();
        turned[place] ^= 1 << (place % 8);
        let error = decode_model(Path::new("m.safetensors"), &turned).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("m.safetensors"), "byte {place}: {error}");
    }
    assert!(decode_model(Path::new("m"), &bytes[..bytes.len() - 4]).is_err());
    assert!(encode_model(&model(HeadForm::Linear), &names()[..5]).is_err(), "class 5 has no name");
}
