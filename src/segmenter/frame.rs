//! A frame in pieces: no call does more than the caller allows.

use super::Segmenter;
use super::engine::Advance;
use super::shapes::Logits;
use crate::head::{Output, Placements, Progress};
use crate::image::{Geometry, Image};
use crate::map::{Layout, Map};
use crate::status::{Result, Status};
use core::sync::atomic::{AtomicBool, Ordering};

/// Where a frame's features come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'f> {
    /// The bundle's network, from pixels.
    Image(&'f Image<'f>),
    /// Another engine, such as an NPU, which computed them from the same preprocessing.
    Features {
        /// Features, or logits for a head without a classifier, in the bundle's shape.
        map: &'f Map<'f, f32>,
        /// Columns of the frame.
        width: u32,
        /// Rows of the frame.
        height: u32,
    },
}

impl Source<'_> {
    fn size(&self) -> (u32, u32) {
        match self {
            Source::Image(image) => (image.width(), image.height()),
            Source::Features { width, height, .. } => (*width, *height),
        }
    }
}

/// A frame to be segmented.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'f> {
    /// Where its features come from.
    pub source: Source<'f>,
    /// Features to find spectral segments from, such as another network's keys; by default the
    /// network's second output, or its only one. As many cells and channels as were carved for.
    pub affinity: Option<&'f Map<'f, f32>>,
}

impl<'f> Frame<'f> {
    /// A frame that the bundle's network works on.
    pub fn of(image: &'f Image<'f>) -> Frame<'f> {
        Frame { source: Source::Image(image), affinity: None }
    }
}

/// The frame at work.
#[derive(Clone, Copy)]
pub(super) struct Work {
    stage: Stage,
    geometry: Option<Geometry>,
    from_image: bool,
    started_ns: u64,
    deadline_ns: Option<u64>,
    /// Of the frames to come.
    next_deadline_ns: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Fetch,
    Network,
    Decode,
    Shapes,
}

impl Work {
    pub(super) const IDLE: Work = Work {
        stage: Stage::Idle,
        geometry: None,
        from_image: false,
        started_ns: 0,
        deadline_ns: None,
        next_deadline_ns: None,
    };
}

impl<'a> Segmenter<'a> {
    /// A flag by which another thread, or an interrupt, stops the frame at work: when it becomes
    /// true the call that works on the frame returns [`Status::Cancelled`] after its present
    /// piece. An ONNX network runs in one piece. [`Segmenter::begin`] resets the flag.
    pub fn set_cancel_flag(&mut self, flag: Option<&'a AtomicBool>) {
        self.cancel = flag;
    }

    /// Gives every frame from the next one on at most `deadline_ns` from its beginning; a call
    /// that works on it later returns [`Status::DeadlineExceeded`] after its present piece.
    ///
    /// # Errors
    /// [`Status::InvalidState`] without a clock; nothing is changed then.
    pub fn set_deadline_ns(&mut self, deadline_ns: Option<u64>) -> Result<()> {
        if deadline_ns.is_some() && !self.clock.runs() {
            return Err(Status::InvalidState.about("a deadline without a clock"));
        }
        self.work.next_deadline_ns = deadline_ns;
        Ok(())
    }

    /// Gives up the frame at work. What its output holds has no meaning.
    pub fn cancel_frame(&mut self) {
        self.work.stage = Stage::Idle;
    }

    /// Whether a frame is at work.
    pub fn is_working(&self) -> bool {
        self.work.stage != Stage::Idle
    }

    pub(super) fn segment_frame(
        &mut self,
        frame: &Frame<'_>,
        output: &mut Output<'_>,
    ) -> Result<()> {
        self.begin(frame, output)?;
        while !self.step(frame, output, u32::MAX)? {}
        Ok(())
    }

