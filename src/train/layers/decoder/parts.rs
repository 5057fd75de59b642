//! The parts of a decoder, for weights, gradients and shapes alike.

use std::convert::Infallible;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Weights and biases of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense<T> {
    /// `[outputs, inputs]` of a 1x1; `[9, channels]` of a depthwise 3x3.
    pub weight: T,
    /// `[1, outputs]`.
    pub bias: T,
}

/// A depthwise 3x3 and the 1x1 after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<T> {
    /// The 3x3.
    pub depthwise: Dense<T>,
    /// The 1x1.
    pub pointwise: Dense<T>,
}

/// All of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers<T> {
    /// The 1x1 of each tap.
    pub taps: Vec<Dense<T>>,
    /// What comes after they are joined.
    pub blocks: Vec<Block<T>>,
}

impl<T> Dense<T> {
    fn try_map<'a, U, E>(
        &'a self,
        name: &str,
        f: &mut impl FnMut(&str, &'a T) -> Result<U, E>,
    ) -> Result<Dense<U>, E> {
        let weight = f(&format!("{name}.weight"), &self.weight)?;
        Ok(Dense { weight, bias: f(&format!("{name}.bias"), &self.bias)? })
    }
}

impl<T> Layers<T> {
    /// A value for each, in a fixed order; `f` is given the names `tap0.weight`, `tap0.bias`,
    /// `block0.depthwise.weight` and so on.
    ///
    /// # Errors
    /// The first of `f`.
    pub fn try_map<'a, U, E>(
        &'a self,
        mut f: impl FnMut(&str, &'a T) -> Result<U, E>,
    ) -> Result<Layers<U>, E> {
        let mut taps = Vec::with_capacity(self.taps.len());
        for (index, tap) in self.taps.iter().enumerate() {
            taps.push(tap.try_map(&format!("tap{index}"), &mut f)?);
        }
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let depthwise = block.depthwise.try_map(&format!("block{index}.depthwise"), &mut f)?;
            let pointwise = block.pointwise.try_map(&format!("block{index}.pointwise"), &mut f)?;
            blocks.push(Block { depthwise, pointwise });
        }
        Ok(Layers { taps, blocks })
    }

    /// A value for each.
    pub fn map<'a, U>(&'a self, f: impl Fn(&'a T) -> U) -> Layers<U> {
        let Ok(mapped) = self.try_map(|_, part| Ok::<U, Infallible>(f(part)));
        mapped
    }

    /// References to each.
    pub fn as_ref(&self) -> Layers<&T> {
        self.map(|part| part)
    }

    /// Each with its name, in the order of [`Layers::try_map`].
    pub fn named(&self) -> Vec<(String, &T)> {
        let mut all = Vec::new();
        let Ok(_) = self.try_map(|name, part| {
            all.push((String::from(name), part));
            Ok::<(), Infallible>(())
        });
        all
    }

    /// Each, to be changed, in the order of [`Layers::try_map`].
    pub fn each_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let taps = self.taps.iter_mut();
        let blocks = self.blocks.iter_mut();
        let of_blocks = blocks.flat_map(|block| [&mut block.depthwise, &mut block.pointwise]);
        taps.chain(of_blocks).flat_map(|dense| [&mut dense.weight, &mut dense.bias])
    }
}
