//! The C API (`include/zsseg.h`).
//!
//! Every function checks its pointers and `struct_size`s, turns the C structs into the library's
//! own types once, calls the library and hands back a number. With `std` a panic is caught here,
//! poisons the handle it happened in, and comes back as [`ZSSEG_E_PANIC`].
#![allow(unsafe_code)]

mod bundle;
mod classes;
mod convert;
mod frames;
mod functions;
mod guard;
mod object;
mod settings;
mod steps;
mod threads;
mod types;
mod types_classes;
mod types_work;
mod version;

pub use bundle::*;
pub use classes::*;
pub use functions::*;
pub use object::*;
pub use settings::*;
pub use steps::*;
pub use threads::*;
pub use types::*;
pub use types_classes::*;
pub use types_work::*;
pub use version::*;

#[cfg(all(not(feature = "std"), panic = "abort"))]
mod panic;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    #[test]
    fn every_status_has_its_constant() {
        let constants = [
            ZSSEG_OK,
            ZSSEG_E_NULL_POINTER,
            ZSSEG_E_STRUCT_SIZE,
            ZSSEG_E_INVALID_ARGUMENT,
            ZSSEG_E_INVALID_STATE,
            ZSSEG_E_ARENA_TOO_SMALL,
            ZSSEG_E_ARENA_ALIGNMENT,
            ZSSEG_E_BUFFER_TOO_SMALL,
            ZSSEG_E_STRIDE_TOO_SHORT,
            ZSSEG_E_OVERLAP,
            ZSSEG_E_FRAME_SIZE,
            ZSSEG_E_PIXEL_FORMAT,
            ZSSEG_E_BUNDLE_FORMAT,
            ZSSEG_E_BUNDLE_VERSION,
            ZSSEG_E_BUNDLE_CHECKSUM,
            ZSSEG_E_BUNDLE_CONTENT,
            ZSSEG_E_LIMIT_EXCEEDED,
            ZSSEG_E_UNSUPPORTED,
            ZSSEG_E_MODEL_LOAD,
            ZSSEG_E_MODEL_RUN,
            ZSSEG_E_MODEL_SHAPE,
            ZSSEG_E_PANIC,
            ZSSEG_E_CLASS_TABLE_FULL,
            ZSSEG_E_CLASS_EXISTS,
            ZSSEG_E_UNKNOWN_WORD,
            ZSSEG_E_CANCELLED,
            ZSSEG_E_DEADLINE_EXCEEDED,
        ];
        let codes = Status::ALL.map(Status::code);
        assert_eq!(constants, codes);
    }

    #[test]
    fn numbers_agree_with_the_library() {
        use crate::head::{UNLABELED_U8, UNLABELED_U16};
        use crate::image::PixelFormat;
        assert_eq!(ZSSEG_ARENA_ALIGN, crate::arena::ALIGN_BYTES);
        assert_eq!(ZSSEG_UNLABELED_U8, u32::from(UNLABELED_U8));
        assert_eq!(ZSSEG_UNLABELED_U16, u32::from(UNLABELED_U16));
        let formats = [
            (ZSSEG_FORMAT_RGB8, PixelFormat::Rgb8),
            (ZSSEG_FORMAT_BGR8, PixelFormat::Bgr8),
            (ZSSEG_FORMAT_RGBA8, PixelFormat::Rgba8),
            (ZSSEG_FORMAT_BGRA8, PixelFormat::Bgra8),
            (ZSSEG_FORMAT_GRAY8, PixelFormat::Gray8),
            (ZSSEG_FORMAT_NV12, PixelFormat::Nv12),
            (ZSSEG_FORMAT_NV21, PixelFormat::Nv21),
            (ZSSEG_FORMAT_I420, PixelFormat::I420),
            (ZSSEG_FORMAT_YUYV, PixelFormat::Yuyv),
            (ZSSEG_FORMAT_UYVY, PixelFormat::Uyvy),
        ];
        for (code, format) in formats {
            assert_eq!(PixelFormat::from_code(code).unwrap(), format);
        }
    }
}
