//! Names for clusters.

use super::support::assert_near;
use serde_json::Value;
use zsseg::metrics::Absent;
use zsseg::train::eval::matching::{Clusters, assign};

/// Against all permutations, counted in Python (make.py): five rows, six columns.
#[test]
fn assignments_are_the_best_there_are() {
    let wanted: Value = serde_json::from_str(include_str!("numpy.json")).unwrap();
    let scores: Vec<Vec<f64>> =
        serde_json::from_value(wanted["assignment"]["scores"].clone()).unwrap();
    let found = assign(&scores);
    let sum: f64 = found.iter().zip(&scores).map(|(column, row)| row[column.unwrap()]).sum();
    assert_near(Some(sum), wanted["assignment"]["best_sum"].as_f64().unwrap(), 1e-12);
    let mut columns: Vec<usize> = found.into_iter().flatten().collect();
    columns.sort_unstable();
    columns.dedup();
    assert_eq!(columns.len(), 5);
}

#[test]
fn greedy_choices_are_given_up() {
    let scores = vec![vec![0.9, 0.8], vec![0.8, 0.1]];
    assert_eq!(assign(&scores), [Some(1), Some(0)]);
    assert_eq!(assign(&[vec![0.5], vec![0.7], vec![0.6]]), [None, Some(0), None]);
    assert_eq!(assign(&[]), []);
    assert_eq!(assign(&[vec![], vec![]]), [None, None]);
}

#[test]
fn clusters_get_names_by_overlap() {
    let truth: [u8; 10] = [0, 0, 0, 1, 1, 1, 2, 2, 255, 255];
    let found: [u8; 10] = [2, 2, 0, 0, 0, 0, 1, 2, 1, 1];
    let mut clusters = Clusters::new(3, 3).unwrap();
    clusters.add(&truth, &found).unwrap();
    let names = clusters.classes_of();
    assert_eq!(names, [Some(1), Some(2), Some(0)]);
    let confusion = clusters.confusion(&names);
    assert_eq!(confusion.correct(0) + confusion.correct(1) + confusion.correct(2), 6);
    // 2/4, 3/4 and 1/2.
    assert_near(confusion.mean_iou(Absent::Skip), 1.75 / 3.0, 1e-15);
    assert!(clusters.add(&truth, &found[1..]).is_err());
    assert!(Clusters::new(0, 3).is_err());
}

#[test]
fn more_clusters_than_classes_vote() {
    let truth: [u16; 8] = [0, 0, 0, 1, 1, 1, 1, 0];
    let found: [u16; 8] = [0, 1, 1, 2, 2, 0, 0, 9];
    let mut clusters = Clusters::new(2, 4).unwrap();
    clusters.add(&truth, &found).unwrap();
    let names = clusters.classes_of();
    assert_eq!(names, [Some(1), Some(0), Some(1), None]);
    let confusion = clusters.confusion(&names);
    assert_eq!((confusion.correct(0), confusion.correct(1), confusion.unlabelled(0)), (2, 4, 1));
}
