//! Copies to a GPU beside its work: a second stream, and two pieces of pinned host memory that take
//! turns. While one is copied from, the next bytes are put into the other.

use super::backend::failed;
use crate::status::Result;
use cudarc::driver::result::memcpy_htod_async;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError, PinnedHostSlice};
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces of pinned memory.
const SLOTS: usize = 2;

/// The stream of copies, and what it copies from.
pub(super) struct Copies {
    stream: Arc<CudaStream>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    all: [Option<Slot>; SLOTS],
    next: usize,
}

struct Slot {
    staged: PinnedHostSlice<u8>,
    /// Once it happens the bytes have been read.
    copied: Arc<CudaEvent>,
}

impl Copies {
    pub(super) fn new(context: &Arc<CudaContext>) -> core::result::Result<Copies, DriverError> {
        Ok(Copies { stream: context.new_stream()?, slots: Mutex::default() })
    }

    /// Copies bytes to memory that `work` has been asked to allocate. The event is that of the end.
    ///
    /// # Safety
    /// The memory is as long, and is neither read nor given back before the end.
    pub(super) unsafe fn send(
        &self,
        work: &CudaStream,
        bytes: &[u8],
        address: CUdeviceptr,
    ) -> Result<Arc<CudaEvent>> {
        let wrong = failed("copying to the GPU");
        // A panic elsewhere leaves slots that are whole.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Slots { all, next } = &mut *slots;
        let Some(slot) = all.get_mut(*next % SLOTS) else {
            return Err(wrong(DriverError(cudarc::driver::sys::CUresult::CUDA_ERROR_UNKNOWN)));
        };
        *next += 1;
        let mut staged = self.room(slot.take(), bytes.len()).map_err(&wrong)?;
        let place = staged.as_mut_slice().map_err(&wrong)?;
        let place = place.get_mut(..bytes.len()).unwrap_or_default();
        place.copy_from_slice(bytes);
        let there = work.record_event(None).map_err(&wrong)?;
        self.stream.wait(&there).map_err(&wrong)?;
        if !place.is_empty() {
            // SAFETY: the memory is as long, by the caller's word. The staged bytes stay as they
            // are until the event.
            unsafe { memcpy_htod_async(address, place, self.stream.cu_stream()) }
                .map_err(&wrong)?;
        }
        let copied = self.stream.record_event(None).inspect_err(|_| {
            // The staged bytes are given back next.
            self.stream.context().record_err(self.stream.synchronize());
        });
        let copied = Arc::new(copied.map_err(&wrong)?);
        *slot = Some(Slot { staged, copied: copied.clone() });
        Ok(copied)
    }

    /// Pinned memory for so many bytes that nothing is copied from, that of a slot if it is long
    /// enough.
    fn room(
        &self,
        slot: Option<Slot>,
        bytes: usize,
    ) -> core::result::Result<PinnedHostSlice<u8>, DriverError> {
        if let Some(slot) = slot {
            slot.copied.synchronize()?;
            if slot.staged.len() >= bytes {
                return Ok(slot.staged);
            }
        }
        // SAFETY: the bytes are set before they are read.
        unsafe { self.stream.context().alloc_pinned(bytes.max(1)) }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // Pinned memory is given back next.
        self.stream.context().record_err(self.stream.synchronize());
    }
}
