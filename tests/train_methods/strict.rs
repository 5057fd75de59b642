//! STRICT: views, their agreement, and rounds.

use crate::altered::swapped;
use crate::scores::{World, accuracy, assert_resumes, reason, same, states};
use crate::support::{CHANNELS, DIM, Synthetic, engine, normal};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use zsseg::train::data::{Label, LabelMap};
use zsseg::train::engine::{Adam, Engine, Matrix, Product, Targets, poly_rate};
use zsseg::train::layers::{Linear, Optimiser};
use zsseg::train::methods::strict::{PseudoRules, agreed, completed, pseudo_labels, to_base};
use zsseg::train::methods::{Descent, SpNet, SpNetSettings, Strict, StrictSettings};
use zsseg::train::{Method, Model, Result, State, Task, View, Window, run_method};

const UNSEEN: [&str; 2] = ["cow", "sheep"];
const FLIPPED: View = View { flip: true, ..View::PLAIN };

fn zoomed(left: f32, top: f32, side: f32, flip: bool) -> View {
    View { window: Window { left, top, side }, flip, colour: 0.0 }
}

fn world(views: &[View], noise: f32) -> World {
    World::new(Synthetic::new(10, noise, views, 2), &UNSEEN)
}

fn short() -> StrictSettings {
    let descent = Descent { steps: 100, rate: 0.02, weight_decay: 0.0, ..Descent::default() };
    let spnet = SpNetSettings { descent, batch: 64, ..SpNetSettings::default() };
    let descent = Descent { steps: 20, rate: 0.01, weight_decay: 0.0, ..Descent::default() };
    StrictSettings { spnet, descent, rounds: 1, pictures_per_step: 4, ..StrictSettings::default() }
}

fn strict(task: &Task<'_>, settings: &StrictSettings) -> Result<Model> {
    run_method(&Strict::new(&engine(), task, settings.clone())?)
}

/// Places of whole views, all of which show every cell.
fn places(views: &[&[usize]]) -> Vec<Vec<Option<usize>>> {
    views.iter().map(|view| view.iter().map(|&place| Some(place)).collect()).collect()
}

#[test]
fn g8_the_golden_vector() {
    let agreed = agreed(&places(&[&[0, 1, 1, 0], &[0, 1, 0, 0], &[0, 1, 1, 0]]));
    let labels = [Label::Unlabelled, Label::Unlabelled, Label::Unlabelled, Label::Class(2)];
    let labels = LabelMap::new(4, 1, 5, &labels).unwrap();
    assert_eq!(completed(&labels, &agreed, &[3, 4], false), [3, 4, -1, 2]);
}

#[test]
fn void_gets_no_pseudo_label_unless_asked() {
    let labels = [Label::Void, Label::Unlabelled, Label::Class(0)];
    let labels = LabelMap::new(3, 1, 2, &labels).unwrap();
    let guess = [Some(0), Some(0), Some(0)];
    assert_eq!(completed(&labels, &guess, &[1], false), [-1, 1, 0]);
    assert_eq!(completed(&labels, &guess, &[1], true), [1, 1, 0]);
}

fn views_of_places() -> impl Strategy<Value = Vec<Vec<Option<usize>>>> {
    let first = prop::collection::vec((0usize..3).prop_map(Some), 12);
    let other = prop::collection::vec(prop::option::of(0usize..3), 12);
    (first, prop::collection::vec(other, 1..5)).prop_map(|(first, others)| {
        let mut views = vec![first];
        views.extend(others);
        views
    })
}

