//! What a model brings along to take up classes that it was not trained on, as it lies in the
//! bundle: views that the bundle's reader has checked. Little endian, any alignment.

use crate::limits::{MAX_EMBEDDING, MAX_FEATURES, MAX_NAME_BYTES};
use crate::map::Layout;
use crate::status::{Result, Status};
use half::f16;
use zerocopy::little_endian::{F32, U16, U32};

/// The space that class embeddings live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddingSpace {
    /// Numbers of an embedding: 1 to [`MAX_EMBEDDING`]. For dot and cosine heads the channels of
    /// the network's output.
    pub dim: u32,
    /// Whether embeddings are brought to unit length before use.
    pub unit: bool,
}

impl EmbeddingSpace {
    /// Checks the range stated at the field.
    pub fn check(&self) -> Result<()> {
        if self.dim == 0 || self.dim > MAX_EMBEDDING {
            let error = Status::BundleContent.about("numbers of an embedding");
            return Err(error.numbers(self.dim.into(), MAX_EMBEDDING.into()));
        }
        Ok(())
    }
}

/// Word vectors, sorted by their words' bytes.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// End of each word in `text`, strictly ascending.
    pub ends: &'a [U32],
    /// Words one after another: UTF-8, no word empty, each greater than the one before.
    pub text: &'a [u8],
    /// `ends.len() * dim` bits of finite 16-bit floats.
    pub vectors: &'a [U16],
    /// Numbers of a vector.
    pub dim: usize,
}

impl<'a> Words<'a> {
    /// Number of words.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Word `index`.
    pub fn word(&self, index: usize) -> Option<&'a str> {
        let end = self.ends.get(index)?.get() as usize;
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before)?.get() as usize,
            None => 0,
        };
        core::str::from_utf8(self.text.get(start..end)?).ok()
    }

    /// Place of `word`, by bisection.
    pub fn find(&self, word: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.word(middle)?.as_bytes().cmp(word.as_bytes()) {
                core::cmp::Ordering::Equal => return Some(middle),
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The numbers of vector `index`; none if there is no such word.
    pub fn vector(&self, index: usize) -> impl Iterator<Item = f32> + use<'a> {
        let start = index.saturating_mul(self.dim);
        let bits = self.vectors.get(start..start.saturating_add(self.dim)).unwrap_or_default();
        bits.iter().map(|bits| f16::from_bits(bits.get()).to_f32())
    }
}

/// A linear map from embeddings to classifier rows (methods.md 3.1, turned round): for an
/// embedding `a`, weight `d` is `sum over e of M[d][e] a[e]`, and the bias is the like sum over
/// the last row of `M`.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// `M`: channels + 1 rows of `dim` finite numbers.
    pub weights: &'a [F32],
    /// Numbers of an embedding.
    pub dim: usize,
}

/// Distribution of a generator's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Uniform between 0 and 1.
    Uniform,
    /// Gaussian with mean 0 and deviation 1.
    Normal,
}

/// The feature generator of ZS3Net (methods.md 2.4): for an embedding `a` and noise `z`,
/// `W2 leaky(W1 [a; z] + b1) + b2`. Dropout is for training and not part of it.
#[derive(Clone, Copy, Debug)]
pub struct Generator<'a> {
    /// Numbers of an embedding: E.
    pub dim: usize,
    /// Numbers of the noise: Z, 1 to [`MAX_EMBEDDING`].
    pub noise_dim: usize,
    /// Width of the hidden layer: H, 1 to [`MAX_EMBEDDING`].
    pub hidden: usize,
    /// Channels of the features: D.
    pub channels: usize,
    /// Distribution of the noise.
    pub noise: Noise,
    /// Factor on negative values of the hidden layer: 0 to 1.
    pub slope: f32,
    /// Whether negative outputs become 0, as behind a ReLU.
    pub relu: bool,
    /// `W1`: H rows of E + Z, bits of finite 16-bit floats.
    pub hidden_weights: &'a [U16],
    /// `b1`: H finite numbers.
    pub hidden_bias: &'a [F32],
    /// `W2`: D rows of H, bits of finite 16-bit floats.
    pub output_weights: &'a [U16],
    /// `b2`: D finite numbers.
    pub output_bias: &'a [F32],
}

/// Mean and deviation of the features of some of the bundle's classes: those that were measured
/// in training. Classes added later have none.
#[derive(Clone, Copy, Debug)]
pub struct FeatureStatistics<'a> {
    /// The class of each row, strictly ascending; may be empty.
    pub classes: &'a [U32],
    /// Per row D means, finite.
    pub mean: &'a [F32],
    /// Per row D standard deviations, finite and not negative.
    pub deviation: &'a [F32],
    /// Channels of the features: D.
    pub channels: usize,
}

