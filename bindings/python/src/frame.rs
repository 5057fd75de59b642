//! NumPy arrays as frames and masks, without copies.

use crate::error::raised;
use numpy::{
    Element, PyArray2, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use zsseg::head::{Labels, Output, PlaneMut};
use zsseg::image::{ColorMatrix, ColorRange, Image, PixelFormat, Plane};
use zsseg::status;

/// Names of the pixel formats, as Python gives them.
const FORMATS: [(&str, PixelFormat); 10] = [
    ("rgb8", PixelFormat::Rgb8),
    ("bgr8", PixelFormat::Bgr8),
    ("rgba8", PixelFormat::Rgba8),
    ("bgra8", PixelFormat::Bgra8),
    ("gray8", PixelFormat::Gray8),
    ("nv12", PixelFormat::Nv12),
    ("nv21", PixelFormat::Nv21),
    ("i420", PixelFormat::I420),
    ("yuyv", PixelFormat::Yuyv),
    ("uyvy", PixelFormat::Uyvy),
];

/// A part of an array that is a plane of the frame.
struct Span {
    array: usize,
    offset: usize,
    len: usize,
    stride_bytes: usize,
}

/// A frame in arrays, which are held for as long as it is needed.
pub struct FrameInput {
    arrays: Vec<Py<PyArrayDyn<u8>>>,
    spans: Vec<Span>,
    format: PixelFormat,
    width: u32,
    height: u32,
    matrix: ColorMatrix,
    range: ColorRange,
}

/// Rows of packed bytes in an array.
struct Rows {
    rows: usize,
    row_bytes: usize,
    stride_bytes: usize,
}

impl FrameInput {
    /// From one array, or from a tuple with an array per plane.
    pub fn of(
        frame: &Bound<'_, PyAny>,
        format: &str,
        matrix: &str,
        range: &str,
    ) -> PyResult<FrameInput> {
        let format = named("format", format, &FORMATS)?;
        let matrices = [("bt601", ColorMatrix::Bt601), ("bt709", ColorMatrix::Bt709)];
        let ranges = [("limited", ColorRange::Limited), ("full", ColorRange::Full)];
        let matrix = named("matrix", matrix, &matrices)?;
        let range = named("range", range, &ranges)?;
        let arrays = arrays_of(frame)?;
        let mut rows = Vec::with_capacity(arrays.len());
        for array in &arrays {
            rows.push(rows_of(array)?);
        }
        let (width, height) = size_of_frame(&arrays, &rows, format)?;
        let spans = match (arrays.len(), format.planes()) {
            (1, 2 | 3) => planes_in_one(&rows[0], format, width, height)?,
            (given, wanted) if given == wanted => one_plane_each(&rows),
            (given, wanted) => {
                let text = format!("{given} planes for a format that has {wanted}");
                return Err(PyValueError::new_err(text));
            }
        };
        let arrays = arrays.into_iter().map(Bound::unbind).collect();
        Ok(FrameInput { arrays, spans, format, width, height, matrix, range })
    }

    /// Width and height.
    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Borrows the arrays: nobody may borrow them for writing meanwhile.
    pub fn borrow<'py>(&self, py: Python<'py>) -> PyResult<Vec<PyReadonlyArrayDyn<'py, u8>>> {
        let readonly = |array: &Py<PyArrayDyn<u8>>| {
            let borrowed = array.bind(py).try_readonly();
            borrowed.map_err(|error| PyValueError::new_err(error.to_string()))
        };
        self.arrays.iter().map(readonly).collect()
    }

    /// The frame in borrowed arrays.
    pub fn image<'a>(&self, arrays: &'a [PyReadonlyArrayDyn<'_, u8>]) -> status::Result<Image<'a>> {
        let plane = |span: &Span| {
            let start = arrays[span.array].as_raw_array().as_ptr();
            // SAFETY: `rows_of` has seen that the array's rows lie so, `spans` were made inside
            // them, and the borrow keeps the array where it is.
            let data = unsafe { std::slice::from_raw_parts(start.add(span.offset), span.len) };
            Plane { data, stride_bytes: span.stride_bytes }
        };
        let planes: Vec<Plane<'a>> = self.spans.iter().map(plane).collect();
        Image::new(self.format, self.width, self.height, &planes, self.matrix, self.range)
    }
}

