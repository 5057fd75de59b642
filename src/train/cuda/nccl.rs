//! Gradients of several GPUs as one, by NCCL (feature `train-nccl`).
//!
//! Each GPU has an engine and a thread of its own, trains on its share of a batch, and adds its
//! gradients to those of the others before the optimiser steps: [`Peers::average`]. All then have
//! the same parameters. NCCL is loaded when it is first needed.

use super::driver::{Driver, Place};
use super::engine::{CudaEngine, Tensor};
use super::guard::{DeviceError, caught};
use crate::status::{Result, Status};
use core::fmt;
use cudarc::nccl::result::NcclError;
use cudarc::nccl::{Comm, Id, ReduceOp};
use std::format;
use std::sync::Arc;
use std::vec::Vec;

/// Names a group of GPUs. One of them makes it, and tells the others.
#[derive(Clone, Copy, Debug)]
pub struct GroupId(Id);

impl GroupId {
    /// A new name.
    ///
    /// # Errors
    /// [`DeviceError::NoCollectives`] without NCCL.
    pub fn new() -> core::result::Result<GroupId, DeviceError> {
        check_present()?;
        caught("NCCL", || Id::new().map(GroupId).map_err(broken("a group of GPUs")))
    }

    /// As bytes, for other processes.
    pub fn bytes(&self) -> [u8; 128] {
        self.0.internal().map(|byte| byte as u8)
    }

    /// Of bytes that [`GroupId::bytes`] gave.
    pub fn of(bytes: [u8; 128]) -> GroupId {
        GroupId(Id::uninit(bytes.map(|byte| byte as core::ffi::c_char)))
    }
}

fn check_present() -> core::result::Result<(), DeviceError> {
    // SAFETY: looks for a library; NCCL's runs no code that could do harm.
    match unsafe { cudarc::nccl::sys::is_culib_present() } {
        true => Ok(()),
        false => Err(DeviceError::NoCollectives),
    }
}

fn broken(what: &'static str) -> impl Fn(NcclError) -> DeviceError {
    // Its own words are only its type's name.
    move |error| DeviceError::broken(what)(&format!("{:?}", error.0))
}

/// A GPU's place in a group of them.
pub struct Peers {
    /// There until it is dropped.
    comm: Option<Comm>,
}

impl Peers {
    /// Joins a group of `count` GPUs as number `rank`, and waits until all have.
    ///
    /// # Errors
    /// [`DeviceError::NoCollectives`] without NCCL, and [`DeviceError::Broken`] with its words,
    /// also for a number that is not below `count`.
    pub fn join(
        driver: &Driver,
        id: &GroupId,
        rank: usize,
        count: usize,
    ) -> core::result::Result<Peers, DeviceError> {
        check_present()?;
        if rank >= count || i32::try_from(count).is_err() {
            let reason = format!("no place {rank} among {count}");
            return Err(DeviceError::Broken { what: "a group of GPUs", reason });
        }
        caught("NCCL", || {
            let comm = Comm::from_rank(driver.stream().clone(), rank, count, id.0);
            Ok(Peers { comm: Some(comm.map_err(broken("a group of GPUs"))?) })
        })
    }

    /// How many GPUs the group has.
    pub fn count(&self) -> usize {
        self.comm.as_ref().map_or(1, Comm::world_size)
    }

    /// Makes each matrix the mean of those at the same place of all GPUs, in one exchange of all
    /// numbers. All have to call it, with matrices of the same shapes.
    ///
    /// # Errors
    /// `Status::Unsupported` with NCCL's words, and those of the engine.
    pub fn average(
        &self,
        engine: &CudaEngine<Driver>,
        tensors: &mut [&mut Tensor<Driver>],
    ) -> Result<()> {
        let shared: Vec<&Tensor<Driver>> = tensors.iter().map(|tensor| &**tensor).collect();
        let shapes: Vec<[usize; 2]> = shared.iter().map(|tensor| tensor.shape()).collect();
        let flat = engine.flat(&shared)?;
        self.average_numbers(engine, &flat)?;
        for (tensor, mean) in tensors.iter_mut().zip(engine.unflat(&flat, &shapes)?) {
            **tensor = mean;
        }
        Ok(())
    }

    /// In the tensor's own memory, which nobody else has.
    fn average_numbers(&self, engine: &CudaEngine<Driver>, flat: &Tensor<Driver>) -> Result<()> {
        let stream: &Arc<_> = engine.backend().stream();
        let mut place = Place { memory: flat.memory(), stream };
        let Some(comm) = self.comm.as_ref().filter(|_| flat.count() > 0) else { return Ok(()) };
        if !Arc::ptr_eq(&comm.stream(), stream) {
            return Err(Status::InvalidArgument.about("engine of another GPU"));
        }
        // What is listed for a record comes first.
        engine.flush()?;
        caught("NCCL", || {
            let done = comm.all_reduce_in_place::<_, f32>(&mut place, &ReduceOp::Avg);
            done.map(|_| ()).map_err(broken("sum of gradients"))
        })?;
        Ok(())
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        let Some(comm) = self.comm.take() else { return };
        // cudarc aborts what is under way, and panics where NCCL cannot.
        let stream = comm.stream();
        stream.context().record_err(stream.synchronize());
        let _ = caught("NCCL", || {
            drop(comm);
            Ok(())
        });
    }
}
