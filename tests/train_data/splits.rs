//! The splits of methods.md 1.4, against the numbers that it states.

use std::collections::BTreeSet;
use zsseg::train::data::names::{COCO_80, COCO_STUFF_182, CONTEXT_33, CONTEXT_60, VOC_21};
use zsseg::train::data::{Background, ClassList, DataError, Label, LabelMap, Role, Roles, Split};

use Label::{Class, Unlabelled, Void};

fn list(names: &[&str]) -> ClassList {
    ClassList::new(names).unwrap()
}

fn classes_of(split: &Split) -> ClassList {
    match split.name.as_str() {
        name if name.contains("coco-20i") => list(&COCO_80),
        name if name.contains("cocostuff") => list(&COCO_STUFF_182),
        name if name.contains("cagnet") => list(&CONTEXT_33),
        name if name.contains("context") => list(&CONTEXT_60),
        _ => list(&VOC_21),
    }
}

fn unseen_places(name: &str) -> Vec<usize> {
    let split = Split::named(name).unwrap();
    classes_of(&split).places(&split.unseen).unwrap()
}

#[test]
fn every_split_divides_all_classes_of_its_list() {
    let splits = Split::all();
    let names: BTreeSet<&str> = splits.iter().map(|split| split.name.as_str()).collect();
    assert_eq!((splits.len(), names.len()), (23, 23));
    for split in &splits {
        let parts = [&split.seen, &split.unseen, &split.held_out, &split.absent];
        let mut named: Vec<&str> = parts.into_iter().flatten().copied().collect();
        if split.background != Background::Seen {
            assert!(!named.contains(&"background"), "{}", split.name);
            let classes = classes_of(split);
            named.extend(classes.place("background").map(|_| "background"));
        }
        let different: BTreeSet<&str> = named.iter().copied().collect();
        assert_eq!(different.len(), named.len(), "{}: a class twice", split.name);
        let classes = classes_of(split);
        let all: BTreeSet<&str> = classes.names().iter().map(String::as_str).collect();
        assert_eq!(different, all, "{}", split.name);
        assert!(!split.unseen.is_empty() && !split.seen.is_empty());
    }
}

#[test]
fn unseen_classes_have_the_published_ids() {
    let voc = [10, 14, 1, 18, 8, 20, 19, 5, 9, 16];
    let context = [10, 14, 18, 8, 4, 32, 3, 20, 1, 38];
    for k in [2, 4, 6, 8, 10] {
        assert_eq!(unseen_places(&format!("zs3-voc-{k}")), voc[..k]);
        assert_eq!(unseen_places(&format!("zs3-context-{k}")), context[..k]);
    }
    assert_eq!(unseen_places("spnet-voc"), [16, 17, 18, 19, 20]);
    assert_eq!(unseen_places("spnet-voc-tuning"), [13, 14, 15]);
    let stuff = [20, 24, 32, 33, 40, 56, 86, 99, 105, 123, 144, 147, 148, 168, 171];
    assert_eq!(unseen_places("spnet-cocostuff"), stuff);
    let tuning = [3, 21, 38, 45, 51, 61, 75, 81, 93, 129, 136, 139];
    assert_eq!(unseen_places("spnet-cocostuff-tuning"), tuning);
    for fold in 0..4 {
        let ids: Vec<usize> = (5 * fold + 1..=5 * fold + 5).collect();
        assert_eq!(unseen_places(&format!("pascal-5i-{fold}")), ids);
        let ids: Vec<usize> = (0..20).map(|v| fold + 4 * v).collect();
        assert_eq!(unseen_places(&format!("coco-20i-{fold}")), ids);
    }
    let cagnet = Split::named("cagnet-context").unwrap();
    assert_eq!((cagnet.unseen.len(), cagnet.seen.len()), (4, 29));
}

#[test]
fn parts_have_the_published_sizes() {
    let sizes = |name| {
        let split = Split::named(name).unwrap();
        [split.seen.len(), split.unseen.len(), split.held_out.len(), split.absent.len()]
    };
    assert_eq!(sizes("spnet-voc"), [15, 5, 0, 0]);
    assert_eq!(sizes("spnet-voc-tuning"), [12, 3, 5, 0]);
    assert_eq!(sizes("spnet-cocostuff"), [156, 15, 0, 11]);
    assert_eq!(sizes("spnet-cocostuff-tuning"), [144, 12, 15, 11]);
    assert_eq!(sizes("zs3-context-10"), [50, 10, 0, 0]);
    let stuff = Split::named("spnet-cocostuff").unwrap();
    let absent = list(&COCO_STUFF_182).places(&stuff.absent).unwrap();
    assert_eq!(absent, [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]);
    let error = Split::named("voc").unwrap_err().to_string();
    assert!(error.contains("zs3-voc-2") && error.contains("coco-20i-3"), "{error}");
}

#[test]
fn roles_follow_names_not_numbers() {
    let mut turned = VOC_21;
    turned.reverse();
    let classes = list(&turned);
    let roles = Split::named("zs3-voc-2").unwrap().roles(&classes).unwrap();
    assert_eq!(roles.places(Role::Unseen), [20 - 14, 20 - 10]);
    assert_eq!(roles.places(Role::Seen).len(), 19);
    let error = Split::named("zs3-context-2").unwrap().roles(&classes).unwrap_err();
    match error {
        DataError::UnknownClasses { names } => assert_eq!((names.len(), &*names[0]), (40, "table")),
        other => panic!("{other}"),
    }
}

#[test]
fn unseen_pixels_are_hidden_from_training_only() {
    let classes = list(&VOC_21);
    let roles = Split::named("spnet-voc-tuning").unwrap().roles(&classes).unwrap();
    let labels = [Class(0), Class(12), Class(13), Class(16), Void, Unlabelled];
    let map = LabelMap::new(6, 1, 21, &labels).unwrap();
    let found = |map: LabelMap| map.iter().collect::<Vec<_>>();
    let training = found(roles.for_training(&map).unwrap());
    assert_eq!(training, [Void, Class(12), Unlabelled, Unlabelled, Void, Unlabelled]);
    let scored = found(roles.for_evaluation(&map).unwrap());
    assert_eq!(scored, [Void, Class(12), Class(13), Void, Void, Unlabelled]);
    assert!(roles.shows_unseen(&map));
    assert!(!roles.shows_unseen(&roles.for_training(&map).unwrap()));
    let other = LabelMap::new(1, 1, 20, &[Void]).unwrap();
    assert!(roles.for_training(&other).is_err() && roles.for_evaluation(&other).is_err());
}

#[test]
fn own_splits_name_what_they_hide() {
    let classes = list(&VOC_21);
    let roles = Roles::with_unseen(&classes, &["sofa", "cow"]).unwrap();
    assert_eq!(roles.places(Role::Unseen), [10, 18]);
    assert_eq!((roles.places(Role::Seen).len(), roles.as_slice().len()), (19, 21));
    let error = Roles::with_unseen(&classes, &["cow", "Cow", "yak"]).unwrap_err().to_string();
    assert!(error.ends_with("Cow, yak"), "{error}");
    assert!(Roles::with_unseen(&list(&["a"]), &["a"]).is_err());
}
