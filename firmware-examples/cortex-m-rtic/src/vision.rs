//! Model, picture and memory of the segmenter.

use cortex_m_semihosting::hprintln;
use zsseg::arena::ALIGN_BYTES;
use zsseg::bundle::Bundle;
use zsseg::image::{Image, PixelFormat};
use zsseg::limits::Limits;
use zsseg::segmenter::Segmenter;
use zsseg::status::Result;

pub const WIDTH: usize = 160;
pub const HEIGHT: usize = 120;
pub const PIXELS: usize = WIDTH * HEIGHT;
/// Label of drivable pixels in this model.
pub const ROAD: u8 = 1;

/// What `Segmenter::arena_bytes` says for this model and this frame; printed at start.
const ARENA_BYTES: usize = 114240;

#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);

pub type Arena = Aligned<[u8; ARENA_BYTES]>;

pub const ARENA: Arena = Aligned([0; ARENA_BYTES]);

static BUNDLE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/tiny-road.zsb"));
static PICTURE: &[u8; PIXELS * 3 / 2] = include_bytes!("../../data/road_160x120.nv12");

const _: () = assert!(core::mem::align_of::<Arena>() == ALIGN_BYTES);

/// A segmenter in `arena`, whose network stays in flash.
pub fn segmenter(arena: &'static mut Arena) -> Result<Segmenter<'static>> {
    let bundle = Bundle::open(&BUNDLE.0)?;
    let limits = Limits::for_frames(WIDTH as u32, HEIGHT as u32);
    let needed = Segmenter::arena_bytes(&bundle, &limits)?;
    hprintln!("arena-needed-bytes {}", needed);
    hprintln!("arena-bytes {}", ARENA_BYTES);
    Segmenter::new(&bundle, &limits, &mut arena.0)
}

/// The picture that stands for the camera's.
pub fn picture() -> Result<Image<'static>> {
    Image::packed(PixelFormat::Nv12, PICTURE, WIDTH as u32, HEIGHT as u32)
}

/// Share of road in the lower half of a mask, in per cent.
pub fn road_percent(labels: &[u8; PIXELS]) -> u32 {
    let lower = &labels[PIXELS / 2..];
    let road = lower.iter().filter(|&&label| label == ROAD).count();
    (road * 100 / lower.len()) as u32
}

/// CRC-32 as in zlib, to compare masks with those of other boards.
pub fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ 0xedb8_8320 & 0u32.wrapping_sub(crc & 1)
        })
    })
}
