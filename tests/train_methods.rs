//! Methods that train heads, on made-up pictures whose features follow from the embeddings.
#![cfg(feature = "train")]

#[path = "train_methods/codistill.rs"]
mod codistill;
#[path = "train_methods/contrastive.rs"]
mod contrastive;
#[path = "train_methods/decoder.rs"]
mod decoder;
#[path = "train_methods/hold_out.rs"]
mod hold_out;
#[path = "train_methods/mask_distill.rs"]
mod mask_distill;
#[path = "train_methods/ridge.rs"]
mod ridge;
#[path = "train_methods/sazs.rs"]
mod sazs;
#[path = "train_methods/scores.rs"]
mod scores;
#[path = "train_methods/spnet.rs"]
mod spnet;
#[path = "train_methods/strict.rs"]
mod strict;
#[path = "train_methods/support.rs"]
mod support;
#[path = "train_methods/two_taps.rs"]
mod two_taps;

#[path = "train_methods/altered.rs"]
mod altered;
#[path = "train_methods/self_training.rs"]
mod self_training;
#[path = "train_methods/zs3.rs"]
mod zs3;
#[path = "train_methods/zs3_graph.rs"]
mod zs3_graph;
#[path = "train_methods/zs3_presets.rs"]
mod zs3_presets;

use support::{Synthetic, embeddings, roles};
use zsseg::train::methods::{Bag, HoldOut, Ridge, RidgeForm, RidgeSettings, choose_gamma};
use zsseg::train::{Features, LabelSetting, Task, View, run_method};

#[test]
fn a_task_hides_unseen_classes() {
    let pictures = Synthetic::new(10, 0.1, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["cow", "sheep"]));
    let task = Task::new(&roles, &embeddings, &joined, 1).unwrap();
    assert_eq!(task.inductive(), [0, 1, 2, 5, 6, 7]);
    for picture in 0..10 {
        let labels = task.labels(picture).unwrap();
        assert!(!labels.contains(|class| class > 3), "picture {picture}");
        assert_eq!(labels.histogram().unlabelled > 0, !task.inductive().contains(&picture));
        assert_eq!(labels.histogram().void, 1);
    }
    assert_eq!(joined.rows(3, 0).unwrap().shape(), [80, support::CHANNELS]);
}

#[test]
fn pictures_with_unseen_classes_stay_in_the_zero_label_setting() {
    let pictures = Synthetic::new(20, 0.3, &[View::PLAIN], 1);
    let (joined, embeddings) = (pictures.joined(), embeddings());
    let roles = roles(&["cow", "sheep"]);
    let setting = LabelSetting::ZeroLabel;
    let task = Task::with_setting(&roles, &embeddings, &joined, 1, setting).unwrap();
    assert_eq!(task.inductive(), task.pictures());
    assert_eq!(task.dropped(), [3, 4, 8, 9, 13, 14, 18, 19]);
    assert!((0..20).all(|picture| !task.labels(picture).unwrap().contains(|class| class > 3)));
    let bag = Bag::collect(&task, task.inductive(), 50, 1).unwrap();
    assert!(bag.classes[..4].iter().all(|cells| cells.len() == 50));
    assert!(bag.classes[4..].iter().all(|cells| cells.is_empty()), "hidden");
    let some = task.with_pictures(&[1, 4, 9, 12]).unwrap();
    assert_eq!((some.dropped(), some.inductive()), (&[4, 9][..], &[1, 4, 9, 12][..]));

    let engine = support::engine();
    let settings = RidgeSettings { form: RidgeForm::Prototypes, ..RidgeSettings::default() };
    let train = |task: &Task<'_>| run_method(&Ridge::new(&engine, task, settings.clone())?);
    assert_eq!(train(&task).unwrap().classes, [0, 1, 2, 3, 4, 5]);
    let hold_out = HoldOut { gammas: vec![0.0, 0.5], ..HoldOut::default() };
    let choice =
        choose_gamma(&engine, &task, &hold_out, &[vec![1, 2]], &train(&task).unwrap(), &train)
            .unwrap();
    assert!(choice.scores.iter().all(|score| score.folds[0][0] > 0.15), "{:?}", choice.scores);
}

#[test]
fn a_set_whose_every_picture_shows_an_unseen_class_names_the_way_out() {
    let pictures = Synthetic::new(4, 0.3, &[View::PLAIN], 1);
    let (joined, embeddings, roles) = (pictures.joined(), embeddings(), roles(&["ground"]));
    let refused = Task::new(&roles, &embeddings, &joined, 1).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("zero-label"), "{refused}");
    let setting = LabelSetting::ZeroLabel;
    let task = Task::with_setting(&roles, &embeddings, &joined, 1, setting).unwrap();
    assert_eq!(task.dropped(), [0, 1, 2, 3]);
}
