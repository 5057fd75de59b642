//! From pictures to features.

use super::meta::{BackboneRecord, backbone_sha256};
use super::tap_form::{TapForm, TapSource, cells};
use crate::arena::{AlignedBytes, Arena};
use crate::backbone::tract::{Options, TractTaps};
use crate::image::{Image, Preprocessor, Target};
use crate::limits::{Limits, MAX_FRAME_SIDE};
use crate::map::Layout;
use crate::spec::{ChannelOrder, Fit, Input, InputType, Precision, Preprocess, Quantization};
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::{Tap, View};
use crate::viz::Picture;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// A network and how pictures are given to it.
#[derive(Clone, Debug)]
pub struct Network {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// Name of its input.
    pub input_name: String,
    /// Shape and type of the input.
    pub input: Input,
    /// From pictures to the input.
    pub preprocess: Preprocess,
    /// Whether quantised activations are rounded to their grid.
    pub precision: Precision,
}

impl Network {
    /// How pictures are given to it, as a store notes it.
    pub fn record(&self) -> BackboneRecord {
        BackboneRecord::new(&self.input, &self.preprocess, self.precision)
    }

    /// SHA-256, in hexadecimal, of the network and of how pictures are given to it.
    pub fn sha256(&self) -> String {
        backbone_sha256(&self.onnx, &self.record())
    }

    /// Rows and columns of the input.
    pub fn frame(&self) -> [usize; 2] {
        [self.input.height as usize, self.input.width as usize]
    }

    /// A picture of the frame's size in R G B bytes, as views are made of it.
    fn to_rgb(&self) -> (Input, Preprocess) {
        let element = InputType::U8(Quantization { scale: 1.0, zero_point: 0 });
        let input = Input { layout: Layout::Hwc, element, ..self.input };
        let mut preprocess = self.preprocess;
        if preprocess.order == ChannelOrder::Bgr {
            preprocess.pad.reverse();
        }
        preprocess.order = ChannelOrder::Rgb;
        (preprocess.scale, preprocess.mean, preprocess.std) = (1.0, [0.0; 3], [1.0; 3]);
        (input, preprocess)
    }

    /// From what a view shows to the input.
    fn of_view(&self) -> Preprocess {
        Preprocess { fit: Fit::Stretch, ..self.preprocess }
    }
}

/// Memory for an [`Extractor`].
pub struct Scratch {
    bytes: AlignedBytes,
}

impl Scratch {
    /// Memory for pictures of any size.
    ///
    /// # Errors
    /// [`Error::Compute`] for impossible preprocessing.
    pub fn new(network: &Network) -> Result<Scratch> {
        let mut arena = Arena::counting();
        Steps::carve(network, &mut arena)?;
        Ok(Scratch { bytes: AlignedBytes::zeros(arena.used_bytes()) })
    }
}

/// The three ways from pixels to pixels.
struct Steps<'a> {
    /// From the picture to the input, as a device does it.
    exact: Preprocessor<'a>,
    /// From the picture to bytes of the frame's size.
    to_rgb: Preprocessor<'a>,
    /// From what a view shows of those to the input.
    of_view: Preprocessor<'a>,
}

impl<'a> Steps<'a> {
    fn carve(network: &Network, arena: &mut Arena<'a>) -> Result<Steps<'a>> {
        let any = Limits::for_frames(MAX_FRAME_SIDE, MAX_FRAME_SIDE);
        let frame = Limits::for_frames(network.input.width, network.input.height);
        let (rgb, to_rgb) = network.to_rgb();
        Ok(Steps {
            exact: Preprocessor::carve(arena, &network.input, &network.preprocess, &any)?,
            to_rgb: Preprocessor::carve(arena, &rgb, &to_rgb, &any)?,
            of_view: Preprocessor::carve(arena, &network.input, &network.of_view(), &frame)?,
        })
    }
}

/// A picture brought to the network's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The network's input for the plain view, its elements as little-endian bytes.
    pub input: Vec<u8>,
    /// R G B bytes of the frame's size, from which other views are made.
    pub rgb: Vec<u8>,
}

/// Computes features of pictures; one per thread.
pub struct Extractor<'a> {
    network: &'a Network,
    engine: TractTaps,
    steps: Steps<'a>,
    taps: Vec<(Tap, TapForm, usize)>,
    seed: u64,
}

