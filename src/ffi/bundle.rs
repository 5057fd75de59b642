//! The functions of `include/zsseg.h` that look into a bundle.

use super::convert::{bundle_bytes, check_out, floats_mut, phrase, read, report, write};
use super::functions::layout_code;
use super::guard::{Span, catch};
use super::types::*;
use super::types_classes::*;
use crate::bundle::Bundle;
use crate::classes::embed;
use crate::segmenter::Segmenter;
use crate::spec::{Backbone, HeadKind};
use crate::status::Status;
use core::ffi::{c_char, c_void};

/// Checks the structure, the numbers and every checksum of a bundle, in time that is linear in its
/// size. Whether its network can run here, zsseg_arena_size() says, which reads a compiled one as
/// well: a program that stores bundles should ask both before it trusts a new one.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes at any address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_bundle_verify(
    bundle: *const c_void,
    bundle_bytes: usize,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        Bundle::open(bytes).map(|_| ())
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

/// Describes a bundle. The checksums of its sections are not compared: see
/// zsseg_bundle_verify().
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes, which outlive the use of the
/// pointers in `info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_bundle_info(
    bundle: *const c_void,
    bundle_bytes: usize,
    info: *mut zsseg_bundle_info_t,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        check_out(info, "info")?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        // SAFETY: checked above.
        unsafe { write(info, &describe(&Bundle::parse(bytes)?)) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

fn describe(bundle: &Bundle<'_>) -> zsseg_bundle_info_t {
    let manifest = bundle.manifest();
    let card = bundle.model_card();
    zsseg_bundle_info_t {
        struct_size: 0,
        class_count: manifest.head.classes,
        model_name: manifest.model_name.as_ptr().cast(),
        license: manifest.license.as_ptr().cast(),
        model_card: card.map_or(core::ptr::null(), |card| card.as_ptr().cast()),
        model_card_bytes: card.map_or(0, str::len),
        backbone: match manifest.backbone {
            Backbone::External => ZSSEG_BACKBONE_EXTERNAL,
            Backbone::Onnx => ZSSEG_BACKBONE_ONNX,
            Backbone::Plan => ZSSEG_BACKBONE_PLAN,
        },
        input_width: manifest.input.width,
        input_height: manifest.input.height,
        grid_width: manifest.grid_width,
        grid_height: manifest.grid_height,
        channels: manifest.head.channels,
        output_layout: layout_code(manifest.output_layout),
        has_classifier: u32::from(manifest.head.kind != HeadKind::Logits),
        sha256: bundle.sha256(),
        head: match manifest.head.kind {
            HeadKind::Logits => ZSSEG_HEAD_LOGITS,
            HeadKind::Linear(_) => ZSSEG_HEAD_LINEAR,
            HeadKind::Dot(_) => ZSSEG_HEAD_DOT,
            HeadKind::Cosine(_) => ZSSEG_HEAD_COSINE,
        },
        ways: ways(bundle),
        embedding_dim: bundle.embedding().map_or(0, |space| space.dim),
        word_count: bundle.words().map_or(0, |words| words.len() as u32),
    }
}

/// How classes can be added.
fn ways(bundle: &Bundle<'_>) -> u32 {
    let kind = bundle.head().kind;
    let linear = matches!(kind, HeadKind::Linear(_));
    let embeds = bundle.embedding().is_some();
    let direct = embeds && (!linear || bundle.projection().is_some());
    let generates = embeds && bundle.generator().is_some();
    let conditions = [
        (true, ZSSEG_WAY_ROW),
        (direct, ZSSEG_WAY_EMBEDDING),
        ((direct || generates) && bundle.words().is_some(), ZSSEG_WAY_WORD),
        (generates, ZSSEG_WAY_GENERATOR),
    ];
    let known = conditions.iter().filter(|(condition, _)| *condition && kind != HeadKind::Logits);
    known.fold(0, |bits, (_, bit)| bits | bit)
}

/// Describes class `index` of a bundle; its index is its label in masks.
/// ZSSEG_E_INVALID_ARGUMENT when there are not that many. Checksums are not compared.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes, which outlive the use of the
/// pointers in `info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_bundle_class(
    bundle: *const c_void,
    bundle_bytes: usize,
    index: u32,
    info: *mut zsseg_class_t,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        check_out(info, "info")?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        let class = Bundle::parse(bytes)?.class(index)?;
        let [red, green, blue] = class.color;
        let seen = if class.seen { ZSSEG_CLASS_SEEN } else { 0 };
        let background = if class.background { ZSSEG_CLASS_BACKGROUND } else { 0 };
        let value = zsseg_class_t {
            struct_size: 0,
            flags: seen | background,
            name: class.name.as_ptr().cast(),
            color: [red, green, blue, 0],
            bias: class.bias,
            prior: 1.0,
            origin: ZSSEG_ORIGIN_BUNDLE,
            label: index,
            reserved: 0,
        };
        // SAFETY: checked above.
        unsafe { write(info, &value) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

/// Writes the embedding of a phrase from the bundle's word table, as zsseg_class_add_word() uses
/// it: the vector of the phrase, or else the mean of the vectors of its words. For mixing
/// embeddings before zsseg_class_add_embedding(). `dim` is zsseg_bundle_info_t.embedding_dim.
/// ZSSEG_E_UNKNOWN_WORD, ZSSEG_E_UNSUPPORTED without a word table.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes, `text` is NUL-terminated, and
/// `values` leads to `dim` writable floats outside the bundle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_bundle_embed(
    bundle: *const c_void,
    bundle_bytes: usize,
    text: *const c_char,
    values: *mut f32,
    dim: usize,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        // SAFETY: as promised by the caller.
        let text = unsafe { phrase(text)? };
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        let parsed = Bundle::parse(bytes)?;
        let words = parsed.words().ok_or(Status::Unsupported.about("words, with this bundle"))?;
        if dim != words.dim {
            let error = Status::InvalidArgument.about("numbers of an embedding");
            return Err(error.numbers(dim as u64, words.dim as u64));
        }
        let place = Span::new(values, dim.saturating_mul(size_of::<f32>()));
        if place.overlaps(Span::new(bundle, bundle_bytes)) {
            return Err(Status::Overlap.about("embedding and bundle"));
        }
        // SAFETY: as promised by the caller; outside the bundle.
        embed(&words, text, unsafe { floats_mut(values, dim, "embedding")? })
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}

/// What each class that may be added costs, with this bundle and these limits. ZSSEG_E_UNSUPPORTED
/// if its head is one of logits, which takes no classes.
///
/// # Safety
/// `bundle` leads to `bundle_bytes` readable bytes; the others are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zsseg_class_cost(
    bundle: *const c_void,
    bundle_bytes: usize,
    limits: *const zsseg_limits_t,
    cost: *mut zsseg_class_cost_t,
    error: *mut zsseg_error_t,
) -> zsseg_status_t {
    let result = catch(|| {
        check_out(cost, "cost")?;
        // SAFETY: as promised by the caller.
        let limits = unsafe { read(limits, "limits")? }.to_limits()?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { self::bundle_bytes(bundle, bundle_bytes)? };
        let found = Segmenter::class_cost(&Bundle::parse(bytes)?, &limits)?;
        let value = zsseg_class_cost_t {
            struct_size: 0,
            reserved: 0,
            bytes: found.bytes,
            grid_multiply_adds: found.grid_multiply_adds,
            meaning_multiply_adds: found.meaning_multiply_adds,
            generator_multiply_adds: found.generator_multiply_adds,
        };
        // SAFETY: checked above.
        unsafe { write(cost, &value) }
    });
    // SAFETY: as promised by the caller.
    unsafe { report(result, error) }
}
