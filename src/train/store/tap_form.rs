//! How the tensor of a tap is laid out.

use crate::backbone::tract::PREFIX_TOKENS;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::Tap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Order of a tap's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapForm {
    /// `[1, channels, rows, columns]`.
    Chw,
    /// `[1, rows, columns, channels]`.
    Hwc,
    /// `[1, tokens, channels]`, the last `rows * columns` of which are the cells row by row;
    /// [`PREFIX_TOKENS`] before them (class token, registers) are dropped.
    Tokens {
        /// Rows of the grid.
        rows: usize,
        /// Columns of the grid.
        columns: usize,
    },
}

/// A tensor to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapSource {
    /// Its name in the network.
    pub name: String,
    /// How it is laid out.
    pub form: TapForm,
}

impl TapSource {
    /// `NAME` (channels first), `NAME@hwc`, or `NAME@ROWSxCOLUMNS` for tokens.
    pub fn parse(text: &str) -> TapSource {
        let form = text.rsplit_once('@').and_then(|(name, form)| Some((name, form_of(form)?)));
        let (name, form) = form.unwrap_or((text, TapForm::Chw));
        TapSource { name: name.to_string(), form }
    }

    /// The tap that a tensor of these sides is, and how many tokens are dropped.
    ///
    /// # Errors
    /// [`Error::Config`] if it has not the form.
    pub(super) fn tap(&self, sides: &[usize]) -> Result<(Tap, usize)> {
        let (height, width, channels, dropped) = match (self.form, sides) {
            (TapForm::Chw, &[1, channels, rows, columns])
            | (TapForm::Hwc, &[1, rows, columns, channels]) => (rows, columns, channels, 0),
            (TapForm::Tokens { rows, columns }, &[1, tokens, channels]) => {
                let extra = rows.checked_mul(columns).and_then(|cells| tokens.checked_sub(cells));
                let extra = extra.filter(|extra| PREFIX_TOKENS.contains(extra));
                (rows, columns, channels, extra.ok_or_else(|| self.wrong(sides))?)
            }
            _ => return Err(self.wrong(sides)),
        };
        Ok((Tap { name: self.name.clone(), height, width, channels }, dropped))
    }

    fn wrong(&self, sides: &[usize]) -> Error {
        let wanted = match self.form {
            TapForm::Chw => {
                "[1, channels, rows, columns]; NAME@hwc stands for channels last, NAME@ROWSxCOLUMNS \
                 for tokens"
                    .to_string()
            }
            TapForm::Hwc => "[1, rows, columns, channels]".to_string(),
            TapForm::Tokens { rows, columns } => format!(
                "[1, tokens, channels] with {rows} x {columns} tokens, or 1 or 5 more before them"
            ),
        };
        Error::config(format!("tap \"{}\" has the sides {sides:?}, not {wanted}", self.name))
    }
}

fn form_of(text: &str) -> Option<TapForm> {
    if text == "hwc" {
        return Some(TapForm::Hwc);
    }
    let (rows, columns) = text.split_once('x')?;
    let (rows, columns) = (rows.parse().ok()?, columns.parse().ok()?);
    (rows > 0 && columns > 0).then_some(TapForm::Tokens { rows, columns })
}

/// `[rows * columns, channels]` of the elements of a tensor.
pub(super) fn cells(tap: &Tap, form: TapForm, dropped: usize, data: &[f32]) -> Result<Matrix<f32>> {
    let shape = [tap.height * tap.width, tap.channels];
    let values = match form {
        TapForm::Chw => {
            let mut values = Vec::with_capacity(data.len());
            for cell in 0..shape[0] {
                values.extend(data.iter().skip(cell).step_by(shape[0]));
            }
            values
        }
        TapForm::Hwc | TapForm::Tokens { .. } => {
            data.get(dropped * tap.channels..).unwrap_or_default().to_vec()
        }
    };
    Ok(Matrix::new(shape, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_before_the_cells_are_dropped() {
        let source = TapSource::parse("blocks/11@keys@2x3");
        assert_eq!(source.name, "blocks/11@keys");
        for (tokens, dropped) in [(6, 0), (7, 1), (11, 5)] {
            let (tap, found) = source.tap(&[1, tokens, 2]).unwrap();
            assert_eq!(([tap.height, tap.width, tap.channels], found), ([2, 3, 2], dropped));
            let data: Vec<f32> = (0..2 * tokens).map(|i| i as f32).collect();
            let cells = cells(&tap, source.form, found, &data).unwrap();
            assert_eq!(cells.row(0), data.get(2 * dropped..2 * dropped + 2));
            assert_eq!(cells.row(5), data.get(2 * tokens - 2..));
        }
        for sides in [&[1, 5, 2][..], &[1, 8, 2], &[2, 6, 2], &[1, 2, 2, 3], &[]] {
            assert!(source.tap(sides).is_err(), "{sides:?}");
        }
    }

    #[test]
    fn a_name_may_have_an_at_sign() {
        for text in ["a@b", "a@0x3", "a@3x", "a@-1x2", "a"] {
            let wanted = TapSource { name: text.to_string(), form: TapForm::Chw };
            assert_eq!(TapSource::parse(text), wanted);
        }
        assert_eq!(TapSource::parse("a@hwc").form, TapForm::Hwc);
    }
}