impl<'a> Extractor<'a> {
    /// Loads the network. `seed` is that of distorted colours.
    ///
    /// # Errors
    /// [`Error::Compute`] if the network cannot be run; [`Error::Config`] for a tap that has
    /// another form than it should.
    pub fn new(
        network: &'a Network,
        taps: &[TapSource],
        seed: u64,
        scratch: &'a mut Scratch,
    ) -> Result<Extractor<'a>> {
        let mut arena = Arena::over(scratch.bytes.as_mut_slice())?;
        let steps = Steps::carve(network, &mut arena)?;
        let options = Options {
            input: network.input,
            input_name: &network.input_name,
            output_name: "",
            channels: 0,
            grid_height: 0,
            grid_width: 0,
            output_layout: Layout::Chw,
            second: None,
            precision: network.precision,
            threads: 1,
        };
        let names: Vec<&str> = taps.iter().map(|tap| tap.name.as_str()).collect();
        let engine = TractTaps::load(&network.onnx, &options, &names)?;
        let mut found = Vec::with_capacity(taps.len());
        for (source, sides) in taps.iter().zip(engine.shapes()) {
            let (tap, dropped) = source.tap(sides)?;
            found.push((tap, source.form, dropped));
        }
        Ok(Extractor { network, engine, steps, taps: found, seed })
    }

    /// The taps with their grids.
    pub fn taps(&self) -> Vec<Tap> {
        self.taps.iter().map(|(tap, _, _)| tap.clone()).collect()
    }

    /// Brings a picture to the network's frame, in the two forms that views need.
    ///
    /// # Errors
    /// [`Error::Compute`] for a picture that is too large, or too long and thin.
    pub fn prepare(&mut self, picture: &Picture) -> Result<Prepared> {
        let image = Image::rgb8(picture.rgb(), picture.width(), picture.height())?;
        self.steps.exact.run(&image, self.engine.input()?)?;
        let input = match self.engine.input()? {
            Target::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Target::U8(values) => values.to_vec(),
            Target::I8(values) => values.iter().map(|value| *value as u8).collect(),
        };
        let [height, width] = self.network.frame();
        let mut rgb = vec![0; 3 * height * width];
        self.steps.to_rgb.run(&image, Target::U8(&mut rgb))?;
        Ok(Prepared { input, rgb })
    }

    /// Features `[rows * columns, channels]` of each tap, of the view at `place` of the store's.
    /// The plain view goes through the preprocessing as on a device; others are cut from the frame
    /// in whole bytes and enlarged.
    ///
    /// # Errors
    /// [`Error::Compute`] if the network fails; [`Error::Config`] for an impossible view, or a
    /// picture prepared for another network.
    pub fn features(
        &mut self,
        prepared: &Prepared,
        name: &str,
        view: &View,
        place: usize,
    ) -> Result<Vec<Matrix<f32>>> {
        match *view == View::PLAIN {
            true => fill(self.engine.input()?, &prepared.input)?,
            false => self.fill_view(prepared, name, view, place)?,
        }
        self.engine.run()?;
        let mut features = Vec::with_capacity(self.taps.len());
        for (index, (tap, form, dropped)) in self.taps.iter().enumerate() {
            features.push(cells(tap, *form, *dropped, self.engine.output(index)?)?);
        }
        Ok(features)
    }

    fn fill_view(
        &mut self,
        prepared: &Prepared,
        name: &str,
        view: &View,
        place: usize,
    ) -> Result<()> {
        let Input { width, height, .. } = self.network.input;
        let frame = Picture::new(width, height, prepared.rgb.clone())?;
        let seen = view.cut(&frame, self.seed, name, place)?;
        let image = Image::rgb8(seen.rgb(), seen.width(), seen.height())?;
        self.steps.of_view.run(&image, self.engine.input()?)?;
        Ok(())
    }
}

/// Writes elements that were kept as bytes.
fn fill(target: Target<'_>, bytes: &[u8]) -> Result<()> {
    let (wanted, size_bytes) = match &target {
        Target::F32(values) => (values.len(), 4),
        Target::U8(values) => (values.len(), 1),
        Target::I8(values) => (values.len(), 1),
    };
    if bytes.len() != wanted * size_bytes {
        let reason = format!("{} bytes for an input of {wanted} elements", bytes.len());
        return Err(Error::config(reason));
    }
    match target {
        Target::F32(values) => {
            let (words, _) = bytes.as_chunks::<4>();
            values.iter_mut().zip(words).for_each(|(to, word)| *to = f32::from_le_bytes(*word));
        }
        Target::U8(values) => values.copy_from_slice(bytes),
        Target::I8(values) => {
            values.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte as i8);
        }
    }
    Ok(())
}
