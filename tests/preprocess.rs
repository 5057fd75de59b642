//! The preprocessor against a brute-force reference: two-dimensional, in f64, from the formulas.

#[path = "preprocess/reference.rs"]
mod reference;

use proptest::prelude::*;
use reference::{place, reference};
use zsseg::arena::Arena;
use zsseg::image::{ColorMatrix, ColorRange, Geometry, Image, PixelFormat, Preprocessor, Target};
use zsseg::limits::Limits;
use zsseg::map::Layout;
use zsseg::spec::{Anchor, ChannelOrder, Filter, Fit, Input, InputType, Preprocess, Quantization};
use zsseg::status::{Result, Status};

/// A preprocessor in exactly as much memory as the counting pass said, and its runs.
struct Session {
    bytes: Vec<u8>,
    need: usize,
    input: Input,
    preprocess: Preprocess,
    limits: Limits,
}

impl Session {
    fn new(input: Input, preprocess: Preprocess, limits: Limits) -> Session {
        let mut counting = Arena::counting();
        Preprocessor::carve(&mut counting, &input, &preprocess, &limits).unwrap();
        let need = counting.used_bytes();
        Session { bytes: vec![0xa5; need + 64], need, input, preprocess, limits }
    }

    fn with<R>(&mut self, work: impl FnOnce(Preprocessor<'_>) -> R) -> R {
        let start = self.bytes.as_ptr().align_offset(64);
        let mut arena = Arena::over(&mut self.bytes[start..start + self.need]).unwrap();
        let (input, preprocess, limits) = (&self.input, &self.preprocess, &self.limits);
        let preprocessor = Preprocessor::carve(&mut arena, input, preprocess, limits).unwrap();
        assert_eq!(arena.used_bytes(), self.need);
        work(preprocessor)
    }
}

fn elements(input: &Input) -> usize {
    (3 * input.width * input.height) as usize
}

/// All elements as f64, whatever their type, in planar order.
fn run(preprocessor: &mut Preprocessor<'_>, image: &Image<'_>) -> Result<(Geometry, Vec<f64>)> {
    let input = *preprocessor.input();
    let len = elements(&input);
    let (geometry, values) = match input.element {
        InputType::F32 => {
            let mut out = vec![f32::NAN; len];
            let geometry = preprocessor.run(image, Target::F32(&mut out))?;
            (geometry, out.into_iter().map(f64::from).collect::<Vec<_>>())
        }
        InputType::U8(_) => {
            let mut out = vec![0xa5; len];
            let geometry = preprocessor.run(image, Target::U8(&mut out))?;
            (geometry, out.into_iter().map(f64::from).collect())
        }
        InputType::I8(_) => {
            let mut out = vec![0x5a; len];
            let geometry = preprocessor.run(image, Target::I8(&mut out))?;
            (geometry, out.into_iter().map(f64::from).collect())
        }
    };
    let area = len / 3;
    let planar = |at: usize| match input.layout {
        Layout::Chw => values[at],
        Layout::Hwc => values[(at % area) * 3 + at / area],
    };
    Ok((geometry, (0..len).map(planar).collect()))
}

/// Compares with the reference; `slack` is in 0..255 pixel units.
fn compare(found: &[f64], wanted: &[f64], input: &Input, preprocess: &Preprocess, slack: f64) {
    let area = found.len() / 3;
    for (at, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        let gain = f64::from(preprocess.scale) / f64::from(preprocess.std[at / area]);
        let (wanted, bound) = match input.element {
            InputType::F32 => (wanted, slack * gain),
            InputType::U8(q) | InputType::I8(q) => {
                let low = if matches!(input.element, InputType::U8(_)) { 0.0 } else { -128.0 };
                let level = wanted / f64::from(q.scale) + f64::from(q.zero_point);
                (level.clamp(low, low + 255.0), 0.5 + slack * gain / f64::from(q.scale))
            }
        };
        assert!((found - wanted).abs() <= bound, "element {at}: {found} for {wanted} +- {bound}");
    }
}

fn fits() -> impl Strategy<Value = Fit> {
    let anchor = prop_oneof![Just(Anchor::Center), Just(Anchor::TopLeft)];
    (0..3, 1u32..40, anchor).prop_map(|(kind, size, anchor)| match kind {
        0 => Fit::Stretch,
        1 => Fit::Letterbox(anchor),
        _ => Fit::ShortSide { size, anchor },
    })
}

prop_compose! {
    fn preprocesses()(
        fit in fits(), cubic: bool, antialias: bool, bgr: bool,
        scale in prop_oneof![Just(1.0f32), Just(1.0 / 255.0), Just(0.3)],
        mean in [0.0f32..2.0, 0.0f32..2.0, 0.0f32..2.0],
        std in [0.1f32..2.0, 0.1f32..2.0, 0.1f32..2.0],
        pad in [-9.0f32..300.0, -9.0f32..300.0, -9.0f32..300.0],
    ) -> Preprocess {
        let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
        let order = if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb };
        Preprocess { fit, filter, antialias, order, scale, mean, std, pad }
    }
}

