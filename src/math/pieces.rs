//! Pieces of equal length of a slice, and copies. Unlike `chunks_exact` and `copy_from_slice`,
//! these compile to no panic at any optimisation level when the length is known at run time only.

/// Copies as many elements as both have.
#[inline(always)]
pub fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    for (place, value) in to.iter_mut().zip(from) {
        *place = *value;
    }
}

/// Elements `index * len..(index + 1) * len`.
pub fn piece<T>(slice: &[T], index: usize, len: usize) -> Option<&[T]> {
    slice.get(index.checked_mul(len)?..)?.get(..len)
}

/// Elements `index * len..(index + 1) * len`.
pub fn piece_mut<T>(slice: &mut [T], index: usize, len: usize) -> Option<&mut [T]> {
    slice.get_mut(index.checked_mul(len)?..)?.get_mut(..len)
}

/// The pieces of `len` elements one after another; what is left over at the end is dropped.
#[inline(always)]
pub fn pieces<T>(slice: &[T], len: usize) -> impl Iterator<Item = &[T]> {
    let mut rest = slice;
    core::iter::from_fn(move || {
        let (piece, others) = rest.split_at_checked(len.max(1))?;
        rest = others;
        Some(piece)
    })
}

/// As [`pieces`], to be written.
#[inline(always)]
pub fn pieces_mut<T>(slice: &mut [T], len: usize) -> impl Iterator<Item = &mut [T]> {
    let mut rest = slice;
    core::iter::from_fn(move || {
        let (piece, others) = core::mem::take(&mut rest).split_at_mut_checked(len.max(1))?;
        rest = others;
        Some(piece)
    })
}
