//! Scores against the golden vectors and NumPy (make.py).

use super::support::{Known, Row, VOID, assert_near, evaluated, ours, rows_of, setup};
use serde_json::Value;
use zsseg::train::data::{ClassList, Roles};
use zsseg::train::eval::{
    AbsentClass, Background, ClassSet, Episodes, Means, Protocol, Reliability, Resolution, Scored,
    Scores, Subject, Void, few_shot,
};

fn scores(absent: AbsentClass, rows: Vec<Row>, unseen: &[usize]) -> Scores {
    let setup = setup(3, unseen, Protocol { absent_class: absent, ..ours() });
    let pictures: Vec<usize> = (0..rows.len()).collect();
    let evaluation = evaluated(&setup, &mut Known::new(3, rows), &pictures);
    Scores::new(&evaluation.confusion(), &setup.subject, absent.into())
}

/// Golden vector G1, in two pictures.
#[test]
fn golden_vector_g1() {
    let rows = vec![
        Row::new(&[0, 0, 0, 0, 1], &[0, 0, 0, 1, 1]),
        Row::new(&[1, 1, 2, 2, VOID], &[1, 2, 2, 0, 1]),
    ];
    let found = scores(AbsentClass::Nan, rows.clone(), &[2]);
    assert_near(found.all.pixel_accuracy, 0.666_666_7, 1e-7);
    assert_near(found.all.mean_iou, 0.477_777_8, 1e-7);
    assert_near(found.seen.mean_iou, 0.55, 1e-7);
    assert_near(found.unseen.mean_iou, 0.333_333_3, 1e-7);
    assert_near(found.harmonic.iou, 0.415_094_3, 1e-7);
    for (class, iou, accuracy) in [(0, 0.6, 0.75), (1, 0.5, 0.666_666_7), (2, 0.333_333_3, 0.5)] {
        assert_near(found.classes[class].iou, iou, 1e-7);
        assert_near(found.classes[class].accuracy, accuracy, 1e-7);
    }
    let setup = setup(3, &[2], ours());
    let evaluation = evaluated(&setup, &mut Known::new(3, rows), &[0, 1]);
    assert_eq!(rows_of(&evaluation), [[3, 1, 0, 0], [0, 2, 1, 0], [1, 0, 1, 0]]);
}

#[test]
fn absent_classes_are_left_out_or_zero() {
    let rows = || vec![Row::new(&[0, 0, 1, 1], &[0, 0, 1, 0])];
    assert_near(scores(AbsentClass::Nan, rows(), &[2]).all.mean_iou, 0.583_333_3, 1e-7);
    assert_near(scores(AbsentClass::Zero, rows(), &[2]).all.mean_iou, 0.388_888_9, 1e-7);
    let found = scores(AbsentClass::Nan, rows(), &[2]);
    assert_eq!((found.unseen.mean_iou, found.harmonic.iou), (None, None));
    assert_eq!(scores(AbsentClass::Zero, rows(), &[2]).harmonic.iou, Some(0.0));
}

fn numpy() -> Value {
    serde_json::from_str(include_str!("numpy.json")).unwrap()
}

#[test]
fn scores_are_those_of_numpy() {
    let wanted = numpy();
    let part = |value: &Value| -> Vec<u16> { serde_json::from_value(value.clone()).unwrap() };
    let row = |picture: &Value| Row {
        truth: part(&picture[0]),
        found: part(&picture[1]),
        confidences: part(&picture[2]),
    };
    let rows: Vec<Row> = wanted["pictures"].as_array().unwrap().iter().map(row).collect();
    let setup = setup(5, &[3, 4], ours());
    let evaluation = evaluated(&setup, &mut Known::new(5, rows), &[0, 1, 2]);
    assert_eq!(serde_json::to_value(rows_of(&evaluation)).unwrap(), wanted["matrix"]);
    let scores = Scores::new(&evaluation.confusion(), &setup.subject, ours().absent_class.into());
    let number = |value: &Value| value.as_f64().unwrap();
    let check = |found: &Means, wanted: &Value| {
        assert_near(found.pixel_accuracy, number(&wanted["pixel_accuracy"]), 1e-12);
        assert_near(found.mean_accuracy, number(&wanted["mean_accuracy"]), 1e-12);
        assert_near(found.mean_iou, number(&wanted["mean_iou"]), 1e-12);
        assert_near(found.frequency_weighted_iou, number(&wanted["frequency_weighted_iou"]), 1e-12);
    };
    check(&scores.seen, &wanted["seen"]);
    check(&scores.unseen, &wanted["unseen"]);
    check(&scores.all, &wanted["all"]);
    let harmonic = &wanted["harmonic"];
    assert_near(scores.harmonic.iou, number(&harmonic["iou"]), 1e-12);
    assert_near(scores.harmonic.pixel_accuracy, number(&harmonic["pixel_accuracy"]), 1e-12);
    assert_near(scores.harmonic.mean_accuracy, number(&harmonic["mean_accuracy"]), 1e-12);
    let [_, _, all] = evaluation.reliability();
    assert_near(all.calibration_error(), number(&wanted["calibration_error"]), 1e-12);
}

