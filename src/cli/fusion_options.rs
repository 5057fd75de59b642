//! Options about spectral segments, and the second model that may find them.

use super::model::{ModelFile, arena_for};
use crate::arena::AlignedBytes;
use crate::bundle::Bundle;
use crate::head::Output;
use crate::image::Image;
use crate::limits::{AffinityShape, Limits};
use crate::map::Map;
use crate::segmenter::{FusionSettings, Segmenter};
use crate::spec::Fit;
use crate::spectral::Fusion;
use crate::viz::Picture;
use anyhow::{Context, Result, bail};
use core::str::FromStr;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

/// Moving masks towards spectral segments of the network's own features.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct RuleArgs {
    /// Move the mask towards segments of the network's features: "select" (classes take the
    /// shapes of segments that fit; 0.5 = least overlap), "vote" (regions take the class of most
    /// of their cells; 0.6 = least share) or "soft" (scores are mixed with their region's mean;
    /// 0.5 = share of the mean).
    #[arg(long, value_name = "RULE[=NUMBER]")]
    fuse: Option<Rule>,
    /// Segments to look for: 0 (nothing changes) to 5.
    #[arg(long, value_name = "N", requires = "fuse",
          value_parser = clap::value_parser!(u32).range(0..=5))]
    segments: Option<u32>,
}

/// Moving masks towards spectral segments.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct FusionArgs {
    #[command(flatten)]
    rule: RuleArgs,
    /// Find the segments from the output of this model's network instead, such as the keys of a
    /// transformer. It must see the same part of a picture.
    #[arg(long, value_name = "FILE", requires = "fuse")]
    affinity_bundle: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule(Fusion);

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> core::result::Result<Rule, String> {
        let fusion = text.parse::<Fusion>().map_err(|error| error.to_string())?;
        Ok(Rule(fusion))
    }
}

impl RuleArgs {
    /// What to tell the segmenter.
    pub fn settings(&self) -> Option<FusionSettings> {
        let Rule(fusion) = self.fuse?;
        let settings = FusionSettings::of(fusion);
        Some(FusionSettings { segments: self.segments.unwrap_or(settings.segments), ..settings })
    }
}

impl FusionArgs {
    /// What to tell the segmenter.
    pub fn settings(&self) -> Option<FusionSettings> {
        self.rule.settings()
    }

    /// The file of the second model.
    pub fn read_affinity(&self) -> Result<Option<ModelFile>> {
        self.affinity_bundle.as_deref().map(|path| ModelFile::read(Some(path))).transpose()
    }

    /// The limits with memory for fusion.
    pub fn limits(&self, limits: Limits, affinity: Option<&Bundle<'_>>) -> Limits {
        let affinity = affinity.map(|bundle| AffinityShape {
            height: bundle.grid_height() as usize,
            width: bundle.grid_width() as usize,
            channels: bundle.head().channels as usize,
        });
        Limits { fusion: self.settings().is_some(), affinity, ..limits }
    }
}

/// A second model whose features segments are found from.
pub struct Affinity<'a> {
    segmenter: Segmenter<'a>,
    labels: Vec<u16>,
}

impl<'a> Affinity<'a> {
    /// Memory for the second model, which sees what `main` sees.
    ///
    /// # Errors
    /// If their frames lie differently on their inputs: then their cells do not match.
    pub fn memory(bundle: &Bundle<'_>, main: &Bundle<'_>, limits: &Limits) -> Result<AlignedBytes> {
        if !see_the_same(bundle, main) {
            bail!(
                "the model of the affinity, {}, sees another part of a picture than {}: they \
                 must fit pictures to inputs of the same proportions in the same way",
                bundle.model_name(),
                main.model_name()
            );
        }
        arena_for(bundle, &Affinity::limits(limits))
    }

    fn limits(limits: &Limits) -> Limits {
        let frames = Limits::for_frames(limits.max_frame_width, limits.max_frame_height);
        Limits { threads: limits.threads, ..frames }
    }

    /// Loads the second model.
    pub fn load(
        file: &ModelFile,
        bundle: &Bundle<'a>,
        limits: &Limits,
        memory: &'a mut AlignedBytes,
    ) -> Result<Affinity<'a>> {
        let mut segmenter =
            Segmenter::new(bundle, &Affinity::limits(limits), memory.as_mut_slice())
                .with_context(|| file.path.display().to_string())?;
        // Only its features are wanted; without classes the mask costs next to nothing.
        let labels: Vec<u16> = segmenter.classes().map(|class| class.label).collect();
        for label in labels {
            segmenter.enable_class(label, false)?;
        }
        Ok(Affinity { segmenter, labels: Vec::new() })
    }

    /// The features of a picture.
    pub fn features(&mut self, picture: &Picture) -> crate::status::Result<Map<'_, f32>> {
        let width = picture.width() as usize;
        self.labels.resize(width * picture.height() as usize, 0);
        let frame = Image::rgb8(picture.rgb(), picture.width(), picture.height())?;
        self.segmenter.segment(&frame, &mut Output::labels_u16(&mut self.labels, width))?;
        self.segmenter.features()
    }
}

/// Whether every picture covers the same share of both inputs.
fn see_the_same(one: &Bundle<'_>, other: &Bundle<'_>) -> bool {
    let sides = |bundle: &Bundle<'_>| {
        let input = bundle.input();
        (u64::from(input.width), u64::from(input.height))
    };
    let ((width, height), (other_width, other_height)) = (sides(one), sides(other));
    let similar = width * other_height == height * other_width;
    match (one.preprocess().fit, other.preprocess().fit) {
        (Fit::Stretch, Fit::Stretch) => true,
        (Fit::Letterbox(anchor), Fit::Letterbox(other)) => anchor == other && similar,
        (
            Fit::ShortSide { size, anchor },
            Fit::ShortSide { size: other_size, anchor: other_anchor },
        ) => {
            let scaled = u64::from(size) * other_width == u64::from(other_size) * width;
            anchor == other_anchor && similar && scaled
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_numbers_in_their_ranges() {
        let rule = |text: &str| text.parse::<Rule>().map(|rule| rule.0);
        assert_eq!(rule("vote"), Ok(Fusion::Vote { agreement: 0.6 }));
        assert_eq!(rule("select=0.7"), Ok(Fusion::Select { threshold: 0.7 }));
        assert_eq!(rule("soft=0"), Ok(Fusion::Soft { mix: 0.0 }));
        for wrong in ["", "oracle", "soft=1.5", "soft=", "vote=nan", "select=-1"] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }
}
