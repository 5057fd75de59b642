//! One object mask from a vision transformer's attention (methods.md 7.1, MaskDistill step 1).

use super::Shape;
use super::cells::{check_finite, check_map, check_range, element};
use crate::arena::Arena;
use crate::map::Map;
use crate::math::pieces::{copy, piece};
use crate::status::{Result, Status};

/// How the class token's attention to a patch is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// Softmax over all tokens of `q . k / sqrt(d)`, as the transformer itself does.
    Softmax,
    /// `q . k`, as in MaskDistill's code. Sums of such scores mean little where some are negative.
    Raw,
}

/// The parameters of methods.md 7.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectSettings {
    /// Attention heads, which divide the channels evenly: 1 or more.
    pub heads: usize,
    /// Of these, how many give scores, from the first on: 1 to `heads`.
    pub scoring_heads: usize,
    /// Share of the attention that the kept patches hold, 0 to 1.
    pub mass: f32,
    /// Share of the patches that may join the source, 0 to 1.
    pub candidates: f32,
    /// How attention is scored.
    pub scoring: Scoring,
}

impl ObjectSettings {
    /// Six heads of which five score, half of the mass, 40 % of the patches, softmax.
    pub const DEFAULT: ObjectSettings = ObjectSettings {
        heads: 6,
        scoring_heads: 5,
        mass: 0.5,
        candidates: 0.4,
        scoring: Scoring::Softmax,
    };

    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] or [`Status::LimitExceeded`].
    pub fn check(&self, channels: usize) -> Result<()> {
        check_range("attention heads", self.heads, 1, channels)?;
        check_range("attention heads that score", self.scoring_heads, 1, self.heads)?;
        if channels.checked_rem(self.heads) != Some(0) {
            let error = Status::InvalidArgument.about("channels of the keys");
            return Err(error.numbers(channels as u64, self.heads as u64));
        }
        let unit = 0.0..=1.0;
        if !(unit.contains(&self.mass) && unit.contains(&self.candidates)) {
            return Err(Status::InvalidArgument.about("share of mass or of candidates"));
        }
        Ok(())
    }
}

/// The class token in the last block: head after head, as many numbers as a patch has.
#[derive(Clone, Copy, Debug)]
pub struct ClassToken<'t> {
    /// Its query.
    pub query: &'t [f32],
    /// Its key; takes part in the softmax.
    pub key: &'t [f32],
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundObject {
    /// The patch that the class token attends to most.
    pub source: usize,
    /// Patches in the mask.
    pub area: usize,
    /// Whether the patches like the source did not include the source itself; the mask is then the
    /// source and the candidates like it, connected or not.
    pub fallback: bool,
}

/// Finds the object that a vision transformer looks at.
///
/// # Memory
/// `12 N + 4 D` bytes, for N patches and D channels, but for rounding each buffer up.
///
/// # Cost
/// `4 N D` multiply-adds, one exponential per patch and scoring head, one sort of N numbers.
pub struct ObjectMask<'a> {
    shape: Shape,
    settings: ObjectSettings,
    /// Attention of each patch, then 0 where it was filtered: (cells).
    scores: &'a mut [f32],
    /// One head's products, then the likeness to the object: (cells).
    products: &'a mut [f32],
    /// Patches by score, then patches to visit: (cells).
    order: &'a mut [u16],
    /// Sum of keys: (channels).
    sum: &'a mut [f32],
    /// Patches that joined the source: (cells), 0 or 1.
    joined: &'a mut [u8],
    /// The mask: (cells), 0 or 1.
    mask: &'a mut [u8],
}

