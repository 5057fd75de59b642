//! The caller's output planes.

use crate::limits::product;
use crate::status::{Result, Status};

/// A plane to write: rows of elements, `stride` elements apart.
#[derive(Debug)]
pub struct PlaneMut<'a, T> {
    data: &'a mut [T],
    stride: usize,
}

impl<'a, T: Copy> PlaneMut<'a, T> {
    /// A plane over `data` with rows `stride` elements apart. The last row needs only the
    /// frame's width.
    pub fn new(data: &'a mut [T], stride: usize) -> PlaneMut<'a, T> {
        PlaneMut { data, stride }
    }

    fn check(&self, what: &'static str, width: usize, height: usize) -> Result<()> {
        if self.stride < width {
            let error = Status::StrideTooShort.about(what);
            return Err(error.numbers(self.stride as u64, width as u64));
        }
        let full_rows = product(what, &[self.stride, height.saturating_sub(1)])?;
        let need = full_rows.checked_add(width).ok_or(Status::LimitExceeded.about(what))?;
        if self.data.len() < need {
            let error = Status::BufferTooSmall.about(what);
            return Err(error.numbers(self.data.len() as u64, need as u64));
        }
        Ok(())
    }

    fn borrow(&mut self) -> PlaneMut<'_, T> {
        PlaneMut { data: self.data, stride: self.stride }
    }

    /// Takes the first `rows` rows away.
    fn split_off(&mut self, rows: usize) -> PlaneMut<'a, T> {
        let data = core::mem::take(&mut self.data);
        let at = rows.saturating_mul(self.stride).min(data.len());
        let (above, below) = data.split_at_mut_checked(at).unwrap_or_default();
        self.data = below;
        PlaneMut { data: above, stride: self.stride }
    }

    fn row(&mut self, y: usize, width: usize) -> &mut [T] {
        let start = y.saturating_mul(self.stride);
        self.data.get_mut(start..start.saturating_add(width)).unwrap_or_default()
    }
}

/// The label plane: one class index per frame pixel.
#[derive(Debug)]
pub enum Labels<'a> {
    /// Up to 255 classes; [`UNLABELED_U8`] marks pixels without a class.
    U8(PlaneMut<'a, u8>),
    /// [`UNLABELED_U16`] marks pixels without a class.
    U16(PlaneMut<'a, u16>),
}

/// Label of a pixel that no class is given to (the rule of ROS 2's `VisionClass`).
pub const UNLABELED_U8: u8 = u8::MAX;
/// Label of a pixel that no class is given to.
pub const UNLABELED_U16: u16 = u16::MAX;

/// Where a mask goes. All planes have the frame's size.
#[derive(Debug)]
pub struct Output<'a> {
    /// Class indices.
    pub labels: Labels<'a>,
    /// Softmax probability of the winning class, 255 = 1.
    pub confidence: Option<PlaneMut<'a, u8>>,
    /// Softmax probability of the winner minus that of the runner-up, 255 = 1.
    pub margin: Option<PlaneMut<'a, u8>>,
    /// How much the pixel looks like none of the classes
    /// ([`UnknownScore`](crate::spec::UnknownScore)), 255 = 1.
    pub unknown: Option<PlaneMut<'a, u8>>,
}

