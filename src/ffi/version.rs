//! The functions of `include/zsseg.h` about the library itself.

use super::types::*;
use crate::status::Status;
use core::ffi::c_char;

/// Version of the interface that this library has: ZSSEG_ABI_VERSION of its own header.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_abi_version() -> u32 {
    ZSSEG_ABI_VERSION
}

/// Version of the library, such as "0.1.0". Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// What this build can do: ZSSEG_CAPABILITY_* bits.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_capabilities() -> u32 {
    let tract = ZSSEG_CAPABILITY_TRACT | ZSSEG_CAPABILITY_ENGINE_HEAP;
    let built = |is_built: bool, bits: u32| if is_built { bits } else { 0 };
    built(cfg!(feature = "tract"), tract)
        | built(cfg!(feature = "float-layers"), ZSSEG_CAPABILITY_FLOAT_LAYERS)
        | built(cfg!(feature = "fusion"), ZSSEG_CAPABILITY_FUSION)
}

/// English text for a status; "unknown status" for a number that is none. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn zsseg_status_str(status: zsseg_status_t) -> *const c_char {
    Status::from_code(status).map_or(c"unknown status", Status::c_text).as_ptr()
}
