//! The pictures, over threads.

use super::report::{FailedPicture, Progress};
use crate::cli::failure::of_panic;
use crate::train::data::{FileSet, read_picture};
use crate::train::store::{
    Extractor, Network, PictureCache, Prepared, Scratch, StoreWriter, TapSource,
};
use crate::train::{Error, View};
use anyhow::{Result, anyhow};
use std::format;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::vec::Vec;

/// What is to be done, shared by the threads.
pub struct Work<'a> {
    /// The network.
    pub network: &'a Network,
    /// What is read of it.
    pub taps: &'a [TapSource],
    /// Views of each picture.
    pub views: &'a [View],
    /// Of distorted colours.
    pub seed: u64,
    /// The pictures.
    pub set: &'a FileSet,
    /// Place in the set of each picture of the store.
    pub samples: &'a [usize],
    /// Where features go.
    pub store: &'a StoreWriter,
    /// Where decoded pictures are kept.
    pub cache: Option<&'a PictureCache>,
}

/// What a thread says about a picture, or about the end of all work.
enum Message {
    Done,
    Failed(usize, anyhow::Error),
    Broken(anyhow::Error),
}

/// Which pictures are taken, and whether to go on.
struct Queue {
    pending: Vec<usize>,
    next: AtomicUsize,
    stopped: AtomicBool,
}

impl Queue {
    fn take(&self) -> Option<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        self.pending.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }
}

impl Work<'_> {
    /// Does what the store lacks. Gives the pictures that failed, each of which was reported.
    ///
    /// # Errors
    /// What keeps all pictures from being done: a full disk, or a network that does not load.
    pub fn run(&self, threads: NonZeroUsize, progress: &Progress) -> Result<Vec<FailedPicture>> {
        let mut pending = Vec::new();
        for picture in 0..self.samples.len() {
            if !self.store.missing_views(picture)?.is_empty() {
                pending.push(picture);
            }
        }
        let threads = threads.get().min(pending.len());
        let queue = Queue { pending, next: AtomicUsize::new(0), stopped: AtomicBool::new(false) };
        let mut failed = Vec::new();
        let mut broken = None;
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            for _ in 0..threads {
                let sender = sender.clone();
                let queue = &queue;
                scope.spawn(move || self.guarded_worker(queue, &sender));
            }
            drop(sender);
            for message in receiver {
                match message {
                    Message::Done => progress.done(),
                    Message::Failed(picture, error) => {
                        progress.failed(&error);
                        failed.push((picture, format!("{error:#}")));
                    }
                    Message::Broken(error) => {
                        queue.stopped.store(true, Ordering::Relaxed);
                        broken.get_or_insert(error);
                    }
                }
            }
        });
        if let Some(error) = broken {
            return Err(error);
        }
        failed.sort();
        let named =
            |(picture, error)| FailedPicture { name: self.name(picture).to_string(), error };
        Ok(failed.into_iter().map(named).collect())
    }

    fn name(&self, picture: usize) -> &str {
        let name = self.store.meta().pictures().get(picture);
        name.map_or("", String::as_str)
    }

    fn guarded_worker(&self, queue: &Queue, sender: &Sender<Message>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.worker(queue, sender)));
        let outcome = outcome.unwrap_or_else(|panic| Err(of_panic(panic.as_ref())));
        if let Err(error) = outcome {
            // The receiver lives as long as any thread.
            let _ = sender.send(Message::Broken(error));
        }
    }

    fn worker(&self, queue: &Queue, sender: &Sender<Message>) -> Result<()> {
        let mut scratch = Scratch::new(self.network)?;
        let mut extractor = Extractor::new(self.network, self.taps, self.seed, &mut scratch)?;
        while let Some(picture) = queue.take() {
            let message = match self.picture(picture, &mut extractor) {
                Ok(()) => Message::Done,
                Err(error) if self.is_about_picture(&error) => {
                    // Its text has its causes.
                    Message::Failed(picture, anyhow!("{}: {error}", self.name(picture)))
                }
                Err(error) => return Err(error.into()),
            };
            let _ = sender.send(message);
        }
        Ok(())
    }

    /// Whether others may still be done.
    fn is_about_picture(&self, error: &Error) -> bool {
        matches!(error, Error::Data(_) | Error::Compute(_) | Error::Config { .. })
    }

    fn picture(
        &self,
        picture: usize,
        extractor: &mut Extractor<'_>,
    ) -> core::result::Result<(), Error> {
        let prepared = self.prepared(picture, extractor)?;
        for place in self.store.missing_views(picture)? {
            let Some(view) = self.views.get(place) else { break };
            let features = extractor.features(&prepared, self.name(picture), view, place)?;
            self.store.put(picture, place, &features)?;
        }
        Ok(())
    }

    fn prepared(
        &self,
        picture: usize,
        extractor: &mut Extractor<'_>,
    ) -> core::result::Result<Prepared, Error> {
        if let Some(cache) = self.cache
            && let Some(prepared) = cache.get(picture)?
        {
            return Ok(prepared);
        }
        let sample = self.samples.get(picture).copied().unwrap_or(usize::MAX);
        let prepared = extractor.prepare(&read_picture(&self.set.picture_path(sample)?)?)?;
        if let Some(cache) = self.cache {
            cache.put(picture, &prepared)?;
        }
        Ok(prepared)
    }
}
