//! What a segmenter borrows: the bundle's bytes, the arena and threads, in one place that does not
//! move.

use self_cell::{MutBorrow, self_cell};
use zsseg::arena::AlignedBytes;
use zsseg::bundle::Bundle;
use zsseg::limits::Limits;
use zsseg::segmenter::Segmenter;
use zsseg::status::{Error, Result};
use zsseg::threads::Workers;

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
