//! The preprocessor: a frame in, the network's input out, in one pass over the output.

use super::format::Image;
use super::geometry::Geometry;
use super::resize::{Resizer, Rows};
use super::write::Writer;
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
    /// The frame at work.
    work: Option<Work>,
}

/// How far a frame is.
struct Work {
    geometry: Geometry,
    rows: Rows,
    /// Next row of the input.
    next: u32,
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
            work: None,
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
    pub fn run(&mut self, image: &Image<'_>, mut target: Target<'_>) -> Result<Geometry> {
        self.check_target(&target)?;
        let geometry = self.begin(image.width(), image.height())?;
        while !self.step(image, &mut target)? {}
        Ok(geometry)
    }

    /// Begins a frame of `width` x `height` pixels that [`Preprocessor::step`] carries on, and
    /// says where it lies in the input.
    ///
    /// # Errors
    /// [`Status::FrameSize`] as for [`Preprocessor::geometry`].
    pub fn begin(&mut self, width: u32, height: u32) -> Result<Geometry> {
        self.work = None;
        let geometry = self.geometry(width, height)?;
        let rows = self.resizer.begin(&geometry)?;
        self.work = Some(Work { geometry, rows, next: 0 });
        Ok(geometry)
    }

    /// Writes one row of the input; `true` when it was the last. `image` and `target` are the
    /// same in every step of a frame.
    ///
    /// # Errors
    /// [`Status::InvalidState`] if no frame has begun; [`Status::InvalidArgument`] for a frame of
    /// another size; [`Status::ModelShape`] as for [`Preprocessor::run`].
    pub fn step(&mut self, image: &Image<'_>, target: &mut Target<'_>) -> Result<bool> {
        self.check_target(target)?;
        let Preprocessor { resizer, writer, work, input, .. } = self;
        let Some(state) = work else {
            return Err(Status::InvalidState.about("no frame has begun"));
        };
        let Geometry { x, y } = state.geometry;
        if (image.width(), image.height()) != (x.frame(), y.frame()) {
            return Err(Status::InvalidArgument.about("a frame of another size than the first"));
        }
        let at = state.next;
        let content = match y.filled().contains(&at) {
            true => {
                let output = (i64::from(at) - i64::from(y.offset())) as u32;
                resizer.row(image, &mut state.rows, output)
            }
            false => &[],
        };
        let (row, left) = (at as usize, x.filled().start as usize);
        match target {
            Target::F32(target) => writer.write_row(target, row, content, left),
            Target::U8(target) => writer.write_row(target, row, content, left),
            Target::I8(target) => writer.write_row(target, row, content, left),
        }
        state.next = at + 1;
        let done = state.next >= input.height;
        if done {
            *work = None;
        }
        Ok(done)
    }

    fn check_target(&self, target: &Target<'_>) -> Result<()> {
        let (len, fits) = match (target, self.input.element) {
            (Target::F32(target), InputType::F32) => (target.len(), true),
            (Target::U8(target), InputType::U8(_)) => (target.len(), true),
            (Target::I8(target), InputType::I8(_)) => (target.len(), true),
            _ => (0, false),
        };
        if !fits {
            return Err(Status::ModelShape.about("element type of the network's input"));
        }
        let wanted = 3 * u64::from(self.input.width) * u64::from(self.input.height);
        if len as u64 != wanted {
            return Err(length_error(len, wanted));
        }
        Ok(())
    }
}

fn length_error(found: usize, wanted: u64) -> Error {
    Status::ModelShape.about("length of the network's input").numbers(found as u64, wanted)
}
