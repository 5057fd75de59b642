//! The pack file: what `docs/pack.md` describes, as data.

use super::profiles;
use super::tables::{DecisionTable, EmbeddingTable, GeneratorTable, SecondOutputTable};
use crate::map::Layout;
use crate::spec::{
    Anchor, ChannelOrder, Filter, Fit, HeadKind, Input, InputType, Precision, Preprocess,
    Quantization, WeightType,
};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::string::String;
use std::vec::Vec;

/// A pack file. Fields that it does not know are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(super) name: String,
    pub(super) license: String,
    #[serde(default)]
    pub(super) provenance: toml::Table,
    pub(super) input: InputTable,
    pub(super) preprocess: PreprocessTable,
    pub(super) output: OutputTable,
    pub(super) head: HeadTable,
    pub(super) classes: ClassesTable,
    pub(super) embedding: Option<EmbeddingTable>,
    pub(super) generator: Option<GeneratorTable>,
    pub(super) decision: Option<DecisionTable>,
    pub(super) second_output: Option<SecondOutputTable>,
}

impl Config {
    /// Reads a pack file.
    ///
    /// # Errors
    /// With the line and the field, if the text is not TOML or not a pack file.
    pub fn parse(text: &str) -> Result<Config> {
        Ok(toml::from_str(text)?)
    }
}

/// What a pack file says about the network: its input, the preprocessing and the precision. Its
/// other tables may be missing, and are not read.
#[derive(Clone, Debug, Deserialize)]
pub struct NetworkConfig {
    input: InputTable,
    preprocess: PreprocessTable,
    output: Option<PrecisionTable>,
}

/// The part of `[output]` that matters whatever tensor is read.
#[derive(Clone, Debug, Deserialize)]
struct PrecisionTable {
    name: Option<String>,
    #[serde(default)]
    layout: LayoutName,
    #[serde(default)]
    precision: PrecisionName,
}

impl NetworkConfig {
    /// Reads these tables of a pack file.
    ///
    /// # Errors
    /// With the line and the field, if the text is not TOML or a table is not what it should be.
    pub fn parse(text: &str) -> Result<NetworkConfig> {
        Ok(toml::from_str(text)?)
    }

    /// Name of the network's input.
    pub fn input_name(&self) -> &str {
        &self.input.name
    }

    /// Shape and type of the input.
    ///
    /// # Errors
    /// Naming the field that is out of range.
    pub fn input(&self) -> Result<Input> {
        self.input.to_input()
    }

    /// From pictures to the input.
    ///
    /// # Errors
    /// Naming the field that is missing or impossible.
    pub fn preprocess(&self) -> Result<Preprocess> {
        self.preprocess.to_preprocess()
    }

    /// Name of the tensor that is read, if the file states one.
    pub fn output_name(&self) -> Option<&str> {
        self.output.as_ref()?.name.as_deref()
    }

    /// Order of that tensor's elements.
    pub fn output_layout(&self) -> Layout {
        self.output.as_ref().map_or(LayoutName::Chw, |output| output.layout).into()
    }

