//! The segmenter.

// Arguments with names and defaults are how Python spells options.
#![allow(clippy::too_many_arguments)]

use crate::classes::{Class, OwnedSource};
use crate::error::raised;
use crate::frame::{FrameInput, Mask, MaskArrays, Wanted, refused};
use crate::memory::{self, OwnedSegmenter};
use crate::work::Work;
use numpy::{PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use zsseg::arena::AlignedBytes;
use zsseg::classes::NewClass;
use zsseg::head::Smoothing;
use zsseg::limits::{Limits, MAX_BUNDLE_BYTES};
use zsseg::map::{Layout, Map};
use zsseg::segmenter::{FusionSettings, Segmenter as Core};
use zsseg::spec::{Decision, Stacking, UnknownScore};
use zsseg::spectral::Fusion;
use zsseg::status::Result;

/// Segments frames with one model, in memory that was set aside when it was made.
///
/// One frame at a time: calls from several threads wait for one another, outside the interpreter's
/// lock.
#[pyclass(frozen, module = "zsseg")]
pub struct Segmenter {
    inner: Mutex<OwnedSegmenter>,
}

/// Where a bundle comes from.
#[derive(FromPyObject)]
enum BundleSource<'py> {
    Bytes(Bound<'py, PyBytes>),
    Path(PathBuf),
}

/// A class, by its label or by its name.
#[derive(FromPyObject)]
enum Which {
    Label(u16),
    Name(String),
}

impl Segmenter {
    /// Runs with the segmenter, while other threads of the interpreter go on.
    pub fn with<R: Send>(
        &self,
        py: Python<'_>,
        run: impl FnOnce(&mut Core<'_>) -> Result<R> + Send,
    ) -> PyResult<R> {
        let result = py.detach(|| {
            // A panic leaves the segmenter as usable as an error does: it holds no half-made state.
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.with_dependent_mut(|_, segmenter| run(segmenter))
        });
        result.map_err(|error| raised(py, &error))
    }

    fn label_of(&self, py: Python<'_>, which: Which) -> PyResult<u16> {
        let name = match which {
            Which::Label(label) => return Ok(label),
            Which::Name(name) => name,
        };
        let found = self.with(py, |core| Ok(core.find_class(&name)))?;
        found.ok_or_else(|| PyKeyError::new_err(format!("no class is called {name:?}")))
    }
}

#[pymethods]
impl Segmenter {
    #[new]
    #[pyo3(signature = (bundle, *, max_width=1920, max_height=1080, extra_classes=16, threads=1,
                        generator=false, smoothing=false, fusion=false))]
    fn new(
        py: Python<'_>,
        bundle: BundleSource<'_>,
        max_width: u32,
        max_height: u32,
        extra_classes: u32,
        threads: u32,
        generator: bool,
        smoothing: bool,
        fusion: bool,
    ) -> PyResult<Segmenter> {
        let limits = Limits {
            extra_classes,
            threads,
            generator,
            smoothing,
            fusion,
            ..Limits::for_frames(max_width, max_height)
        };
        let bytes = match &bundle {
            BundleSource::Bytes(bytes) => AlignedBytes::copy_of(bytes.as_bytes()),
            BundleSource::Path(path) => AlignedBytes::read(path, MAX_BUNDLE_BYTES)?,
        };
        let opened = py.detach(|| memory::open(bytes, &limits));
        let inner = Mutex::new(opened.map_err(|error| raised(py, &error))?);
        Ok(Segmenter { inner })
    }

    /// Segments a frame.
    #[pyo3(signature = (frame, format="rgb8", *, out=None, confidence=false, margin=false,
                        unknown=false, matrix="bt601", range="limited"))]
    fn segment(
        &self,
        py: Python<'_>,
        frame: &Bound<'_, PyAny>,
        format: &str,
        out: Option<&Bound<'_, PyAny>>,
        confidence: bool,
        margin: bool,
        unknown: bool,
        matrix: &str,
        range: &str,
    ) -> PyResult<Mask> {
        let frame = FrameInput::of(frame, format, matrix, range)?;
        let capacity = self.with(py, |core| Ok(core.label_capacity()))?;
        let wanted = Wanted { confidence, margin, unknown };
        let arrays = MaskArrays::new(py, frame.size(), capacity, out, wanted)?;
        let borrowed = frame.borrow(py)?;
        let image = frame.image(&borrowed).map_err(refused(py))?;
        let mut planes = arrays.borrow(py)?;
        let mut output = planes.output()?;
        self.with(py, |core| core.segment(&image, &mut output))?;
        Ok(arrays.mask(py))
    }

    /// Begins a frame that is segmented in slices.
    #[pyo3(signature = (frame, format="rgb8", *, out=None, confidence=false, margin=false,
                        unknown=false, matrix="bt601", range="limited"))]
    fn begin(
        slf: &Bound<'_, Segmenter>,
        frame: &Bound<'_, PyAny>,
        format: &str,
        out: Option<&Bound<'_, PyAny>>,
        confidence: bool,
        margin: bool,
        unknown: bool,
        matrix: &str,
        range: &str,
    ) -> PyResult<Work> {
        let (py, segmenter) = (slf.py(), slf.get());
        let frame = FrameInput::of(frame, format, matrix, range)?;
        let capacity = segmenter.with(py, |core| Ok(core.label_capacity()))?;
        let wanted = Wanted { confidence, margin, unknown };
        let arrays = MaskArrays::new(py, frame.size(), capacity, out, wanted)?;
        Work::begin(slf, frame, arrays)
    }

    /// Segments a frame whose features another engine computed.
    #[pyo3(signature = (features, width, height, *, out=None, confidence=false, margin=false,
                        unknown=false))]
    fn segment_features(
        &self,
        py: Python<'_>,
        features: PyReadonlyArray3<'_, f32>,
        width: u32,
        height: u32,
        out: Option<&Bound<'_, PyAny>>,
        confidence: bool,
        margin: bool,
        unknown: bool,
    ) -> PyResult<Mask> {
        let capacity = self.with(py, |core| Ok(core.label_capacity()))?;
        let wanted = Wanted { confidence, margin, unknown };
        let arrays = MaskArrays::new(py, [width, height], capacity, out, wanted)?;
        let shape = [features.shape()[0], features.shape()[1], features.shape()[2]];
        let data = features.as_slice().map_err(|_| {
            PyValueError::new_err("features must be contiguous: see numpy.ascontiguousarray")
        })?;
        let mut planes = arrays.borrow(py)?;
        let mut output = planes.output()?;
        self.with(py, |core| {
            let layout = core.bundle().output_layout();
            let [rows, columns, channels] = match layout {
                Layout::Hwc => shape,
                Layout::Chw => [shape[1], shape[2], shape[0]],
            };
            let map = Map::new(data, rows, columns, channels, layout)?;
            core.segment_features(&map, width, height, &mut output)
        })?;
        Ok(arrays.mask(py))
    }

    /// The network's output for the latest frame, a copy: (rows, columns, channels) or (channels,
    /// rows, columns), as `feature_layout` says.
    fn features<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let (data, shape) = self.with(py, |core| {
            let map = core.features()?;
            let shape = match map.layout() {
                Layout::Hwc => [map.height(), map.width(), map.channels()],
                Layout::Chw => [map.channels(), map.height(), map.width()],
            };
            Ok((map.data().to_vec(), shape))
        })?;
        numpy::PyArray1::from_vec(py, data).reshape(shape)
    }

    /// Adds a class; its label.
    #[pyo3(signature = (name, *, word=None, embedding=None, row=None, row_bias=0.0, generate=false,
                        label=None, color=None, seen=false, bias=0.0))]
    fn add_class(
        &self,
        py: Python<'_>,
        name: &str,
        word: Option<String>,
        embedding: Option<PyReadonlyArray1<'_, f32>>,
        row: Option<PyReadonlyArray1<'_, f32>>,
        row_bias: f32,
        generate: bool,
        label: Option<u16>,
        color: Option<[u8; 3]>,
        seen: bool,
        bias: f32,
    ) -> PyResult<u16> {
        let row = row.map(|row| (row, row_bias));
        let source = OwnedSource::of(name, word, embedding, row, generate)?;
        let class = NewClass { name, label, color, seen, bias };
        self.with(py, |core| core.add_class(&class, &source.source()))
    }

    /// Gives a class another row.
    #[pyo3(signature = (which, *, word=None, embedding=None, row=None, row_bias=0.0,
                        generate=false))]
    fn replace_class(
        &self,
        py: Python<'_>,
        which: Which,
        word: Option<String>,
        embedding: Option<PyReadonlyArray1<'_, f32>>,
        row: Option<PyReadonlyArray1<'_, f32>>,
        row_bias: f32,
        generate: bool,
    ) -> PyResult<()> {
        let label = self.label_of(py, which)?;
        let name = self.with(py, |core| Ok(core.class(label)?.name.to_string()))?;
        let row = row.map(|row| (row, row_bias));
        let source = OwnedSource::of(&name, word, embedding, row, generate)?;
        self.with(py, |core| core.replace_class(label, &source.source()))
    }

    /// Removes a class; its label is free again.
    fn remove_class(&self, py: Python<'_>, which: Which) -> PyResult<()> {
        let label = self.label_of(py, which)?;
        self.with(py, |core| core.remove_class(label))
    }

    fn rename_class(&self, py: Python<'_>, which: Which, name: &str) -> PyResult<()> {
        let label = self.label_of(py, which)?;
        self.with(py, |core| core.rename_class(label, name))
    }

    /// Lets a class take part, or not.
    fn enable_class(&self, py: Python<'_>, which: Which, enabled: bool) -> PyResult<()> {
        let label = self.label_of(py, which)?;
        self.with(py, |core| core.enable_class(label, enabled))
    }

    fn set_class_bias(&self, py: Python<'_>, which: Which, bias: f32) -> PyResult<()> {
        let label = self.label_of(py, which)?;
        self.with(py, |core| core.set_class_bias(label, bias))
    }

    fn set_class_prior(&self, py: Python<'_>, which: Which, prior: f32) -> PyResult<()> {
        let label = self.label_of(py, which)?;
        self.with(py, |core| core.set_class_prior(label, prior))
    }

    /// The classes, by label.
    #[getter]
    fn classes(&self, py: Python<'_>) -> PyResult<Vec<Class>> {
        self.with(py, |core| Ok(core.classes().map(|info| Class::of(&info)).collect()))
    }

    /// Changes how pixels are decided; what is not given stays.
    #[pyo3(signature = (*, unseen_bias=None, on=None, min_confidence=None, min_margin=None,
                        max_unknown=None, energy_reference=None))]
    fn set_decision(
        &self,
        py: Python<'_>,
        unseen_bias: Option<f32>,
        on: Option<&str>,
        min_confidence: Option<f32>,
        min_margin: Option<f32>,
        max_unknown: Option<f32>,
        energy_reference: Option<f32>,
    ) -> PyResult<()> {
        let on_logits = match on {
            None => None,
            Some("logits") => Some(true),
            Some("probabilities") => Some(false),
            Some(other) => {
                let text = format!("on is \"logits\" or \"probabilities\", not {other:?}");
                return Err(PyValueError::new_err(text));
            }
        };
        self.with(py, |core| {
            let now = core.decision();
            let of_logits = on_logits.unwrap_or(matches!(now.stacking, Stacking::Logits(_)));
            let stacking = match (unseen_bias, of_logits) {
                (None, _) => now.stacking,
                (Some(0.0), _) => Stacking::Off,
                (Some(gamma), true) => Stacking::Logits(gamma),
                (Some(gamma), false) => Stacking::Probabilities(gamma),
            };
            let energy = energy_reference.map(|reference| UnknownScore::Energy { reference });
            core.set_decision(Decision {
                stacking,
                min_confidence: min_confidence.unwrap_or(now.min_confidence),
                min_margin: min_margin.unwrap_or(now.min_margin),
                max_unknown: max_unknown.unwrap_or(now.max_unknown),
                unknown: energy.unwrap_or(now.unknown),
            })
        })
    }

    /// Smooths frames over time; `weight` 1 does not.
    #[pyo3(signature = (weight, cut=1.0))]
    fn set_smoothing(&self, py: Python<'_>, weight: f32, cut: f32) -> PyResult<()> {
        self.with(py, |core| core.set_smoothing(Smoothing { weight, cut }))
    }

    /// Forgets the frames that later ones would be smoothed with.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |core| {
            core.forget();
            Ok(())
        })
    }

    /// Moves masks towards spectral segments: "select", "vote", "soft", with a number behind a
    /// colon if wanted; None to stop.
    #[pyo3(signature = (rule, segments=5))]
    fn set_fusion(&self, py: Python<'_>, rule: Option<&str>, segments: u32) -> PyResult<()> {
        let fusion = rule.map(str::parse::<Fusion>).transpose();
        let fusion = fusion.map_err(|error| raised(py, &error))?;
        let settings = fusion.map(|fusion| FusionSettings { fusion, segments });
        self.with(py, |core| core.set_fusion(settings))
    }

    #[getter]
    fn model_name(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |core| Ok(core.bundle().model_name().to_string()))
    }

    /// Licence of the weights, an SPDX expression.
    #[getter]
    fn license(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |core| Ok(core.bundle().license().to_string()))
    }

    /// Bytes of the arena; they never change.
    #[getter]
    fn arena_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |core| Ok(core.arena_used_bytes()))
    }

    /// Rows and columns of the network's input.
    #[getter]
    fn input_size(&self, py: Python<'_>) -> PyResult<(u32, u32)> {
        self.with(py, |core| {
            let input = core.bundle().input();
            Ok((input.height, input.width))
        })
    }

    /// Order of the axes of features: "hwc" or "chw".
    #[getter]
    fn feature_layout(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.with(py, |core| {
            Ok(match core.bundle().output_layout() {
                Layout::Hwc => "hwc",
                Layout::Chw => "chw",
            })
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |core| {
            let (name, count) = (core.bundle().model_name(), core.classes().count());
            let bytes = core.arena_used_bytes();
            Ok(format!("<zsseg.Segmenter {name:?}, {count} classes, arena {bytes} bytes>"))
        })
    }
}
