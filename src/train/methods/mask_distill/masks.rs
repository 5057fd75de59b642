//! Masks of objects from attention alone (methods.md 7.1, 7.3).

use super::settings::MaskDistillSettings;
use crate::arena::{AlignedBytes, Arena};
use crate::map::{Layout, Map};
use crate::spectral::{ClassToken, ObjectMask, Shape};
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::{Pictures, Tap};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// By how many deviations of a product the attention to cells of found objects lies below the
/// least other.
const BELOW: f64 = 10.0;

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Whether each cell of [`MaskProposer::grid`] belongs to it; at least one does.
    pub mask: Vec<bool>,
    /// How sure it is: 0 to 1.
    pub score: f32,
}

/// Finds objects in pictures without knowing classes. Stands in place of Mask R-CNN (7.3); any
/// segmenter of instances can be put here.
pub trait MaskProposer: Sync {
    /// Rows and columns of the masks.
    ///
    /// # Errors
    /// [`Error::Config`] if these pictures lack what the search needs.
    fn grid(&self, pictures: &dyn Pictures) -> Result<[usize; 2]>;

    /// Objects of a picture.
    ///
    /// # Errors
    /// Those of reading features.
    fn propose(&self, pictures: &dyn Pictures, picture: usize) -> Result<Vec<Proposal>>;
}

/// Describes objects by vectors, which are then clustered.
pub trait Descriptor: Sync {
    /// The vector of a mask of `grid`; all have the same length.
    ///
    /// # Errors
    /// Those of reading features.
    fn describe(
        &self,
        pictures: &dyn Pictures,
        picture: usize,
        mask: &[bool],
        grid: [usize; 2],
    ) -> Result<Vec<f32>>;
}

/// The tap of a name, with its number.
pub(super) fn find_tap<'p>(pictures: &'p dyn Pictures, name: &str) -> Result<(usize, &'p Tap)> {
    let mut taps = pictures.taps().iter().enumerate();
    taps.find(|(_, tap)| tap.name == name)
        .ok_or_else(|| Error::config(format!("MaskDistill: no tap is called \"{name}\"")))
}

/// Searches for the most attended object, then for the next one in what is left of the picture,
/// and so on (ours, for 7.3).
///
/// What has been found is taken out of the next search: its keys are made ones that the class
/// token attends to less than to any other. An object's score is `in / (in + out)`, where `in` is
/// the mean attention of its cells and `out` that of the quarter of all cells which gets least:
/// 0.5 for an object that is not attended to more than those, 0.9 for one with nine times as much.
pub struct AttentionProposer {
    settings: MaskDistillSettings,
}

impl AttentionProposer {
    /// A search with these settings.
    pub fn new(settings: &MaskDistillSettings) -> AttentionProposer {
        AttentionProposer { settings: settings.clone() }
    }

    /// The class token's vector: a tap of one cell, or the mean over the patches of another.
    fn token(
        &self,
        pictures: &dyn Pictures,
        picture: usize,
        own: &Option<String>,
        patches: &str,
    ) -> Result<Vec<f32>> {
        let name = own.as_deref().unwrap_or(patches);
        let (index, tap) = find_tap(pictures, name)?;
        if own.is_some() && tap.height * tap.width != 1 {
            let reason = format!("MaskDistill: tap \"{name}\" of a class token has several cells");
            return Err(Error::config(reason));
        }
        let rows = pictures.tap(picture, 0, index)?;
        let mut mean = vec![0.0f64; rows.shape()[1]];
        for row in rows.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let count = rows.shape()[0].max(1) as f64;
        Ok(mean.into_iter().map(|sum| (sum / count) as f32).collect())
    }

    /// Products of query and keys over the root of their length, by cell, for each scoring head.
    fn products(&self, query: &[f32], keys: &Matrix<f32>) -> Vec<Vec<f64>> {
        let length = (query.len() / self.settings.heads.max(1)).max(1);
        let divisor = libm::sqrt(length as f64);
        let heads = query.chunks(length).enumerate().take(self.settings.scoring_heads);
        heads
            .map(|(head, query)| {
                let of_cell = |key: &[f32]| {
                    let key = key.iter().skip(head * length);
                    let sum: f64 =
                        query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                    sum / divisor
                };
                keys.rows().map(of_cell).collect()
            })
            .collect()
    }

    /// The key that the query likes less than all others by [`BELOW`] in each scoring head.
    fn unlikely_key(&self, query: &[f32], products: &[Vec<f64>]) -> Vec<f32> {
        let length = (query.len() / self.settings.heads.max(1)).max(1);
        let divisor = libm::sqrt(length as f64);
        let mut key = vec![0.0; query.len()];
        let places = key.chunks_mut(length).zip(query.chunks(length));
        for ((key, query), products) in places.zip(products) {
            let square: f64 = query.iter().map(|q| f64::from(*q) * f64::from(*q)).sum();
            let least = products.iter().copied().fold(f64::INFINITY, f64::min);
            let factor = divisor * (least - BELOW) / square.max(f64::from(f32::MIN_POSITIVE));
            key.iter_mut().zip(query).for_each(|(k, q)| *k = (factor * f64::from(*q)) as f32);
        }
        key
    }

