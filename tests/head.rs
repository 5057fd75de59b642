//! The decoder against a plain statement of what it computes: classify, interpolate vertically,
//! interpolate horizontally, take the best.

#[path = "common/external.rs"]
mod external;
#[path = "head/kinds.rs"]
mod kinds;
#[path = "head/rows.rs"]
mod rows;

use half::f16;
use proptest::prelude::*;
use zerocopy::FromBytes;
use zerocopy::little_endian::{F32, U16};
use zsseg::arena::{AlignedBytes, Arena};
use zsseg::head::{ActiveClass, Decoder, Grid, Linear, Output, Placements, UNLABELED_U8};
use zsseg::limits::Limits;
use zsseg::map::{Layout, Map};
use zsseg::math::kernels::Kernels;
use zsseg::math::resample::Placement;
use zsseg::spec::{Decision, Head, HeadKind, WeightType, Weights};
use zsseg::status::Status;

struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        ((self.0 >> 40) as f32 / 16_777_216.0 - 0.5) * 8.0
    }

    fn take(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next()).collect()
    }
}

/// A model and the network's output for one frame, planar.
struct Scene {
    head: Head,
    grid: Grid,
    output: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    class_bias: Vec<f32>,
}

impl Scene {
    fn new(classes: usize, channels: Option<usize>, grid: Grid, align_corners: bool) -> Scene {
        let mut random = Random((classes * 31 + grid.width * 7 + grid.height) as u64);
        let width = channels.unwrap_or(classes);
        let kind = match channels {
            Some(_) => HeadKind::Linear(WeightType::F32),
            None => HeadKind::Logits,
        };
        let head = Head {
            kind,
            classes: classes as u32,
            channels: width as u32,
            align_corners,
            confidence_scale: 0.5,
            cosine_scale: 1.0,
        };
        Scene {
            head,
            grid,
            output: random.take(width * grid.width * grid.height),
            weights: random.take(classes * width),
            bias: random.take(classes),
            class_bias: random.take(classes),
        }
    }

    fn logit(&self, class: usize, y: usize, x: usize) -> f32 {
        let cells = self.grid.width * self.grid.height;
        let at = |channel: usize| self.output[channel * cells + y * self.grid.width + x];
        if self.head.kind == HeadKind::Logits {
            return at(class) + self.class_bias[class];
        }
        let channels = self.head.channels as usize;
        let mut sum = 0.0;
        for channel in 0..channels {
            sum += at(channel) * self.weights[class * channels + channel];
        }
        sum * 1.0 + self.bias[class] + self.class_bias[class]
    }

    /// Label, confidence and margin of one pixel; `None` outside the network's view.
    fn pixel(&self, rows: &Placement, columns: &Placement, y: u32, x: u32) -> Option<(u8, u8, u8)> {
        if !rows.visible().contains(&y) || !columns.visible().contains(&x) {
            return None;
        }
        let align = self.head.align_corners;
        let row = rows.grid_tap(y, self.grid.height as u32, align);
        let column = columns.grid_tap(x, self.grid.width as u32, align);
        let (top, left) = (row.index as usize, column.index as usize);
        let bottom = (top + 1).min(self.grid.height - 1);
        let right = (left + 1).min(self.grid.width - 1);
        let logits: Vec<f32> = (0..self.head.classes as usize)
            .map(|class| {
                let vertical = |x: usize| {
                    let (upper, lower) = (self.logit(class, top, x), self.logit(class, bottom, x));
                    upper + row.fraction * (lower - upper)
                };
                let (a, b) = (vertical(left), vertical(right));
                a + column.fraction * (b - a)
            })
            .collect();
        Some(decide(&logits, self.head.confidence_scale))
    }

    fn run(&self, rows: &Placement, columns: &Placement, layout: Layout) -> [Vec<u8>; 3] {
        let data = match layout {
            Layout::Chw => self.output.clone(),
            Layout::Hwc => interleave(&self.output, self.head.channels as usize),
        };
        let weights = bytes_of(&self.weights);
        let bias = bytes_of(&self.bias);
        let linear = (self.head.kind != HeadKind::Logits).then(|| Linear {
            weights: Weights::F32(<[F32]>::ref_from_bytes(&weights).unwrap()),
            scales: &[],
            bias: <[F32]>::ref_from_bytes(&bias).unwrap(),
        });
        self.run_with(linear, &data, rows, columns, layout)
    }

