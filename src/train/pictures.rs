//! What training sees of a data set: frozen features of pictures, and what is known about their
//! pixels.

use super::data::{LabelMap, Nearest};
use super::engine::Matrix;
use super::error::{Error, Result};
use core::ops::Range;
use serde::{Deserialize, Serialize};
use std::format;
use std::string::String;

/// A tensor of the frozen network that features are read from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// Its name in the network.
    pub name: String,
    /// Rows of its grid.
    pub height: usize,
    /// Columns of its grid.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

/// How a picture is changed before the network sees it. View 0 of everything is
/// [`View::PLAIN`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The part of the network's frame that is shown, which then fills the frame.
    pub window: Window,
    /// Whether left and right are swapped, after the window is taken.
    pub flip: bool,
    /// Strength of a distortion of the colours, 0 (none) to 1 (methods.md 5.6).
    pub colour: f32,
}

/// A square part of the network's frame, as shares of the frame's sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Left edge, 0 to 1.
    pub left: f32,
    /// Upper edge, 0 to 1.
    pub top: f32,
    /// Its side, above 0 to 1. A side of 0.5 shows the picture at twice its size.
    pub side: f32,
}

impl Window {
    /// The whole frame.
    pub const WHOLE: Window = Window { left: 0.0, top: 0.0, side: 1.0 };
}

impl View {
    /// The picture as it is.
    pub const PLAIN: View = View { window: Window::WHOLE, flip: false, colour: 0.0 };
}

/// Pictures with frozen features and labels, in a fixed order. All have the same frame (that of
/// the network's input), the same taps and the same views.
pub trait Pictures: Sync {
    /// Number of pictures.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of a picture; empty from [`Pictures::len`] on.
    fn name(&self, picture: usize) -> &str;

    /// Rows and columns of the network's input.
    fn frame(&self) -> [usize; 2];

    /// The tensors that features were read from, at least one.
    fn taps(&self) -> &[Tap];

    /// The views that there are features of; the first is [`View::PLAIN`].
    fn views(&self) -> &[View];

    /// Features `[height * width, channels]` of a tap.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such picture, view or tap; those of the file they lie in.
    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>>;

    /// All labels of a picture in its frame (of [`Pictures::frame`]), padding void. Nothing is
    /// hidden: [`super::Task`] does that.
    ///
    /// # Errors
    /// Those of the data set.
    fn labels(&self, picture: usize) -> Result<LabelMap>;

    /// Rows and columns of the frame that show a picture, not padding: all, if none is padded.
    ///
    /// # Errors
    /// As [`Pictures::labels`].
    fn shown(&self, _picture: usize) -> Result<[Range<u32>; 2]> {
        Ok(self.frame().map(|side| 0..side as u32))
    }
}

/// One feature vector per cell of a grid: what a head is trained on.
pub trait Features: Sync {
    /// Rows and columns of the grid.
    fn grid(&self) -> [usize; 2];

    /// Numbers of a vector.
    fn channels(&self) -> usize;

    /// The pictures that these are features of.
    fn pictures(&self) -> &dyn Pictures;

    /// Features `[rows * columns, channels]` of the grid.
    ///
    /// # Errors
    /// As [`Pictures::tap`].
    fn rows(&self, picture: usize, view: usize) -> Result<Matrix<f32>>;
}

impl<F: Features + ?Sized> Features for &F {
    fn grid(&self) -> [usize; 2] {
        (**self).grid()
    }

    fn channels(&self) -> usize {
        (**self).channels()
    }

    fn pictures(&self) -> &dyn Pictures {
        (**self).pictures()
    }

    fn rows(&self, picture: usize, view: usize) -> Result<Matrix<f32>> {
        (**self).rows(picture, view)
    }
}

/// Labels at a grid: the nearest pixel of the frame (torch's rule, methods.md 2.3).
///
/// # Errors
/// [`Error::Data`] for a side of 0.
pub fn labels_at(labels: &LabelMap, grid: [usize; 2]) -> Result<LabelMap> {
    let side = |side: usize| {
        u32::try_from(side).map_err(|_| Error::config(format!("a grid with a side of {side}")))
    };
    Ok(labels.resized(side(grid[1])?, side(grid[0])?, Nearest::Torch)?)
}