    /// Searches once; cells of `taken` are never in the mask.
    fn search(
        &self,
        tap: &Tap,
        token: &ClassToken<'_>,
        keys: &Matrix<f32>,
        taken: &[bool],
    ) -> Result<Vec<bool>> {
        let Tap { height, width, channels, .. } = *tap;
        let (shape, settings) = (Shape { height, width, channels }, self.settings.object());
        let mut counting = Arena::counting();
        ObjectMask::carve(&mut counting, &shape, &settings)?;
        let mut memory = AlignedBytes::zeros(counting.used_bytes());
        let mut arena = Arena::over(memory.as_mut_slice())?;
        let mut object = ObjectMask::carve(&mut arena, &shape, &settings)?;
        let map = Map::new(keys.values(), height, width, channels, Layout::Hwc)?;
        object.run(token, &map)?;
        let cells = object.mask().iter().zip(taken);
        Ok(cells.map(|(&inside, &taken)| inside == 1 && !taken).collect())
    }
}

/// Mean over the heads of the softmax over the cells.
fn attention(products: &[Vec<f64>]) -> Vec<f64> {
    let mut mean = vec![0.0; products.first().map_or(0, Vec::len)];
    for head in products {
        let most = head.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = head.iter().map(|product| libm::exp(product - most)).collect();
        let total = powers.iter().sum::<f64>() * products.len() as f64;
        mean.iter_mut().zip(powers).for_each(|(sum, power)| *sum += power / total);
    }
    mean
}

/// Mean of the values whose cell is chosen; 0 if none is.
fn mean_of(values: &[f64], chosen: &[bool]) -> f64 {
    let pairs = values.iter().zip(chosen).filter(|(_, chosen)| **chosen);
    let (sum, count) = pairs.fold((0.0, 0usize), |(sum, n), (value, _)| (sum + value, n + 1));
    sum / count.max(1) as f64
}

/// Mean of the smallest quarter of the values, at least of one.
fn least_quarter(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.truncate((values.len() / 4).max(1));
    sorted.iter().sum::<f64>() / sorted.len().max(1) as f64
}

impl MaskProposer for AttentionProposer {
    fn grid(&self, pictures: &dyn Pictures) -> Result<[usize; 2]> {
        let (_, tap) = find_tap(pictures, &self.settings.keys)?;
        let fits = self.settings.object().check(tap.channels);
        fits.map_err(|error| Error::config(format!("MaskDistill: {error}")))?;
        Ok([tap.height, tap.width])
    }

    fn propose(&self, pictures: &dyn Pictures, picture: usize) -> Result<Vec<Proposal>> {
        let settings = &self.settings;
        let (index, tap) = find_tap(pictures, &settings.keys)?;
        let query = self.token(pictures, picture, &settings.class_query, &settings.queries)?;
        let key = self.token(pictures, picture, &settings.class_key, &settings.keys)?;
        let token = ClassToken { query: &query, key: &key };
        let mut keys = pictures.tap(picture, 0, index)?;
        let products = self.products(&query, &keys);
        let unlikely = self.unlikely_key(&query, &products);
        let mut taken = vec![false; keys.shape()[0]];
        let least = f64::from(settings.least_area) * taken.len() as f64;
        let mut masks: Vec<Vec<bool>> = Vec::new();
        for _ in 0..settings.objects {
            let mask = self.search(tap, &token, &keys, &taken)?;
            let area = mask.iter().filter(|inside| **inside).count();
            if area == 0 || (!masks.is_empty() && (area as f64) < least) {
                break;
            }
            for ((row, taken), _) in
                keys.rows_mut().zip(&mut taken).zip(&mask).filter(|(_, inside)| **inside)
            {
                row.copy_from_slice(&unlikely);
                *taken = true;
            }
            masks.push(mask);
        }
        let attention = attention(&products);
        let least = least_quarter(&attention);
        let scored = masks.into_iter().map(|mask| {
            let inside = mean_of(&attention, &mask);
            Proposal { mask, score: (inside / (inside + least)) as f32 }
        });
        Ok(scored.collect())
    }
}

/// The mean of a tap over the cells of a mask, of the nearest cells where the grids differ (ours,
/// in place of the class token of the crop, for which the network would have to run again).
pub struct MeanOfTap {
    settings: MaskDistillSettings,
}

impl MeanOfTap {
    /// By the tap that settings name.
    pub fn new(settings: &MaskDistillSettings) -> MeanOfTap {
        MeanOfTap { settings: settings.clone() }
    }
}

impl Descriptor for MeanOfTap {
    fn describe(
        &self,
        pictures: &dyn Pictures,
        picture: usize,
        mask: &[bool],
        [rows, columns]: [usize; 2],
    ) -> Result<Vec<f32>> {
        let name = self.settings.descriptor.as_ref().unwrap_or(&self.settings.keys);
        let (index, tap) = find_tap(pictures, name)?;
        let features = pictures.tap(picture, 0, index)?;
        let mut sum = vec![0.0f64; tap.channels];
        let mut count = 0usize;
        for cell in mask.iter().enumerate().filter_map(|(cell, inside)| inside.then_some(cell)) {
            let [row, column] = [cell / columns.max(1), cell % columns.max(1)];
            let at =
                |place: usize, from: usize, to: usize| (2 * place + 1) * to / (2 * from.max(1));
            let place = at(row, rows, tap.height) * tap.width + at(column, columns, tap.width);
            let values = features.row(place).unwrap_or_default();
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
            count += 1;
        }
        Ok(sum.into_iter().map(|sum| (sum / count.max(1) as f64) as f32).collect())
    }
}
