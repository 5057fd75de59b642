//! What adding classes takes, for `zsseg bench`.

use crate::bundle::Bundle;
use crate::classes::NewClass;
use crate::limits::Limits;
use crate::segmenter::{ClassSource, Meaning, Segmenter};
use crate::spec::HeadKind;
use crate::status::Result;
use serde::Serialize;
use std::format;
use std::string::String;
use std::time::{Duration, Instant};
use std::vec::Vec;

/// A way is not measured for longer than this; at least one class is added.
const MAX_TIME: Duration = Duration::from_secs(2);

/// What adding classes in one way takes.
#[derive(Serialize)]
pub struct Adding {
    /// `row`, `embedding`, `word` or `generator`.
    way: &'static str,
    /// Classes that were added.
    classes: u32,
    /// Mean time of one.
    microseconds_per_class: f64,
    /// Bytes of the arena for each.
    bytes_per_class: u64,
    /// Bytes of the arena that this way needs in addition, however many classes there are.
    scratch_bytes: usize,
}

impl Adding {
    /// One line of the text report.
    pub fn text(&self) -> String {
        let Adding { way, classes, microseconds_per_class, bytes_per_class, scratch_bytes } = self;
        format!(
            "{way:10} {microseconds_per_class:>12.2} {bytes_per_class:>12} {scratch_bytes:>12} \
             {classes:>9}\n"
        )
    }

    /// The titles above the lines.
    pub fn title() -> String {
        let titles = ("adding by", "us/class", "bytes/class", "scratch", "classes");
        let (way, time, bytes, scratch, classes) = titles;
        format!("\n{way:10} {time:>12} {bytes:>12} {scratch:>12} {classes:>9}\n")
    }
}

/// The limits with room for classes, added in any way that the bundle allows.
pub fn limits(bundle: &Bundle<'_>, limits: Limits, extra_classes: u32) -> Limits {
    let generator = extra_classes > 0 && bundle.generator().is_some();
    Limits { extra_classes, generator, ..limits }
}

/// Fills the room for classes in one way after another, and empties it again; at last it is
/// filled with rows. Nothing is done for a network that gives logits.
///
/// # Errors
/// Those of [`Segmenter::add_class`].
pub fn measure(segmenter: &mut Segmenter<'_>, limits: &Limits) -> Result<Vec<Adding>> {
    let bundle = *segmenter.bundle();
    if limits.extra_classes == 0 || bundle.head().kind == HeadKind::Logits {
        return Ok(Vec::new());
    }
    let row = numbers(bundle.head().channels);
    let embedding = bundle.embedding().map(|space| numbers(space.dim));
    let meaning = embedding.as_deref().map(Meaning::Embedding);
    let projects =
        bundle.projection().is_some() || !matches!(bundle.head().kind, HeadKind::Linear(_));
    let words = bundle.words().filter(|_| projects);
    let small = |word: &&str| **word == word.to_ascii_lowercase();
    let mut all_words =
        words.iter().flat_map(|words| (0..words.len()).filter_map(|i| words.word(i)));
    let word = all_words.find(small).map(Meaning::Word);
    let by_row = ClassSource::Row { weights: &row, bias: 0.0 };
    let ways = [
        ("row", Some(by_row)),
        ("embedding", meaning.filter(|_| projects).map(ClassSource::Meaning)),
        ("word", word.map(ClassSource::Meaning)),
        ("generator", meaning.filter(|_| limits.generator).map(ClassSource::Generated)),
    ];
    let bytes_per_class = Segmenter::class_cost(&bundle, limits)?.bytes;
    let without = Limits { generator: false, ..*limits };
    let generator_bytes =
        Segmenter::arena_bytes(&bundle, limits)? - Segmenter::arena_bytes(&bundle, &without)?;
    let mut found = Vec::new();
    for (way, source) in ways {
        let Some(source) = source else { continue };
        let (classes, spent) = fill(segmenter, &source, limits.extra_classes)?;
        found.push(Adding {
            way,
            classes,
            microseconds_per_class: spent.as_secs_f64() * 1e6 / f64::from(classes),
            bytes_per_class,
            scratch_bytes: if way == "generator" { generator_bytes } else { 0 },
        });
        empty(segmenter)?;
    }
    fill(segmenter, &by_row, limits.extra_classes)?;
    Ok(found)
}

/// Adds classes; how many, and the time it took.
fn fill(
    segmenter: &mut Segmenter<'_>,
    source: &ClassSource<'_>,
    count: u32,
) -> Result<(u32, Duration)> {
    let mut spent = Duration::ZERO;
    for added in 0..count {
        let name = format!("added {added}");
        let start = Instant::now();
        segmenter.add_class(&NewClass::named(&name), source)?;
        spent += start.elapsed();
        if spent > MAX_TIME {
            return Ok((added + 1, spent));
        }
    }
    Ok((count, spent))
}

/// Removes the classes that were added.
fn empty(segmenter: &mut Segmenter<'_>) -> Result<()> {
    let own = segmenter.bundle().head().classes;
    let all = segmenter.classes().map(|class| class.label);
    let added: Vec<u16> = all.filter(|&label| u32::from(label) >= own).collect();
    added.into_iter().try_for_each(|label| segmenter.remove_class(label))
}

/// Numbers between -1 and 1 that look irregular and are the same everywhere.
fn numbers(count: u32) -> Vec<f32> {
    let number = |index: u32| {
        let mixed = (index + 1).wrapping_mul(2_654_435_761);
        (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(number).collect()
}
