//! What a training's steps are computed on.

use super::runner::Reporter;
use super::session::{Environment, OpenPictures, Request, Summary, session};
use crate::train::error::{Error, Result};
use crate::train::methods::Registry;
use core::fmt;
use core::str::FromStr;
use std::format;

/// What a training's steps are computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A GPU if there is one that can do it, and else the processor.
    Auto,
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of a number, counted from 0.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = Error;

    /// Reads `auto`, `cpu`, `cuda` or `cuda:1`.
    fn from_str(text: &str) -> Result<Device> {
        let wrong = || Error::config(format!("\"{text}\" is not auto, cpu, cuda or cuda:N"));
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").ok_or_else(wrong)?;
                index.parse().map(Device::Cuda).map_err(|_| wrong())
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Trains with the methods of this library on a device, as [`session()`]. With [`Device::Auto`] the
/// reporter is told why it is not a GPU.
///
/// # Errors
/// [`Error::Device`] for a GPU that is missing or cannot do it; those of [`session()`].
pub fn session_with(
    device: Device,
    request: &Request,
    open: &OpenPictures,
    reporter: &mut dyn Reporter,
) -> Result<Summary> {
    let on_processor = |reporter: &mut dyn Reporter| {
        session(request, &Environment { methods: &Registry::all(), open }, reporter)
    };
    match device {
        Device::Cpu => on_processor(reporter),
        Device::Cuda(index) => {
            gpu::Gpu::new(device, index, request)?.train(request, open, reporter)
        }
        Device::Auto => match gpu::Gpu::new(device, 0, request) {
            Ok(gpu) => gpu.train(request, open, reporter),
            Err(Error::Device { reason, .. }) => {
                reporter.warning(&format!("training on the processor: {reason}"));
                on_processor(reporter)
            }
            Err(error) => Err(error),
        },
    }
}

/// An error about a device.
fn unfit(device: Device, reason: impl fmt::Display) -> Error {
    Error::Device { device: format!("{device}"), reason: format!("{reason}") }
}

#[cfg(not(feature = "train-cuda"))]
mod gpu {
    use super::{Device, OpenPictures, Reporter, Request, Result, Summary, unfit};

    /// This build has none.
    pub(super) enum Gpu {}

    impl Gpu {
        pub(super) fn new(device: Device, _index: usize, _request: &Request) -> Result<Gpu> {
            Err(unfit(device, "this program was built without the feature train-cuda"))
        }

        pub(super) fn train(
            self,
            _request: &Request,
            _open: &OpenPictures,
            _reporter: &mut dyn Reporter,
        ) -> Result<Summary> {
            match self {}
        }
    }
}

#[cfg(feature = "train-cuda")]
mod gpu {
    use super::super::session::session_on;
    use super::{
        Device, Environment, OpenPictures, Registry, Reporter, Request, Result, Summary, unfit,
    };
    use crate::train::cuda::{CudaEngine, Driver};
    use std::format;

    /// A GPU, and the methods that run on it.
    pub(super) struct Gpu {
        engine: CudaEngine<Driver>,
        methods: Registry<CudaEngine<Driver>>,
    }

    impl Gpu {
        pub(super) fn new(device: Device, index: usize, request: &Request) -> Result<Gpu> {
            // A method that there is not is an error of its own.
            Registry::all().find(&request.method)?;
            let methods = Registry::of_f32();
            let name = &request.method;
            let on_processor = || unfit(device, format!("{name} computes on the processor only"));
            methods.find(name).map_err(|_| on_processor())?;
            let driver = Driver::new(index).map_err(|error| unfit(device, error))?;
            Ok(Gpu { engine: CudaEngine::new(driver), methods })
        }

        pub(super) fn train(
            self,
            request: &Request,
            open: &OpenPictures,
            reporter: &mut dyn Reporter,
        ) -> Result<Summary> {
            let environment = Environment { methods: &self.methods, open };
            let name = self.engine.backend().name();
            session_on(&self.engine, name, request, &environment, reporter)
        }
    }
}