proptest! {
    #[test]
    fn a_further_view_can_only_remove(views in views_of_places()) {
        let mut before = agreed(&views[..1]);
        prop_assert_eq!(&before, &views[0]);
        for count in 2..=views.len() {
            let after = agreed(&views[..count]);
            for (cell, (before, after)) in before.iter().zip(&after).enumerate() {
                let found = views[count - 1][cell];
                let differs = found.is_some() && found != *before;
                prop_assert_eq!(*after, if differs { None } else { *before });
            }
            before = after;
        }
    }

    #[test]
    fn stricter_rules_can_only_remove(
        seed in any::<u64>(),
        confidence in 0.0f32..1.0,
        tau in 0.0f32..1.0,
    ) {
        let views = [(normal([20, 3], seed, 0), vec![true; 20])];
        let seen = normal([20, 4], seed, 1);
        let all = PseudoRules { min_confidence: 0.0, tau_seen: 1.0 };
        let all = pseudo_labels(&views, &seen, &all).unwrap();
        let rules = PseudoRules { min_confidence: confidence, tau_seen: tau };
        let kept = pseudo_labels(&views, &seen, &rules).unwrap();
        prop_assert!(all.iter().all(Option::is_some));
        let softmax = |row: &[f32], place: usize| {
            row[place].exp() / row.iter().map(|value| value.exp()).sum::<f32>()
        };
        for cell in 0..20 {
            let unseen = views[0].0.row(cell).unwrap();
            let confident = softmax(unseen, all[cell].unwrap());
            let both = [unseen, seen.row(cell).unwrap()].concat();
            let likely_seen = (3..7).map(|place| softmax(&both, place)).fold(0.0, f32::max);
            let near = (confident - confidence).abs() < 1e-5 || (likely_seen - tau).abs() < 1e-5;
            let keep = confident >= confidence && likely_seen <= tau;
            prop_assert!(near || kept[cell].is_some() == keep);
            prop_assert!(kept[cell].is_none() || kept[cell] == all[cell]);
        }
    }
}

/// What a view shows of a picture that is linear in the place.
fn ramp(grid: [usize; 2], view: &View) -> Matrix<f32> {
    let mut values = Vec::new();
    for row in 0..grid[0] {
        for column in 0..grid[1] {
            let column = if view.flip { grid[1] - 1 - column } else { column };
            let share = |cell: usize, cells: usize| (cell as f32 + 0.5) / cells as f32;
            let x = view.window.left + view.window.side * share(column, grid[1]);
            let y = view.window.top + view.window.side * share(row, grid[0]);
            values.extend([x, y, 3.0 * x - y]);
        }
    }
    Matrix::new([grid[0] * grid[1], 3], values).unwrap()
}

#[test]
fn views_come_back_to_their_place() {
    let grid = [6, 9];
    let plain = ramp(grid, &View::PLAIN);
    let (same, shown) = to_base(&plain, grid, &View::PLAIN).unwrap();
    assert!(same == plain && shown.iter().all(|shown| *shown));
    for view in [
        FLIPPED,
        zoomed(0.0, 0.0, 0.5, false),
        zoomed(0.5, 0.5, 0.5, true),
        zoomed(0.1, 0.3, 0.6, false),
        zoomed(0.2, 0.0, 0.7, true),
    ] {
        let (base, shown) = to_base(&ramp(grid, &view), grid, &view).unwrap();
        let mut count = 0;
        for (cell, shown) in shown.iter().enumerate() {
            let (row, column) = (cell / grid[1], cell % grid[1]);
            let inside = |cell: usize, cells: usize, start: f32| {
                let share = (cell as f32 + 0.5) / cells as f32;
                share >= start - 1e-6 && share <= start + view.window.side + 1e-6
            };
            let wanted =
                inside(column, grid[1], view.window.left) && inside(row, grid[0], view.window.top);
            assert_eq!(*shown, wanted, "{view:?} {cell}");
            // Beside the outermost centres there is no second cell to interpolate with.
            let half = view.window.side / 2.0;
            for (found, want) in base.row(cell).unwrap().iter().zip(plain.row(cell).unwrap()) {
                let want = if *shown { *want } else { 0.0 };
                let most = if *shown { 4.0 * half / grid[0] as f32 } else { 0.0 };
                assert!((found - want).abs() <= most, "{view:?} {cell} {found} {want}");
            }
            count += usize::from(*shown);
        }
        assert!(count > 4);
    }
    assert!(to_base(&plain, [6, 8], &View::PLAIN).is_err());
    assert!(to_base(&plain, grid, &zoomed(0.0, 0.0, 0.0, false)).is_err());
    // Mirroring twice gives the very bits.
    let (once, _) = to_base(&plain, grid, &FLIPPED).unwrap();
    assert!(once != plain && to_base(&once, grid, &FLIPPED).unwrap().0 == plain);
}

