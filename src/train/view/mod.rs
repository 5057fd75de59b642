//! Views: a picture as a network sees it through a window, turned round or in other colours, and
//! the way back (methods.md 2.2 and 5.6).

mod colour;
mod place;
mod spec;

pub use place::Placed;
pub use spec::views_of;

use super::data::LabelMap;
use super::error::{Error, Result};
use super::pictures::View;
use crate::train::data::{Label, Nearest};
use crate::viz::Picture;
use std::format;
use std::vec::Vec;

/// The part of a frame that a view shows, in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPixels {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl View {
    /// Checks that the window lies in the frame, and the strength between 0 and 1.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<()> {
        // What adding up shares in f32 may be off by.
        const ROUNDING: f32 = 1e-5;
        let window = &self.window;
        let side = window.side > 0.0 && window.side <= 1.0;
        let inside = [window.left, window.top]
            .iter()
            .all(|start| *start >= 0.0 && start + window.side <= 1.0 + ROUNDING);
        match side && inside && (0.0..=1.0).contains(&self.colour) {
            true => Ok(()),
            false => Err(Error::config(format!("a view beyond the picture: {self:?}"))),
        }
    }

    /// The window in a frame of `[rows, columns]`: its borders rounded to whole pixels, at least
    /// one pixel wide and high.
    ///
    /// # Errors
    /// [`Error::Config`] for a window beyond the frame, and a frame without pixels.
    pub fn pixels(&self, frame: [usize; 2]) -> Result<WindowPixels> {
        self.check()?;
        let [height, width] = frame;
        let (left, width) = span(self.window.left, self.window.side, width)?;
        let (top, height) = span(self.window.top, self.window.side, height)?;
        Ok(WindowPixels { left, top, width, height })
    }

    /// Labels as the view shows them: the nearest pixel under each centre (Pillow's rule).
    ///
    /// # Errors
    /// As [`View::pixels`].
    pub fn labels(&self, labels: &LabelMap) -> Result<LabelMap> {
        let (width, height) = (labels.width(), labels.height());
        let window = self.pixels([height as usize, width as usize])?;
        let mut columns = Nearest::Pillow.sources(window.width, width);
        let rows = Nearest::Pillow.sources(window.height, height);
        if self.flip {
            columns.reverse();
        }
        let mut seen = Vec::with_capacity(columns.len() * rows.len());
        for row in rows {
            let label = |column: &u32| labels.get(window.left + column, window.top + row);
            seen.extend(columns.iter().map(label).map(|label| label.unwrap_or(Label::Void)));
        }
        Ok(LabelMap::new(width, height, labels.classes(), &seen)?)
    }

    /// What the view shows of a frame, not yet enlarged: the window, flipped, its colours
    /// distorted by numbers that `seed`, the picture's name and the view's place say.
    ///
    /// # Errors
    /// As [`View::pixels`].
    pub fn cut(&self, frame: &Picture, seed: u64, name: &str, place: usize) -> Result<Picture> {
        let window = self.pixels([frame.height() as usize, frame.width() as usize])?;
        let row_bytes = 3 * frame.width() as usize;
        let mut rgb = Vec::with_capacity(3 * (window.width * window.height) as usize);
        let rows = frame.rgb().chunks_exact(row_bytes.max(1));
        for row in rows.skip(window.top as usize).take(window.height as usize) {
            let start = 3 * window.left as usize;
            let row = row.get(start..start + 3 * window.width as usize).unwrap_or_default();
            match self.flip {
                true => rgb.extend(row.rchunks_exact(3).flatten()),
                false => rgb.extend(row),
            }
        }
        if self.colour > 0.0 {
            colour::distort(&mut rgb, self.colour, seed, name, place);
        }
        Ok(Picture::new(window.width, window.height, rgb)?)
    }
}

/// First pixel and number of pixels of a share of a side.
fn span(start: f32, share: f32, side: usize) -> Result<(u32, u32)> {
    let whole = f64::from(u32::try_from(side).unwrap_or(u32::MAX));
    let (start, share) = (f64::from(start), f64::from(share));
    if side == 0 {
        return Err(Error::config("a frame without pixels"));
    }
    let first = libm::round(start * whole).min(whole - 1.0);
    let end = libm::round((start + share) * whole).clamp(first + 1.0, whole);
    Ok((first as u32, (end - first) as u32))
}