/// The identity of methods.md 1.2: the mean over all classes is that of the subsets by size.
#[test]
fn subset_means_add_up() {
    let rows = vec![Row::new(&[0, 1, 2, 2, 1, 0, 0], &[0, 2, 2, 1, 1, 1, 0])];
    let found = scores(AbsentClass::Nan, rows, &[2]);
    let (seen, unseen) = (found.seen.mean_iou.unwrap(), found.unseen.mean_iou.unwrap());
    assert!((seen - unseen).abs() > 0.05);
    assert_near(found.all.mean_iou, (2.0 * seen + unseen) / 3.0, 1e-15);
}

#[test]
fn confidences_that_mean_what_they_say_have_no_error() {
    let (mut good, mut bold) = (Reliability::default(), Reliability::default());
    // 1,000 pixels each at 5 %, 15 % and so on, as many of them right as they say.
    for per_mille in (50..1_000).step_by(100) {
        let confidence = (per_mille * 65_535 + 500) / 1_000;
        for pixel in 0..1_000 {
            let is_correct = pixel < per_mille;
            good.add(confidence as u16, is_correct);
            bold.add(u16::MAX, is_correct);
        }
    }
    assert!(good.calibration_error().unwrap() < 1e-4);
    assert_near(bold.calibration_error(), 0.5, 1e-3);
    assert_eq!(bold.bins[14].pixels, 10_000);
    assert_eq!(Reliability::default().calibration_error(), None);
}