fn named<T: Copy>(what: &str, name: &str, all: &[(&str, T)]) -> PyResult<T> {
    if let Some((_, value)) = all.iter().find(|(known, _)| *known == name) {
        return Ok(*value);
    }
    let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
    Err(PyValueError::new_err(format!("{what} {name:?} is none of {}", known.join(", "))))
}

/// The arrays of a frame: NumPy's own, or whatever speaks DLPack or the array interface.
fn arrays_of<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyArrayDyn<u8>>>> {
    if frame.is_instance_of::<PyTuple>() || frame.is_instance_of::<PyList>() {
        return frame.try_iter()?.map(|plane| array_of(&plane?)).collect();
    }
    Ok(vec![array_of(frame)?])
}

fn array_of<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    if let Ok(array) = frame.cast::<PyArrayDyn<u8>>() {
        return Ok(array.clone());
    }
    let numpy = frame.py().import("numpy")?;
    let array = if frame.hasattr("__array_interface__")? || frame.hasattr("__array__")? {
        numpy.call_method1("asarray", (frame,))?
    } else if frame.hasattr("__dlpack__")? {
        numpy.call_method1("from_dlpack", (frame,))?
    } else {
        let name = frame.get_type().name()?;
        return Err(PyTypeError::new_err(format!("a frame is an array of uint8, not {name}")));
    };
    array.cast_into::<PyArrayDyn<u8>>().map_err(|error| {
        let found = error.into_inner().getattr("dtype").map(|dtype| dtype.to_string());
        let found = found.unwrap_or_default();
        PyTypeError::new_err(format!("a frame is an array of uint8, not of {found}"))
    })
}

/// Rows of an array whose pixels lie side by side.
fn rows_of(array: &Bound<'_, PyArrayDyn<u8>>) -> PyResult<Rows> {
    let (shape, strides) = (array.shape(), array.strides());
    let (rows, width, depth) = match *shape {
        [rows, width] => (rows, width, 1),
        [rows, width, depth] => (rows, width, depth),
        _ => {
            let text = format!("a frame has 2 or 3 axes, not {}", shape.len());
            return Err(PyValueError::new_err(text));
        }
    };
    let row_bytes = width * depth;
    if rows * row_bytes == 0 {
        return Ok(Rows { rows, row_bytes, stride_bytes: row_bytes });
    }
    let packed = (strides.get(2).is_none_or(|&step| step == 1 || depth == 1))
        && (strides[1] == depth as isize || width <= 1);
    let stride_bytes = if rows <= 1 { row_bytes } else { usize::try_from(strides[0]).unwrap_or(0) };
    if !packed || stride_bytes < row_bytes {
        return Err(PyValueError::new_err(
            "the pixels of a row must lie side by side, one row after another: pass the array \
             before it was reversed or transposed (format=\"bgr8\" takes OpenCV's order), or \
             numpy.ascontiguousarray of it",
        ));
    }
    Ok(Rows { rows, row_bytes, stride_bytes })
}