    /// Whether quantised activations are rounded to their grid.
    pub fn precision(&self) -> Precision {
        self.output.as_ref().map_or(PrecisionName::AsModel, |output| output.precision).into()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputTable {
    pub(super) name: String,
    width: u32,
    height: u32,
    #[serde(default)]
    layout: LayoutName,
    #[serde(default, rename = "type")]
    element: ElementName,
    scale: Option<f32>,
    zero_point: Option<i32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LayoutName {
    #[default]
    Chw,
    Hwc,
}

impl From<LayoutName> for Layout {
    fn from(name: LayoutName) -> Layout {
        match name {
            LayoutName::Chw => Layout::Chw,
            LayoutName::Hwc => Layout::Hwc,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ElementName {
    #[default]
    F32,
    U8,
    I8,
}

impl InputTable {
    pub(super) fn to_input(&self) -> Result<Input> {
        let (layout, width, height) = (self.layout.into(), self.width, self.height);
        let input = Input { width, height, layout, element: self.element()? };
        input.check()?;
        Ok(input)
    }

    fn element(&self) -> Result<InputType> {
        let quantized: fn(Quantization) -> InputType = match self.element {
            ElementName::U8 => InputType::U8,
            ElementName::I8 => InputType::I8,
            ElementName::F32 if self.scale.is_some() || self.zero_point.is_some() => {
                bail!("`scale` and `zero_point` are for `type = \"u8\"` and \"i8\" only")
            }
            ElementName::F32 => return Ok(InputType::F32),
        };
        let (Some(scale), Some(zero_point)) = (self.scale, self.zero_point) else {
            bail!("a quantised `type` needs `scale` and `zero_point`");
        };
        Ok(quantized(Quantization { scale, zero_point }))
    }
}

/// `[preprocess]`, and a profile: all of it optional, so that one can be laid over the other.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PreprocessTable {
    profile: Option<String>,
    fit: Option<FitName>,
    short_side: Option<u32>,
    anchor: Option<AnchorName>,
    filter: Option<FilterName>,
    antialias: Option<bool>,
    order: Option<OrderName>,
    scale: Option<f32>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    pad: Option<Pad>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FitName {
    Stretch,
    Letterbox,
    ShortSide,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnchorName {
    Center,
    TopLeft,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FilterName {
    Bilinear,
    Bicubic,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OrderName {
    Rgb,
    Bgr,
}

/// The padding colour.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Pad {
    /// In 0..255 pixel units.
    Color([f32; 3]),
    /// What is 0 after normalisation.
    Named(PadName),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PadName {
    Mean,
}

impl PreprocessTable {
    /// The preprocessing with the profile's fields where this table has none.
    pub(super) fn to_preprocess(&self) -> Result<Preprocess> {
        let base = match &self.profile {
            Some(name) => profiles::find(name)?,
            None => PreprocessTable::default(),
        };
        let all = self.over(&base);
        let missing = |field: &str| match &self.profile {
            Some(profile) => {
                std::format!("`{field}` is missing; profile \"{profile}\" leaves it open")
            }
            None => std::format!("`{field}` is missing; give it or a `profile`"),
        };
        let fit = all.fit.with_context(|| missing("fit"))?;
        let scale = all.scale.with_context(|| missing("scale"))?;
        let mean = all.mean.with_context(|| missing("mean"))?;
        let preprocess = Preprocess {
            fit: all.to_fit(fit)?,
            filter: match all.filter.unwrap_or(FilterName::Bilinear) {
                FilterName::Bilinear => Filter::Bilinear,
                FilterName::Bicubic => Filter::Bicubic,
            },
            antialias: all.antialias.with_context(|| missing("antialias"))?,
            order: match all.order.with_context(|| missing("order"))? {
                OrderName::Rgb => ChannelOrder::Rgb,
                OrderName::Bgr => ChannelOrder::Bgr,
            },
            scale,
            mean,
            std: all.std.with_context(|| missing("std"))?,
            pad: match all.pad {
                None => [0.0; 3],
                Some(Pad::Color(color)) => color,
                Some(Pad::Named(PadName::Mean)) => mean.map(|mean| mean / scale),
            },
        };
        preprocess.check()?;
        Ok(preprocess)
    }

    fn over(&self, base: &PreprocessTable) -> PreprocessTable {
        PreprocessTable {
            profile: None,
            fit: self.fit.or(base.fit),
            short_side: self.short_side.or(base.short_side),
            anchor: self.anchor.or(base.anchor),
            filter: self.filter.or(base.filter),
            antialias: self.antialias.or(base.antialias),
            order: self.order.or(base.order),
            scale: self.scale.or(base.scale),
            mean: self.mean.or(base.mean),
            std: self.std.or(base.std),
            pad: self.pad.or(base.pad),
        }
    }

    fn to_fit(&self, fit: FitName) -> Result<Fit> {
        let anchor = match self.anchor {
            None | Some(AnchorName::Center) => Anchor::Center,
            Some(AnchorName::TopLeft) => Anchor::TopLeft,
        };
        match (fit, self.short_side) {
            (FitName::Stretch, _) => Ok(Fit::Stretch),
            (FitName::Letterbox, _) => Ok(Fit::Letterbox(anchor)),
            (FitName::ShortSide, Some(size)) => Ok(Fit::ShortSide { size, anchor }),
            (FitName::ShortSide, None) => bail!("`fit = \"short_side\"` needs `short_side`"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputTable {
    pub(super) name: String,
    pub(super) align_corners: bool,
    #[serde(default)]
    pub(super) layout: LayoutName,
    /// Rows and columns of an output that has its cells in one row.
    pub(super) grid: Option<[usize; 2]>,
    #[serde(default)]
    precision: PrecisionName,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PrecisionName {
    #[default]
    AsModel,
    FloatActivations,
}

impl OutputTable {
    pub(super) fn precision(&self) -> Precision {
        self.precision.into()
    }
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Precision {
        match name {
            PrecisionName::AsModel => Precision::AsModel,
            PrecisionName::FloatActivations => Precision::FloatActivations,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadTable {
    pub(super) kind: HeadKindName,
    pub(super) weights: Option<WeightTypeName>,
    #[serde(default = "one")]
    pub(super) confidence_scale: f32,
    pub(super) cosine_scale: Option<f32>,
}

impl HeadTable {
    pub(super) fn is_logits(&self) -> bool {
        self.kind == HeadKindName::Logits
    }

    /// Factor on the cosines; 1 for other heads.
    pub(super) fn cosine_scale(&self) -> Result<f32> {
        match (self.kind, self.cosine_scale) {
            (HeadKindName::Cosine, Some(scale)) => Ok(scale),
            (HeadKindName::Cosine, None) => bail!("`kind = \"cosine\"` needs `cosine_scale`"),
            (_, None) => Ok(1.0),
            (_, Some(_)) => bail!("`cosine_scale` is for `kind = \"cosine\"` only"),
        }
    }
}

fn one() -> f32 {
    1.0
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum HeadKindName {
    Logits,
    Linear,
    Dot,
    Cosine,
}

impl HeadKindName {
    pub(super) fn with(self, stored: WeightType) -> HeadKind {
        match self {
            HeadKindName::Logits => HeadKind::Logits,
            HeadKindName::Linear => HeadKind::Linear(stored),
            HeadKindName::Dot => HeadKind::Dot(stored),
            HeadKindName::Cosine => HeadKind::Cosine(stored),
        }
    }
}

/// How pack files and the command line call a [`WeightType`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WeightTypeName {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit integers with a scale per class.
    I8,
}

impl From<WeightTypeName> for WeightType {
    fn from(name: WeightTypeName) -> WeightType {
        match name {
            WeightTypeName::F32 => WeightType::F32,
            WeightTypeName::F16 => WeightType::F16,
            WeightTypeName::I8 => WeightType::I8,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassesTable {
    #[serde(default)]
    pub(super) palette: PaletteName,
    pub(super) names: Option<Vec<String>>,
    pub(super) list: Option<Vec<ClassTable>>,
    pub(super) background: Option<String>,
    #[serde(default)]
    pub(super) unseen: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PaletteName {
    #[default]
    Voc,
    Cityscapes,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassTable {
    pub(super) name: String,
    pub(super) color: Option<[u8; 3]>,
    #[serde(default = "yes")]
    pub(super) seen: bool,
    #[serde(default)]
    pub(super) background: bool,
    #[serde(default)]
    pub(super) bias: f32,
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    fn preprocess(text: &str) -> Result<Preprocess> {
        toml::from_str::<PreprocessTable>(text)?.to_preprocess()
    }

    #[test]
    fn a_profile_gives_what_the_table_leaves_open() {
        let found = preprocess("profile = \"spnet\"\nfit = \"letterbox\"\npad = \"mean\"").unwrap();
        assert_eq!(found.order, ChannelOrder::Bgr);
        assert_eq!(found.fit, Fit::Letterbox(Anchor::Center));
        assert_eq!(found.pad, [104.008, 116.669, 122.675]);
        assert_eq!(found.std, [1.0; 3]);
    }

    #[test]
    fn missing_and_impossible_fields_are_named() {
        let error = |text| format!("{:#}", preprocess(text).unwrap_err());
        assert!(error("profile = \"imagenet\"").contains("`fit` is missing"));
        assert!(error("fit = \"stretch\"").contains("`scale` is missing"));
        assert!(error("profile = \"spnet\"\nfit = \"short_side\"").contains("needs `short_side`"));
        assert!(error("profile = \"spnet\"\nstd = [1, 0, 1]").contains("not positive"));
        assert!(error("profile = \"nonesuch\"").contains("zs3"));
        assert!(error("profil = \"zs3\"").contains("unknown field `profil`"));
    }

    #[test]
    fn quantised_inputs_need_their_scale() {
        let input = |extra: &str| {
            let text = format!("name = \"x\"\nwidth = 8\nheight = 8\n{extra}");
            toml::from_str::<InputTable>(&text).unwrap().to_input().map_err(|e| e.to_string())
        };
        assert!(input("").is_ok());
        assert!(input("type = \"u8\"").unwrap_err().contains("needs `scale`"));
        assert!(input("scale = 0.5").unwrap_err().contains("only"));
        assert!(input("type = \"i8\"\nscale = 0.5\nzero_point = -128").is_ok());
        assert!(input("type = \"i8\"\nscale = 0.5\nzero_point = 200").is_err());
    }
}
