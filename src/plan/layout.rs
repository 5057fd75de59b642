//! The records of a plan section, byte for byte.
//!
//! Alignment 1 and little-endian fields: records are read in place. A section is the header, the
//! tensors, the steps, zeros up to a multiple of 64, and the constants. Offsets are in bytes from
//! the start of the record.

use zerocopy::little_endian::{F32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of a plan.
pub const MAGIC: [u8; 8] = *b"ZSPLAN\r\n";
/// Version that this library writes, and the only one it reads.
pub const PLAN_VERSION: u32 = 1;
/// Constants begin at multiples of this many bytes.
pub const CONSTANT_ALIGN_BYTES: u64 = 64;
/// In [`TensorRecord::ready`]: never holds a value, working memory of a step.
pub const NEVER: u16 = u16::MAX;
/// Bytes of a step's operation.
pub const PARAMETER_BYTES: usize = 64;

/// Start of the section: 128 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HeaderRecord {
    /// 0: [`MAGIC`].
    pub magic: [u8; 8],
    /// 8: [`PLAN_VERSION`].
    pub version: U32,
    /// 12: code of the [`Target`](super::Target).
    pub target: U32,
    /// 16: bytes of the arena, a multiple of 64.
    pub arena_bytes: U64,
    /// 24: entries of the tensor table.
    pub tensor_count: U32,
    /// 28: entries of the step table.
    pub step_count: U32,
    /// 32: start of the constants in the section: behind the steps, at a multiple of 64.
    pub constants_offset: U64,
    /// 40: bytes of the constants, which end the section.
    pub constants_bytes: U64,
    /// 48: index of the input.
    pub input: U16,
    /// 50: indices of the outputs; the second may be NO_TENSOR.
    pub outputs: [U16; 2],
    /// 54: zero.
    pub reserved: [u8; 10],
    /// 64: SHA-256 of the network that the plan was made from.
    pub source_sha256: [u8; 32],
    /// 96: zero.
    pub reserved_end: [u8; 32],
}

/// Entry of the tensor table: 40 bytes.
///
/// Moments are counted as follows: the input is written at 0, step `i` reads and writes at `i + 1`,
/// the outputs are read at `steps + 1`. A reader checks that each use of a tensor lies between the
/// moments that its record gives; that no two tensors live in the same bytes then follows from
/// comparing records. The steps of a chain take turns, so all that they read and write, but for
/// working memory, lives from the moment of the first to that of the last.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TensorRecord {
    /// 0: start in the arena.
    pub offset_bytes: U64,
    /// 8: rows.
    pub height: U32,
    /// 12: columns.
    pub width: U32,
    /// 16: values per pixel.
    pub channels: U32,
    /// 20: elements from pixel to pixel.
    pub pixel_stride: U32,
    /// 24: quantisation step; 1 for f32.
    pub scale: F32,
    /// 28: element code: 0 u8, 1 f32.
    pub element: u8,
    /// 29: zero point; 0 for f32.
    pub zero_point: u8,
    /// 30: index of the parent, or NO_TENSOR.
    pub parent: U16,
    /// 32: moment from which its bytes are taken.
    pub first: U16,
    /// 34: moment at which its values are complete, or [`NEVER`].
    pub ready: U16,
    /// 36: moment after which its bytes are free.
    pub last: U16,
    /// 38: rows in memory at a time, of a tensor inside a chain; 0: all.
    pub buffered_rows: U16,
}

/// Place of a constant: 8 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ConstantRecord {
    /// 0: from the start of the constants, a multiple of 64.
    pub offset_bytes: U32,
    /// 4: length; 0 for none, and the offset is then 0 too.
    pub len_bytes: U32,
}

/// Entry of the step table: 128 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StepRecord {
    /// 0: kind code of the operation (`operation.rs`).
    pub kind: U16,
    /// 2: indices of the inputs.
    pub inputs: [U16; 3],
    /// 8: index of the output.
    pub output: U16,
    /// 10: index of the working memory.
    pub scratch: U16,
    /// 12: fields of the operation one after another (`operation.rs`), then zeros.
    pub parameters: [u8; PARAMETER_BYTES],
    /// 76: constants.
    pub constants: [ConstantRecord; 5],
    /// 116: multiply-accumulates.
    pub macs: U64,
    /// 124: rows of the output that a chain, of which this is the last step, makes at a time; 0 for
    /// all other steps.
    pub strip_rows: U16,
    /// 126: zero.
    pub reserved: [u8; 2],
}

const _: () = assert!(size_of::<HeaderRecord>() == 128);
const _: () = assert!(size_of::<TensorRecord>() == 40);
const _: () = assert!(size_of::<StepRecord>() == 128);
