//! Where the network's inputs come from.

use anyhow::Result;

/// Inputs for the network, one at a time: pictures in a folder, as a rule.
pub trait Samples {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What number `index` is called in errors.
    fn name(&self, index: usize) -> &str;

    /// Writes number `index` as the network's input, in the network's own order.
    ///
    /// # Errors
    /// If it cannot be read, naming it.
    fn read(&self, index: usize, values: &mut [f32]) -> Result<()>;
}

/// The first ones of others.
pub(super) struct First<'a> {
    /// All of them.
    pub(super) samples: &'a dyn Samples,
    /// How many are taken.
    pub(super) most: usize,
}

impl Samples for First<'_> {
    fn len(&self) -> usize {
        self.samples.len().min(self.most)
    }

    fn name(&self, index: usize) -> &str {
        self.samples.name(index)
    }

    fn read(&self, index: usize, values: &mut [f32]) -> Result<()> {
        self.samples.read(index, values)
    }
}
