//! Random numbers, and activation with dropout.

use super::super::backend::Backend;
use super::super::sources::NOISE;
use super::call::Call;
use super::{CudaEngine, Tensor};
use crate::math::random::Random;
use crate::status::Result;
use crate::train::engine::common::{check_shape, invalid, require};
use crate::train::engine::{Activation, Draw, Noise};

/// Numbers that a thread makes.
const BLOCK: usize = 4;

/// The number of blocks of random numbers, which are numbered with 32 bits.
fn blocks(count: usize) -> Result<usize> {
    let blocks = count.div_ceil(BLOCK);
    match u32::try_from(blocks.saturating_sub(1)) {
        Ok(_) => Ok(blocks),
        Err(_) => Err(invalid("number of random numbers")),
    }
}

/// The call with a draw's words; in repeated work, which draws anew every time, with their place.
fn with_draw<'a, B: Backend>(
    engine: &CudaEngine<B>,
    call: Call<'a, B>,
    draw: Draw,
) -> Result<Call<'a, B>> {
    let [low, high] = Random::new(draw.seed, &[]).key();
    let words = [low, high, draw.step, draw.stream];
    let place = engine.is_repeating().then(|| engine.upload_numbers(&words)).transpose()?;
    let told = if place.is_some() { [0; 4] } else { words };
    let call = told.into_iter().fold(call, Call::word);
    Ok(call.array_or_null::<u32>(place.as_ref(), words.len()))
}

pub(super) fn noise<B: Backend>(
    engine: &CudaEngine<B>,
    shape: [usize; 2],
    noise: Noise,
    draw: Draw,
) -> Result<Tensor<B>> {
    let result = engine.blank(shape)?;
    let blocks = blocks(result.count())?;
    let call = engine.call(&NOISE, "noise").word(u32::from(noise == Noise::Normal));
    with_draw(engine, call, draw)?.tensor(&result).long(result.count()).each(blocks)?;
    Ok(result)
}

/// `v` times the slope at `x`, with dropout.
pub(super) fn activate<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
    v: &Tensor<B>,
    settings: &Activation,
) -> Result<Tensor<B>> {
    check_shape(v.shape(), x.shape())?;
    let rate = settings.dropout;
    require((0.0..1.0).contains(&rate), "share of dropout")?;
    require(settings.slope.is_finite(), "slope of the activation")?;
    let result = engine.blank(x.shape())?;
    let blocks = match rate == 0.0 {
        true => x.count().div_ceil(BLOCK),
        false => blocks(x.count())?,
    };
    let call = engine
        .call(&NOISE, "activate")
        .tensor(x)
        .tensor(v)
        .float(settings.slope as f32)
        .float(rate as f32)
        .float((1.0 / (1.0 - rate)) as f32);
    with_draw(engine, call, settings.draw)?.tensor(&result).long(x.count()).each(blocks)?;
    Ok(result)
}