impl<'a> Output<'a> {
    /// Labels alone, tightly packed rows of `width` pixels.
    pub fn labels_u8(labels: &'a mut [u8], width: usize) -> Output<'a> {
        let labels = Labels::U8(PlaneMut::new(labels, width));
        Output { labels, confidence: None, margin: None, unknown: None }
    }

    /// Labels alone, tightly packed rows of `width` pixels.
    pub fn labels_u16(labels: &'a mut [u16], width: usize) -> Output<'a> {
        let labels = Labels::U16(PlaneMut::new(labels, width));
        Output { labels, confidence: None, margin: None, unknown: None }
    }

    /// Adds a tightly packed confidence plane.
    pub fn with_confidence(self, confidence: &'a mut [u8], width: usize) -> Output<'a> {
        Output { confidence: Some(PlaneMut::new(confidence, width)), ..self }
    }

    /// Adds a tightly packed margin plane.
    pub fn with_margin(self, margin: &'a mut [u8], width: usize) -> Output<'a> {
        Output { margin: Some(PlaneMut::new(margin, width)), ..self }
    }

    /// Adds a tightly packed plane of unknown scores.
    pub fn with_unknown(self, unknown: &'a mut [u8], width: usize) -> Output<'a> {
        Output { unknown: Some(PlaneMut::new(unknown, width)), ..self }
    }

    /// Checks every plane against the frame's size, and the label type against the number of
    /// classes.
    pub fn check(&self, width: usize, height: usize, classes: usize) -> Result<()> {
        match &self.labels {
            Labels::U8(_) if classes > usize::from(UNLABELED_U8) => {
                let error = Status::InvalidArgument.about("u8 labels for this many classes");
                return Err(error.numbers(classes as u64, UNLABELED_U8.into()));
            }
            Labels::U8(plane) => plane.check("label plane", width, height)?,
            Labels::U16(plane) => plane.check("label plane", width, height)?,
        }
        if let Some(plane) = &self.confidence {
            plane.check("confidence plane", width, height)?;
        }
        if let Some(plane) = &self.margin {
            plane.check("margin plane", width, height)?;
        }
        if let Some(plane) = &self.unknown {
            plane.check("unknown plane", width, height)?;
        }
        Ok(())
    }

    /// The same planes for as long as this is lent.
    pub(super) fn borrow(&mut self) -> Output<'_> {
        let labels = match &mut self.labels {
            Labels::U8(plane) => Labels::U8(plane.borrow()),
            Labels::U16(plane) => Labels::U16(plane.borrow()),
        };
        let planes = [&mut self.confidence, &mut self.margin, &mut self.unknown];
        let [confidence, margin, unknown] =
            planes.map(|plane| plane.as_mut().map(PlaneMut::borrow));
        Output { labels, confidence, margin, unknown }
    }

    /// Takes the first `rows` rows away.
    pub(super) fn split_off(&mut self, rows: usize) -> Output<'a> {
        let labels = match &mut self.labels {
            Labels::U8(plane) => Labels::U8(plane.split_off(rows)),
            Labels::U16(plane) => Labels::U16(plane.split_off(rows)),
        };
        let planes = [&mut self.confidence, &mut self.margin, &mut self.unknown];
        let [confidence, margin, unknown] =
            planes.map(|plane| plane.as_mut().map(|plane| plane.split_off(rows)));
        Output { labels, confidence, margin, unknown }
    }

    /// Marks pixels `from..to` of row `y` as unlabelled, with confidence and margin 0 and
    /// unknown score 1.
    pub(super) fn clear(&mut self, y: usize, from: usize, to: usize) {
        match &mut self.labels {
            Labels::U8(plane) => fill(plane, y, from, to, UNLABELED_U8),
            Labels::U16(plane) => fill(plane, y, from, to, UNLABELED_U16),
        }
        for plane in [&mut self.confidence, &mut self.margin].into_iter().flatten() {
            fill(plane, y, from, to, 0);
        }
        if let Some(plane) = &mut self.unknown {
            fill(plane, y, from, to, u8::MAX);
        }
    }

    /// Writes labels of `len` pixels from pixel `from` of row `y`. `positions` are whole numbers,
    /// places in `labels`; one that is no place there means no class.
    pub(super) fn write_labels(
        &mut self,
        y: usize,
        (from, len): (usize, usize),
        positions: &[f32],
        labels: &[u16],
    ) {
        let to = from.saturating_add(len);
        let label = |position: &f32| labels.get(whole(*position) as usize).copied();
        match &mut self.labels {
            Labels::U8(plane) => write(plane, y, from, to, positions, |position| {
                label(position).map_or(UNLABELED_U8, |label| label as u8)
            }),
            Labels::U16(plane) => write(plane, y, from, to, positions, |position| {
                label(position).unwrap_or(UNLABELED_U16)
            }),
        }
    }

    /// Whether anything beyond the labels is wanted.
    pub(super) fn wants_evidence(&self) -> bool {
        self.confidence.is_some() || self.margin.is_some() || self.unknown.is_some()
    }

    /// Writes confidence, margin and unknown score, each from 0 to 1.
    pub(super) fn write_evidence(
        &mut self,
        y: usize,
        (from, len): (usize, usize),
        [confidence, margin, unknown]: [&[f32]; 3],
    ) {
        let to = from.saturating_add(len);
        let planes = [&mut self.confidence, &mut self.margin, &mut self.unknown];
        for (plane, values) in planes.into_iter().zip([confidence, margin, unknown]) {
            if let Some(plane) = plane {
                write(plane, y, from, to, values, |&value| to_u8(value));
            }
        }
    }
}

/// The whole number nearest to a value from 0 to 2^23, by its mantissa: a cast would check for
/// the integer's range.
fn whole(value: f32) -> u32 {
    (value + 8_388_608.0).to_bits() & 0x007f_ffff
}

fn to_u8(probability: f32) -> u8 {
    whole(probability * 255.0) as u8
}

fn fill<T: Copy>(plane: &mut PlaneMut<'_, T>, y: usize, from: usize, to: usize, value: T) {
    for place in plane.row(y, to).iter_mut().skip(from) {
        *place = value;
    }
}

fn write<T: Copy>(
    plane: &mut PlaneMut<'_, T>,
    y: usize,
    from: usize,
    to: usize,
    values: &[f32],
    convert: impl Fn(&f32) -> T,
) {
    let row = plane.row(y, to).get_mut(from..).unwrap_or_default();
    for (place, value) in row.iter_mut().zip(values) {
        *place = convert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_row_needs_only_the_width() {
        let check = |len: usize, width: usize, height: usize| {
            let mut data = [0u8; 11];
            let labels = Labels::U8(PlaneMut::new(&mut data[..len], 8));
            Output { labels, confidence: None, margin: None, unknown: None }.check(width, height, 5)
        };
        assert!(check(11, 3, 2).is_ok());
        assert_eq!(check(10, 3, 2).unwrap_err().status(), Status::BufferTooSmall);
        assert_eq!(check(11, 9, 1).unwrap_err().status(), Status::StrideTooShort);
    }

    #[test]
    fn whole_numbers_are_kept() {
        assert!((0..70_000).all(|number| whole(number as f32) == number));
    }

    #[test]
    fn u8_labels_hold_255_classes() {
        let mut data = [0u8; 4];
        assert!(Output::labels_u8(&mut data, 2).check(2, 2, 255).is_ok());
        assert!(Output::labels_u8(&mut data, 2).check(2, 2, 256).is_err());
        let mut wide = [0u16; 4];
        assert!(Output::labels_u16(&mut wide, 2).check(2, 2, 4096).is_ok());
    }
}