/// Plain self-training as it is usually written down, with a step per epoch over all pictures:
/// the teacher's best unseen class on every unlabelled pixel.
fn plain_self_training(task: &Task<'_>, teacher: &State, descent: &Descent) -> [Matrix<f32>; 2] {
    let engine = engine();
    let of = |name: &str| teacher.get(name).unwrap().clone();
    let (mean, deviation) = (of("mean"), of("deviation"));
    let mut student = Linear::of(&engine, &of("layer.weight"), &of("layer.bias")).unwrap();
    let fixed = student.clone();
    let all = Matrix::new([6, DIM], task.embeddings.values().to_vec()).unwrap();
    let unseen = engine.gather_rows(&all, &[4, 5]).unwrap();
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for picture in 0..task.features.pictures().len() {
        let mut x = task.features.rows(picture, 0).unwrap();
        for row in x.rows_mut() {
            for (channel, value) in row.iter_mut().enumerate() {
                *value = (*value - mean.values()[channel]) / deviation.values()[channel];
            }
        }
        let h = fixed.forward(&engine, &x).unwrap();
        let guesses = engine.product(Product::Nt, &h, &unseen, None).unwrap();
        for (label, guess) in task.labels(picture).unwrap().iter().zip(guesses.rows()) {
            labels.push(match label {
                Label::Class(class) => i32::from(class),
                Label::Unlabelled if guess[1] > guess[0] => 5,
                Label::Unlabelled => 4,
                Label::Void => -1,
            });
        }
        rows.extend(x.into_values());
    }
    let x = Matrix::new([labels.len(), CHANNELS], rows).unwrap();
    for step in 0..descent.steps {
        let h = student.forward(&engine, &x).unwrap();
        let logits = engine.product(Product::Nt, &h, &all, None).unwrap();
        let targets = Targets { labels: &labels, class_weights: None, row_weights: None };
        let loss = engine.cross_entropy(&logits, &targets).unwrap();
        let dh = engine.product(Product::Nn, &loss.gradient, &all, None).unwrap();
        let gradients = student.gradients(&engine, &x, &dh).unwrap();
        let rate = poly_rate(descent.rate, step, descent.steps, descent.power);
        let adam = Optimiser::Adam(Adam { rate, ..Adam::default() });
        student.step(&engine, &gradients, &adam).unwrap();
    }
    [student.weight.value().clone(), student.bias.value().clone()]
}

fn distance(one: &Matrix<f32>, other: &Matrix<f32>) -> f32 {
    let pairs = one.values().iter().zip(other.values());
    pairs.map(|(one, other)| (one - other).powi(2)).sum::<f32>().sqrt()
}

#[test]
fn with_one_view_it_is_plain_self_training() {
    // Features of more views change nothing when one is asked for.
    for views in [&[View::PLAIN][..], &[View::PLAIN, FLIPPED]] {
        World { embeddings: crate::support::embeddings(), ..world(views, 0.5) }.with(|task| {
            let settings = StrictSettings {
                views: 1,
                pictures_per_step: 10,
                flip_p: 0.0,
                balance: 0.0,
                spnet: SpNetSettings { normalise: false, ..short().spnet },
                ..short()
            };
            let engine = engine();
            let method = Strict::new(&engine, task, settings.clone()).unwrap();
            let states = states(&method);
            let [weight, bias] = plain_self_training(task, &states[0], &settings.descent);
            // Their order of products is another one.
            for (name, want) in [("layer.weight", weight), ("layer.bias", bias)] {
                let [before, found] = [0, 1].map(|stage| states[stage].get(name).unwrap());
                let moved = distance(before, &want);
                assert!(distance(found, &want) < 1e-4 * moved && moved > 0.1, "{moved}");
            }
        });
    }
}

#[test]
fn a_student_that_learns_nothing_is_spnet() {
    let views = [View::PLAIN, FLIPPED, zoomed(0.0, 0.0, 0.5, false)];
    world(&views, 0.3).with(|task| {
        let mut settings = short();
        settings.descent.rate = 0.0;
        let found = strict(task, &settings).unwrap();
        let spnet = run_method(&SpNet::new(&engine(), task, settings.spnet.clone()).unwrap());
        assert!(same(&found, &spnet.unwrap()));
        assert!(!same(&found, &strict(task, &short()).unwrap()));
    });
}

