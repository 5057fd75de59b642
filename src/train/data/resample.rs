//! Labels at another size: the nearest pixel, as two libraries understand it (methods.md 1.9).

use super::error::{DataError, Result};
use super::label::{LabelMap, LabelPlane};
use std::format;
use std::vec::Vec;

/// Which pixel is the nearest. `n` is the old side, `m` the new one, `i` the new pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// `floor(i n / m)` in whole numbers: `nearest` of torch, `INTER_NEAREST` of OpenCV, which
    /// round `n / m` and may take the pixel before where `i n / m` is whole.
    Torch,
    /// `floor((i + 0.5) n / m)`, the pixel under the new pixel's centre: `NEAREST` of Pillow.
    /// Pillow adds up `n / m` pixel by pixel in f64, and so does this: rounding decides where the
    /// centre lies on the border of two pixels.
    Pillow,
}

impl Nearest {
    /// The old pixel of each of the `m` new ones; all are less than `n`.
    pub fn sources(self, n: u32, m: u32) -> Vec<u32> {
        match self {
            Nearest::Torch => {
                let whole = |i| u64::from(i) * u64::from(n) / u64::from(m.max(1));
                (0..m).map(|i| whole(i) as u32).collect()
            }
            Nearest::Pillow => {
                let step = f64::from(n) / f64::from(m);
                let mut position = step * 0.5;
                let mut sources = Vec::with_capacity(m as usize);
                for _ in 0..m {
                    sources.push((position as u32).min(n.saturating_sub(1)));
                    position += step;
                }
                sources
            }
        }
    }
}

impl LabelMap {
    /// The labels at another size.
    ///
    /// # Errors
    /// [`DataError::Argument`] for a side of 0, of this map or of the new one.
    pub fn resized(&self, width: u32, height: u32, nearest: Nearest) -> Result<LabelMap> {
        let (old_width, old_height) = (self.width(), self.height());
        if [width, height, old_width, old_height].contains(&0) {
            let reason = format!("{old_width}x{old_height} labels to {width}x{height}");
            return Err(DataError::argument(reason));
        }
        let columns = nearest.sources(old_width, width);
        let rows = nearest.sources(old_height, height);
        let old_width = old_width as usize;
        let plane = match self.plane() {
            LabelPlane::U8(plane) => LabelPlane::U8(taken(plane, old_width, &columns, &rows)),
            LabelPlane::U16(plane) => LabelPlane::U16(taken(plane, old_width, &columns, &rows)),
        };
        Ok(self.with_plane(width, height, plane))
    }
}

fn taken<T: Copy>(plane: &[T], width: usize, columns: &[u32], rows: &[u32]) -> Vec<T> {
    let mut taken = Vec::with_capacity(columns.len() * rows.len());
    for &row in rows {
        let row = plane.chunks(width).nth(row as usize).unwrap_or_default();
        taken.extend(columns.iter().filter_map(|&column| row.get(column as usize)));
    }
    taken
}
