//! The object mask of a vision transformer's attention.

use super::support::{Random, exactly, map};
use proptest::prelude::*;
use zsseg::arena::Arena;
use zsseg::map::Layout;
use zsseg::spectral::{
    ClassToken, FoundObject, ObjectMask, ObjectSettings, Scoring, Shape, keep_top_mass,
};
use zsseg::status::{Result, Status};

/// Golden vector G13 of methods.md.
#[test]
fn golden_vector() {
    let mut scores = [0.1, 0.4, 0.2, 0.3];
    keep_top_mass(&mut scores, &mut [0; 4], 0.5);
    assert_eq!(scores.map(|score| score > 0.0), [false, true, false, true]);
}

fn find(
    shape: &Shape,
    settings: &ObjectSettings,
    token: &ClassToken<'_>,
    keys: &[f32],
    layout: Layout,
) -> Result<(FoundObject, Vec<u8>)> {
    let carve = |arena: &mut Arena<'_>| ObjectMask::carve(arena, shape, settings).map(drop);
    exactly(carve, |arena| {
        let mut object = ObjectMask::carve(arena, shape, settings).unwrap();
        let found = object.run(token, &map(keys, shape, layout))?;
        Ok((found, object.mask().to_vec()))
    })
}

/// The steps of methods.md 7.1 as they stand there, with full N x N products.
fn plain(
    settings: &ObjectSettings,
    shape: &Shape,
    token: &ClassToken<'_>,
    keys: &[f32],
) -> (FoundObject, Vec<u8>) {
    let (cells, channels) = (shape.height * shape.width, shape.channels);
    let length = channels / settings.heads;
    let key = |cell: usize| &keys[cell * channels..(cell + 1) * channels];
    let product = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let mut scores = vec![0.0f64; cells];
    for head in 0..settings.scoring_heads {
        let part = head * length..(head + 1) * length;
        let query = &token.query[part.clone()];
        let mut row: Vec<f64> =
            (0..cells).map(|cell| product(query, &key(cell)[part.clone()])).collect();
        if settings.scoring == Scoring::Softmax {
            row.push(product(query, &token.key[part]));
            row.iter_mut().for_each(|value| *value = (*value / (length as f64).sqrt()).exp());
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= total);
        }
        let share = settings.scoring_heads as f64;
        scores.iter_mut().zip(row).for_each(|(score, value)| *score += value / share);
    }
    let mut order: Vec<usize> = (0..cells).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let total: f64 = scores.iter().sum();
    let mut sum = 0.0;
    for &cell in &order {
        sum += scores[cell] / total;
        if sum <= 1.0 - f64::from(settings.mass) {
            scores[cell] = 0.0;
        }
    }
    order = (0..cells).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let count = (f64::from(settings.candidates) * cells as f64) as usize;
    let source = order[0];
    let joined: Vec<usize> = order[..count.max(1)]
        .iter()
        .copied()
        .filter(|&cell| cell == source || product(key(source), key(cell)) > 0.0)
        .collect();
    let likeness: Vec<f64> =
        (0..cells).map(|j| joined.iter().map(|&p| product(key(p), key(j))).sum()).collect();
    let mut mask = vec![0u8; cells];
    let fallback = likeness[source] <= 0.0;
    if fallback {
        joined.iter().for_each(|&cell| mask[cell] = 1);
    } else {
        mask[source] = 1;
        // Grows until nothing changes.
        loop {
            let before = mask.clone();
            for cell in 0..cells {
                let (x, y) = (cell % shape.width, cell / shape.width);
                let near = (0..cells).any(|other| {
                    let (u, v) = (other % shape.width, other / shape.width);
                    before[other] == 1 && x.abs_diff(u) + y.abs_diff(v) == 1
                });
                if near && likeness[cell] > 0.0 {
                    mask[cell] = 1;
                }
            }
            if mask == before {
                break;
            }
        }
    }
    let area = mask.iter().filter(|inside| **inside == 1).count();
    (FoundObject { source, area, fallback }, mask)
}

