//! The preprocessor: a frame in, the network's input out, in one pass over the output.

use super::format::Image;
use super::geometry::Geometry;
use super::resize::{Resizer, Ring, Rows};
use super::write::{RowsMut, Writer};
use crate::arena::Arena;
use crate::limits::{Limits, product};
use crate::spec::{Input, InputType, Preprocess};
use crate::status::{Error, Result, Status};
use crate::threads::{Crew, ThreadPool};
use zerocopy::IntoBytes;

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
    pub(super) kit: Kit<'a>,
    pub(super) ring: Ring<'a>,
    /// Threads with a ring each.
    pub(super) crew: Crew<'a>,
    /// The frame at work.
    pub(super) work: Option<Work>,
}

/// What does not change while a frame is at work.
pub(super) struct Kit<'a> {
    pub(super) input: Input,
    pub(super) preprocess: Preprocess,
    pub(super) limits: Limits,
    resizer: Resizer<'a>,
    writer: Writer,
}

/// Rows of the network's input: floats, or the bytes of integers with and without sign.
pub(super) enum TargetRows<'t> {
    F32(RowsMut<'t, f32>),
    Bytes(RowsMut<'t, u8>),
}

impl<'t> TargetRows<'t> {
    /// Takes the first `rows` rows away.
    pub(super) fn split_off(&mut self, rows: usize) -> TargetRows<'t> {
        match self {
            TargetRows::F32(all) => TargetRows::F32(all.split_off(rows)),
            TargetRows::Bytes(all) => TargetRows::Bytes(all.split_off(rows)),
        }
    }
}

impl Kit<'_> {
    /// The rows of the whole input.
    pub(super) fn rows<'t>(&self, target: &'t mut Target<'_>) -> TargetRows<'t> {
        match target {
            Target::F32(target) => TargetRows::F32(self.writer.rows(target)),
            Target::U8(target) => TargetRows::Bytes(self.writer.rows(target)),
            Target::I8(target) => TargetRows::Bytes(self.writer.rows(target.as_mut_bytes())),
        }
    }

    /// Writes row `y` of the input to row `row` of `target`.
    pub(super) fn write_row(
        &self,
        (image, work): (&Image<'_>, &Work),
        (y, row): (u32, usize),
        ring: &mut Ring<'_>,
        target: &mut TargetRows<'_>,
    ) {
        let geometry = &work.geometry;
        let content = match geometry.y.filled().contains(&y) {
            true => {
                let output = (i64::from(y) - i64::from(geometry.y.offset())) as u32;
                self.resizer.row(image, &work.rows, output, ring)
            }
            false => &[],
        };
        let left = geometry.x.filled().start as usize;
        match target {
            TargetRows::F32(target) => self.writer.write_row(target, row, content, left),
            TargetRows::Bytes(target) => self.writer.write_row(target, row, content, left),
        }
    }
}

/// How far a frame is.
#[derive(Clone, Copy)]
pub(super) struct Work {
    geometry: Geometry,
    pub(super) rows: Rows,
    /// Next row of the input.
    pub(super) next: u32,
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
            kit: Kit {
                input: *input,
                preprocess: *preprocess,
                limits: *limits,
                writer: Writer::new(input, preprocess)?,
                resizer: Resizer::carve(arena, input, preprocess, limits)?,
            },
            ring: Ring::carve(arena, input, preprocess, limits)?,
            crew: Crew::carve(arena, limits.threads, |arena| {
                Ring::carve(arena, input, preprocess, limits).map(|_| ())
            })?,
            work: None,
        })
    }

    /// Has [`Preprocessor::step_in_bands`] work with `pool`, or with `None` on the caller's thread
    /// alone.
    pub fn set_thread_pool(&mut self, pool: Option<&'a dyn ThreadPool>) {
        self.crew.set_pool(pool);
    }

    /// Shape and type of the network's input.
    pub fn input(&self) -> &Input {
        &self.kit.input
    }

    /// Where a frame of `width` x `height` pixels lies in the network's input.
    ///
    /// # Errors
    /// [`Status::FrameSize`] if the frame is empty, larger than the limits, or so long and thin
    /// that its scaled side exceeds [`crate::math::resample::MAX_CONTENT_SIDE`].
    pub fn geometry(&self, width: u32, height: u32) -> Result<Geometry> {
        let sides = [
            ("width of the frame", width, self.kit.limits.max_frame_width),
            ("height of the frame", height, self.kit.limits.max_frame_height),
        ];
        for (what, side, most) in sides {
            if side > most {
                return Err(Status::FrameSize.about(what).numbers(side.into(), most.into()));
            }
        }
        Geometry::new(self.kit.preprocess.fit, width, height, &self.kit.input)
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
        while !self.step_in_bands(image, &mut target)? {}
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
        let rows = self.kit.resizer.begin(&geometry)?;
        self.ring.begin(&rows)?;
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
        let work = self.checked(image, target)?;
        let Preprocessor { kit, ring, .. } = self;
        let y = work.next;
        kit.write_row((image, &work), (y, y as usize), ring, &mut kit.rows(target));
        Ok(self.proceed(y.saturating_add(1)))
    }

    /// The frame at work, once image and target are known to be its own.
    pub(super) fn checked(&self, image: &Image<'_>, target: &Target<'_>) -> Result<Work> {
        self.check_target(target)?;
        let no_frame = Status::InvalidState.about("no frame has begun");
        let work = self.work.ok_or(no_frame)?;
        let Geometry { x, y } = work.geometry;
        if (image.width(), image.height()) != (x.frame(), y.frame()) {
            return Err(Status::InvalidArgument.about("a frame of another size than the first"));
        }
        Ok(work)
    }

    /// Goes on with row `next`; `true` if there is none.
    pub(super) fn proceed(&mut self, next: u32) -> bool {
        let is_done = next >= self.kit.input.height;
        self.work = self.work.filter(|_| !is_done).map(|work| Work { next, ..work });
        is_done
    }

    fn check_target(&self, target: &Target<'_>) -> Result<()> {
        let (len, fits) = match (target, self.kit.input.element) {
            (Target::F32(target), InputType::F32) => (target.len(), true),
            (Target::U8(target), InputType::U8(_)) => (target.len(), true),
            (Target::I8(target), InputType::I8(_)) => (target.len(), true),
            _ => (0, false),
        };
        if !fits {
            return Err(Status::ModelShape.about("element type of the network's input"));
        }
        let wanted = 3 * u64::from(self.kit.input.width) * u64::from(self.kit.input.height);
        if len as u64 != wanted {
            return Err(length_error(len, wanted));
        }
        Ok(())
    }
}

fn length_error(found: usize, wanted: u64) -> Error {
    Status::ModelShape.about("length of the network's input").numbers(found as u64, wanted)
}
