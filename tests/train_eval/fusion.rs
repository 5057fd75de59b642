//! Masks fused with segments: against the device, and against the rules written once more.

use super::external::{Mask, Model as Bundled, Random, with_segmenter};
use super::support::ours;
use std::num::NonZeroUsize;
use std::ops::Range;
use zsseg::limits::{AffinityShape, Limits};
use zsseg::map::{Layout, Map};
use zsseg::segmenter::{Frame, FusionSettings, Source};
use zsseg::spec::{Anchor, Decision, Fit, Stacking};
use zsseg::spectral::Fusion;
use zsseg::train::data::{ClassList, Label, LabelMap, Roles};
use zsseg::train::engine::{CpuEngine, Matrix};
use zsseg::train::eval::{
    AffinityTap, Found, Fused, Fusing, FusionPlan, Measured, ModelPredictor, Predictor, Resolution,
    Space, measure_fused, measure_model, near_borders,
};
use zsseg::train::{Error, Features, Head, HeadForm, Model, Pictures, Result, Tap, View};

const GRID: [usize; 2] = [8, 10];
/// Eight pixels to a cell.
const FRAME: [usize; 2] = [64, 80];
const CLASSES: usize = 3;
const RULES: [Fusion; 3] =
    [Fusion::Select { threshold: 0.5 }, Fusion::Vote { agreement: 0.6 }, Fusion::Soft { mix: 0.9 }];

/// Pictures of a thing left and another right, whose logits are noisy; the first tap gives the
/// logits, the second shows the things exactly.
struct Scenes {
    names: Vec<String>,
    taps: Vec<Tap>,
    views: [View; 1],
    logits: Vec<Matrix<f32>>,
    affinity: Vec<Matrix<f32>>,
    labels: Vec<LabelMap>,
    /// Rows that show the pictures.
    rows: Range<u32>,
}

impl Scenes {
    fn new(count: usize, rows: Range<u32>) -> Scenes {
        let tap = |name: &str, channels| Tap {
            name: name.to_string(),
            height: GRID[0],
            width: GRID[1],
            channels,
        };
        let lefts: Vec<Vec<bool>> = (0..count).map(left_of).collect();
        Scenes {
            names: (0..count).map(|at| format!("scene {at}")).collect(),
            taps: vec![tap("logits", CLASSES), tap("affinity", 2)],
            views: [View::PLAIN],
            logits: lefts.iter().zip(1..).map(|(left, seed)| noisy(left, seed)).collect(),
            affinity: lefts.iter().map(|left| exact(left)).collect(),
            labels: lefts.iter().map(|left| truth_of(left, &rows)).collect(),
            rows,
        }
    }
}

/// Whether each cell shows the left thing.
fn left_of(picture: usize) -> Vec<bool> {
    (0..GRID[0] * GRID[1]).map(|cell| cell % GRID[1] < 4 + picture % 2).collect()
}

/// Class 0 left and class 1 right, but for one cell in four, where it is the other, or class 2.
fn noisy(left: &[bool], seed: u64) -> Matrix<f32> {
    let mut random = Random(seed);
    let mut logits = Matrix::zeros([left.len(), CLASSES]).unwrap();
    for (row, &left) in logits.rows_mut().zip(left) {
        let class = match random.below(4) {
            0 => [usize::from(left), 2][random.below(2)],
            _ => usize::from(!left),
        };
        row.iter_mut().for_each(|logit| *logit = random.next() * 0.237);
        row[class] += 2.0;
    }
    logits
}

fn exact(left: &[bool]) -> Matrix<f32> {
    let rows = left.iter().flat_map(|&left| if left { [1.0, 0.1] } else { [0.1, 1.0] });
    Matrix::new([left.len(), 2], rows.collect()).unwrap()
}

fn truth_of(left: &[bool], rows: &Range<u32>) -> LabelMap {
    let label = |pixel: usize| {
        let (y, x) = (pixel / FRAME[1], pixel % FRAME[1]);
        match rows.contains(&(y as u32)) {
            true => Label::Class(u16::from(!left[y / 8 * GRID[1] + x / 8])),
            false => Label::Void,
        }
    };
    let labels: Vec<Label> = (0..FRAME[0] * FRAME[1]).map(label).collect();
    LabelMap::new(FRAME[1] as u32, FRAME[0] as u32, CLASSES, &labels).unwrap()
}