prop_compose! {
    fn inputs()(
        width in 1u32..33, height in 1u32..33, hwc: bool, kind in 0..3,
        scale in 0.004f32..1.0, zero in 0i32..128,
    ) -> Input {
        let layout = if hwc { Layout::Hwc } else { Layout::Chw };
        let quantization = Quantization { scale, zero_point: zero };
        let element = match kind {
            0 => InputType::F32,
            1 => InputType::U8(quantization),
            _ => InputType::I8(Quantization { zero_point: -zero, ..quantization }),
        };
        Input { width, height, layout, element }
    }
}

/// A frame with pseudo-random bytes.
#[derive(Clone, Debug)]
struct Frame {
    format: PixelFormat,
    width: u32,
    height: u32,
    data: Vec<u8>,
    color: (ColorMatrix, ColorRange),
}

impl Frame {
    fn new(format: PixelFormat, width: u32, height: u32, seed: u32) -> Frame {
        let len = (width * height * 4 + 64) as usize;
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        };
        let data = (0..len).map(|_| next()).collect();
        let color = match seed % 4 {
            0 => (ColorMatrix::Bt601, ColorRange::Limited),
            1 => (ColorMatrix::Bt601, ColorRange::Full),
            2 => (ColorMatrix::Bt709, ColorRange::Limited),
            _ => (ColorMatrix::Bt709, ColorRange::Full),
        };
        Frame { format, width, height, data, color }
    }

    fn image(&self) -> Image<'_> {
        let image = Image::packed(self.format, &self.data, self.width, self.height).unwrap();
        image.with_color(self.color.0, self.color.1)
    }
}

prop_compose! {
    fn frames()(
        format in 0usize..10, width in 1u32..50, height in 1u32..50, seed: u32,
    ) -> Frame {
        Frame::new(PixelFormat::ALL[format], width, height, seed)
    }
}

/// Error of f32 sums over pixel values, in pixel units.
const SLACK: f64 = 2e-3;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_the_reference(frame in frames(), preprocess in preprocesses(), input in inputs()) {
        let limits = Limits::for_frames(frame.width + 3, frame.height + 5);
        let mut session = Session::new(input, preprocess, limits);
        let image = frame.image();
        let (geometry, found) = session.with(|mut p| run(&mut p, &image)).unwrap();
        compare(&found, &reference(&image, &input, &preprocess), &input, &preprocess, SLACK);
        let sides = [image.width().into(), image.height().into()];
        let (content, offset) =
            place(preprocess.fit, sides, [input.width.into(), input.height.into()]);
        prop_assert_eq!([geometry.x, geometry.y].map(|p| f64::from(p.content())), content);
        prop_assert_eq!([geometry.x, geometry.y].map(|p| f64::from(p.offset())), offset);
    }

    /// Frames of changing sizes and formats through one preprocessor: nothing of one frame is
    /// left in the next, and every frame within the limits finds enough memory.
    #[test]
    fn a_preprocessor_has_no_memory(
        frames in proptest::collection::vec(frames(), 1..6),
        preprocess in preprocesses(), input in inputs(),
    ) {
        let width = frames.iter().map(|frame| frame.width).max().unwrap();
        let height = frames.iter().map(|frame| frame.height).max().unwrap();
        let limits = Limits::for_frames(width, height);
        let fresh = |frame: &Frame| {
            let mut session = Session::new(input, preprocess, limits);
            session.with(|mut p| run(&mut p, &frame.image())).unwrap()
        };
        let expected: Vec<_> = frames.iter().map(fresh).collect();
        let mut session = Session::new(input, preprocess, limits);
        session.with(|mut p| {
            let twice = frames.iter().zip(&expected).cycle().take(2 * frames.len());
            for (frame, expected) in twice {
                assert_eq!(&run(&mut p, &frame.image()).unwrap(), expected);
            }
        });
    }

    /// The order of the elements in memory changes none of them.
    #[test]
    fn elements_do_not_depend_on_layout(frame in frames(), preprocess in preprocesses()) {
        let input = Input { width: 9, height: 7, layout: Layout::Chw, element: InputType::F32 };
        let limits = Limits::for_frames(50, 50);
        let shown = |input| {
            let mut session = Session::new(input, preprocess, limits);
            session.with(|mut p| run(&mut p, &frame.image())).unwrap().1
        };
        let planar = shown(input);
        prop_assert_eq!(&shown(Input { layout: Layout::Hwc, ..input }), &planar);
    }
}