/// Width and height of the frame, from its first array.
fn size_of_frame(
    arrays: &[Bound<'_, PyArrayDyn<u8>>],
    rows: &[Rows],
    format: PixelFormat,
) -> PyResult<(u32, u32)> {
    let (Some(array), Some(first)) = (arrays.first(), rows.first()) else {
        return Err(PyValueError::new_err("a frame without planes"));
    };
    let shape = array.shape();
    let depth = shape.get(2).copied().unwrap_or(1);
    let wanted = match format {
        PixelFormat::Rgb8 | PixelFormat::Bgr8 => 3,
        PixelFormat::Rgba8 | PixelFormat::Bgra8 => 4,
        PixelFormat::Yuyv | PixelFormat::Uyvy => 2,
        _ => 1,
    };
    if depth != wanted {
        let text = format!("shape {shape:?} for a format of {wanted} bytes per pixel");
        return Err(PyValueError::new_err(text));
    }
    let mut height = first.rows;
    if arrays.len() == 1 && format.planes() > 1 {
        if !height.is_multiple_of(3) {
            let text = format!("{height} rows are not those of luma and half as many of chroma");
            return Err(PyValueError::new_err(text));
        }
        height = height / 3 * 2;
    }
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    Ok((side(shape[1]), side(height)))
}

fn one_plane_each(rows: &[Rows]) -> Vec<Span> {
    let span = |(array, rows): (usize, &Rows)| Span {
        array,
        offset: 0,
        len: rows.len(),
        stride_bytes: rows.stride_bytes,
    };
    rows.iter().enumerate().map(span).collect()
}

impl Rows {
    /// Bytes from the first pixel to the end of the last.
    fn len(&self) -> usize {
        match self.rows {
            0 => 0,
            rows => (rows - 1) * self.stride_bytes + self.row_bytes,
        }
    }
}

/// The planes of a frame in one array, as OpenCV and many cameras hand them over: chroma rows below
/// the luma rows.
fn planes_in_one(rows: &Rows, format: PixelFormat, width: u32, height: u32) -> PyResult<Vec<Span>> {
    let whole = rows.len();
    if format.planes() == 2 {
        let offset = height as usize * rows.stride_bytes;
        let luma = Span { array: 0, offset: 0, len: whole, stride_bytes: rows.stride_bytes };
        let chroma = Span { array: 0, offset, len: whole.saturating_sub(offset), ..luma };
        return Ok(vec![luma, chroma]);
    }
    if rows.stride_bytes != rows.row_bytes || !width.is_multiple_of(2) || !height.is_multiple_of(2)
    {
        return Err(PyValueError::new_err(
            "i420 in one array needs even sides and rows without padding: pass a tuple of planes",
        ));
    }
    let (luma, width) = (height as usize * width as usize, width as usize);
    let plane = |offset, len, stride_bytes| Span { array: 0, offset, len, stride_bytes };
    Ok(vec![
        plane(0, luma, width),
        plane(luma, luma / 4, width / 2),
        plane(luma / 4 * 5, luma / 4, width / 2),
    ])
}

/// Arrays that a mask is written to.
pub struct MaskArrays {
    labels: LabelArray,
    confidence: Option<Py<PyArray2<u8>>>,
    margin: Option<Py<PyArray2<u8>>>,
    unknown: Option<Py<PyArray2<u8>>>,
}

enum LabelArray {
    U8(Py<PyArray2<u8>>),
    U16(Py<PyArray2<u16>>),
}

/// What is asked for beside the labels.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub confidence: bool,
    pub margin: bool,
    pub unknown: bool,
}

impl MaskArrays {
    /// New arrays for a frame, or the caller's for the labels.
    pub fn new(
        py: Python<'_>,
        [width, height]: [u32; 2],
        capacity: usize,
        out: Option<&Bound<'_, PyAny>>,
        wanted: Wanted,
    ) -> PyResult<MaskArrays> {
        let shape = [height as usize, width as usize];
        let plane = |wanted: bool| wanted.then(|| PyArray2::<u8>::zeros(py, shape, false).unbind());
        let labels = match out {
            Some(out) => LabelArray::given(out, shape)?,
            None if capacity <= usize::from(u8::MAX) => {
                LabelArray::U8(PyArray2::zeros(py, shape, false).unbind())
            }
            None => LabelArray::U16(PyArray2::zeros(py, shape, false).unbind()),
        };
        Ok(MaskArrays {
            labels,
            confidence: plane(wanted.confidence),
            margin: plane(wanted.margin),
            unknown: plane(wanted.unknown),
        })
    }

    /// Borrows the arrays: nobody else may meanwhile.
    pub fn borrow<'py>(&self, py: Python<'py>) -> PyResult<BorrowedMask<'py>> {
        Ok(BorrowedMask {
            labels: match &self.labels {
                LabelArray::U8(array) => BorrowedLabels::U8(writable(py, array)?),
                LabelArray::U16(array) => BorrowedLabels::U16(writable(py, array)?),
            },
            confidence: self.confidence.as_ref().map(|array| writable(py, array)).transpose()?,
            margin: self.margin.as_ref().map(|array| writable(py, array)).transpose()?,
            unknown: self.unknown.as_ref().map(|array| writable(py, array)).transpose()?,
        })
    }

    /// The arrays as Python sees them.
    pub fn mask(&self, py: Python<'_>) -> Mask {
        let any = |array: &Py<PyArray2<u8>>| array.clone_ref(py).into_any();
        Mask {
            labels: match &self.labels {
                LabelArray::U8(array) => any(array),
                LabelArray::U16(array) => array.clone_ref(py).into_any(),
            },
            confidence: self.confidence.as_ref().map(any),
            margin: self.margin.as_ref().map(any),
            unknown: self.unknown.as_ref().map(any),
        }
    }
}