    /// Begins a frame that [`Segmenter::step`] carries on. One that was at work is given up.
    ///
    /// # Errors
    /// [`Status::FrameSize`] for a frame beyond the limits; errors of [`Output::check`];
    /// [`Status::Unsupported`] for pixels if the bundle holds no network.
    pub fn begin(&mut self, frame: &Frame<'_>, output: &Output<'_>) -> Result<()> {
        self.work.stage = Stage::Idle;
        if let Some(flag) = self.cancel {
            flag.store(false, Ordering::Relaxed);
        }
        let (width, height) = frame.source.size();
        let geometry = self.preprocessor.geometry(width, height)?;
        let placements = Placements { rows: &geometry.y, columns: &geometry.x };
        self.decoder.begin(placements, output)?;
        let from_image = matches!(frame.source, Source::Image(_));
        if from_image && self.engine.backbone().is_none() {
            return Err(Status::Unsupported.about("segmenting without a network"));
        }
        if from_image {
            self.preprocessor.begin(width, height)?;
        }
        self.times = Default::default();
        self.work = Work {
            stage: if from_image { Stage::Fetch } else { Stage::Decode },
            geometry: Some(geometry),
            from_image,
            started_ns: self.clock.now_ns(),
            deadline_ns: self.work.next_deadline_ns,
            next_deadline_ns: self.work.next_deadline_ns,
        };
        Ok(())
    }

    /// Carries the frame on by at most `pieces` pieces; `true` when its mask is complete. A piece
    /// is a row of the network's input, of its output or of the frame, 32 columns of an affinity
    /// matrix, one step of an eigenvalue search, a fusion, some rows of a layer of a compiled
    /// network, or an ONNX network as a whole. What is in
    /// `output` before the end has no meaning. `frame` and `output` are the same in every step,
    /// and however a frame is divided, the mask is the same.
    ///
    /// # Errors
    /// [`Status::InvalidState`] if no frame is at work; [`Status::Cancelled`];
    /// [`Status::DeadlineExceeded`]; [`Status::ModelRun`]; [`Status::ModelShape`] for features of
    /// another shape; [`Status::InvalidArgument`] for another frame than the one begun; errors
    /// of [`Output::check`]. The frame is given up then.
    pub fn step(
        &mut self,
        frame: &Frame<'_>,
        output: &mut Output<'_>,
        pieces: u32,
    ) -> Result<bool> {
        let mut left = pieces;
        while left > 0 {
            let advance = match self.work.stage {
                Stage::Network => self.advance(left),
                // What threads may do side by side.
                _ if pieces == u32::MAX => Advance::Step,
                _ => Advance::Pieces(1),
            };
            let done = self.check_time().and_then(|()| self.piece(frame, output, advance));
            if !matches!(done, Ok(false)) {
                self.work.stage = Stage::Idle;
                return done;
            }
            // Without a limit the count never ends.
            if let Advance::Pieces(done) = advance {
                left = if pieces == u32::MAX { left } else { left.saturating_sub(done) };
            }
        }
        Ok(false)
    }

    /// How far the network goes without a look at the clock and the flag.
    fn advance(&self, left: u32) -> Advance {
        let is_watched = self.cancel.is_some() || self.work.deadline_ns.is_some();
        match (left, is_watched) {
            (u32::MAX, true) => Advance::Step,
            (u32::MAX, false) => Advance::ToTheEnd,
            (_, true) => Advance::Pieces(1),
            (left, false) => Advance::Pieces(left),
        }
    }

