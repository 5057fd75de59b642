//! Errors of the library as Python exceptions.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use zsseg::status::Error;

pyo3::create_exception!(
    zsseg,
    ZssegError,
    PyException,
    "A call that the library refused, or that failed. `status` names the reason, `code` is its \
     number, the same as in C."
);

/// The exception for an error of the library.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let status = error.status();
    let exception = ZssegError::new_err(error.to_string());
    let value = exception.value(py);
    let told = value
        .setattr("status", format!("{status:?}"))
        .and_then(|()| value.setattr("code", status.code()));
    // An exception that cannot carry its number still carries its text.
    drop(told);
    exception
}
