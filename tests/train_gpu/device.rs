//! What the kernels run on here: a GPU, with limits of its own.

use zsseg::train::cuda::{Driver, Limits};

pub type Chosen = Driver;

pub fn open(_limits: Limits) -> Driver {
    Driver::new(0).unwrap()
}