fn plain(fit: Fit) -> Preprocess {
    Preprocess {
        fit,
        filter: Filter::Bilinear,
        antialias: false,
        order: ChannelOrder::Rgb,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        pad: [0.0; 3],
    }
}

fn float_input(width: u32, height: u32) -> Input {
    Input { width, height, layout: Layout::Chw, element: InputType::F32 }
}

#[test]
fn an_untouched_frame_comes_back_exactly() {
    let frame = Frame::new(PixelFormat::Rgb8, 31, 17, 5);
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        for antialias in [false, true] {
            let preprocess = Preprocess { filter, antialias, ..plain(Fit::Stretch) };
            let limits = Limits::for_frames(31, 17);
            let mut session = Session::new(float_input(31, 17), preprocess, limits);
            let (_, found) = session.with(|mut p| run(&mut p, &frame.image())).unwrap();
            for (at, found) in found.into_iter().enumerate() {
                let (c, pixel) = (at / (31 * 17), at % (31 * 17));
                assert_eq!(found, f64::from(frame.data[3 * pixel + c]));
            }
        }
    }
}

#[test]
fn quantisation_rounds_half_to_even_and_clamps() {
    // Pixel values 0, 1, 2, ... with a step of 2: 0, 0.5, 1, 1.5, 2, 2.5, 3, ...
    let data: Vec<u8> = (0..=255u8).flat_map(|value| [value; 3]).collect();
    let image = Image::rgb8(&data, 256, 1).unwrap();
    let even = |value: u8| (f64::from(value) / 2.0).round_ties_even();
    let quantization = Quantization { scale: 2.0, zero_point: 10 };
    let input = Input { element: InputType::U8(quantization), ..float_input(256, 1) };
    let mut session = Session::new(input, plain(Fit::Stretch), Limits::for_frames(256, 1));
    let (_, found) = session.with(|mut p| run(&mut p, &image)).unwrap();
    for (value, found) in (0..=255u8).zip(&found) {
        assert_eq!(*found, even(value) + 10.0, "pixel {value}");
    }
    let quantization = Quantization { scale: 2.0, zero_point: 60 };
    let input = Input { element: InputType::I8(quantization), ..float_input(256, 1) };
    let shifted = Preprocess { mean: [400.0, 0.0, 0.0], ..plain(Fit::Stretch) };
    let mut session = Session::new(input, shifted, Limits::for_frames(256, 1));
    let (_, found) = session.with(|mut p| run(&mut p, &image)).unwrap();
    for (value, (low, high)) in (0..=255u8).zip(found.iter().zip(&found[256..])) {
        assert_eq!(*low, (even(value) - 200.0 + 60.0).max(-128.0), "pixel {value}");
        assert_eq!(*high, (even(value) + 60.0).min(127.0), "pixel {value}");
    }
}

#[test]
fn extremes_of_scale() {
    let cases = [(1, 1, 64, 48), (1, 1, 1, 1), (700, 3, 2, 5), (3, 900, 40, 1), (2, 1, 1, 300)];
    for (width, height, input_width, input_height) in cases {
        for (filter, antialias) in [
            (Filter::Bilinear, false),
            (Filter::Bilinear, true),
            (Filter::Bicubic, false),
            (Filter::Bicubic, true),
        ] {
            for fit in [Fit::Stretch, Fit::Letterbox(Anchor::Center)] {
                let preprocess = Preprocess { filter, antialias, ..plain(fit) };
                let input = float_input(input_width, input_height);
                let frame = Frame::new(PixelFormat::Nv12, width, height, 99);
                let mut session = Session::new(input, preprocess, Limits::for_frames(700, 900));
                let (_, found) = session.with(|mut p| run(&mut p, &frame.image())).unwrap();
                let wanted = reference(&frame.image(), &input, &preprocess);
                compare(&found, &wanted, &input, &preprocess, SLACK);
            }
        }
    }
}

#[test]
fn bicubic_overshoot_is_clamped() {
    let data: Vec<u8> = [0, 0, 0, 255, 255, 255].into_iter().flat_map(|value| [value; 3]).collect();
    let image = Image::rgb8(&data, 6, 1).unwrap();
    let preprocess = Preprocess { filter: Filter::Bicubic, ..plain(Fit::Stretch) };
    let mut session = Session::new(float_input(36, 1), preprocess, Limits::for_frames(6, 1));
    let (_, found) = session.with(|mut p| run(&mut p, &image)).unwrap();
    assert!(found.iter().all(|value| (0.0..=255.0).contains(value)));
    // The filter does overshoot here: with room above, the same edge goes beyond its ends.
    let data: Vec<u8> = data.iter().map(|&value| value / 2 + 50).collect();
    let image = Image::rgb8(&data, 6, 1).unwrap();
    let (_, found) = session.with(|mut p| run(&mut p, &image)).unwrap();
    assert!(found.iter().any(|&value| value < 49.0) && found.iter().any(|&value| value > 178.0));
}