    fn run_with(
        &self,
        linear: Option<Linear<'_>>,
        data: &[f32],
        rows: &Placement,
        columns: &Placement,
        layout: Layout,
    ) -> [Vec<u8>; 3] {
        let grid = Grid { layout, ..self.grid };
        let limits = Limits::for_frames(columns.frame(), rows.frame());
        let mut counting = Arena::counting();
        self.carve(&mut counting, linear, grid, &limits);
        let mut memory = AlignedBytes::zeros(counting.used_bytes());
        let mut arena = Arena::over(memory.as_mut_slice()).unwrap();
        let mut decoder = self.carve(&mut arena, linear, grid, &limits);
        let (width, height) = (columns.frame() as usize, rows.frame() as usize);
        let channels = self.head.channels as usize;
        let map = Map::new(data, grid.height, grid.width, channels, layout).unwrap();
        let mut planes = [const { Vec::new() }; 3].map(|_: Vec<u8>| vec![77u8; width * height]);
        let [labels, confidence, margin] = &mut planes;
        let mut output = Output::labels_u8(labels, width)
            .with_confidence(confidence, width)
            .with_margin(margin, width);
        decoder.run(&map, Placements { rows, columns }, &mut output).unwrap();
        planes
    }

    fn carve<'a>(
        &self,
        arena: &mut Arena<'a>,
        linear: Option<Linear<'a>>,
        grid: Grid,
        limits: &Limits,
    ) -> Decoder<'a> {
        let kernels = Kernels::detect();
        let mut decoder = Decoder::carve(arena, &self.head, grid, linear, limits, kernels).unwrap();
        let classes = self.class_bias.iter().enumerate();
        let active =
            classes.map(|(label, &bias)| ActiveClass { label: label as u16, bias, seen: true });
        decoder.arrange(active, Decision::PLAIN);
        decoder
    }

    fn check(&self, rows: &Placement, columns: &Placement, layout: Layout) {
        let [labels, confidence, margin] = self.run(rows, columns, layout);
        let width = columns.frame();
        for y in 0..rows.frame() {
            for x in 0..width {
                let at = (y * width + x) as usize;
                let want = self.pixel(rows, columns, y, x).unwrap_or((UNLABELED_U8, 0, 0));
                assert_eq!(labels[at], want.0, "label of ({x}, {y}), {layout:?}");
                assert!(confidence[at].abs_diff(want.1) <= 1, "confidence of ({x}, {y})");
                assert!(margin[at].abs_diff(want.2) <= 1, "margin of ({x}, {y})");
            }
        }
    }
}

fn decide(logits: &[f32], scale: f32) -> (u8, u8, u8) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let best = logits[order[0]];
    let exponential = |logit: f32| f64::from((logit - best) * scale).exp();
    let sum: f64 = logits.iter().map(|&logit| exponential(logit)).sum();
    let second = order.get(1).map_or(0.0, |&class| exponential(logits[class]));
    let to_u8 = |p: f64| (p * 255.0).round() as u8;
    (order[0] as u8, to_u8(1.0 / sum), to_u8((1.0 - second) / sum))
}

