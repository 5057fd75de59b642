//! NEON kernels, alone and with the products of `dotprod` and `i8mm`.
//!
//! NEON belongs to the target that this module is compiled for: its intrinsics run on every
//! processor that runs this code, so that only `dotprod` and `i8mm` are asked for.

use crate::math::kernels::{self, Kernels};
use crate::math::{linear_i8, prune, quantized};
use cpu::Cpu;
use lanes::Neon;
use sums::{DotSums, WideSums};

pub mod cpu;
mod dot;
mod lanes;
pub mod network;
mod sums;

const KERNELS: Kernels = Kernels {
    name: "neon",
    blend: kernels::blend,
    decide: kernels::decide::<Neon>,
    rank: kernels::rank::<Neon>,
    total: kernels::total::<Neon>,
    relative: kernels::relative::<Neon>,
    prune: prune::prune::<Neon>,
    blend_active: prune::blend_active,
    decide_pruned: prune::decide_pruned::<Neon>,
    linear: kernels::linear::<Neon>,
    quantize: quantized::quantize::<Neon>,
    linear_i8: linear_i8::linear_i8::<WideSums>,
};

static NEON: Kernels = KERNELS;
static DOTPROD: Kernels =
    Kernels { name: "dotprod", linear_i8: linear_i8::linear_i8::<DotSums>, ..KERNELS };

/// The sets that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = &'static Kernels> {
    let sets = [(Cpu::detect().dotprod, &DOTPROD), (true, &NEON)];
    sets.into_iter().filter(|(runs, _)| *runs).map(|(_, kernels)| kernels)
}
