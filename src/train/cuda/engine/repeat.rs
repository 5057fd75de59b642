//! Work that comes again and again is recorded once, and then done at once.
//!
//! Inside of [`CudaEngine::repeated`] nothing is done at first: work is listed, in memory that
//! stays the same from one time to the next. At the end the list is compared with that of the time
//! before. The first time it is done piece by piece; the second time it is recorded; from then on
//! the record is done. A list differs in more than the bytes of its uploads where a shape, a number
//! told to a kernel or an address is another one: then it is done piece by piece, and recorded when
//! it comes once more. So a record cannot be out of date, whatever is done inside; numbers that
//! change from step to step have to be uploaded if it is to be of use.
//!
//! Reading a tensor inside needs what was listed so far to be done: the list ends there, and
//! another one begins.

use super::super::backend::{Argument, Backend, Work};
use super::CudaEngine;
use crate::status::{Error, Result};
use crate::train::engine::{Product, Repeated};
use std::string::{String, ToString};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::{ThreadId, current};
use std::vec::Vec;

/// Kinds of repeated work that are remembered, each with its memory.
const MOST_RECORDS: usize = 8;

/// What an engine repeats.
pub(super) struct Repeats<B: Backend> {
    running: Option<Running<B>>,
    /// The one that was used last comes last.
    records: Vec<Record<B>>,
    /// How many lists were recorded, and how many times a record was done.
    counts: [usize; 2],
}

/// What is remembered of one kind of repeated work.
struct Record<B: Backend> {
    name: String,
    sizes: Vec<usize>,
    /// Memory by the order in which it is asked for.
    memory: Vec<Arc<B::Memory>>,
    segments: Vec<Segment<B>>,
}

/// A list of work, up to where a tensor is read.
struct Segment<B: Backend> {
    signature: Vec<u64>,
    graph: Graph<B>,
}

enum Graph<B: Backend> {
    None,
    /// The device cannot record such work.
    Refused,
    Recorded(B::Graph),
}

/// Repeated work that is being asked for.
struct Running<B: Backend> {
    /// Other threads are not part of it.
    thread: ThreadId,
    record: Record<B>,
    works: Vec<Work<B>>,
    next_memory: usize,
    next_segment: usize,
}

impl<B: Backend> Repeats<B> {
    pub(super) fn new() -> Repeats<B> {
        Repeats { running: None, records: Vec::new(), counts: [0; 2] }
    }

    fn running(&mut self) -> Option<&mut Running<B>> {
        self.running.as_mut().filter(|running| running.thread == current().id())
    }

    fn take(&mut self, what: &Repeated<'_>) -> Record<B> {
        let is_it = |record: &Record<B>| record.name == what.name && record.sizes == what.sizes;
        match self.records.iter().position(is_it) {
            Some(place) => self.records.remove(place),
            None => Record {
                name: what.name.to_string(),
                sizes: what.sizes.to_vec(),
                memory: Vec::new(),
                segments: Vec::new(),
            },
        }
    }

    fn put(&mut self, record: Record<B>) {
        if self.records.len() == MOST_RECORDS {
            self.records.remove(0);
        }
        self.records.push(record);
    }
}

impl<B: Backend> Running<B> {
    /// Memory that was had at this place before, unless somebody still has it.
    fn room(&mut self, backend: &B, bytes: usize) -> Result<Arc<B::Memory>> {
        let slot = self.record.memory.get_mut(self.next_memory);
        self.next_memory += 1;
        let fits = |memory: &Arc<B::Memory>| {
            Arc::strong_count(memory) == 1 && backend.length(memory) == bytes
        };
        match slot {
            Some(memory) if fits(memory) => Ok(memory.clone()),
            Some(memory) => {
                *memory = Arc::new(backend.allocate(bytes)?);
                Ok(memory.clone())
            }
            None => {
                let memory = Arc::new(backend.allocate(bytes)?);
                self.record.memory.push(memory.clone());
                Ok(memory)
            }
        }
    }

    /// Does what was listed.
    fn flush(&mut self, backend: &B, counts: &mut [usize; 2]) -> Result<()> {
        let works = core::mem::take(&mut self.works);
        if works.is_empty() {
            return Ok(());
        }
        let signature = signature(backend, &works);
        let place = self.next_segment;
        self.next_segment += 1;
        let Some(segment) = self.record.segments.get_mut(place) else {
            self.record.segments.push(Segment { signature, graph: Graph::None });
            return perform(backend, &works);
        };
        if segment.signature != signature {
            *segment = Segment { signature, graph: Graph::None };
            return perform(backend, &works);
        }
        if matches!(segment.graph, Graph::None) {
            segment.graph = backend.record(&works).map_or(Graph::Refused, Graph::Recorded);
            counts[0] += usize::from(matches!(segment.graph, Graph::Recorded(_)));
        }
        match &mut segment.graph {
            Graph::Recorded(graph) => {
                counts[1] += 1;
                backend.replay(graph, &uploads(&works))
            }
            _ => perform(backend, &works),
        }
    }
}

fn perform<B: Backend>(backend: &B, works: &[Work<B>]) -> Result<()> {
    works.iter().try_for_each(|work| backend.perform(work))
}

