//! What went wrong, in GStreamer's terms.

use std::io;
use std::path::Path;
use zsseg::status::{Error, Status};

/// An error with the domain it has on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There is no such file, or none is named.
    Missing,
    /// The file is there and cannot be opened.
    Closed,
    /// What was read is no bundle, or a damaged one.
    Broken,
    /// A property does not fit the bundle.
    Setting,
    /// The bundle needs what this build has not.
    Unsupported,
    /// A frame is not what its caps say.
    Frame,
    /// The network failed.
    Run,
}

impl Problem {
    /// The property `bundle` is empty.
    pub fn no_bundle() -> Problem {
        let text = "no bundle is named: set the property bundle to a .zsb file".to_string();
        Problem { kind: Kind::Missing, text }
    }

    /// A file that cannot be read.
    pub fn reading(path: &Path, error: &io::Error) -> Problem {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::Missing,
            _ => Kind::Closed,
        };
        Problem { kind, text: format!("{}: {error}", path.display()) }
    }

    /// A bundle that cannot be used.
    pub fn opening(path: &Path, error: &Error) -> Problem {
        let kind = match error.status() {
            Status::Unsupported => Kind::Unsupported,
            _ => Kind::Broken,
        };
        Problem { kind, text: format!("{}: {error}", path.display()) }
    }

    /// A property with a value that does not fit.
    pub fn setting(text: String) -> Problem {
        Problem { kind: Kind::Setting, text }
    }

    /// A bundle that another element, or another build, could run.
    pub fn unsupported(text: String) -> Problem {
        Problem { kind: Kind::Unsupported, text }
    }

    /// A frame that does not fit its caps.
    pub fn frame(text: impl ToString) -> Problem {
        Problem { kind: Kind::Frame, text: text.to_string() }
    }

    /// A frame that was not segmented.
    pub fn running(error: &Error) -> Problem {
        let kind = match error.status() {
            Status::ModelRun => Kind::Run,
            _ => Kind::Frame,
        };
        Problem { kind, text: error.to_string() }
    }

    /// For people.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl From<Problem> for gst::ErrorMessage {
    fn from(Problem { kind, text }: Problem) -> gst::ErrorMessage {
        match kind {
            Kind::Missing => gst::error_msg!(gst::ResourceError::NotFound, ["{text}"]),
            Kind::Closed => gst::error_msg!(gst::ResourceError::OpenRead, ["{text}"]),
            Kind::Broken => gst::error_msg!(gst::ResourceError::Read, ["{text}"]),
            Kind::Setting => gst::error_msg!(gst::ResourceError::Settings, ["{text}"]),
            Kind::Unsupported => gst::error_msg!(gst::CoreError::MissingPlugin, ["{text}"]),
            Kind::Frame => gst::error_msg!(gst::StreamError::Format, ["{text}"]),
            Kind::Run => gst::error_msg!(gst::StreamError::Failed, ["{text}"]),
        }
    }
}
