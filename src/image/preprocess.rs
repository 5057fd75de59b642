//! The preprocessor: a frame in, the network's input out, in one pass over the output.

use super::format::Image;
use super::geometry::Geometry;
use super::resize::Resizer;
use super::write::{Element, Writer};
use crate::arena::Arena;
use crate::limits::{Limits, product};
use crate::spec::{Input, InputType, Preprocess};
use crate::status::{Error, Result, Status};

/// The network's input, to be written: `3 * height * width` elements of the type that
/// [`Input::element`] says.
#[derive(Debug)]
pub enum Target<'a> {
    /// Normalised values.
    F32(&'a mut [f32]),
    /// Quantised to 0..=255.
    U8(&'a mut [u8]),
    /// Quantised to -128..=127.
    I8(&'a mut [i8]),
}

/// Resizes, pads, orders, normalises and quantises frames for one network.
///
/// Resampled values are clamped to 0..=255 before normalisation (bicubic overshoots). A
/// quantised element is the normalised value divided by the quantisation's scale, all as one
/// multiplication and addition, rounded half to even, plus the zero point, clamped.
pub struct Preprocessor<'a> {
    input: Input,
    preprocess: Preprocess,
    limits: Limits,
    resizer: Resizer<'a>,
    writer: Writer,
}

impl<'a> Preprocessor<'a> {
    /// Checks the arguments and takes all memory that frames within `limits` will need. From a
    /// counting arena it takes none; such a preprocessor can only be dropped.
    ///
    /// # Errors
    /// Those of [`Input::check`], [`Preprocess::check`], [`Limits::check`] and [`Arena::take`];
    /// [`Status::BundleContent`] if the numbers together leave the range of f32.
    pub fn carve(
        arena: &mut Arena<'a>,
        input: &Input,
        preprocess: &Preprocess,
        limits: &Limits,
    ) -> Result<Preprocessor<'a>> {
        input.check()?;
        preprocess.check()?;
        limits.check()?;
        product("network's input", &[3, input.width as usize, input.height as usize])?;
        Ok(Preprocessor {
            input: *input,
            preprocess: *preprocess,
            limits: *limits,
            writer: Writer::new(input, preprocess)?,
            resizer: Resizer::carve(arena, input, preprocess, limits)?,
        })
    }

    /// Shape and type of the network's input.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Where a frame of `width` x `height` pixels lies in the network's input.
    ///
    /// # Errors
    /// [`Status::FrameSize`] if the frame is empty, larger than the limits, or so long and thin
    /// that its scaled side exceeds [`crate::math::resample::MAX_CONTENT_SIDE`].
    pub fn geometry(&self, width: u32, height: u32) -> Result<Geometry> {
        let sides = [
            ("width of the frame", width, self.limits.max_frame_width),
            ("height of the frame", height, self.limits.max_frame_height),
        ];
        for (what, side, most) in sides {
            if side > most {
                return Err(Status::FrameSize.about(what).numbers(side.into(), most.into()));
            }
        }
        Geometry::new(self.preprocess.fit, width, height, &self.input)
    }

    /// Writes every element of `target` from `image` and says where the frame lies in it.
    /// Nothing is written on an error.
    ///
    /// # Errors
    /// [`Status::FrameSize`] as for [`Preprocessor::geometry`]; [`Status::ModelShape`] if
    /// `target` has another type or length than the input.
    ///
    /// # Complexity
    /// Each frame row that a tap reads is fetched and narrowed once; then
    /// `3 * input width * input height * row taps` multiplications.
    pub fn run(&mut self, image: &Image<'_>, target: Target<'_>) -> Result<Geometry> {
        let geometry = self.geometry(image.width(), image.height())?;
        match (target, self.input.element) {
            (Target::F32(target), InputType::F32) => self.fill(image, &geometry, target)?,
            (Target::U8(target), InputType::U8(_)) => self.fill(image, &geometry, target)?,
            (Target::I8(target), InputType::I8(_)) => self.fill(image, &geometry, target)?,
            _ => return Err(Status::ModelShape.about("element type of the network's input")),
        }
        Ok(geometry)
    }

    fn fill<E: Element>(
        &mut self,
        image: &Image<'_>,
        geometry: &Geometry,
        target: &mut [E],
    ) -> Result<()> {
        let pixels = u64::from(self.input.width) * u64::from(self.input.height);
        if target.len() as u64 != 3 * pixels {
            return Err(length_error(target.len(), 3 * pixels));
        }
        let mut rows = self.resizer.begin(geometry)?;
        let filled = geometry.y.filled();
        let left = geometry.x.filled().start as usize;
        for (y, at) in (0..self.input.height).enumerate() {
            let content = match filled.contains(&at) {
                true => {
                    let output = (i64::from(at) - i64::from(geometry.y.offset())) as u32;
                    self.resizer.row(image, &mut rows, output)
                }
                false => &[],
            };
            self.writer.write_row(target, y, content, left);
        }
        Ok(())
    }
}

fn length_error(found: usize, wanted: u64) -> Error {
    Status::ModelShape.about("length of the network's input").numbers(found as u64, wanted)
}
