//! Bump arena over the caller's bytes.
//!
//! The size pass is the allocation pass: the same code takes its buffers once from
//! [`Arena::counting`], which hands out empty slices and adds up the bytes, and once from
//! [`Arena::over`], which hands out the real ones. The two cannot disagree.

#[cfg(feature = "std")]
mod aligned;

#[cfg(feature = "std")]
pub use aligned::AlignedBytes;

use crate::limits::product;
use crate::status::{Result, Status};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Alignment of the arena's first byte and of every buffer in it: one cache line, and enough for
/// any vector load.
pub const ALIGN_BYTES: usize = 64;

/// Hands out aligned, zeroed slices one after another. Nothing is ever given back.
pub struct Arena<'a> {
    rest: Backing<'a>,
    used_bytes: usize,
}

enum Backing<'a> {
    Counting,
    Bytes(&'a mut [u8]),
}

impl<'a> Arena<'a> {
    /// An arena that only counts.
    pub fn counting() -> Arena<'static> {
        Arena { rest: Backing::Counting, used_bytes: 0 }
    }

    /// An arena over `bytes`, which must start at a multiple of [`ALIGN_BYTES`].
    pub fn over(bytes: &'a mut [u8]) -> Result<Arena<'a>> {
        let misalignment = bytes.as_ptr().addr() % ALIGN_BYTES;
        if misalignment != 0 {
            let error = Status::ArenaAlignment.about("start of the arena");
            return Err(error.numbers(misalignment as u64, 0));
        }
        Ok(Arena { rest: Backing::Bytes(bytes), used_bytes: 0 })
    }

    /// Takes `len` zeroed elements; an empty slice while counting. `T`'s alignment is at most
    /// [`ALIGN_BYTES`].
    pub fn take<T>(&mut self, len: usize) -> Result<&'a mut [T]>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable,
    {
        let Some(bytes) = self.take_bytes(len, size_of::<T>())? else {
            return Ok(<&mut [T]>::default());
        };
        <[T]>::mut_from_bytes_with_elems(bytes, len)
            .map_err(|_| Status::ArenaAlignment.about("arena buffer"))
    }

    /// The bytes of [`Arena::take`], zeroed; none while counting. One function for all types, since
    /// it is called in so many places.
    #[inline(never)]
    fn take_bytes(&mut self, len: usize, element_bytes: usize) -> Result<Option<&'a mut [u8]>> {
        let want_bytes = product("arena buffer", &[len, element_bytes])?;
        let start = self.used_bytes.next_multiple_of(ALIGN_BYTES);
        let pad_bytes = start - self.used_bytes;
        let end = start.checked_add(want_bytes).ok_or(Status::LimitExceeded.about("arena"))?;
        let Backing::Bytes(slot) = &mut self.rest else {
            self.used_bytes = end;
            return Ok(None);
        };
        let have_bytes = slot.len();
        let too_small = || {
            let error = Status::ArenaTooSmall.about("arena");
            error.numbers((self.used_bytes + have_bytes) as u64, end as u64)
        };
        let bytes = core::mem::take(slot);
        let (_, bytes) = bytes.split_at_mut_checked(pad_bytes).ok_or_else(too_small)?;
        let (taken, rest) = bytes.split_at_mut_checked(want_bytes).ok_or_else(too_small)?;
        self.rest = Backing::Bytes(rest);
        self.used_bytes = end;
        taken.fill(0);
        Ok(Some(taken))
    }

    /// Bytes taken so far, padding between buffers included.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[repr(C, align(64))]
    struct Aligned([u8; 4096]);

    fn take_all(arena: &mut Arena<'_>, lens: &[usize]) -> Result<usize> {
        for (turn, &len) in lens.iter().enumerate() {
            match turn % 3 {
                0 => _ = arena.take::<u8>(len)?,
                1 => _ = arena.take::<f32>(len)?,
                _ => _ = arena.take::<u16>(len)?,
            }
        }
        Ok(arena.used_bytes())
    }

    proptest! {
        #[test]
        fn counted_size_is_exact(lens in proptest::collection::vec(0usize..60, 1..12)) {
            let need = take_all(&mut Arena::counting(), &lens).unwrap();
            let mut bytes = Aligned([1; 4096]);
            let mut exact = Arena::over(&mut bytes.0[..need]).unwrap();
            prop_assert_eq!(take_all(&mut exact, &lens).unwrap(), need);
            if need > 0 {
                let mut short = Arena::over(&mut bytes.0[..need - 1]).unwrap();
                let error = take_all(&mut short, &lens).unwrap_err();
                prop_assert_eq!(error.status(), Status::ArenaTooSmall);
            }
        }
    }

    #[test]
    fn slices_are_zeroed_aligned_and_disjoint() {
        let mut bytes = Aligned([7; 4096]);
        let mut arena = Arena::over(&mut bytes.0).unwrap();
        let first = arena.take::<u8>(3).unwrap();
        let second = arena.take::<f32>(5).unwrap();
        assert_eq!(second.as_ptr().addr() % ALIGN_BYTES, 0);
        first.fill(9);
        assert_eq!(second, [0.0; 5]);
    }

    #[test]
    fn misaligned_start_is_refused() {
        let mut bytes = Aligned([0; 4096]);
        let error = Arena::over(&mut bytes.0[1..]).err().unwrap();
        assert_eq!(error.status(), Status::ArenaAlignment);
    }

    #[test]
    fn overflowing_request_is_an_error() {
        let error = Arena::counting().take::<f32>(usize::MAX / 2).unwrap_err();
        assert_eq!(error.status(), Status::LimitExceeded);
    }
}