impl<'a> ObjectMask<'a> {
    /// Takes all memory for keys of `shape`: the patches' grid, and all heads' channels.
    ///
    /// # Errors
    /// Those of [`Shape::cells`], [`ObjectSettings::check`] and [`Arena::take`].
    pub fn carve(
        arena: &mut Arena<'a>,
        shape: &Shape,
        settings: &ObjectSettings,
    ) -> Result<ObjectMask<'a>> {
        let cells = shape.cells()?;
        settings.check(shape.channels)?;
        Ok(ObjectMask {
            shape: *shape,
            settings: *settings,
            scores: arena.take(cells)?,
            products: arena.take(cells)?,
            order: arena.take(cells)?,
            sum: arena.take(shape.channels)?,
            joined: arena.take(cells)?,
            mask: arena.take(cells)?,
        })
    }

    /// The mask in row-major order: 1 in the object. All 0 before the first run.
    pub fn mask(&self) -> &[u8] {
        self.mask
    }

    /// Finds the object. `keys` are the patches' keys, head after head.
    ///
    /// 1. Scores: the class token's attention, mean over the scoring heads.
    /// 2. Filter: [`keep_top_mass`].
    /// 3. Candidates: the best `candidates * N` patches (rejected ones, at 0, last; the lower
    ///    patch on ties). The first is the source.
    /// 4. The candidates whose keys have a positive product with the source's join it.
    /// 5. Patches whose key has a positive product with the sum of the joined keys (which equals
    ///    the sum of the products) and which the source reaches through such patches, by their
    ///    sides, are the mask.
    ///
    /// # Errors
    /// [`Status::ModelShape`] for another shape or length, [`Status::InvalidArgument`] for numbers
    /// that are not finite; the mask is then the old one.
    pub fn run(&mut self, token: &ClassToken<'_>, keys: &Map<'_, f32>) -> Result<FoundObject> {
        let Shape { height, width, channels } = self.shape;
        check_map("keys", keys, (height, width, channels))?;
        for (what, values) in [("query of the class token", token.query), ("its key", token.key)] {
            if values.len() != channels {
                let error = Status::ModelShape.about(what);
                return Err(error.numbers(values.len() as u64, channels as u64));
            }
            check_finite(what, values)?;
        }
        self.score(token, keys);
        keep_top_mass(self.scores, self.order, self.settings.mass);
        let source = self.join(keys);
        let cells = keys.height() * keys.width();
        for (cell, likeness) in (0..cells).zip(self.products.iter_mut()) {
            *likeness = key_product(self.sum, keys, cell, 0) as f32;
        }
        self.mask.fill(0);
        let fallback = self.products.get(source).is_none_or(|likeness| *likeness <= 0.0);
        if fallback {
            copy(self.mask, self.joined);
        } else {
            self.flood(source);
        }
        let area = self.mask.iter().map(|&inside| usize::from(inside)).sum();
        Ok(FoundObject { source, area, fallback })
    }

    /// Writes the mean over the scoring heads of the class token's attention.
    fn score(&mut self, token: &ClassToken<'_>, keys: &Map<'_, f32>) {
        let length = self.shape.channels.checked_div(self.settings.heads).unwrap_or(1);
        self.scores.fill(0.0);
        let share = 1.0 / self.settings.scoring_heads as f64;
        let divisor = libm::sqrt(length as f64);
        for head in 0..self.settings.scoring_heads {
            let query = piece(token.query, head, length).unwrap_or_default();
            let key = piece(token.key, head, length).unwrap_or_default();
            for (cell, product) in self.products.iter_mut().enumerate() {
                *product = key_product(query, keys, cell, head * length) as f32;
            }
            if self.settings.scoring == Scoring::Raw {
                let scores = self.scores.iter_mut().zip(self.products.iter());
                scores.for_each(|(score, &product)| *score += (share * f64::from(product)) as f32);
                continue;
            }
            let own =
                query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
            let products = self.products.iter().map(|&product| f64::from(product));
            let most = products.clone().fold(own, |most, product| most.max(product));
            let weight = |product: f64| libm::exp((product - most) / divisor);
            let total = products.clone().fold(weight(own), |sum, product| sum + weight(product));
            for (score, product) in self.scores.iter_mut().zip(products) {
                *score += (share * weight(product) / total) as f32;
            }
        }
    }

    /// Steps 3 and 4: marks the patches that join the source and sums up their keys. The source.
    fn join(&mut self, keys: &Map<'_, f32>) -> usize {
        let scores = &*self.scores;
        let score = |cell: u16| scores.get(usize::from(cell)).copied().unwrap_or(0.0);
        number(self.order);
        sort(self.order, |a, b| score(a) > score(b) || score(a) == score(b) && a < b);
        let count = (f64::from(self.settings.candidates) * self.order.len() as f64) as usize;
        let source = self.order.first().map_or(0, |cell| usize::from(*cell));
        self.joined.fill(0);
        self.sum.fill(0.0);
        for &cell in self.order.iter().take(count.max(1)) {
            let cell = usize::from(cell);
            let product = (0..keys.channels()).fold(0.0, |sum, channel| {
                let (own, other) = (element(keys, source, channel), element(keys, cell, channel));
                sum + f64::from(own) * f64::from(other)
            });
            if product > 0.0 || cell == source {
                self.joined.iter_mut().skip(cell).take(1).for_each(|place| *place = 1);
                for (channel, sum) in self.sum.iter_mut().enumerate() {
                    *sum += element(keys, cell, channel);
                }
            }
        }
        source
    }

    /// Marks the patches of positive likeness that are connected with `source`.
    fn flood(&mut self, source: usize) {
        let (width, cells) = (self.shape.width.max(1), self.mask.len());
        let mut waiting = 0;
        let mut next = Some(source);
        while let Some(cell) = next {
            let column = cell % width;
            let neighbors = [
                Some(cell).filter(|_| cell == source),
                cell.checked_sub(width),
                Some(cell + width).filter(|below| *below < cells),
                Some(cell).filter(|_| column > 0).and_then(|cell| cell.checked_sub(1)),
                Some(cell + 1).filter(|_| column + 1 < width),
            ];
            for neighbor in neighbors.into_iter().flatten() {
                let like = self.products.get(neighbor).is_some_and(|likeness| *likeness > 0.0);
                let Some(mark) = self.mask.get_mut(neighbor).filter(|mark| like && **mark == 0)
                else {
                    continue;
                };
                *mark = 1;
                // Each patch waits once at most, so there is always a place; the source never.
                if let Some(place) = self.order.get_mut(waiting).filter(|_| neighbor != source) {
                    *place = neighbor as u16;
                    waiting += 1;
                }
            }
            next = waiting.checked_sub(1).and_then(|last| self.order.get(last)).map(|cell| {
                waiting -= 1;
                usize::from(*cell)
            });
        }
    }
}