    fn check_time(&self) -> Result<()> {
        if self.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) && self.is_working() {
            return Err(Status::Cancelled.about("frame"));
        }
        let Some(deadline_ns) = self.work.deadline_ns.filter(|_| self.is_working()) else {
            return Ok(());
        };
        let spent_ns = self.clock.now_ns().saturating_sub(self.work.started_ns);
        if spent_ns > deadline_ns {
            let error = Status::DeadlineExceeded.about("nanoseconds since the frame began");
            return Err(error.numbers(spent_ns, deadline_ns));
        }
        Ok(())
    }

    fn piece(
        &mut self,
        frame: &Frame<'_>,
        output: &mut Output<'_>,
        advance: Advance,
    ) -> Result<bool> {
        let Some(geometry) = self.work.geometry.filter(|_| self.is_working()) else {
            return Err(Status::InvalidState.about("no frame has begun"));
        };
        let size = (geometry.x.frame(), geometry.y.frame());
        let from_image = matches!(frame.source, Source::Image(_));
        if frame.source.size() != size || from_image != self.work.from_image {
            return Err(Status::InvalidArgument.about("a frame other than the one begun"));
        }
        let start = self.clock.now_ns();
        let stage = self.work.stage;
        let done = match stage {
            Stage::Idle => false,
            Stage::Fetch => self.fetch(frame, advance)?,
            Stage::Network => self.run_network(advance)?,
            Stage::Decode => self.decode(frame, &geometry, output, advance)?,
            Stage::Shapes => self.find_shapes(frame)?,
        };
        let spent = self.clock.now_ns().saturating_sub(start);
        match stage {
            Stage::Fetch => self.times.fetch_ns += spent,
            Stage::Network => self.times.backbone_ns += spent,
            Stage::Decode => self.times.upsample_ns += spent,
            Stage::Shapes => self.times.fusion_ns += spent,
            Stage::Idle => {}
        }
        if done {
            self.times.head_ns = self.decoder.head_ns();
            self.times.upsample_ns = self.times.upsample_ns.saturating_sub(self.times.head_ns);
        }
        Ok(done)
    }

    fn fetch(&mut self, frame: &Frame<'_>, advance: Advance) -> Result<bool> {
        let Source::Image(image) = frame.source else { return Ok(false) };
        let no_network = Status::Unsupported.about("segmenting without a network");
        let backbone = self.engine.backbone_mut().ok_or(no_network)?;
        let (preprocessor, mut input) = (&mut self.preprocessor, backbone.input()?);
        let done = match advance {
            Advance::Pieces(_) => preprocessor.step(image, &mut input)?,
            _ => preprocessor.step_in_bands(image, &mut input)?,
        };
        if done {
            self.work.stage = Stage::Network;
        }
        Ok(false)
    }

    fn run_network(&mut self, advance: Advance) -> Result<bool> {
        if self.engine.advance(advance)? {
            self.work.stage = Stage::Decode;
        }
        Ok(false)
    }

    fn decode(
        &mut self,
        frame: &Frame<'_>,
        geometry: &Geometry,
        output: &mut Output<'_>,
        advance: Advance,
    ) -> Result<bool> {
        let no_network = Status::Unsupported.about("segmenting without a network");
        let map = match frame.source {
            Source::Features { map, .. } => *map,
            Source::Image(_) => self.engine.backbone().ok_or(no_network)?.output()?,
        };
        let placements = Placements { rows: &geometry.y, columns: &geometry.x };
        let progress = match advance {
            Advance::Pieces(_) => self.decoder.step(&map, placements, output)?,
            _ => self.decoder.step_in_bands(&map, placements, output)?,
        };
        match progress {
            Progress::More => Ok(false),
            Progress::Done => Ok(true),
            Progress::Evidence => {
                if let Some(shapes) = self.shapes.as_mut() {
                    let input = self.preprocessor.input();
                    let rows = (geometry.y.filled(), input.height);
                    shapes.begin(rows, (geometry.x.filled(), input.width));
                    self.work.stage = Stage::Shapes;
                }
                Ok(false)
            }
        }
    }

    fn find_shapes(&mut self, frame: &Frame<'_>) -> Result<bool> {
        let Segmenter { shapes, engine, decoder, work, .. } = self;
        let Some(shapes) = shapes.as_mut() else { return Ok(false) };
        let features = match (frame.affinity, frame.source) {
            (Some(affinity), _) => *affinity,
            (None, Source::Features { map, .. }) => *map,
            (None, Source::Image(_)) => {
                let no_network = Status::Unsupported.about("features without a network");
                let backbone = engine.backbone().ok_or(no_network)?;
                match backbone.second_output()? {
                    Some(second) => second,
                    None => backbone.output()?,
                }
            }
        };
        let (classes, values) = decoder.evidence_mut();
        let mut logits = Logits { values, classes, layout: Layout::Chw };
        if shapes.step(&features, &mut logits)? {
            work.stage = Stage::Decode;
        }
        Ok(false)
    }
}