impl LabelArray {
    fn given(out: &Bound<'_, PyAny>, shape: [usize; 2]) -> PyResult<LabelArray> {
        let (found, array) = if let Ok(array) = out.cast::<PyArray2<u8>>() {
            (array.shape(), LabelArray::U8(array.clone().unbind()))
        } else if let Ok(array) = out.cast::<PyArray2<u16>>() {
            (array.shape(), LabelArray::U16(array.clone().unbind()))
        } else {
            return Err(PyTypeError::new_err("out is a 2-D array of uint8 or uint16"));
        };
        if found != shape {
            let text = format!("out has shape {found:?}, the frame {shape:?}");
            return Err(PyValueError::new_err(text));
        }
        Ok(array)
    }
}

fn writable<'py, T: Element>(
    py: Python<'py>,
    array: &Py<PyArray2<T>>,
) -> PyResult<PyReadwriteArray2<'py, T>> {
    let borrowed = array.bind(py).try_readwrite();
    borrowed.map_err(|error| PyValueError::new_err(format!("out: {error}")))
}

/// [`MaskArrays`], borrowed.
pub struct BorrowedMask<'py> {
    labels: BorrowedLabels<'py>,
    confidence: Option<PyReadwriteArray2<'py, u8>>,
    margin: Option<PyReadwriteArray2<'py, u8>>,
    unknown: Option<PyReadwriteArray2<'py, u8>>,
}

enum BorrowedLabels<'py> {
    U8(PyReadwriteArray2<'py, u8>),
    U16(PyReadwriteArray2<'py, u16>),
}

impl BorrowedMask<'_> {
    /// The planes to be written.
    pub fn output(&mut self) -> PyResult<Output<'_>> {
        Ok(Output {
            labels: match &mut self.labels {
                BorrowedLabels::U8(array) => Labels::U8(plane_of(array)?),
                BorrowedLabels::U16(array) => Labels::U16(plane_of(array)?),
            },
            confidence: self.confidence.as_mut().map(plane_of).transpose()?,
            margin: self.margin.as_mut().map(plane_of).transpose()?,
            unknown: self.unknown.as_mut().map(plane_of).transpose()?,
        })
    }
}

fn plane_of<'a, T: Element + Copy>(
    array: &'a mut PyReadwriteArray2<'_, T>,
) -> PyResult<PlaneMut<'a, T>> {
    let (rows, width) = (array.shape()[0], array.shape()[1]);
    let element = size_of::<T>() as isize;
    let [down, right] = [array.strides()[0], array.strides()[1]];
    let stride = if rows <= 1 { width as isize } else { down / element };
    let packed = (right == element || width <= 1) && down % element == 0;
    if !packed || stride < width as isize {
        return Err(PyValueError::new_err("out: the labels of a row must lie side by side"));
    }
    let stride = stride as usize;
    let len = if rows == 0 { 0 } else { (rows - 1) * stride + width };
    // SAFETY: the rows lie so, and the borrow is exclusive.
    let data =
        unsafe { std::slice::from_raw_parts_mut(array.as_raw_array_mut().as_mut_ptr(), len) };
    Ok(PlaneMut::new(data, stride))
}

/// A mask: arrays of the frame's size.
#[pyclass(frozen, get_all, module = "zsseg")]
pub struct Mask {
    /// The label of every pixel, uint8 or uint16; the greatest number where none is given.
    labels: Py<PyAny>,
    /// Probability of the label, 255 = 1; None where it was not asked for.
    confidence: Option<Py<PyAny>>,
    /// Probability of the label less that of the runner-up, 255 = 1; or None.
    margin: Option<Py<PyAny>>,
    /// How much the pixel looks like none of the classes, 255 = 1; or None.
    unknown: Option<Py<PyAny>>,
}

#[pymethods]
impl Mask {
    /// The labels, for `numpy.asarray`.
    #[pyo3(signature = (*arguments, **named))]
    fn __array__<'py>(
        &self,
        arguments: &Bound<'py, PyTuple>,
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.labels.bind(arguments.py()).call_method("__array__", arguments, named)
    }

    /// The labels, for `from_dlpack` of any library.
    #[pyo3(signature = (**named))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.labels.bind(py).call_method("__dlpack__", (), named)
    }

    fn __dlpack_device__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.labels.bind(py).call_method0("__dlpack_device__")
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let labels = self.labels.bind(py);
        let (shape, dtype) = (labels.getattr("shape")?, labels.getattr("dtype")?);
        Ok(format!("<zsseg.Mask {shape} of {dtype}>"))
    }
}

/// An error of the library about a frame.
pub fn refused(py: Python<'_>) -> impl Fn(status::Error) -> PyErr {
    move |error| raised(py, &error)
}