/// Product of `vector` with as many channels of a cell's key, from `first` on.
fn key_product(vector: &[f32], keys: &Map<'_, f32>, cell: usize, first: usize) -> f64 {
    let channels = (first..).zip(vector);
    channels.fold(0.0, |sum, (channel, &value)| {
        sum + f64::from(value) * f64::from(element(keys, cell, channel))
    })
}

/// Keeps the greatest scores that together hold about `mass` of the sum, and sets the others to 0:
/// in ascending order, divided by their total and added up, those are kept at which the sum
/// exceeds `1 - mass` (of equal scores the later ones first). `order` is scratch of the same
/// length.
///
/// # Complexity
/// O(N log N).
pub fn keep_top_mass(scores: &mut [f32], order: &mut [u16], mass: f32) {
    let total: f64 = scores.iter().map(|&score| f64::from(score)).sum();
    number(order);
    let score = |cell: u16| scores.get(usize::from(cell)).copied().unwrap_or(f32::INFINITY);
    sort(order, |a, b| score(a) < score(b) || score(a) == score(b) && a < b);
    let mut sum = 0.0;
    for &cell in order.iter() {
        let Some(score) = scores.get_mut(usize::from(cell)) else { continue };
        sum += f64::from(*score) / total;
        let kept = sum > 1.0 - f64::from(mass);
        *score = if kept { *score } else { 0.0 };
    }
}

fn number(order: &mut [u16]) {
    for (place, cell) in order.iter_mut().zip(0..) {
        *place = cell;
    }
}

/// Heap sort: unlike the standard library's sorts it holds no panic.
fn sort(items: &mut [u16], before: impl Fn(u16, u16) -> bool) {
    for root in (0..items.len() / 2).rev() {
        sift(items, root, items.len(), &before);
    }
    for end in (1..items.len()).rev() {
        exchange(items, 0, end);
        sift(items, 0, end, &before);
    }
}

/// Moves the item at `root` down until none of its children comes after it.
fn sift(items: &mut [u16], mut root: usize, end: usize, before: &impl Fn(u16, u16) -> bool) {
    let at = |items: &[u16], index: usize| items.get(index).copied().unwrap_or(0);
    while 2 * root + 1 < end {
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let later = right < end && before(at(items, left), at(items, right));
        let child = if later { right } else { left };
        if !before(at(items, root), at(items, child)) {
            return;
        }
        exchange(items, root, child);
        root = child;
    }
}

fn exchange(items: &mut [u16], left: usize, right: usize) {
    let (Some(&a), Some(&b)) = (items.get(left), items.get(right)) else { return };
    for (index, value) in [(left, b), (right, a)] {
        if let Some(place) = items.get_mut(index) {
            *place = value;
        }
    }
}
