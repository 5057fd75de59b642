//! The functions of `include/zsseg.h` that find one object from a transformer's attention.

use super::convert::{check_out, floats, no_such, not_null, put, read, report, write};
use super::guard::{Span, catch};
use super::types::*;
use super::types_work::*;
use crate::arena::{ALIGN_BYTES, Arena};
use crate::spectral::{ClassToken, ObjectMask, ObjectSettings, Scoring, Shape};
use crate::status::{Result, Status};
use core::ffi::c_void;

impl zsseg_object_settings_t {
    fn to_settings(&self) -> Result<(Shape, ObjectSettings)> {
        let shape = Shape {
            height: self.grid_height as usize,
            width: self.grid_width as usize,
            channels: self.channels as usize,
        };
        let settings = ObjectSettings {
            heads: self.heads as usize,
            scoring_heads: self.scoring_heads as usize,
            mass: self.mass,
            candidates: self.candidates,
            scoring: match self.scoring {
                ZSSEG_SCORING_SOFTMAX => Scoring::Softmax,
                ZSSEG_SCORING_RAW => Scoring::Raw,
                other => return Err(no_such("scoring", other, ZSSEG_SCORING_RAW)),
            },
        };
        Ok((shape, settings))
    }
}

fn arena_need(shape: &Shape, settings: &ObjectSettings) -> Result<usize> {
    let mut arena = Arena::counting();
    ObjectMask::carve(&mut arena, shape, settings)?;
    let rounded = arena.used_bytes().checked_next_multiple_of(ALIGN_BYTES);
    rounded.ok_or(Status::LimitExceeded.about("arena"))
}

/// Exact number of arena bytes that zsseg_object_mask() will need; a multiple of
/// ZSSEG_ARENA_ALIGN.
///
/// # Safety
/// The pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_object_arena_size(
    settings: *const zsseg_object_settings_t,
    arena_bytes: *mut usize,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        not_null(arena_bytes, "arena_bytes")?;
        // SAFETY: as promised by the caller.
        let (shape, settings) = unsafe { read(settings, "settings")? }.to_settings()?;
        // SAFETY: not NULL.
        unsafe { put(arena_bytes, arena_need(&shape, &settings)?) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

/// Finds the object that a vision transformer looks at (the first step of MaskDistill), from the
/// last block's query and key of the class token, `channels` numbers each, head after head, and
/// the keys of the patches in the same order. Writes one byte per patch to `mask`, row after row:
/// 1 in the object, else 0. Needs no handle and no bundle. The arena starts at a multiple of
/// ZSSEG_ARENA_ALIGN and is free again afterwards. Nothing but the arena is written on an error:
/// ZSSEG_E_MODEL_SHAPE for keys of another shape, ZSSEG_E_INVALID_ARGUMENT for numbers that are
/// not finite.
///
/// # Safety
/// `arena` leads to `arena_bytes` writable bytes, `mask` to `mask_bytes`, `query` and
/// `class_key` to as many floats as there are channels; the others are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_object_mask(
    settings: *const zsseg_object_settings_t,
    arena: *mut c_void,
    arena_bytes: usize,
    query: *const f32,
    class_key: *const f32,
    keys: *const zsseg_features_t,
    mask: *mut u8,
    mask_bytes: usize,
    found: *mut zsseg_object_t,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        check_out(found, "found")?;
        not_null(arena, "arena")?;
        not_null(mask, "mask")?;
        // SAFETY: as promised by the caller.
        let (shape, settings) = unsafe { read(settings, "settings")? }.to_settings()?;
        // SAFETY: as promised by the caller.
        let keys = unsafe { read(keys, "keys")? };
        let token_bytes = shape.channels.saturating_mul(size_of::<f32>());
        let inputs =
            [Span::new(query, token_bytes), Span::new(class_key, token_bytes), keys.span()];
        let (arena_span, mask_span) = (Span::new(arena, arena_bytes), Span::new(mask, mask_bytes));
        let shared = |output: Span| inputs.iter().any(|&input| output.overlaps(input));
        if arena_span.overlaps(mask_span) || shared(arena_span) || shared(mask_span) {
            return Err(Status::Overlap.about("arena or mask"));
        }
        // SAFETY: as promised by the caller; checked for overlap.
        let value = unsafe {
            let token = ClassToken {
                query: floats(query, shape.channels, "query of the class token")?,
                key: floats(class_key, shape.channels, "key of the class token")?,
            };
            let arena = (arena.cast::<u8>(), arena_bytes);
            find((shape, settings), arena, (&token, &keys), (mask, mask_bytes))?
        };
        // SAFETY: checked above.
        unsafe { write(found, &value) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

/// # Safety
/// As for zsseg_object_mask(); nothing overlaps.
unsafe fn find(
    (shape, settings): (Shape, ObjectSettings),
    (arena, arena_bytes): (*mut u8, usize),
    (token, keys): (&ClassToken<'_>, &zsseg_features_t),
    (mask, mask_bytes): (*mut u8, usize),
) -> Result<zsseg_object_t> {
    let need = arena_need(&shape, &settings)?;
    if arena_bytes < need {
        let error = Status::ArenaTooSmall.about("arena");
        return Err(error.numbers(arena_bytes as u64, need as u64));
    }
    let cells = shape.cells()?;
    if mask_bytes < cells {
        let error = Status::BufferTooSmall.about("mask");
        return Err(error.numbers(mask_bytes as u64, cells as u64));
    }
    // SAFETY: as promised by the caller; checked for length.
    let (arena, mask) = unsafe {
        (core::slice::from_raw_parts_mut(arena, need), core::slice::from_raw_parts_mut(mask, cells))
    };
    // SAFETY: as promised by the caller.
    let keys = unsafe { keys.as_map()? };
    let mut arena = Arena::over(arena)?;
    let mut object = ObjectMask::carve(&mut arena, &shape, &settings)?;
    let found = object.run(token, &keys)?;
    for (place, &inside) in mask.iter_mut().zip(object.mask()) {
        *place = inside;
    }
    Ok(zsseg_object_t {
        struct_size: 0,
        source: found.source as u32,
        area: found.area as u32,
        fallback: found.fallback.into(),
    })
}
