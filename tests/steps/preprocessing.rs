//! Preprocessing in steps: one row of the network's input at a time.

use crate::external::*;
use proptest::prelude::*;
use zsseg::arena::Arena;
use zsseg::image::{Image, PixelFormat, Preprocessor, Target};
use zsseg::limits::Limits;
use zsseg::map::Layout;
use zsseg::spec::{Anchor, ChannelOrder, Filter, Fit, Input, InputType, Preprocess, Quantization};
use zsseg::status::Status;

fn preprocess(fit: Fit, antialias: bool) -> Preprocess {
    Preprocess {
        fit,
        filter: Filter::Bicubic,
        antialias,
        order: ChannelOrder::Bgr,
        scale: 1.0 / 255.0,
        mean: [0.4, 0.5, 0.6],
        std: [0.2, 0.3, 0.25],
        pad: [3.0, 2.0, 1.0],
    }
}

/// A network's input of every type.
#[derive(Clone, Debug, PartialEq)]
enum Pixels {
    F32(Vec<f32>),
    U8(Vec<u8>),
    I8(Vec<i8>),
}

impl Pixels {
    fn new(element: InputType, len: usize) -> Pixels {
        match element {
            InputType::F32 => Pixels::F32(vec![-77.0; len]),
            InputType::U8(_) => Pixels::U8(vec![77; len]),
            InputType::I8(_) => Pixels::I8(vec![77; len]),
        }
    }

    fn target(&mut self) -> Target<'_> {
        match self {
            Pixels::F32(values) => Target::F32(values),
            Pixels::U8(values) => Target::U8(values),
            Pixels::I8(values) => Target::I8(values),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn preprocessing_in_steps_is_preprocessing(
        fit in 0usize..3,
        antialias: bool,
        element in 0usize..3,
        (width, height) in (1u32..70, 1u32..70),
        seed: u64,
    ) {
        let fit = [
            Fit::Stretch,
            Fit::Letterbox(Anchor::Center),
            Fit::ShortSide { size: 20, anchor: Anchor::TopLeft },
        ][fit];
        let quantization = Quantization { scale: 0.02, zero_point: 3 };
        let element =
            [InputType::F32, InputType::U8(quantization), InputType::I8(quantization)][element];
        let input = Input { width: 23, height: 19, layout: Layout::Hwc, element };
        let limits = Limits::for_frames(70, 70);
        let preprocess = preprocess(fit, antialias);
        let mut arena = Arena::counting();
        Preprocessor::carve(&mut arena, &input, &preprocess, &limits).unwrap();
        let mut memory = Memory::new(arena.used_bytes());
        let mut arena = Arena::over(memory.bytes()).unwrap();
        let mut preprocessor =
            Preprocessor::carve(&mut arena, &input, &preprocess, &limits).unwrap();
        let mut random = Random(seed);
        let rgb: Vec<u8> = (0..3 * width * height).map(|_| random.below(256) as u8).collect();
        let image = Image::packed(PixelFormat::Rgb8, &rgb, width, height).unwrap();
        let mut want = Pixels::new(element, 3 * 23 * 19);
        let geometry = preprocessor.run(&image, want.target()).unwrap();
        let mut got = Pixels::new(element, 3 * 23 * 19);
        // A frame that is given up leaves nothing behind.
        preprocessor.begin(width, height).unwrap();
        preprocessor.step(&image, &mut got.target()).unwrap();
        prop_assert_eq!(preprocessor.begin(width, height).unwrap(), geometry);
        for row in 1..=19 {
            let done = preprocessor.step(&image, &mut got.target()).unwrap();
            prop_assert_eq!(done, row == 19, "one row of the input at a time");
        }
        prop_assert_eq!(&got, &want);
        let late = preprocessor.step(&image, &mut got.target()).unwrap_err();
        prop_assert_eq!(late.status(), Status::InvalidState);
    }
}

#[test]
fn preprocessing_refuses_another_picture_in_the_middle() {
    let input = Input { width: 23, height: 19, layout: Layout::Chw, element: InputType::F32 };
    let (preprocess, limits) = (preprocess(Fit::Stretch, false), Limits::for_frames(30, 30));
    let mut memory = Memory::new(1 << 16);
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut preprocessor = Preprocessor::carve(&mut arena, &input, &preprocess, &limits).unwrap();
    let rgb = vec![100u8; 3 * 30 * 30];
    let image = |width, height| Image::packed(PixelFormat::Rgb8, &rgb, width, height).unwrap();
    let mut values = vec![0.0; 3 * 23 * 19];
    let (mut bytes, mut short) = (vec![0u8; 3 * 23 * 19], vec![0.0; 3 * 23 * 19 - 1]);
    let mut step = |preprocessor: &mut Preprocessor<'_>, image: &Image<'_>| {
        preprocessor.step(image, &mut Target::F32(&mut values)).map_err(|error| error.status())
    };
    assert_eq!(step(&mut preprocessor, &image(30, 30)), Err(Status::InvalidState));
    preprocessor.begin(30, 30).unwrap();
    assert_eq!(step(&mut preprocessor, &image(30, 30)), Ok(false));
    assert_eq!(step(&mut preprocessor, &image(30, 29)), Err(Status::InvalidArgument));
    assert_eq!(step(&mut preprocessor, &image(29, 30)), Err(Status::InvalidArgument));
    let target = preprocessor.step(&image(30, 30), &mut Target::U8(&mut bytes)).unwrap_err();
    assert_eq!(target.status(), Status::ModelShape);
    let target = preprocessor.step(&image(30, 30), &mut Target::F32(&mut short)).unwrap_err();
    assert_eq!(target.status(), Status::ModelShape);
    assert_eq!(preprocessor.begin(31, 30).unwrap_err().status(), Status::FrameSize);
    assert_eq!(step(&mut preprocessor, &image(30, 30)), Err(Status::InvalidState));
}
