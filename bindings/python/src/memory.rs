//! What a segmenter borrows: the bundle's bytes, the arena and threads, in one place that does not
//! move.

use self_cell::{MutBorrow, self_cell};
use zsseg::arena::ALIGN_BYTES;
use zsseg::bundle::Bundle;
use zsseg::limits::Limits;
use zsseg::segmenter::Segmenter;
use zsseg::status::{Error, Result};
use zsseg::threads::Workers;

/// Bytes that start at a multiple of [`ALIGN_BYTES`].
pub struct AlignedBytes {
    bytes: Vec<u8>,
    skip: usize,
    len: usize,
}

impl AlignedBytes {
    fn zeros(len: usize) -> AlignedBytes {
        let bytes = vec![0; len + ALIGN_BYTES];
        let skip = bytes.as_ptr().align_offset(ALIGN_BYTES);
        AlignedBytes { bytes, skip, len }
    }

    /// A copy at an aligned place.
    pub fn copy_of(bytes: &[u8]) -> AlignedBytes {
        let mut copy = AlignedBytes::zeros(bytes.len());
        copy.as_mut_slice().copy_from_slice(bytes);
        copy
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.skip..self.skip + self.len]
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.skip..self.skip + self.len]
    }
}

/// Owner of the bytes and threads.
pub struct Memory {
    bundle: AlignedBytes,
    arena: MutBorrow<AlignedBytes>,
    workers: Workers,
}

self_cell!(
    /// A segmenter beside the bytes that it borrows.
    pub struct OwnedSegmenter {
        owner: Memory,

        #[not_covariant]
        dependent: Segmenter,
    }
);

/// Opens the bundle and sets a segmenter up in an arena of its own.
pub fn open(bundle: AlignedBytes, limits: &Limits) -> Result<OwnedSegmenter> {
    let arena_bytes = Segmenter::arena_bytes(&Bundle::parse(bundle.as_slice())?, limits)?;
    let memory = Memory {
        bundle,
        arena: MutBorrow::new(AlignedBytes::zeros(arena_bytes)),
        workers: Workers::new(limits.threads)?,
    };
    OwnedSegmenter::try_new(memory, |memory| -> core::result::Result<_, Error> {
        let bundle = Bundle::parse(memory.bundle.as_slice())?;
        let arena = memory.arena.borrow_mut().as_mut_slice();
        let mut segmenter = Segmenter::new(&bundle, limits, arena)?;
        segmenter.set_thread_pool(Some(&memory.workers));
        Ok(segmenter)
    })
}
