//! Status numbers and the error type.
//!
//! A [`Status`] is what crosses the C boundary: a fixed number that is never reused. An
//! [`Error`] carries a status together with what was looked at and, where that helps, the
//! number found and the number wanted. With `std` it may own a longer text, such as the node a
//! model failed on.

use core::ffi::CStr;
use core::fmt;

/// Outcome of a call. The numbers are part of the C ABI: never changed, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Status {
    /// The call did what it promised.
    Ok = 0,
    /// A required pointer is NULL.
    NullPointer = 1,
    /// The `struct_size` of a struct is smaller than the oldest version known, or too large.
    StructSize = 2,
    /// An argument lies outside its documented range.
    InvalidArgument = 3,
    /// A handle was closed, poisoned by an earlier panic, is at work in another call, or lacks what
    /// the call needs.
    InvalidState = 4,
    /// The arena is smaller than `arena_size` said.
    ArenaTooSmall = 5,
    /// The arena does not start at a multiple of [`crate::arena::ALIGN_BYTES`].
    ArenaAlignment = 6,
    /// A caller's buffer (plane, output, text) is too short for its width, height and stride.
    BufferTooSmall = 7,
    /// A stride is shorter than a row.
    StrideTooShort = 8,
    /// An output overlaps the arena, the bundle, the frame or another output.
    Overlap = 9,
    /// A frame has no pixels or is larger than the limits given at init.
    FrameSize = 10,
    /// The pixel format is not known.
    PixelFormat = 11,
    /// The bytes are not a bundle, or end too early.
    BundleFormat = 12,
    /// The bundle was written by a newer, incompatible version.
    BundleVersion = 13,
    /// A checksum of the bundle does not match its contents.
    BundleChecksum = 14,
    /// The bundle is well-formed but says something impossible (a size, a number, a name).
    BundleContent = 15,
    /// Something exceeds a hard cap of this library.
    LimitExceeded = 16,
    /// The build or the bundle lacks what the call needs (an engine, a section, an output).
    Unsupported = 17,
    /// The network cannot be loaded by the engine.
    ModelLoad = 18,
    /// The network failed while running.
    ModelRun = 19,
    /// The network's inputs or outputs have other shapes or types than the bundle says.
    ModelShape = 20,
    /// A panic was caught at the boundary; the handle is poisoned.
    Panic = 21,
    /// No place is left for one more class.
    ClassTableFull = 22,
    /// The name or the label of a new class is taken.
    ClassExists = 23,
    /// A word is not in the bundle's table of word vectors.
    UnknownWord = 24,
    /// The frame's work was cancelled.
    Cancelled = 25,
    /// The frame's deadline passed before its work was done.
    DeadlineExceeded = 26,
}

impl Status {
    /// Every status, in the order of the numbers.
    pub const ALL: [Status; 27] = [
        Status::Ok,
        Status::NullPointer,
        Status::StructSize,
        Status::InvalidArgument,
        Status::InvalidState,
        Status::ArenaTooSmall,
        Status::ArenaAlignment,
        Status::BufferTooSmall,
        Status::StrideTooShort,
        Status::Overlap,
        Status::FrameSize,
        Status::PixelFormat,
        Status::BundleFormat,
        Status::BundleVersion,
        Status::BundleChecksum,
        Status::BundleContent,
        Status::LimitExceeded,
        Status::Unsupported,
        Status::ModelLoad,
        Status::ModelRun,
        Status::ModelShape,
        Status::Panic,
        Status::ClassTableFull,
        Status::ClassExists,
        Status::UnknownWord,
        Status::Cancelled,
        Status::DeadlineExceeded,
    ];

    /// The number that crosses the C boundary.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// A short English sentence without a final stop, as C reads it.
    pub const fn c_text(self) -> &'static CStr {
        match self {
            Status::Ok => c"ok",
            Status::NullPointer => c"a required pointer is NULL",
            Status::StructSize => c"struct_size is not one this library knows",
            Status::InvalidArgument => c"an argument is out of range",
            Status::InvalidState => c"the handle is not in a state for this call",
            Status::ArenaTooSmall => c"the arena is too small",
            Status::ArenaAlignment => c"the arena is not aligned",
            Status::BufferTooSmall => c"a buffer is too short",
            Status::StrideTooShort => c"a stride is shorter than a row",
            Status::Overlap => c"buffers overlap",
            Status::FrameSize => c"the frame is empty or larger than the limits",
            Status::PixelFormat => c"the pixel format is unknown",
            Status::BundleFormat => c"not a bundle, or a truncated one",
            Status::BundleVersion => c"the bundle needs a newer version of this library",
            Status::BundleChecksum => c"a checksum of the bundle does not match",
            Status::BundleContent => c"the bundle's contents are invalid",
            Status::LimitExceeded => c"a hard limit is exceeded",
            Status::Unsupported => c"not supported by this build or bundle",
            Status::ModelLoad => c"the network cannot be loaded",
            Status::ModelRun => c"the network failed while running",
            Status::ModelShape => c"the network's shapes differ from the bundle's",
            Status::Panic => c"an internal error was caught; the handle is poisoned",
            Status::ClassTableFull => c"no place is left for one more class",
            Status::ClassExists => c"the name or the label is taken",
            Status::UnknownWord => c"a word is not in the bundle's table",
            Status::Cancelled => c"the frame's work was cancelled",
            Status::DeadlineExceeded => c"the frame's deadline has passed",
        }
    }

    /// A short English sentence without a final stop.
    pub const fn text(self) -> &'static str {
        match self.c_text().to_str() {
            Ok(text) => text,
            Err(_) => "",
        }
    }

    /// The status with number `code`.
    pub fn from_code(code: i32) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.code() == code)
    }

    /// An error with this status about `what`.
    pub const fn about(self, what: &'static str) -> Error {
        Error { status: self, what, place: None, detail: Detail::None }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Where in a plan an error was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The step at this position in the table of steps.
    Step(u16),
    /// The tensor at this position in the table of tensors.
    Tensor(u16),
}