impl<'a> FeatureStatistics<'a> {
    /// Mean and deviation of a class; `None` if it has none. Takes O(log rows) comparisons.
    pub fn find(&self, class: u32) -> Option<(&'a [F32], &'a [F32])> {
        let row = self.classes.binary_search_by_key(&class, |index| index.get()).ok()?;
        let start = row.checked_mul(self.channels)?;
        let of_row = |values: &'a [F32]| values.get(start..)?.get(..self.channels);
        Some((of_row(self.mean)?, of_row(self.deviation)?))
    }
}

/// Another output of the bundle's network, from which the spectral affinity between cells is
/// computed (methods.md 6.9), such as the keys of a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondOutput<'a> {
    /// Name of the tensor: 1 to 127 bytes of UTF-8 without control characters; not the manifest's
    /// output.
    pub name: &'a str,
    /// Rows: at least 1, with at most [`SecondOutput::MAX_CELLS`] cells in all.
    pub grid_height: u32,
    /// Columns, likewise.
    pub grid_width: u32,
    /// Channels: 1 to [`MAX_FEATURES`].
    pub channels: u32,
    /// Order of the elements.
    pub layout: Layout,
}

impl SecondOutput<'_> {
    /// Most cells of the grid.
    pub const MAX_CELLS: u32 = 4_096;

    /// Checks the ranges stated at the fields. The name is the bundle's reader's business.
    ///
    /// # Errors
    /// [`Status::BundleContent`] naming the field.
    pub fn check(&self) -> Result<()> {
        let cells = u64::from(self.grid_height).saturating_mul(u64::from(self.grid_width));
        if cells == 0 || cells > u64::from(SecondOutput::MAX_CELLS) {
            let error = Status::BundleContent.about("cells of the second output");
            return Err(error.numbers(cells, SecondOutput::MAX_CELLS.into()));
        }
        if self.channels == 0 || self.channels > MAX_FEATURES {
            let error = Status::BundleContent.about("channels of the second output");
            return Err(error.numbers(self.channels.into(), MAX_FEATURES.into()));
        }
        Ok(())
    }
}

/// Handicap of the seen classes, which training favours (methods.md 1.11).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stacking {
    /// None.
    Off,
    /// Taken from the logits of seen classes: finite.
    Logits(f32),
    /// Taken from the probabilities of seen classes, after a softmax over all classes (SPNet): 0
    /// to 1.
    Probabilities(f32),
}

/// How much a pixel looks like none of the classes, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnknownScore {
    /// One minus the lead of the winner's probability over the runner-up's.
    Margin,
    /// Softmax probability of one more class whose logit is the same everywhere: falls with the
    /// free energy's negative, `log sum exp` of the logits.
    Energy {
        /// That logit; finite.
        reference: f32,
    },
}

/// From logits to a class, or to none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Handicap of the seen classes.
    pub stacking: Stacking,
    /// Pixels whose confidence is lower get no class: 0 (none) to 1.
    pub min_confidence: f32,
    /// Pixels whose margin is lower get no class: 0 (none) to 1.
    pub min_margin: f32,
    /// What `max_unknown` is compared with.
    pub unknown: UnknownScore,
    /// Pixels whose unknown score is higher get no class: 0 to 1 (none).
    pub max_unknown: f32,
}

impl Decision {
    /// The class with the highest logit, always.
    pub const PLAIN: Decision = Decision {
        stacking: Stacking::Off,
        min_confidence: 0.0,
        min_margin: 0.0,
        unknown: UnknownScore::Margin,
        max_unknown: 1.0,
    };

    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] naming the field.
    pub fn check(&self) -> Result<()> {
        let stacking_ok = match self.stacking {
            Stacking::Off => true,
            Stacking::Logits(gamma) => gamma.is_finite(),
            Stacking::Probabilities(gamma) => (0.0..=1.0).contains(&gamma),
        };
        if !stacking_ok {
            return Err(Status::InvalidArgument.about("handicap of the seen classes"));
        }
        if let UnknownScore::Energy { reference } = self.unknown
            && !reference.is_finite()
        {
            return Err(Status::InvalidArgument.about("reference of the unknown score"));
        }
        let shares = [
            ("least confidence", self.min_confidence),
            ("least margin", self.min_margin),
            ("highest unknown score", self.max_unknown),
        ];
        for (what, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(Status::InvalidArgument.about(what));
            }
        }
        Ok(())
    }

    /// Whether any pixel may be left without a class.
    pub fn rejects(&self) -> bool {
        self.min_confidence > 0.0 || self.min_margin > 0.0 || self.max_unknown < 1.0
    }
}

impl Default for Decision {
    fn default() -> Decision {
        Decision::PLAIN
    }
}

/// Checks a class's name: 1 to [`MAX_NAME_BYTES`] bytes without control characters.
///
/// # Errors
/// [`Status::InvalidArgument`].
pub fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let error = Status::InvalidArgument.about("bytes of a class's name");
        return Err(error.numbers(name.len() as u64, MAX_NAME_BYTES as u64));
    }
    if name.chars().any(char::is_control) {
        return Err(Status::InvalidArgument.about("control character in a class's name"));
    }
    Ok(())
}
