//! Bands: some rows of a step's output, as a step of their own.
//!
//! Its output are these rows, its input begins with the first row that they need, and of the
//! padding it has what lies above that row. Kernels know nothing of it. Threads work on bands side
//! by side (`parts`), chains on one after another (`chain`).

use super::ops::{self, Site};
use super::step::{Operation, Window};
use super::tensor::{Element, Tensor};
use core::ops::Range;

/// Whether rows of the output can be made by themselves.
pub fn can_cut(mut operation: Operation) -> bool {
    ops::is_by_pixel(&operation) || window_of(&mut operation).is_some()
}

/// The window through which an operation's first input is read: a single pixel for one that works
/// pixel by pixel, `None` for one that cannot be cut.
pub fn window(mut operation: Operation) -> Option<Window> {
    if ops::is_by_pixel(&operation) {
        return Some(Window::POINT);
    }
    window_of(&mut operation).copied()
}

/// The window of an operation that has one.
fn window_of(operation: &mut Operation) -> Option<&mut Window> {
    match operation {
        Operation::Convolution { window, .. }
        | Operation::Depthwise { window, .. }
        | Operation::MaxPool { window }
        | Operation::AveragePool { window, .. } => Some(window),
        _ => None,
    }
}

/// Makes of a step the one that makes rows `rows` of its output alone. `None`, with a step that is
/// none, for one that cannot be cut, or whose tensors have not the rows in memory.
pub fn cut(band: &mut Site<'_>, rows: &Range<usize>) -> Option<()> {
    let height = band.output().height;
    let [first, others @ ..] = &mut band.inputs;
    match (window_of(&mut band.operation), first) {
        (Some(window), Some(input)) => {
            let start = rows.start.checked_mul(window.stride_y.into())?;
            let pad = usize::from(window.pad_top).saturating_sub(start);
            let skipped = start.saturating_sub(window.pad_top.into());
            window.pad_top = pad as u16;
            let height = input.tensor.height as usize;
            input.keep_rows(skipped..height)?;
        }
        (None, Some(input)) => input.keep_rows_of(height, rows)?,
        (_, None) => return None,
    }
    for input in others.iter_mut().flatten() {
        input.keep_rows_of(height, rows)?;
    }
    if matches!(band.operation, Operation::Binary { .. }) {
        let [constant, ..] = &mut band.constants;
        keep_rows_of_constant(constant, &band.output.tensor, rows)?;
    }
    band.output.keep_rows(rows.clone())
}

/// Of a constant operand as large as the output, its rows; others are repeated.
fn keep_rows_of_constant(constant: &mut &[u8], output: &Tensor, rows: &Range<usize>) -> Option<()> {
    let bytes = output.values().saturating_mul(Element::F32.bytes());
    if constant.len() as u64 == bytes {
        let of_row = constant.len().checked_div(output.height as usize)?;
        let start = rows.start.checked_mul(of_row)?;
        *constant = constant.get(start..)?.get(..rows.len().checked_mul(of_row)?)?;
    }
    Some(())
}