fn uploads<B: Backend>(works: &[Work<B>]) -> Vec<&[u8]> {
    works.iter().filter_map(Work::changing).collect()
}

/// All that a record of the list depends on.
fn signature<B: Backend>(backend: &B, works: &[Work<B>]) -> Vec<u64> {
    let mut words = Vec::with_capacity(works.len() * 16);
    for work in works {
        sign(backend, work, &mut words);
    }
    words
}

fn sign<B: Backend>(backend: &B, work: &Work<B>, words: &mut Vec<u64>) {
    let address = |memory: &Arc<B::Memory>| backend.address(memory);
    match work {
        Work::Launch { module, launch, arguments, .. } => {
            // Modules stay as long as the engine, and so do names.
            words.extend([1, Arc::as_ptr(module).addr() as u64]);
            words.extend([launch.kernel.as_ptr().addr() as u64, launch.kernel.len() as u64]);
            words.extend(launch.grid.iter().chain(&launch.block).map(|size| u64::from(*size)));
            words.extend([launch.shared_bytes as u64, arguments.len() as u64]);
            for argument in arguments {
                words.extend(match argument {
                    Argument::Memory(memory) => [1, address(memory)],
                    Argument::Null => [2, 0],
                    Argument::U32(value) => [3, u64::from(*value)],
                    Argument::U64(value) => [4, *value],
                    Argument::F32(value) => [5, u64::from(value.to_bits())],
                    Argument::F64(value) => [6, value.to_bits()],
                });
            }
        }
        Work::Multiply(multiply) => {
            let form = match multiply.form {
                Product::Nn => 0,
                Product::Nt => 1,
                Product::Tn => 2,
            };
            words.extend([2, form]);
            words.extend(multiply.shape.map(|size| size as u64));
            words.extend([&multiply.a, &multiply.b, &multiply.result].map(address));
            words.push(multiply.bias.as_ref().map_or(0, address));
        }
        Work::Copy { from, to } => {
            words.extend([3, address(from), address(to), backend.length(to) as u64]);
        }
        Work::Clear(memory) => words.extend([4, address(memory), backend.length(memory) as u64]),
        Work::Upload { bytes, to, is_constant } => {
            words.extend([5, address(to), bytes.len() as u64]);
            if *is_constant {
                words.extend(bytes.iter().map(|byte| u64::from(*byte)));
            }
        }
    }
}

/// Ends repeated work, even where it panicked.
struct End<'a, B: Backend>(&'a CudaEngine<B>);

impl<B: Backend> Drop for End<'_, B> {
    fn drop(&mut self) {
        let mut repeats = self.0.repeats();
        if let Some(mut running) = repeats.running.take() {
            // Lists that did not come this time: their memory may have been used by others.
            running.record.segments.truncate(running.next_segment);
            repeats.put(running.record);
        }
    }
}

impl<B: Backend> CudaEngine<B> {
    fn repeats(&self) -> MutexGuard<'_, Repeats<B>> {
        // A panic elsewhere leaves a list that is still to be done, or none.
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lists of repeated work were recorded, and how many times a record was done.
    pub fn records(&self) -> [usize; 2] {
        self.repeats().counts
    }

    pub(super) fn is_repeating(&self) -> bool {
        self.repeats().running().is_some()
    }

    /// Does something, or lists it.
    pub(super) fn perform(&self, work: Work<B>) -> Result<()> {
        match self.repeats().running() {
            Some(running) => running.works.push(work),
            None => return self.backend.perform(&work),
        }
        Ok(())
    }

    pub(super) fn room_of_bytes(&self, bytes: usize) -> Result<Arc<B::Memory>> {
        match self.repeats().running() {
            Some(running) => running.room(&self.backend, bytes),
            None => Ok(Arc::new(self.backend.allocate(bytes)?)),
        }
    }

    /// Does what is listed.
    pub(in crate::train::cuda) fn flush(&self) -> Result<()> {
        let mut repeats = self.repeats();
        let mut counts = repeats.counts;
        let done = match repeats.running() {
            Some(running) => running.flush(&self.backend, &mut counts),
            None => Ok(()),
        };
        repeats.counts = counts;
        done
    }

    /// Does work as [`crate::train::engine::Engine::repeated`] says. Inside of other repeated work
    /// it is a part of that.
    pub(super) fn repeat<R, X: From<Error>>(
        &self,
        what: &Repeated<'_>,
        work: impl FnOnce() -> core::result::Result<R, X>,
    ) -> core::result::Result<R, X> {
        {
            let mut repeats = self.repeats();
            if repeats.running.is_some() {
                drop(repeats);
                return work();
            }
            let record = repeats.take(what);
            let thread = current().id();
            let (works, next_memory, next_segment) = (Vec::new(), 0, 0);
            repeats.running = Some(Running { thread, record, works, next_memory, next_segment });
        }
        let end = End(self);
        let result = work();
        // What was asked for before an error is done, as it is elsewhere.
        let flushed = self.flush();
        drop(end);
        let result = result?;
        flushed?;
        Ok(result)
    }
}
