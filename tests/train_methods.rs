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
use zsseg::train::{Features, Task, View};

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