impl Pictures for Scenes {
    fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, picture: usize) -> &str {
        &self.names[picture]
    }

    fn frame(&self) -> [usize; 2] {
        FRAME
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn views(&self) -> &[View] {
        &self.views
    }

    fn tap(&self, picture: usize, _: usize, tap: usize) -> Result<Matrix<f32>> {
        Ok([&self.logits, &self.affinity][tap][picture].clone())
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        Ok(self.labels[picture].clone())
    }

    fn shown(&self, _: usize) -> Result<[Range<u32>; 2]> {
        Ok([self.rows.clone(), 0..FRAME[1] as u32])
    }
}

impl Features for Scenes {
    fn grid(&self) -> [usize; 2] {
        GRID
    }

    fn channels(&self) -> usize {
        CLASSES
    }

    fn pictures(&self) -> &dyn Pictures {
        self
    }

    fn rows(&self, picture: usize, view: usize) -> Result<Matrix<f32>> {
        self.tap(picture, view, 0)
    }
}

fn engine() -> CpuEngine {
    CpuEngine::new(NonZeroUsize::MIN)
}

/// Features of the first tap are the logits; the last class is unseen.
fn model(decision: Decision) -> Model {
    let mut weights = Matrix::zeros([CLASSES, CLASSES]).unwrap();
    (0..CLASSES).for_each(|class| weights.row_mut(class).unwrap()[class] = 1.0);
    let bias = Matrix::zeros([1, CLASSES]).unwrap();
    Model {
        classes: (0..CLASSES).collect(),
        seen: vec![true, true, false],
        head: Head { form: HeadForm::Linear, weights, bias },
        decoder: None,
        alignment: None,
        decision,
        projection: None,
        generator: None,
        statistics: None,
    }
}

