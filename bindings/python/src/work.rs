//! A frame that is segmented in slices.

use crate::frame::{FrameInput, Mask, MaskArrays, refused};
use crate::segmenter::Segmenter;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use zsseg::segmenter::Frame;

/// A frame at work. Its arrays must not change until it is done.
#[pyclass(frozen, module = "zsseg")]
pub struct Work {
    segmenter: Py<Segmenter>,
    frame: FrameInput,
    arrays: MaskArrays,
    done: AtomicBool,
}

impl Work {
    pub fn begin(
        segmenter: &Bound<'_, Segmenter>,
        frame: FrameInput,
        arrays: MaskArrays,
    ) -> PyResult<Work> {
        let py = segmenter.py();
        let borrowed = frame.borrow(py)?;
        let image = frame.image(&borrowed).map_err(refused(py))?;
        let mut planes = arrays.borrow(py)?;
        let output = planes.output()?;
        segmenter.get().with(py, |core| core.begin(&Frame::of(&image), &output))?;
        drop(planes);
        drop(borrowed);
        let segmenter = segmenter.clone().unbind();
        Ok(Work { segmenter, frame, arrays, done: AtomicBool::new(false) })
    }
}

#[pymethods]
impl Work {
    /// Carries the frame on by at most so many pieces; True when its mask is complete.
    #[pyo3(signature = (pieces=1))]
    fn step(&self, py: Python<'_>, pieces: u32) -> PyResult<bool> {
        if self.done.load(Ordering::Acquire) {
            return Ok(true);
        }
        let borrowed = self.frame.borrow(py)?;
        let image = self.frame.image(&borrowed).map_err(refused(py))?;
        let mut planes = self.arrays.borrow(py)?;
        let mut output = planes.output()?;
        let step = |core: &mut zsseg::segmenter::Segmenter<'_>| {
            core.step(&Frame::of(&image), &mut output, pieces)
        };
        let done = self.segmenter.get().with(py, step)?;
        self.done.store(done, Ordering::Release);
        Ok(done)
    }

    /// The mask, once it is complete.
    #[getter]
    fn mask(&self, py: Python<'_>) -> PyResult<Mask> {
        if !self.done.load(Ordering::Acquire) {
            return Err(PyRuntimeError::new_err("the frame is not done: call step() until it is"));
        }
        Ok(self.arrays.mask(py))
    }
}