#[test]
fn bins_begin_at_fifteenths() {
    let mut found = Reliability::default();
    for confidence in [0, 4_368, 4_369, 61_165, 61_166, 65_535] {
        found.add(confidence, true);
    }
    let pixels: Vec<u64> = found.bins.iter().map(|bin| bin.pixels).collect();
    assert_eq!(pixels, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
}

#[test]
fn protocols_say_what_competes() {
    let list = ClassList::new(&["background", "cat", "cow"]).unwrap();
    let roles = Roles::with_unseen(&list, &["cow"]).unwrap();
    let scored = |protocol: &Protocol| -> Vec<Scored> {
        let subject = Subject::new(&list, &roles, protocol).unwrap();
        (0..3).map(|class| subject.scored(class)).collect()
    };
    assert_eq!(scored(&ours()), [Scored::Seen, Scored::Seen, Scored::Unseen]);
    let spnet = Protocol::named("spnet").unwrap();
    assert_eq!(scored(&spnet), [Scored::No, Scored::Seen, Scored::Unseen]);
    let novel = Protocol { set: ClassSet::NovelOnly, ..ours() };
    assert_eq!(scored(&novel), [Scored::No, Scored::No, Scored::Unseen]);
}

/// A class that is not scored is void where it is true, and a miss where it is found.
#[test]
fn classes_outside_are_void() {
    let mut setup = setup(3, &[2], ours());
    setup.subject.leave_out(0);
    let rows = vec![Row::new(&[0, 0, 1, 1, 2], &[1, 0, 1, 0, 2])];
    let evaluation = evaluated(&setup, &mut Known::new(3, rows), &[0]);
    assert_eq!(rows_of(&evaluation), [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]);
    let [seen, unseen, _] = evaluation.reliability();
    let pixels = |found: &Reliability| found.bins.iter().map(|bin| bin.pixels).sum::<u64>();
    assert_eq!((pixels(&seen), pixels(&unseen)), (1, 1));
}

#[test]
fn presets_are_those_of_the_papers() {
    let named = |name| Protocol::named(name).unwrap();
    assert_eq!(named("zs3").absent_class, AbsentClass::Zero);
    assert_eq!(named("zs3").background, Background::Class0Seen);
    assert_eq!(named("zs3").resolution, Resolution::ShortSide(513));
    for name in ["spnet", "strict"] {
        assert_eq!(named(name).background, Background::Ignored);
        assert_eq!(named(name).resolution, Resolution::Warp(513));
        assert_eq!(named(name).absent_class, AbsentClass::Nan);
    }
    assert!(named("sazs").few_shot && named("ours").resolution == Resolution::Native);
    for name in Protocol::names() {
        assert_eq!((named(name).name.as_str(), named(name).drop_last), (name, 0));
    }
    let strict = Protocol { drop_last: 10, ..named("strict") };
    assert_eq!((strict.pictures(1_449), ours().pictures(1_449)), (1_440, 1_449));
}

#[test]
fn every_switch_is_named() {
    let text = toml::to_string(&ours()).unwrap();
    assert_eq!(Protocol::parse(&text).unwrap(), ours());
    for line in text.lines() {
        let less: String =
            text.lines().filter(|other| *other != line).map(|l| format!("{l}\n")).collect();
        assert!(Protocol::parse(&less).is_err(), "{line}");
    }
    assert!(Protocol::parse(&format!("{text}\nmore = 1\n")).is_err());
    let side = text.replace("\"native\"", "{ warp = 0 }");
    assert!(Protocol::parse(&side).unwrap_err().to_string().contains("side of 0"));
    assert!(Protocol::named("voc").unwrap_err().to_string().contains("strict"));
}

#[test]
fn sizes_follow_the_protocol() {
    assert_eq!(Resolution::ShortSide(513).size((500, 375)), Some((684, 513)));
    assert_eq!(Resolution::ShortSide(513).size((375, 500)), Some((513, 684)));
    assert_eq!(Resolution::Warp(513).size((500, 375)), Some((513, 513)));
    assert_eq!(Resolution::Native.size((7, 5)), Some((7, 5)));
    assert_eq!(Resolution::Frame.size((7, 5)), None);
}

/// Two pictures show class 2. By hand, void masked: foreground 2 of 4 and 1 of 1 pixels, so 3 / 5;
/// background 1 of 3 and 2 of 2, so 3 / 5 as well. Void counted as wrong: one more in the
/// foreground's union and one more in the background's.
#[test]
fn few_shot_scores_count_one_class_against_the_rest() {
    let rows = vec![
        Row::new(&[2, 2, 2, 0, 0, VOID], &[2, 2, 1, 0, 2, 2]),
        Row::new(&[2, 1, 0, VOID], &[2, 0, 1, 0]),
        Row::new(&[0, 1], &[2, 2]),
    ];
    let score = |void| {
        let protocol = Protocol { void, few_shot: true, ..ours() };
        let setup = setup(3, &[2], protocol);
        few_shot(&evaluated(&setup, &mut Known::new(3, rows.clone()), &[0, 1, 2]))
    };
    let masked = score(Void::Masked);
    assert_near(masked.mean_iou, 3.0 / 5.0, 1e-15);
    assert_near(masked.fb_iou, 0.6, 1e-15);
    let wrong = score(Void::AlwaysWrong);
    assert_near(wrong.mean_iou, 0.5, 1e-15);
    assert_near(wrong.fb_iou, 0.5, 1e-15);
}

#[test]
fn an_oracle_takes_the_mask_that_overlaps_the_truth_most() {
    let truth = [Some(true), Some(true), Some(false), None];
    let found = [true, false, true, true];
    let exact = [true, true, false, true];
    let near = [true, true, true, false];
    // Void ignored, and void as wrong where it was found.
    for (void, plain, oracle) in
        [(Void::Masked, 1.0 / 3.0, 1.0), (Void::AlwaysWrong, 0.25, 2.0 / 3.0)]
    {
        let foreground = |segments: Option<&[&[bool]]>| {
            let mut episodes = Episodes::new(void);
            match segments {
                None => episodes.add(3, &truth, &found),
                Some(segments) => {
                    episodes.add_with_oracle(3, &truth, &found, segments).unwrap();
                }
            }
            let scores = episodes.scores(|class| class.to_string());
            assert_eq!(scores.classes[0].0, "3");
            scores.mean_iou.unwrap()
        };
        assert!((foreground(None) - plain).abs() < 1e-12);
        assert!((foreground(Some(&[])) - plain).abs() < 1e-12, "nothing else to choose from");
        assert!((foreground(Some(&[&near, &exact])) - oracle).abs() < 1e-12);
    }
    let mut episodes = Episodes::new(Void::Masked);
    assert!(episodes.add_with_oracle(3, &truth, &found, &[&exact[..3]]).is_err());
    assert!(episodes.scores(|class| class.to_string()).classes.is_empty(), "nothing counted");
    // Both sides: of the four cells that are not void the background is found nowhere.
    episodes.add(3, &truth, &found);
    assert!((episodes.scores(|_| String::new()).fb_iou.unwrap() - 1.0 / 6.0).abs() < 1e-12);
}