#[test]
fn self_training_adds_to_spnet() {
    let views = [View::PLAIN, FLIPPED, zoomed(0.0, 0.0, 0.5, false), zoomed(0.3, 0.2, 0.6, true)];
    world(&views, 0.3).with(|task| {
        let settings = short();
        let spnet = run_method(&SpNet::new(&engine(), task, settings.spnet.clone()).unwrap());
        let before = accuracy(&spnet.unwrap(), task.features, &[4, 5]);
        let model = strict(task, &settings).unwrap();
        let after = accuracy(&model, task.features, &[4, 5]);
        let seen = accuracy(&model, task.features, &[0, 1, 2, 3]);
        println!("unseen {before:.3} before, {after:.3} after; seen {seen:.3}");
        assert!(after > before + 0.3, "{before} {after}");
        assert!(seen > 0.9, "{seen}");
    });
}

#[test]
fn fewer_cells_are_guessed_with_more_views() {
    let views = [View::PLAIN, FLIPPED, zoomed(0.0, 0.0, 0.5, false), zoomed(0.3, 0.2, 0.6, true)];
    world(&views, 1.0).with(|task| {
        let engine = engine();
        let guessed = |views: usize| {
            let settings = StrictSettings { views, pictures_per_step: 10, ..short() };
            let method = Strict::new(&engine, task, settings).unwrap();
            let method: &dyn Method = &method;
            let first = states(method);
            let mut stage = method.begin(1, &first[..1]).unwrap();
            let report = stage.step(0).unwrap();
            report.iter().find(|(name, _)| *name == "guessed").unwrap().1
        };
        let shares: Vec<f64> = (1..=4).map(guessed).collect();
        println!("{shares:?}");
        assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]), "{shares:?}");
        assert!(shares[1] < shares[0] && shares[3] < shares[2], "{shares:?}");
    });
}

#[test]
fn unseen_labels_change_nothing() {
    let [one, other] = [false, true].map(|swap| {
        let pictures = Synthetic::new(10, 0.3, &[View::PLAIN, FLIPPED], 2);
        let replace = if swap { swapped } else { |label| label };
        let world = World::relabelled(pictures, &UNSEEN, replace);
        world.with(|task| strict(task, &short()).unwrap())
    });
    assert!(same(&one, &other));
}

#[test]
fn resuming_equals_not_stopping() {
    world(&[View::PLAIN, FLIPPED], 0.3).with(|task| {
        let engine = engine();
        let mut settings = StrictSettings { rounds: 2, pictures_per_step: 3, ..short() };
        settings.spnet.descent.steps = 5;
        settings.descent.steps = 7;
        assert_resumes(&Strict::new(&engine, task, settings).unwrap());
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let wrong: [fn(&mut StrictSettings); 7] = [
        |settings| settings.rounds = 0,
        |settings| settings.pictures_per_step = 0,
        |settings| settings.min_confidence = 1.1,
        |settings| settings.tau_seen = f32::NAN,
        |settings| settings.flip_p = -0.1,
        |settings| settings.balance = 2.0,
        |settings| settings.spnet.batch = 0,
    ];
    StrictSettings::default().check().unwrap();
    for change in wrong {
        let mut settings = StrictSettings::default();
        change(&mut settings);
        assert!(settings.check().is_err());
    }
    let plain = [View::PLAIN, View { colour: 0.5, ..View::PLAIN }];
    world(&plain, 0.3).with(|task| {
        let text = reason(strict(task, &short()));
        assert!(text.contains("of 1 only") && text.contains("views = 1"), "{text}");
        let engine = engine();
        let settings = StrictSettings { views: 1, ..short() };
        assert!(Strict::new(&engine, task, settings).is_ok());
        let settings = StrictSettings { colour_views: true, ..short() };
        assert!(Strict::new(&engine, task, settings).is_ok());
        let settings = StrictSettings { views: 2, ..short() };
        assert!(Strict::new(&engine, task, settings).is_err());
    });
    let world = World::new(Synthetic::new(10, 0.3, &[View::PLAIN, FLIPPED], 2), &[]);
    world.with(|task| assert!(reason(strict(task, &short())).contains("unseen")));
}

#[test]
fn presets_can_be_read() {
    let own: StrictSettings =
        toml::from_str(include_str!("../../src/train/presets/strict.toml")).unwrap();
    assert_eq!(own, StrictSettings::default());
    let paper: StrictSettings =
        toml::from_str(include_str!("../../src/train/presets/strict-paper.toml")).unwrap();
    paper.check().unwrap();
    assert!(paper.void_as_unlabelled && paper.flip_p == 0.9 && paper.balance == 0.0);
    assert_eq!((paper.min_confidence, paper.tau_seen), (0.0, 1.0));
}