fn with_fusing<T>(
    scenes: &Scenes,
    model: &Model,
    work: impl FnOnce(&mut ModelPredictor<'_>) -> T,
) -> T {
    let tap = Some(AffinityTap { pictures: scenes, tap: 1 });
    let mut memory = Fusing::memory(scenes, tap, CLASSES).unwrap();
    let fusing = Fusing::new(scenes, tap, CLASSES, &mut memory).unwrap();
    let plain = ModelPredictor::new(model, scenes, Resolution::Frame, |_| true, engine()).unwrap();
    assert_eq!(plain.class_count(), CLASSES);
    work(&mut plain.with_fusing(fusing))
}

fn labels_of(
    predictor: &mut ModelPredictor<'_>,
    picture: usize,
    fusion: Option<FusionSettings>,
) -> Vec<u16> {
    predictor.set_fusion(fusion).unwrap();
    predictor.look(picture).unwrap();
    let mut found = Found::default();
    predictor.decide(None, &mut found).unwrap();
    found.labels
}

/// A frame as wide as the network's input and half as high lies in its middle rows, pixel on
/// pixel: there a device has to write what the predictor finds.
#[test]
fn stored_features_are_fused_as_on_a_device() {
    let decision = Decision { stacking: Stacking::Logits(0.5), ..Decision::PLAIN };
    let (scenes, model) = (Scenes::new(2, 16..48), model(decision));
    let bundled = Bundled {
        fit: Fit::Letterbox(Anchor::Center),
        layout: Layout::Hwc,
        seen: model.seen.clone(),
        decision,
        ..Bundled::of_logits(CLASSES, (GRID[0], GRID[1]))
    };
    let affinity = AffinityShape { height: GRID[0], width: GRID[1], channels: 2 };
    let limits = Limits { fusion: true, affinity: Some(affinity), ..Limits::for_frames(80, 32) };
    with_segmenter(&bundled.bundle(), &limits, |segmenter| {
        with_fusing(&scenes, &model, |predictor| {
            let mut plain = Vec::new();
            for (picture, segments) in [(0, 1), (1, 1), (1, 3), (0, 5)] {
                for fusion in [None, Some(RULES[0]), Some(RULES[1]), Some(RULES[2])] {
                    let fusion = fusion.map(|fusion| FusionSettings { fusion, segments });
                    segmenter.set_fusion(fusion).unwrap();
                    let map = bundled.map(scenes.logits[picture].values());
                    let keys = scenes.affinity[picture].values();
                    let keys = Map::new(keys, GRID[0], GRID[1], 2, Layout::Hwc).unwrap();
                    let source = Source::Features { map: &map, width: 80, height: 32 };
                    let frame = Frame { source, affinity: Some(&keys) };
                    let mut mask = Mask::new(80 * 32);
                    let mut output = mask.output(80);
                    segmenter.begin(&frame, &output).unwrap();
                    segmenter.step(&frame, &mut output, u32::MAX).unwrap();
                    let found = labels_of(predictor, picture, fusion);
                    let found = &found[16 * 80..48 * 80];
                    let pairs = found.iter().zip(&mask.labels);
                    let others = pairs.filter(|(found, wanted)| found != wanted).count();
                    assert_eq!(others, 0, "pixels of {picture} by {fusion:?}");
                    match fusion {
                        None => plain = mask.labels,
                        Some(_) => assert_ne!(mask.labels, plain, "{fusion:?} changes nothing"),
                    }
                }
            }
        });
    });
}

/// Each rule written once more for two regions that are known, on logits a pixel each.
fn reference(logits: &Matrix<f32>, left: &[bool], rule: Fusion) -> Vec<usize> {
    let best = |row: &[f32]| (0..CLASSES).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    let labels: Vec<usize> = logits.rows().map(best).collect();
    let side = |wanted: bool| (0..left.len()).filter(move |cell| left[*cell] == wanted);
    let of_side = |wanted: bool, class| side(wanted).filter(|cell| labels[*cell] == class).count();
    let winner = |wanted| (0..CLASSES).max_by_key(|class| of_side(wanted, *class)).unwrap();
    match rule {
        Fusion::Vote { agreement } => {
            let of_cell = |cell: usize| {
                let votes = of_side(left[cell], winner(left[cell]));
                let enough = votes as f32 >= agreement * side(left[cell]).count() as f32;
                if enough { winner(left[cell]) } else { labels[cell] }
            };
            (0..left.len()).map(of_cell).collect()
        }
        Fusion::Soft { mix } => {
            let of_cell = |cell: usize| {
                let members: Vec<&[f32]> =
                    side(left[cell]).map(|cell| logits.row(cell).unwrap()).collect();
                let row = |class: usize| {
                    let sum: f32 = members.iter().map(|row| row[class]).sum();
                    let own = logits.row(cell).unwrap()[class];
                    (1.0 - mix) * own + mix * sum / members.len() as f32
                };
                best(&(0..CLASSES).map(row).collect::<Vec<f32>>())
            };
            (0..left.len()).map(of_cell).collect()
        }
        // Classes 0 and 1 overlap their sides by more than half, class 2 overlaps none: where it
        // competes, its few cells have the highest mean.
        Fusion::Select { threshold } => {
            let mean = |class: usize, cells: &[usize]| {
                let sum: f32 = cells.iter().map(|c| logits.row(*c).unwrap()[class]).sum();
                sum / cells.len() as f32
            };
            let own = |class| (0..left.len()).filter(|c| labels[*c] == class).collect::<Vec<_>>();
            let shape = |class: usize| {
                let overlap = |wanted| {
                    let shared = of_side(wanted, class);
                    shared as f32 / (side(wanted).count() + own(class).len() - shared) as f32
                };
                let wanted = overlap(true) > overlap(false);
                match overlap(wanted) >= threshold {
                    true => side(wanted).collect(),
                    false => own(class),
                }
            };
            let shapes: Vec<Vec<usize>> = (0..CLASSES).map(shape).collect();
            let of_cell = |cell: usize| {
                let claims = (0..CLASSES).filter(|class| shapes[*class].contains(&cell));
                let means = |class: &usize| mean(*class, &shapes[*class]);
                claims.max_by(|a, b| means(a).total_cmp(&means(b))).unwrap()
            };
            (0..left.len()).map(of_cell).collect()
        }
    }
}

#[test]
fn rules_give_what_they_say() {
    let scenes = Scenes::new(4, 0..64);
    let model = model(Decision::PLAIN);
    with_fusing(&scenes, &model, |predictor| {
        for picture in 0..4 {
            for rule in RULES {
                let fusion = FusionSettings { fusion: rule, segments: 1 };
                let found = labels_of(predictor, picture, Some(fusion));
                let want = reference(&scenes.logits[picture], &left_of(picture), rule);
                // The middle of a cell, where the resize to the frame blends least, lies between
                // two pixels that both have 7/8 of it along an axis.
                let middle = |cell: usize| (cell / 10 * 8 + 4) * 80 + cell % 10 * 8 + 4;
                let middles: Vec<usize> =
                    (0..80).map(|cell| usize::from(found[middle(cell)])).collect();
                assert_eq!(middles, want, "{picture} {rule:?}");
            }
        }
    });
}

fn compared(scenes: &Scenes, rules: &[Fusion], tap: usize, border: u32) -> Result<Fused> {
    let model = model(Decision::PLAIN);
    let tap = Some(AffinityTap { pictures: scenes, tap });
    let plan = FusionPlan { rules, segments: 1, tap, border };
    with_measured(|measured| measure_fused(&model, &One(scenes), measured, &plan, engine()))
}

/// The first tap alone, which heads are trained on.
struct One<'a>(&'a Scenes);

