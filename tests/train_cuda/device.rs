//! What the kernels run on here: the processor.

use zsseg::train::cuda::{Limits, Simulator};

pub type Chosen = Simulator;

pub fn open(limits: Limits) -> Simulator {
    Simulator::new(limits)
}
