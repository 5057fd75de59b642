//! What counts keep whatever happens to the pictures.

use super::support::{Known, Row, VOID, assert_near, evaluated, ours, setup};
use proptest::prelude::*;
use zsseg::train::eval::{
    Evaluation, Interval, Protocol, Report, Scores, bootstrap, confusion_chart, markdown,
    reliability_chart,
};

const CLASSES: usize = 4;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let label = prop_oneof![9 => 0u16..CLASSES as u16, 1 => Just(VOID)];
    let pixel = (label, 0u16..CLASSES as u16, any::<u16>());
    let row = proptest::collection::vec(pixel, 1..40).prop_map(|pixels| Row {
        truth: pixels.iter().map(|pixel| pixel.0).collect(),
        found: pixels.iter().map(|pixel| pixel.1).collect(),
        confidences: pixels.iter().map(|pixel| pixel.2).collect(),
    });
    proptest::collection::vec(row, 1..12)
}

fn sweeping() -> zsseg::train::eval::Setup {
    zsseg::train::eval::Setup { gammas: vec![0.0, 1.0], ..setup(CLASSES, &[3], ours()) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever part a picture is in, and whatever comes first, the report is the same text; also
    /// by way of JSON.
    #[test]
    fn parts_and_their_order_change_nothing(rows in rows(), parts in 1usize..5, turn in 0usize..5) {
        let setup = sweeping();
        let count = rows.len();
        let mut known = Known::new(CLASSES, rows);
        let all: Vec<usize> = (0..count).collect();
        let whole = evaluated(&setup, &mut known, &all);
        let mut total = Evaluation::new(setup.clone()).unwrap();
        for part in 0..parts {
            let mut pictures: Vec<usize> = (((part + turn) % parts)..count).step_by(parts).collect();
            pictures.reverse();
            let part = evaluated(&setup, &mut known, &pictures);
            let text = serde_json::to_string(&part).unwrap();
            total.merge(Evaluation::from_json(&text).unwrap()).unwrap();
        }
        prop_assert_eq!(&total, &whole);
        let text = |evaluation| serde_json::to_string(&Report::new(evaluation, 20, 1)).unwrap();
        prop_assert_eq!(text(&total), text(&whole));
    }

    /// An unseen class more, which no pixel shows and nobody predicts, changes no seen score.
    #[test]
    fn an_unseen_class_that_nobody_predicts_changes_no_seen_score(rows in rows()) {
        let all: Vec<usize> = (0..rows.len()).collect();
        let score = |classes, unseen: &[usize]| {
            let setup = setup(classes, unseen, ours());
            let evaluation = evaluated(&setup, &mut Known::new(classes, rows.clone()), &all);
            Scores::new(&evaluation.confusion(), &setup.subject, setup.protocol.absent_class.into())
        };
        let (before, after) = (score(CLASSES, &[3]), score(CLASSES + 1, &[3, 4]));
        prop_assert_eq!(before.seen, after.seen);
        prop_assert_eq!(&before.classes[..], &after.classes[..CLASSES]);
    }
}

fn some_rows() -> Vec<Row> {
    (0..12u16)
        .map(|picture| {
            let truth: Vec<u16> = (0..50).map(|pixel| (pixel / 7 + picture) % 4).collect();
            let found = (0..50).map(|pixel| (pixel / 7 + picture + (pixel * picture / 61)) % 4);
            Row::new(&truth, &found.collect::<Vec<u16>>())
        })
        .collect()
}

#[test]
fn intervals_of_equal_pictures_have_no_width() {
    let row = Row::new(&[0, 0, 1, 1, 2, 3, 3], &[0, 1, 1, 1, 2, 3, 0]);
    let setup = setup(CLASSES, &[3], ours());
    let mut known = Known::new(CLASSES, vec![row; 9]);
    let evaluation = evaluated(&setup, &mut known, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let found = bootstrap(&evaluation, 50, 3).unwrap();
    let scores =
        Scores::new(&evaluation.confusion(), &setup.subject, setup.protocol.absent_class.into());
    let check = |interval: Option<Interval>, score: Option<f64>| {
        let Interval { low, high, rounds } = interval.unwrap();
        assert_eq!((low, high, rounds), (score.unwrap(), score.unwrap(), 50));
    };
    check(found.seen, scores.seen.mean_iou);
    check(found.unseen, scores.unseen.mean_iou);
    check(found.harmonic, scores.harmonic.iou);
    for (interval, class) in found.classes.iter().zip(&scores.classes) {
        check(*interval, class.iou);
    }
}

#[test]
fn intervals_hold_the_score_and_follow_from_the_seed() {
    let setup = setup(CLASSES, &[3], ours());
    let all: Vec<usize> = (0..12).collect();
    let evaluation = evaluated(&setup, &mut Known::new(CLASSES, some_rows()), &all);
    let report = Report::new(&evaluation, 1_000, 1);
    let found = report.intervals.as_ref().unwrap();
    let holds = |interval: Option<Interval>, score: Option<f64>| {
        let Interval { low, high, .. } = interval.unwrap();
        let score = score.unwrap();
        assert!(low < score && score < high && high - low < 0.8, "{low} {score} {high}");
    };
    holds(found.all, report.scores.all.mean_iou);
    holds(found.seen, report.scores.seen.mean_iou);
    holds(found.pixel_accuracy, report.scores.all.pixel_accuracy);
    assert_eq!(bootstrap(&evaluation, 1_000, 1).as_ref(), Some(found));
    assert_ne!(bootstrap(&evaluation, 1_000, 2).as_ref(), Some(found));
    assert_eq!(bootstrap(&evaluation, 0, 1), None);
}

#[test]
fn counts_of_something_else_are_not_merged() {
    let setup = sweeping();
    let mut known = Known::new(CLASSES, some_rows());
    let mut one = evaluated(&setup, &mut known, &[0, 1]);
    let before = one.clone();
    assert!(one.merge(before.clone()).unwrap_err().to_string().contains("picture 0"));
    let mut other = setup.clone();
    other.protocol.absent_class = Protocol::named("zs3").unwrap().absent_class;
    assert!(one.merge(evaluated(&other, &mut known, &[2])).is_err());
    assert!(one.add(0, "picture 0", &mut known).is_err());
    assert_eq!(one, before);

    assert!(one.add(99, "gone", &mut known).is_err());
    known.rows[3].found.pop();
    assert!(one.add(3, "short", &mut known).is_err());
    assert_eq!(one, before);
    one.add_failed("gone", "no such picture");
    assert!(markdown(&Report::new(&one, 0, 1)).contains("1 left out"));
    let mut text = serde_json::to_string(&one).unwrap();
    text = text.replace("[0,0,", "[9,0,");
    assert!(Evaluation::from_json(&text).unwrap_err().to_string().contains("do not fit"));
    assert!(Evaluation::from_json("{}").is_err());
}

#[test]
fn senseless_evaluations_are_refused() {
    let refused = |change: fn(&mut zsseg::train::eval::Setup)| {
        let mut setup = sweeping();
        change(&mut setup);
        Evaluation::new(setup).unwrap_err().to_string()
    };
    assert!(refused(|setup| setup.protocol.oracle = true).contains("oracle"));
    assert!(refused(|setup| setup.gammas = vec![f32::NAN]).contains("NaN"));
    assert!(
        refused(|setup| {
            setup.space = zsseg::train::eval::Space::Probabilities;
            setup.gammas = vec![1.5];
        })
        .contains("1.5")
    );
}

/// Cells are coloured by share: the diagonal of a perfect matrix is not paper, the rest is.
#[test]
fn charts_show_where_pixels_went() {
    let setup = setup(CLASSES, &[3], ours());
    let truth = [0, 1, 2, 3, 0, 1];
    let evaluation =
        evaluated(&setup, &mut Known::new(CLASSES, vec![Row::new(&truth, &truth)]), &[0]);
    let chart = confusion_chart(&evaluation.confusion(), &setup.subject).unwrap();
    let corner = 8 * 7 + 40;
    let color = |row: u32, column: u32| {
        chart.pixel(corner + column * 30 + 2, corner + row * 30 + 2).unwrap()
    };
    for row in 0..4 {
        for column in 0..5 {
            assert_eq!(color(row, column) == [42, 98, 160], row == column, "{row} {column}");
        }
    }
    let [_, _, all] = evaluation.reliability();
    let chart = reliability_chart(&all).unwrap();
    let blue = chart.rgb().chunks(3).filter(|pixel| **pixel == [42, 98, 160]).count();
    assert!(blue > 28 * 400, "{blue}");
    assert_near(all.calibration_error(), 0.0, 1e-12);
}