impl Pictures for One<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, picture: usize) -> &str {
        self.0.name(picture)
    }

    fn frame(&self) -> [usize; 2] {
        FRAME
    }

    fn taps(&self) -> &[Tap] {
        &self.0.taps[..1]
    }

    fn views(&self) -> &[View] {
        self.0.views()
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>> {
        self.0.tap(picture, view, tap)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap> {
        self.0.labels(picture)
    }

    fn shown(&self, picture: usize) -> Result<[Range<u32>; 2]> {
        self.0.shown(picture)
    }
}

fn with_measured<T>(work: impl FnOnce(&Measured<'_>) -> T) -> T {
    let classes = ClassList::new(&["left", "right", "other"]).unwrap();
    let roles = Roles::with_unseen(&classes, &["other"]).unwrap();
    let (name, grid, space) = ("made up", GRID, Space::Logits);
    let protocol = &ours();
    let (classes, roles) = (&classes, &roles);
    work(&Measured { name, grid, classes, roles, protocol, space, gammas: &[] })
}

#[test]
fn all_rules_are_measured_at_once() {
    let scenes = Scenes::new(4, 16..48);
    let fused = compared(&scenes, &RULES, 1, 4).unwrap();
    let names: Vec<&str> = fused.rules.iter().map(|found| found.rule.as_str()).collect();
    assert_eq!(names, ["none", "select=0.5", "vote=0.6", "soft=0.9"]);
    let model = model(Decision::PLAIN);
    let plain = with_measured(|it| measure_model(&model, &One(&scenes), it, engine())).unwrap();
    let confusion = plain.confusion();
    let pixels: Vec<u64> = fused.rules[0].scores.classes.iter().map(|class| class.found).collect();
    assert_eq!(pixels, (0..CLASSES).map(|class| confusion.found(class)).collect::<Vec<_>>());
    let near = |at: usize| fused.rules[at].near_borders.as_ref().unwrap();
    // Columns at most 4 from the two at the border, in 32 rows of 4 pictures.
    assert!(fused.rules.iter().enumerate().all(|(at, _)| near(at).all.pixels == 10 * 32 * 4));
    let whole = |at: usize| fused.rules[at].scores.seen.mean_iou.unwrap();
    let edge = |at: usize| near(at).seen.mean_iou.unwrap();
    for rule in 1..4 {
        let (gained, near) = (whole(rule) - whole(0), edge(rule) - edge(0));
        assert!(gained > 0.1 && near > 0.1, "{rule}: {gained} {near}");
    }
    // Between cells of other margins the resize moves the border by a pixel here and there.
    assert!(whole(2) > 0.99 && edge(2) > 0.97, "{} {}", whole(2), edge(2));
    let (own, chosen) = (fused.oracle.own.seen.unwrap(), fused.oracle.chosen.seen.unwrap());
    assert!(own < 0.75, "{own}");
    // The segment is one of both things; that of the other keeps the model's mask.
    assert!(chosen > own + 0.1 && chosen < 1.0, "{chosen}");
    assert_eq!(compared(&scenes, &RULES, 1, 0).unwrap().rules[1].near_borders, None);
}

#[test]
fn what_does_not_fit_is_told() {
    let (scenes, other) = (Scenes::new(2, 0..64), Scenes::new(3, 0..64));
    let refused = |tap: Option<AffinityTap<'_>>| match Fusing::memory(&scenes, tap, CLASSES) {
        Err(Error::Config { reason }) => reason,
        found => panic!("{found:?}"),
    };
    let tap = |pictures, tap| Some(AffinityTap { pictures, tap });
    assert!(refused(tap(&other, 1)).contains("other pictures"), "another number");
    let mut renamed = Scenes::new(2, 0..64);
    renamed.names[1] = "another".into();
    assert!(refused(tap(&renamed, 1)).contains("other pictures"));
    assert!(refused(tap(&scenes, 2)).contains("tap 2 of 2"));
    let wide = [Fusion::Soft { mix: 1.5 }];
    assert!(matches!(compared(&scenes, &wide, 1, 0), Err(Error::Compute(_))));

    let model = model(Decision::PLAIN);
    let mut plain =
        ModelPredictor::new(&model, &scenes, Resolution::Frame, |_| true, engine()).unwrap();
    assert!(plain.set_fusion(Some(FusionSettings::of(RULES[0]))).is_err());
    with_fusing(&scenes, &model, |predictor| {
        let six = FusionSettings { fusion: RULES[0], segments: 6 };
        predictor.set_fusion(Some(six)).unwrap();
        assert!(matches!(predictor.look(0), Err(Error::Compute(_))));
        assert!(predictor.decide(None, &mut Found::default()).is_err(), "nothing was looked at");
        assert!(!labels_of(predictor, 0, Some(FusionSettings::of(RULES[1]))).is_empty());
    });
}

#[test]
fn pixels_near_borders_are_those_of_the_definition() {
    let (width, height, shown) = (19, 13, [2..12u32, 0..17u32]);
    let mut random = Random(8);
    let mut labels = vec![Label::Class(0); width * height];
    for _ in 0..3 {
        let (x, y) = (random.below(12), random.below(8));
        let label = [Label::Class(1), Label::Void][random.below(2)];
        for at in 0..9 {
            labels[(y + at / 3) * width + x + at % 3] = label;
        }
    }
    let map = LabelMap::new(width as u32, height as u32, 2, &labels).unwrap();
    let is_shown =
        |x: usize, y: usize| shown[0].contains(&(y as u32)) && shown[1].contains(&(x as u32));
    let is_border = |x: usize, y: usize| {
        let beside = [(x + 1, y), (x.wrapping_sub(1), y), (x, y + 1), (x, y.wrapping_sub(1))];
        let mut beside = beside.into_iter().filter(|(x, y)| is_shown(*x, *y));
        is_shown(x, y) && beside.any(|(u, v)| labels[v * width + u] != labels[y * width + x])
    };
    for reach in [0, 1, 3] {
        let near: Vec<Label> = near_borders(&map, &shown, reach).unwrap().iter().collect();
        for at in 0..width * height {
            let (x, y) = (at % width, at / width);
            let close = |u: usize, v: usize| {
                u.abs_diff(x).max(v.abs_diff(y)) <= reach as usize && is_border(u, v)
            };
            let is_near = (0..width * height).any(|other| close(other % width, other / width));
            assert_eq!(near[at], if is_near { labels[at] } else { Label::Void }, "{x} {y}");
        }
    }
}