#[test]
fn wrong_targets_and_frames_are_refused_and_nothing_is_written() {
    let frame = Frame::new(PixelFormat::Rgb8, 8, 8, 1);
    let mut session =
        Session::new(float_input(4, 4), plain(Fit::Stretch), Limits::for_frames(8, 8));
    session.with(|mut p| {
        let mut out = [-1.0f32; 49];
        let mut refuse = |len: usize, frame: &Frame, status: Status| {
            let error = p.run(&frame.image(), Target::F32(&mut out[..len])).unwrap_err();
            assert_eq!(error.status(), status);
            assert!(out.iter().all(|&value| value == -1.0));
        };
        refuse(47, &frame, Status::ModelShape);
        refuse(49, &frame, Status::ModelShape);
        refuse(48, &Frame::new(PixelFormat::Rgb8, 9, 8, 1), Status::FrameSize);
        refuse(48, &Frame::new(PixelFormat::Rgb8, 8, 9, 1), Status::FrameSize);
        let error = p.run(&frame.image(), Target::U8(&mut [0; 48])).unwrap_err();
        assert_eq!(error.status(), Status::ModelShape);
        assert!(p.run(&frame.image(), Target::F32(&mut out[..48])).is_ok());
        assert!(out[..48].iter().all(|&value| value >= 0.0) && out[48] == -1.0);
    });
}

#[test]
fn a_frame_too_thin_for_its_scale_is_refused() {
    let fit = Fit::ShortSide { size: 4_000, anchor: Anchor::Center };
    let mut session = Session::new(float_input(4, 4), plain(fit), Limits::for_frames(64, 64));
    session.with(|mut p| {
        let mut status = |width, height| {
            let frame = Frame::new(PixelFormat::Gray8, width, height, 1);
            run(&mut p, &frame.image()).map(|_| ()).map_err(|error| error.status())
        };
        assert_eq!(status(16, 1), Ok(()));
        assert_eq!(status(17, 1), Err(Status::FrameSize));
        assert_eq!(status(1, 17), Err(Status::FrameSize));
    });
}

#[test]
fn a_counted_preprocessor_refuses_to_run() {
    let mut counting = Arena::counting();
    let limits = Limits::for_frames(8, 8);
    let mut preprocessor =
        Preprocessor::carve(&mut counting, &float_input(4, 4), &plain(Fit::Stretch), &limits)
            .unwrap();
    let frame = Frame::new(PixelFormat::Rgb8, 8, 8, 1);
    assert!(run(&mut preprocessor, &frame.image()).is_err());
}

#[test]
fn impossible_descriptions_are_refused() {
    let status = |input: Input, preprocess: Preprocess, limits: Limits| {
        Preprocessor::carve(&mut Arena::counting(), &input, &preprocess, &limits)
            .map(|_| ())
            .map_err(|error| error.status())
    };
    let (input, preprocess, limits) =
        (float_input(4, 4), plain(Fit::Stretch), Limits::for_frames(8, 8));
    assert_eq!(status(input, preprocess, limits), Ok(()));
    assert_eq!(status(float_input(0, 4), preprocess, limits), Err(Status::BundleContent));
    let flat = Preprocess { std: [0.0; 3], ..preprocess };
    assert_eq!(status(input, flat, limits), Err(Status::BundleContent));
    let none = Limits::for_frames(0, 8);
    assert_eq!(status(input, preprocess, none), Err(Status::InvalidArgument));
    // Each number is possible, their quotient is not.
    let steep = Preprocess { scale: 1e30, std: [1e-30; 3], ..preprocess };
    assert_eq!(status(input, steep, limits), Err(Status::BundleContent));
}

#[test]
fn memory_is_of_the_order_of_rows() {
    let need = |antialias| {
        let preprocess = Preprocess { antialias, ..plain(Fit::Stretch) };
        Session::new(float_input(512, 512), preprocess, Limits::for_frames(1280, 720)).need
    };
    // A frame row is 20 KB as floats, an input row 8 KB; the input itself would be 3 MB.
    assert!(need(false) < 52_000, "{}", need(false));
    assert!(need(true) < 66_000, "{}", need(true));
}