impl Place {
    /// A step by its position; positions beyond the hard limit are told as the last number.
    pub fn step(index: usize) -> Place {
        Place::Step(u16::try_from(index).unwrap_or(u16::MAX))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Detail {
    None,
    Numbers {
        found: usize,
        wanted: usize,
    },
    #[cfg(feature = "std")]
    Text(std::boxed::Box<str>),
}

/// A status with its circumstances.
///
/// Kept small, since every call that may fail hands one on: seven words on 32-bit processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    what: &'static str,
    place: Option<Place>,
    detail: Detail,
}

fn narrow(number: u64) -> usize {
    number.min(usize::MAX as u64) as usize
}

/// Result of this library's calls.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// The status, as it crosses the C boundary.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// What was looked at when the error was found.
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// Adds the number found and the number wanted (a bound or the exact value). What exceeds
    /// `usize` is told as its largest value.
    pub fn numbers(self, found: u64, wanted: u64) -> Error {
        let (found, wanted) = (narrow(found), narrow(wanted));
        Error { detail: Detail::Numbers { found, wanted }, ..self }
    }

    /// Adds a text made at run time.
    #[cfg(feature = "std")]
    pub fn text(self, text: impl Into<std::boxed::Box<str>>) -> Error {
        Error { detail: Detail::Text(text.into()), ..self }
    }

    /// Adds where it was found. A place that is already known stays.
    pub fn at(self, place: Place) -> Error {
        Error { place: self.place.or(Some(place)), ..self }
    }

    /// Where it was found, if that was told by [`Error::at`].
    pub const fn place(&self) -> Option<Place> {
        self.place
    }
}

impl Error {
    /// Hands the error's text to `put`, piece by piece, without `core::fmt`, which firmware does
    /// not carry.
    pub fn describe(&self, put: &mut dyn FnMut(&str)) {
        put(self.status.text());
        put(": ");
        if let Some(place) = self.place {
            let (list, index) = match place {
                Place::Step(index) => ("step ", index),
                Place::Tensor(index) => ("tensor ", index),
            };
            put(list);
            put_decimal(index.into(), put);
            put(": ");
        }
        put(self.what);
        match &self.detail {
            Detail::None => {}
            Detail::Numbers { found, wanted } => {
                put(" (found ");
                put_decimal(*found, put);
                put(", wanted ");
                put_decimal(*wanted, put);
                put(")");
            }
            #[cfg(feature = "std")]
            Detail::Text(text) => {
                put(": ");
                put(text);
            }
        }
    }
}

fn put_decimal(number: usize, put: &mut dyn FnMut(&str)) {
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let quotient = |power: usize| number.checked_div(power).unwrap_or(0);
    let mut power: usize = 1;
    while quotient(power) > 9 {
        power = power.saturating_mul(10);
    }
    while power > 0 {
        put(DIGITS.get(quotient(power) % 10).copied().unwrap_or_default());
        power /= 10;
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.describe(&mut |piece| result = result.and_then(|()| f.write_str(piece)));
        result
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_are_dense_and_in_order() {
        for (number, status) in Status::ALL.iter().enumerate() {
            assert_eq!(status.code(), number as i32);
        }
    }

    #[test]
    fn errors_are_small() {
        assert!(size_of::<Error>() <= 48);
    }

    #[test]
    fn display_names_status_subject_and_numbers() {
        let error = Status::ArenaTooSmall.about("arena").numbers(10, 20);
        assert_eq!(error.to_string(), "the arena is too small: arena (found 10, wanted 20)");
        let placed = error.at(Place::Step(17)).at(Place::Tensor(1));
        assert_eq!(placed.place(), Some(Place::Step(17)));
        assert_eq!(
            placed.to_string(),
            "the arena is too small: step 17: arena (found 10, wanted 20)"
        );
        for number in [0, 7, 10, 99, 100, u64::MAX] {
            let text = Status::Panic.about("x").numbers(number, number).to_string();
            assert!(text.ends_with(&std::format!("(found {number}, wanted {number})")), "{text}");
        }
    }
}
