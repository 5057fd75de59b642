//! `zsseg._zsseg`: the extension module behind the Python package.

mod classes;
mod error;
mod frame;
mod memory;
mod segmenter;
mod work;

use pyo3::prelude::*;

/// Runs the `zsseg` command with these arguments, the first of which is its own name; its exit code.
#[cfg(feature = "command")]
#[pyfunction]
fn run_command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| zsseg::cli::run_from(arguments))
}

#[pymodule]
fn _zsseg(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("UNLABELED_U8", zsseg::head::UNLABELED_U8)?;
    module.add("UNLABELED_U16", zsseg::head::UNLABELED_U16)?;
    module.add("ZssegError", module.py().get_type::<error::ZssegError>())?;
    module.add_class::<classes::Class>()?;
    module.add_class::<frame::Mask>()?;
    module.add_class::<segmenter::Segmenter>()?;
    module.add_class::<work::Work>()?;
    #[cfg(feature = "command")]
    module.add_function(wrap_pyfunction!(run_command, module)?)?;
    Ok(())
}