proptest! {
    #[test]
    fn follows_the_steps(
        height in 1usize..9, width in 1usize..9, heads in 1usize..5, length in 1usize..6,
        share in 0.1f32..1.0, raw: bool, seed: u64,
    ) {
        let shape = Shape { height, width, channels: heads * length };
        let settings = ObjectSettings {
            heads,
            scoring_heads: heads.div_ceil(2),
            mass: 0.5,
            candidates: share,
            scoring: if raw { Scoring::Raw } else { Scoring::Softmax },
        };
        let mut random = Random(seed);
        let (query, key) = (random.take(shape.channels), random.take(shape.channels));
        let token = ClassToken { query: &query, key: &key };
        let keys = random.take(height * width * shape.channels);
        let found = find(&shape, &settings, &token, &keys, Layout::Hwc).unwrap();
        prop_assert_eq!(&found, &plain(&settings, &shape, &token, &keys));
        let cells = height * width;
        let planar: Vec<f32> = (0..keys.len())
            .map(|at| keys[at % cells * shape.channels + at / cells])
            .collect();
        let again = find(&shape, &settings, &token, &planar, Layout::Chw).unwrap();
        prop_assert_eq!(found, again);
    }

    #[test]
    fn kept_mass_is_the_least_that_suffices(
        scores in proptest::collection::vec(0.01f32..1.0, 1..200), mass in 0.05f32..1.0,
    ) {
        let mut kept = scores.clone();
        keep_top_mass(&mut kept, &mut vec![0; scores.len()], mass);
        let total: f32 = scores.iter().sum();
        let held: f32 = kept.iter().sum();
        let smallest = kept.iter().copied().filter(|score| *score > 0.0).fold(2.0, f32::min);
        prop_assert!(held >= mass * total * 0.999 && held - smallest <= mass * total * 1.001);
        for (old, new) in scores.iter().zip(&kept) {
            prop_assert!(*new == *old || *new == 0.0 && *old <= smallest);
        }
    }
}

/// A blob with a key of its own, and another of the same kind apart from it.
#[test]
fn one_of_two_blobs_is_found() {
    let shape = Shape { height: 6, width: 8, channels: 4 };
    let mut keys = vec![0.0; 48 * 4];
    let mut want = vec![0u8; 48];
    for cell in 0..48 {
        let (x, y) = (cell % 8, cell / 8);
        let first = (1..3).contains(&x) && (1..5).contains(&y);
        let second = (5..7).contains(&x) && (2..4).contains(&y);
        want[cell] = first.into();
        keys[cell * 4..][..4].copy_from_slice(match first || second {
            true => &[1.0, 0.5, 1.0, 0.0],
            false => &[-1.0, 0.1, -1.0, 1.0],
        });
    }
    keys[(2 * 8 + 1) * 4] = 1.5;
    let settings = ObjectSettings { heads: 2, scoring_heads: 1, ..ObjectSettings::DEFAULT };
    let token = ClassToken { query: &[2.0, 0.0, 0.0, 0.0], key: &[0.0; 4] };
    let (found, mask) = find(&shape, &settings, &token, &keys, Layout::Hwc).unwrap();
    assert_eq!(found, FoundObject { source: 17, area: 8, fallback: false });
    assert_eq!(mask, want);
}

/// A source without a key is like nothing, not even itself: the mask is the source, not the
/// background component of the published code.
#[test]
fn a_source_like_nothing_falls_back_to_itself() {
    let shape = Shape { height: 1, width: 3, channels: 1 };
    let settings = ObjectSettings { heads: 1, scoring_heads: 1, ..ObjectSettings::DEFAULT };
    let token = ClassToken { query: &[1.0], key: &[0.0] };
    let (found, mask) = find(&shape, &settings, &token, &[-1.0, 0.0, -2.0], Layout::Hwc).unwrap();
    assert_eq!(found, FoundObject { source: 1, area: 1, fallback: true });
    assert_eq!(mask, [0, 1, 0]);
}

#[test]
fn bad_input_is_refused() {
    let shape = Shape { height: 2, width: 2, channels: 4 };
    let settings = ObjectSettings { heads: 2, scoring_heads: 1, ..ObjectSettings::DEFAULT };
    let token = ClassToken { query: &[1.0; 4], key: &[1.0; 4] };
    let keys = [1.0; 16];
    let run = |token: &ClassToken<'_>, keys: &[f32]| {
        find(&shape, &settings, token, keys, Layout::Hwc).unwrap_err().status()
    };
    let long = ClassToken { query: &[1.0; 5], ..token };
    assert_eq!(run(&long, &keys), Status::ModelShape);
    let odd = ClassToken { key: &[1.0, f32::NAN, 1.0, 1.0], ..token };
    assert_eq!(run(&odd, &keys), Status::InvalidArgument);
    assert_eq!(run(&token, &[f32::INFINITY; 16]), Status::InvalidArgument);
    let wrong = [
        ObjectSettings { heads: 0, ..settings },
        ObjectSettings { heads: 3, ..settings },
        ObjectSettings { scoring_heads: 0, ..settings },
        ObjectSettings { mass: 1.5, ..settings },
        ObjectSettings { candidates: f32::NAN, ..settings },
    ];
    for settings in wrong {
        let error = ObjectMask::carve(&mut Arena::counting(), &shape, &settings).map(drop);
        assert_eq!(error.unwrap_err().status(), Status::InvalidArgument, "{settings:?}");
    }
}
