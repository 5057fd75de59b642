//! A step cut into bands of rows, for several threads.
//!
//! A band is a step of its own: its output are some rows of the step's, its input begins with the
//! first row that they need, and of the padding it has what lies above that row. Kernels know
//! nothing of it. Bands write to disjoint slices of the output and have working memory each.

use super::ops::{self, Site, Work};
use super::reader::{Plan, Target};
use super::regions::Regions;
use super::step::{Operation, Window};
use super::tensor::{Element, Tensor};
use crate::limits::MAX_PARTS;
use crate::math::network::kernels::NetworkKernels;
use crate::threads::{Part, ThreadPool};
use core::ops::Range;

/// Whether this processor may have several cores.
const HAS_THREADS: bool = !matches!(Target::host(), Target::CortexM);

impl Plan<'_> {
    /// Bytes of the arena with which so many threads can work side by side: [`Plan::arena_bytes`],
    /// and for each but the first the working memory of the step that takes most.
    pub fn arena_bytes_for(&self, threads: usize) -> usize {
        let others = threads.min(MAX_PARTS).saturating_sub(1);
        if !HAS_THREADS || others == 0 {
            return self.arena_bytes();
        }
        let sites = (0..self.step_count()).filter_map(|index| {
            let step = self.step(index).ok()?;
            Site::of(self, &step).ok()
        });
        let cut = sites.filter(|site| can_cut(site.operation));
        let bytes = cut.map(|site| scratch_bytes(&site)).max().unwrap_or(0);
        self.arena_bytes().saturating_add(bytes.saturating_mul(others))
    }
}

/// Bytes of working memory of one band.
fn scratch_bytes(site: &Site<'_>) -> usize {
    site.scratch.map_or(0, |scratch| scratch.bytes().len())
}

/// Whether rows of the output may be made side by side.
fn can_cut(mut operation: Operation) -> bool {
    ops::is_by_pixel(&operation) || window_of(&mut operation).is_some()
}

/// The window of an operation that has one.
fn window_of(operation: &mut Operation) -> Option<&mut Window> {
    match operation {
        Operation::Convolution { window, .. }
        | Operation::Depthwise { window, .. }
        | Operation::MaxPool { window }
        | Operation::AveragePool { window, .. } => Some(window),
        _ => None,
    }
}

/// The step that makes rows `rows` of a step's output alone.
fn step_of<'p>(site: &Site<'p>, rows: &Range<usize>) -> Option<Site<'p>> {
    let mut band = site.clone();
    let [first, others @ ..] = &mut band.inputs;
    match (window_of(&mut band.operation), first) {
        (Some(window), Some(input)) => {
            let start = rows.start.checked_mul(window.stride_y.into())?;
            let pad = usize::from(window.pad_top).saturating_sub(start);
            let skipped = start.saturating_sub(window.pad_top.into());
            window.pad_top = pad as u16;
            let height = input.tensor.height as usize;
            input.keep_rows(skipped..height)?;
        }
        (None, Some(input)) => input.keep_rows_of(site.output().height, rows)?,
        (_, None) => return None,
    }
    for input in others.iter_mut().flatten() {
        input.keep_rows_of(site.output().height, rows)?;
    }
    if matches!(band.operation, Operation::Binary { .. }) {
        let [constant, ..] = &mut band.constants;
        keep_rows_of_constant(constant, site.output(), rows)?;
    }
    band.output.keep_rows(rows.clone())?;
    Some(band)
}

/// Of a constant operand as large as the output, its rows; others are repeated.
fn keep_rows_of_constant(constant: &mut &[u8], output: &Tensor, rows: &Range<usize>) -> Option<()> {
    let bytes = output.values().saturating_mul(Element::F32.bytes());
    if constant.len() as u64 == bytes {
        let of_row = constant.len().checked_div(output.height as usize)?;
        let start = rows.start.checked_mul(of_row)?;
        *constant = constant.get(start..)?.get(..rows.len().checked_mul(of_row)?)?;
    }
    Some(())
}

/// A band, until it is made.
struct Band<'w> {
    work: Option<(Site<'w>, Work<'w>)>,
    is_made: bool,
}

impl<'w> Band<'w> {
    const NONE: Band<'static> = Band { work: None, is_made: false };

    fn new(
        site: &Site<'w>,
        rows: Range<usize>,
        regions: Regions<'w>,
        kernels: &'w NetworkKernels,
    ) -> Option<Band<'w>> {
        let site = step_of(site, &rows)?;
        let work = Work::of(regions, kernels, 0..rows.len());
        Some(Band { work: Some((site, work)), is_made: false })
    }
}

impl Part for Band<'_> {
    fn run(&mut self) {
        let Some((site, work)) = self.work.take() else { return };
        self.is_made = ops::run(&site, work).is_some();
    }
}

/// How many bands rows of a step are cut into: at most one for each thread that has working memory,
/// and none with fewer rows than `least_rows`.
pub fn count(
    site: &Site<'_>,
    rows: usize,
    least_rows: usize,
    threads: usize,
    spare_bytes: usize,
) -> usize {
    if !HAS_THREADS || !can_cut(site.operation) {
        return 1;
    }
    let others = spare_bytes.checked_div(scratch_bytes(site)).unwrap_or(MAX_PARTS);
    let by_work = rows.checked_div(least_rows).unwrap_or(1);
    threads.min(MAX_PARTS).min(others.saturating_add(1)).min(by_work).max(1)
}

/// Makes rows of a step's output in `count` bands. `None`, with the output in disorder, for a step
/// that was not checked.
#[inline(never)]
pub fn run(
    site: &Site<'_>,
    (arena, spare): (&mut [u8], &mut [u8]),
    (kernels, pool): (&NetworkKernels, &dyn ThreadPool),
    rows: Range<usize>,
    count: usize,
) -> Option<()> {
    let mut bands = cut(site, (arena, spare), kernels, rows, count)?;
    let mut parts = bands.each_mut().map(|band| band as &mut dyn Part);
    pool.run(parts.get_mut(..count)?);
    let mut bands = bands.iter_mut().take(count);
    bands
        .all(|band| {
            band.run();
            band.is_made
        })
        .then_some(())
}

/// The bands of a step, of about as many rows each; those beyond `count` have nothing to do.
fn cut<'w>(
    site: &Site<'w>,
    (arena, spare): (&'w mut [u8], &'w mut [u8]),
    kernels: &'w NetworkKernels,
    rows: Range<usize>,
    count: usize,
) -> Option<[Band<'w>; MAX_PARTS]> {
    let mut bands = [const { Band::NONE }; MAX_PARTS];
    let own_scratch = site.scratch.map_or(0..0, |scratch| scratch.bytes());
    let part_bytes = own_scratch.len();
    let mut regions = Regions::split(arena, site.output.bytes(), own_scratch)?;
    let row_bytes = site.output.row_bytes();
    regions.split_off(rows.start.checked_mul(row_bytes)?, &mut [])?;
    let (last, others) = bands.get_mut(..count)?.split_last_mut()?;
    let mut spare = spare;
    let mut start = rows.start;
    for (index, band) in others.iter_mut().enumerate() {
        let end = rows.start + rows.len().checked_mul(index + 1)?.checked_div(count)?;
        let (scratch, rest) = spare.split_at_mut_checked(part_bytes)?;
        let regions = regions.split_off(row_bytes.checked_mul(end - start)?, scratch)?;
        *band = Band::new(site, start..end, regions, kernels)?;
        (spare, start) = (rest, end);
    }
    *last = Band::new(site, start..rows.end, regions, kernels)?;
    Some(bands)
}
