//! Masks on disk: PNG files whose numbers are classes.

use super::error::{DataError, Result};
use super::label::{Label, LabelMap};
use crate::limits::MAX_FRAME_SIDE;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use std::format;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::vec;
use std::vec::Vec;

/// Most memory that the decoder may take beside the mask, in bytes.
const MAX_DECODER_BYTES: usize = 1 << 26;

/// What each number of a mask means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskCoding {
    classes: usize,
    /// Indexed by the number; what lies beyond the end means nothing.
    meanings: Vec<Option<Label>>,
}

impl MaskCoding {
    /// Numbers below `classes` are the classes; `unlabelled` and `void` are the others that may
    /// occur. A number that is in one of the two lists is no class even if it is small enough.
    ///
    /// # Errors
    /// [`DataError::Argument`] for a number in both lists and for more classes than a
    /// [`LabelMap`] holds.
    pub fn direct(classes: usize, unlabelled: &[u16], void: &[u16]) -> Result<MaskCoding> {
        if let Some(both) = unlabelled.iter().find(|number| void.contains(number)) {
            let reason = format!("{both} cannot be both unlabelled and void");
            return Err(DataError::argument(reason));
        }
        let mut coding = MaskCoding { classes, meanings: Vec::new() };
        if classes > super::label::MAX_CLASSES {
            return Err(DataError::argument(format!("{classes} classes are too many")));
        }
        coding.meanings = (0..classes).map(|id| Some(Label::Class(id as u16))).collect();
        for &number in unlabelled {
            coding.set(number, Label::Unlabelled);
        }
        for &number in void {
            coding.set(number, Label::Void);
        }
        Ok(coding)
    }

    /// Numbers `0..` mean what `meanings` says, one after another.
    pub(super) fn listed(classes: usize, meanings: &[Label]) -> MaskCoding {
        MaskCoding { classes, meanings: meanings.iter().copied().map(Some).collect() }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Gives a number a meaning, in place of the one it had.
    pub(super) fn set(&mut self, number: u16, label: Label) {
        let at = usize::from(number);
        if self.meanings.len() <= at {
            self.meanings.resize(at + 1, None);
        }
        if let Some(place) = self.meanings.get_mut(at) {
            *place = Some(label);
        }
    }

    fn meaning(&self, number: u16) -> Option<Label> {
        self.meanings.get(usize::from(number)).copied().flatten()
    }
}

/// Reads a mask: a PNG file of palette indices or of 1 to 16 bits of grey. Palettes are not
/// looked at: the index is the number, whatever its colour. `size` is the picture's width and
/// height, in pixels.
///
/// # Errors
/// Naming the file: not such a file ([`DataError::Mask`]), of another size than the picture
/// ([`DataError::MaskSize`]), or with a number that `coding` does not know
/// ([`DataError::MaskValue`], the first one from the top left).
pub fn read_mask(path: &Path, size: (u32, u32), coding: &MaskCoding) -> Result<LabelMap> {
    let file = File::open(path).map_err(DataError::file(path))?;
    let limits = Limits { bytes: MAX_DECODER_BYTES };
    let mut decoder = Decoder::new_with_limits(BufReader::new(file), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| DataError::mask(path, error))?;
    let info = reader.info();
    let found = (info.width, info.height);
    let (color, depth) = (info.color_type, info.bit_depth);
    if !matches!(color, ColorType::Indexed | ColorType::Grayscale) {
        let reason = format!("it is {color:?}; wanted is a palette, or grey without alpha");
        return Err(DataError::mask(path, reason));
    }
    if found != size {
        return Err(DataError::MaskSize { path: path.to_path_buf(), found, wanted: size });
    }
    let bytes = reader.output_buffer_size();
    let bytes = bytes.filter(|_| found.0 <= MAX_FRAME_SIDE && found.1 <= MAX_FRAME_SIDE);
    let bytes = bytes.ok_or_else(|| DataError::mask(path, "it is too large"))?;
    let mut data = vec![0; bytes];
    let frame = reader.next_frame(&mut data).map_err(|error| DataError::mask(path, error))?;
    let numbers = numbers(&data, frame.line_size, found, depth);
    let mut labels = Vec::with_capacity(numbers.len());
    for (&value, at) in numbers.iter().zip(0u64..) {
        let Some(label) = coding.meaning(value) else {
            let (x, y) = ((at % u64::from(found.0)) as u32, (at / u64::from(found.0)) as u32);
            let (path, classes) = (path.to_path_buf(), coding.classes);
            return Err(DataError::MaskValue { path, x, y, value, classes });
        };
        labels.push(label);
    }
    LabelMap::new(found.0, found.1, coding.classes, &labels)
}

/// The numbers of all pixels. Rows start at whole bytes; within a byte the first pixel has the
/// highest bits.
fn numbers(data: &[u8], line_bytes: usize, size: (u32, u32), depth: BitDepth) -> Vec<u16> {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let mut numbers = Vec::with_capacity(width * height);
    for row in data.chunks(line_bytes.max(1)).take(height) {
        match depth {
            BitDepth::Sixteen => {
                let pairs = row.as_chunks().0.iter();
                numbers.extend(pairs.map(|&pair| u16::from_be_bytes(pair)).take(width));
            }
            BitDepth::Eight => numbers.extend(row.iter().map(|&byte| u16::from(byte)).take(width)),
            _ => {
                let bits = depth as u32;
                let parts = row.iter().flat_map(|&byte| {
                    let shifts = (0..8 / bits).rev().map(move |part| part * bits);
                    shifts.map(move |shift| u16::from(byte >> shift) & ((1 << bits) - 1))
                });
                numbers.extend(parts.take(width));
            }
        }
    }
    numbers
}
