//! Pieces of equal length of a slice. Unlike `chunks_exact`, these compile to no panic at any
//! optimisation level when the length is known at run time only.

/// Elements `index * len..(index + 1) * len`.
pub(super) fn piece<T>(slice: &[T], index: usize, len: usize) -> Option<&[T]> {
    slice.get(index.checked_mul(len)?..)?.get(..len)
}

/// Elements `index * len..(index + 1) * len`.
pub(super) fn piece_mut<T>(slice: &mut [T], index: usize, len: usize) -> Option<&mut [T]> {
    slice.get_mut(index.checked_mul(len)?..)?.get_mut(..len)
}
