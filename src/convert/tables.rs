//! The tables of the pack file about classes that the model was not trained on.

use super::config::{HeadKindName, LayoutName};
use crate::spec::{Decision, EmbeddingSpace, Noise, Stacking, UnknownScore};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::string::String;

/// `[embedding]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingTable {
    dim: u32,
    unit: Option<bool>,
}

impl EmbeddingTable {
    /// The space; without `unit`, embeddings have unit length exactly for cosine heads.
    pub(super) fn to_space(self, head: HeadKindName) -> Result<EmbeddingSpace> {
        let unit = self.unit.unwrap_or(head == HeadKindName::Cosine);
        let space = EmbeddingSpace { dim: self.dim, unit };
        space.check()?;
        Ok(space)
    }
}

/// `[generator]`: what the weights do not tell. The defaults are those of ZS3Net.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeneratorTable {
    #[serde(default)]
    noise: NoiseName,
    #[serde(default = "slope")]
    pub(super) slope: f32,
    #[serde(default)]
    pub(super) relu: bool,
}

fn slope() -> f32 {
    0.2
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NoiseName {
    #[default]
    Uniform,
    Normal,
}

impl GeneratorTable {
    pub(super) fn noise(&self) -> Noise {
        match self.noise {
            NoiseName::Uniform => Noise::Uniform,
            NoiseName::Normal => Noise::Normal,
        }
    }
}

impl Default for GeneratorTable {
    fn default() -> GeneratorTable {
        GeneratorTable { noise: NoiseName::Uniform, slope: slope(), relu: false }
    }
}

/// `[decision]`: every field may be left out.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionTable {
    #[serde(default)]
    stacking: StackingName,
    gamma: Option<f32>,
    min_confidence: Option<f32>,
    min_margin: Option<f32>,
    #[serde(default)]
    unknown: UnknownName,
    reference: Option<f32>,
    max_unknown: Option<f32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StackingName {
    #[default]
    Off,
    Logits,
    Probabilities,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnknownName {
    #[default]
    Margin,
    Energy,
}

impl DecisionTable {
    pub(super) fn to_decision(self) -> Result<Decision> {
        let stacking = match (self.stacking, self.gamma) {
            (StackingName::Off, None) => Stacking::Off,
            (StackingName::Off, Some(_)) => bail!("`gamma` needs a `stacking`"),
            (_, None) => bail!("`stacking` needs `gamma`"),
            (StackingName::Logits, Some(gamma)) => Stacking::Logits(gamma),
            (StackingName::Probabilities, Some(gamma)) => Stacking::Probabilities(gamma),
        };
        let unknown = match (self.unknown, self.reference) {
            (UnknownName::Margin, None) => UnknownScore::Margin,
            (UnknownName::Margin, Some(_)) => bail!("`reference` needs `unknown = \"energy\"`"),
            (UnknownName::Energy, None) => bail!("`unknown = \"energy\"` needs `reference`"),
            (UnknownName::Energy, Some(reference)) => UnknownScore::Energy { reference },
        };
        let plain = Decision::PLAIN;
        let decision = Decision {
            stacking,
            min_confidence: self.min_confidence.unwrap_or(plain.min_confidence),
            min_margin: self.min_margin.unwrap_or(plain.min_margin),
            unknown,
            max_unknown: self.max_unknown.unwrap_or(plain.max_unknown),
        };
        decision.check()?;
        Ok(decision)
    }
}

/// `[second_output]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecondOutputTable {
    pub(super) name: String,
    #[serde(default)]
    pub(super) layout: LayoutName,
    /// Rows and columns of an output that has its cells in one row.
    pub(super) grid: Option<[usize; 2]>,
}

/// Channels, rows and columns of an output of this shape.
///
/// # Errors
/// If the shape is neither `[1, a, b, c]` nor, with `grid`, `[1, cells, channels]`.
pub(super) fn sides(
    shape: &[usize],
    layout: LayoutName,
    grid: Option<[usize; 2]>,
) -> Result<(usize, usize, usize)> {
    match (shape, layout, grid) {
        (&[1, channels, rows, columns], LayoutName::Chw, None)
        | (&[1, rows, columns, channels], LayoutName::Hwc, None) => Ok((channels, rows, columns)),
        (&[1, cells, channels], LayoutName::Hwc, Some([rows, columns])) => {
            let stated = rows.checked_mul(columns).context("`grid` is too large")?;
            ensure!(stated == cells, "it has {cells} cells, but `grid` says {rows} x {columns}");
            Ok((channels, rows, columns))
        }
        (&[1, _, _], LayoutName::Hwc, None) => {
            bail!("it has shape {shape:?}; give its rows and columns as `grid`")
        }
        (_, _, Some(_)) => bail!(
            "it has shape {shape:?}; `grid` is for 1 x cells x channels with `layout = \"hwc\"`"
        ),
        _ => bail!(
            "it has shape {shape:?}; wanted is 1 x channels x rows x columns, or 1 x rows x \
             columns x channels, or 1 x cells x channels"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn decision(text: &str) -> Result<Decision> {
        toml::from_str::<DecisionTable>(text)?.to_decision()
    }

    #[test]
    fn a_decision_is_plain_until_it_says_otherwise() {
        assert_eq!(decision("").unwrap(), Decision::PLAIN);
        let found =
            decision("stacking = \"logits\"\ngamma = 3\nunknown = \"energy\"\nreference = -1")
                .unwrap();
        assert_eq!(found.stacking, Stacking::Logits(3.0));
        assert_eq!(found.unknown, UnknownScore::Energy { reference: -1.0 });
        let found =
            decision("min_confidence = 0.25\nmin_margin = 0.5\nmax_unknown = 0.75").unwrap();
        assert_eq!((found.min_confidence, found.min_margin, found.max_unknown), (0.25, 0.5, 0.75));
    }

    #[test]
    fn decisions_that_do_not_fit_are_explained() {
        let error = |text| format!("{:#}", decision(text).unwrap_err());
        assert!(error("gamma = 1").contains("needs a `stacking`"));
        assert!(error("stacking = \"logits\"").contains("needs `gamma`"));
        assert!(error("unknown = \"energy\"").contains("needs `reference`"));
        assert!(error("reference = 1").contains("needs `unknown"));
        assert!(error("stacking = \"probabilities\"\ngamma = 1.5").contains("handicap"));
        assert!(error("min_margin = nan").contains("least margin"));
        assert!(error("minimum = 1").contains("unknown field"));
    }

    #[test]
    fn outputs_are_maps_of_cells() {
        let (chw, hwc) = (LayoutName::Chw, LayoutName::Hwc);
        assert_eq!(sides(&[1, 7, 2, 3], chw, None).unwrap(), (7, 2, 3));
        assert_eq!(sides(&[1, 2, 3, 7], hwc, None).unwrap(), (7, 2, 3));
        assert_eq!(sides(&[1, 6, 7], hwc, Some([2, 3])).unwrap(), (7, 2, 3));
        let error = |shape: &[usize], layout, grid| {
            format!("{:#}", sides(shape, layout, grid).unwrap_err())
        };
        assert!(error(&[1, 6, 7], hwc, Some([2, 4])).contains("6 cells"));
        assert!(error(&[1, 6, 7], hwc, None).contains("`grid`"));
        assert!(error(&[1, 6, 7], chw, Some([2, 3])).contains("hwc"));
        assert!(error(&[1, 7, 2, 3], chw, Some([2, 3])).contains("cells x channels"));
        assert!(error(&[2, 7, 2, 3], chw, None).contains("[2, 7, 2, 3]"));
        assert!(error(&[1, 6, 7], hwc, Some([usize::MAX, 2])).contains("too large"));
    }
}
