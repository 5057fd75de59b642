//! A step cut into bands of rows, for several threads. Bands write to disjoint slices of the output
//! and have working memory each.

use super::band::{self, can_cut};
use super::ops::{self, Site, Work};
use super::reader::Plan;
use super::regions::Regions;
use crate::limits::MAX_PARTS;
use crate::math::network::kernels::NetworkKernels;
use crate::threads::{HAS_THREADS, Share, Shares, Task, ThreadPool, run_shares};
use core::ops::Range;

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
    site.scratch.as_ref().map_or(0, |scratch| scratch.bytes().len())
}

/// A band of a step.
struct Band<'w> {
    site: Site<'w>,
    work: Work<'w>,
}

impl<'w> Band<'w> {
    fn share(
        site: &Site<'w>,
        rows: Range<usize>,
        regions: Regions<'w>,
        kernels: &'w NetworkKernels,
    ) -> Option<Share<Band<'w>>> {
        let mut site = site.clone();
        band::cut(&mut site, &rows)?;
        let work = Work::of(regions, kernels, 0..rows.len());
        Some(Share::of(Band { site, work }))
    }
}

impl Task for Band<'_> {
    fn run(self) -> Option<()> {
        ops::run(&self.site, self.work)
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
    run_shares(pool, &mut bands, count)
}

/// The bands of a step, of about as many rows each; those beyond `count` have nothing to do.
fn cut<'w>(
    site: &Site<'w>,
    (arena, spare): (&'w mut [u8], &'w mut [u8]),
    kernels: &'w NetworkKernels,
    rows: Range<usize>,
    count: usize,
) -> Option<Shares<Band<'w>>> {
    let mut bands = [const { Share::NONE }; MAX_PARTS];
    let own_scratch = site.scratch.as_ref().map_or(0..0, |scratch| scratch.bytes());
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
        *band = Band::share(site, start..end, regions, kernels)?;
        (spare, start) = (rest, end);
    }
    *last = Band::share(site, start..rows.end, regions, kernels)?;
    Some(bands)
}