fn interleave(planar: &[f32], channels: usize) -> Vec<f32> {
    let cells = planar.len() / channels;
    (0..planar.len()).map(|at| planar[(at % channels) * cells + at / channels]).collect()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn whole(frame: u32, input: u32) -> Placement {
    Placement::new(frame, input, 0, input).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn masks_equal_the_reference(
        classes in 1usize..9,
        channels in proptest::option::of(1usize..20),
        (grid_height, grid_width) in (1usize..9, 1usize..40),
        (height, width) in (1u32..40, 1u32..120),
        align_corners: bool,
        interleaved: bool,
    ) {
        let layout = if interleaved { Layout::Hwc } else { Layout::Chw };
        let grid = Grid { height: grid_height, width: grid_width, layout };
        let scene = Scene::new(classes, channels, grid, align_corners);
        scene.check(&whole(height, 64), &whole(width, 64), layout);
    }

    #[test]
    fn cropped_and_padded_frames_keep_their_place(
        (height, width) in (1u32..40, 1u32..60),
        (content_height, content_width) in (10u32..100, 10u32..100),
        (top, left) in (-5i32..40, -5i32..40),
    ) {
        let grid = Grid { height: 6, width: 6, layout: Layout::Chw };
        let scene = Scene::new(4, None, grid, false);
        let rows = Placement::new(height, content_height, top, 48).unwrap();
        let columns = Placement::new(width, content_width, left, 48).unwrap();
        scene.check(&rows, &columns, Layout::Chw);
    }
}

#[test]
fn stored_types_agree_with_f32_of_the_same_values() {
    let grid = Grid { height: 3, width: 5, layout: Layout::Chw };
    let mut scene = Scene::new(6, Some(19), grid, true);
    let scales: Vec<f32> = (0..6).map(|class| 0.01 * (class + 1) as f32).collect();
    let integers: Vec<i8> = (0..6 * 19).map(|i| ((i * 37) % 255 - 127) as i8).collect();
    let halves: Vec<f16> = scene.weights.iter().map(|&w| f16::from_f32(w)).collect();
    let bias = bytes_of(&scene.bias);
    let bias = <[F32]>::ref_from_bytes(&bias).unwrap();
    let (rows, columns) = (whole(9, 32), whole(50, 32));

    scene.weights = halves.iter().map(|half| half.to_f32()).collect();
    let half_bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let weights = Weights::F16(<[U16]>::ref_from_bytes(&half_bytes).unwrap());
    let linear = Linear { weights, scales: &[], bias };
    let got = scene.run_with(Some(linear), &scene.output, &rows, &columns, Layout::Chw);
    assert_eq!(got, scene.run(&rows, &columns, Layout::Chw));

    scene.weights =
        integers.iter().enumerate().map(|(i, &q)| f32::from(q) * scales[i / 19]).collect();
    let scale_bytes = bytes_of(&scales);
    let scales = <[F32]>::ref_from_bytes(&scale_bytes).unwrap();
    let linear = Linear { weights: Weights::I8(&integers), scales, bias };
    let [labels, confidence, _] =
        scene.run_with(Some(linear), &scene.output, &rows, &columns, Layout::Chw);
    let [want, want_confidence, _] = scene.run(&rows, &columns, Layout::Chw);
    assert_eq!(labels, want);
    let near = confidence.iter().zip(&want_confidence).all(|(a, b)| a.abs_diff(*b) <= 1);
    assert!(near, "confidence differs by more than rounding");
}

#[test]
fn a_map_of_another_shape_is_refused_and_nothing_is_written() {
    let grid = Grid { height: 3, width: 5, layout: Layout::Chw };
    let scene = Scene::new(4, None, grid, false);
    let limits = Limits::for_frames(10, 10);
    let mut memory = AlignedBytes::zeros(1 << 15);
    let mut arena = Arena::over(memory.as_mut_slice()).unwrap();
    let mut decoder = scene.carve(&mut arena, None, grid, &limits);
    let run = |decoder: &mut Decoder<'_>, map: &Map<'_, f32>, width, output: &mut Output<'_>| {
        let (rows, columns) = (whole(10, 32), whole(width, 32));
        decoder.run(map, Placements { rows: &rows, columns: &columns }, output)
    };
    let other = [0.0f32; 4 * 3 * 4];
    let map = Map::new(&other, 3, 4, 4, Layout::Chw).unwrap();
    let mut labels = [9u8; 100];
    let mut output = Output::labels_u8(&mut labels, 10);
    let error = run(&mut decoder, &map, 10, &mut output).unwrap_err();
    assert_eq!(error.status(), Status::ModelShape);
    let map = Map::new(&scene.output, 3, 5, 4, Layout::Chw).unwrap();
    let error = run(&mut decoder, &map, 17, &mut output).unwrap_err();
    assert_eq!(error.status(), Status::FrameSize);
    assert_eq!(labels, [9u8; 100]);
}
