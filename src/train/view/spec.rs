//! Views by the words of the command line.

use crate::math::random::Random;
use crate::train::error::{Error, Result};
use crate::train::pictures::{View, Window};
use std::format;
use std::vec;
use std::vec::Vec;

/// Most random crops.
const MAX_CROPS: usize = 64;
/// Smallest side of a random crop; methods.md 2.2 enlarges pictures up to twice.
const LEAST_SIDE: f32 = 0.5;
/// Stream of the random numbers.
const CROPS: u32 = 0x6372_6f70;

/// The plain view, then those that each of `specs` names. A spec is words with commas between:
/// `flip`; `zoom:Z` for the four corner windows of side `1 / Z`, `Z` above 1 to 8; `crop:K` for `K`
/// windows of sides 0.5 to 1 and random flips, the same for every picture (methods.md 2.2);
/// `colour:S` with a strength `S` above 0 to 1 (methods.md 5.6). Views that are there already are
/// left out.
///
/// # Errors
/// [`Error::Config`] naming the word that means nothing, is there twice or does not go with
/// another.
pub fn views_of(specs: &[impl AsRef<str>], seed: u64) -> Result<Vec<View>> {
    let mut views = vec![View::PLAIN];
    for spec in specs {
        for view in views_of_spec(spec.as_ref(), seed)? {
            view.check()?;
            if !views.contains(&view) {
                views.push(view);
            }
        }
    }
    Ok(views)
}

/// The words of a spec.
#[derive(Default)]
struct Words {
    flip: bool,
    colour: Option<f32>,
    windows: Option<Vec<View>>,
    random: bool,
}

fn views_of_spec(spec: &str, seed: u64) -> Result<Vec<View>> {
    let mut words = Words::default();
    for word in spec.split(',') {
        let wrong = || Error::config(format!("\"{word}\" in the view \"{spec}\" is no view"));
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match name {
            "flip" if value.is_empty() && !words.flip => words.flip = true,
            "colour" if words.colour.is_none() => {
                let strength = value.parse().map_err(|_| wrong())?;
                let fits = strength > 0.0 && strength <= 1.0;
                words.colour = Some(fits.then_some(strength).ok_or_else(wrong)?);
            }
            "zoom" if words.windows.is_none() => {
                words.windows =
                    Some(corners(value.parse().map_err(|_| wrong())?).ok_or_else(wrong)?);
            }
            "crop" if words.windows.is_none() => {
                let count = value.parse().map_err(|_| wrong())?;
                words.windows = Some(crops(count, seed).ok_or_else(wrong)?);
                words.random = true;
            }
            _ => return Err(wrong()),
        }
    }
    if words.random && words.flip {
        return Err(Error::config(format!("\"{spec}\": crops are flipped at random already")));
    }
    let windows = words.windows.unwrap_or(vec![View::PLAIN]);
    let colour = words.colour.unwrap_or(0.0);
    let view = |view: View| View { flip: view.flip || words.flip, colour, ..view };
    Ok(windows.into_iter().map(view).collect())
}

fn corners(zoom: f32) -> Option<Vec<View>> {
    if !(zoom > 1.0 && zoom <= 8.0) {
        return None;
    }
    let side = 1.0 / zoom;
    let far = 1.0 - side;
    let corner = |(left, top)| View { window: Window { left, top, side }, ..View::PLAIN };
    Some([(0.0, 0.0), (far, 0.0), (0.0, far), (far, far)].map(corner).to_vec())
}

fn crops(count: usize, seed: u64) -> Option<Vec<View>> {
    if count == 0 || count > MAX_CROPS {
        return None;
    }
    let random = Random::new(seed, &[]);
    let crop = |place: usize| {
        let [side, left, top, flip] = random.uniform(0, place as u32, CROPS);
        let side = LEAST_SIDE + (1.0 - LEAST_SIDE) * side;
        let window = Window { left: left * (1.0 - side), top: top * (1.0 - side), side };
        View { window, flip: flip < 0.5, colour: 0.0 }
    };
    Some((0..count).map(crop).collect())
}
