//! What a model is measured on.

use super::chosen::{Chosen, chosen};
use super::config::{Config, FusionConfig};
use super::session::OpenPictures;
use crate::train::data::{ClassList, DataSet, DataSource, FileSet, Roles};
use crate::train::engine::CpuEngine;
use crate::train::error::{Error, Result};
use crate::train::eval::{
    AffinityTap, FusionPlan, Measured, Protocol, Report, check_same, measure_fused, measure_model,
};
use crate::train::model::Model;
use crate::train::pictures::{Pictures, Tap};
use std::boxed::Box;
use std::format;
use std::vec::Vec;

/// The validation pictures.
pub(super) struct Validation {
    pictures: Chosen,
    protocol: Protocol,
    /// Where segments are found, and the number of the tap; none for the head's own features.
    affinity: Option<(Box<dyn Pictures>, usize)>,
}

/// A data set that a table of the configuration names.
pub(super) fn open_data(table: &str, source: &DataSource) -> Result<FileSet> {
    source.open().map_err(|error| Error::config(format!("[{table}]: {error}")))
}

impl Validation {
    /// Opens what the configuration names, if it names validation pictures.
    pub(super) fn open(
        config: &Config,
        classes: &ClassList,
        open: &OpenPictures,
    ) -> Result<Option<Validation>> {
        let Some(source) = &config.validation else { return Ok(None) };
        let set = open_data("validation", source)?;
        if set.classes() != classes {
            return Err(Error::config("[validation] has other classes than [data]"));
        }
        let stores = &config.features.validation_stores;
        let pictures = chosen(config, open(stores, set)?)?;
        let about = |error| Error::config(format!("[evaluation.fusion]: {error}"));
        let affinity = match &config.evaluation.fusion {
            None => None,
            Some(fusion) => {
                let found = affinity(config, (fusion, source), open).map_err(about)?;
                let others = found.iter().map(|(others, _)| check_same(&pictures, &**others));
                others.collect::<Result<()>>().map_err(about)?;
                found
            }
        };
        let protocol = Protocol::named(&config.evaluation.protocol)?;
        Ok(Some(Validation { pictures, protocol, affinity }))
    }

    /// What `metrics.json` says of the model.
    pub(super) fn measure(
        &self,
        config: &Config,
        model: &Model,
        (classes, roles): (&ClassList, &Roles),
        engine: CpuEngine,
    ) -> Result<serde_json::Value> {
        let asked = &config.evaluation;
        let measured = Measured {
            name: "model.safetensors",
            grid: config.features.grid,
            classes,
            roles,
            protocol: &self.protocol,
            space: asked.space,
            gammas: &asked.gammas,
        };
        let evaluation = measure_model(model, &self.pictures, &measured, engine)?;
        let report = Report::new(&evaluation, asked.bootstrap, config.seed);
        let mut report = serde_json::to_value(&report).map_err(Error::config)?;
        let Some(fields) = report.as_object_mut() else { return Ok(report) };
        // What shards are merged by is of no use here, and long.
        fields.remove("counts");
        if let Some(fusion) = &asked.fusion {
            let rules: Vec<_> = fusion.rules.iter().map(|rule| rule.0).collect();
            let tap = self.affinity.as_ref();
            let tap = tap.map(|(pictures, tap)| AffinityTap { pictures: &**pictures, tap: *tap });
            let FusionConfig { segments, border, .. } = *fusion;
            let plan = FusionPlan { rules: &rules, segments, tap, border };
            let fused = measure_fused(model, &self.pictures, &measured, &plan, engine)?;
            let fused = serde_json::to_value(&fused).map_err(Error::config)?;
            fields.insert("fusion".into(), fused);
        }
        Ok(report)
    }
}

/// The tap that segments are found from; none for the head's own features.
fn affinity(
    config: &Config,
    (fusion, source): (&FusionConfig, &DataSource),
    open: &OpenPictures,
) -> Result<Option<(Box<dyn Pictures>, usize)>> {
    if fusion.stores.is_empty() && fusion.tap.is_none() {
        return Ok(None);
    }
    let open = |stores: &[_]| open(stores, open_data("validation", source)?);
    let own = &config.features.validation_stores;
    if fusion.stores.is_empty() {
        let pictures = open(own)?;
        let tap = place(pictures.taps(), fusion.tap.as_deref())?;
        return Ok(Some((pictures, tap)));
    }
    // Opened together, stores are checked to be of the same pictures and parts of them.
    let skipped = open(own)?.taps().len();
    let both: Vec<_> = own.iter().chain(&fusion.stores).cloned().collect();
    let pictures = open(&both)?;
    let tap = place(pictures.taps().get(skipped..).unwrap_or_default(), fusion.tap.as_deref())?;
    Ok(Some((pictures, skipped + tap)))
}

/// Number of the tap of this name, or of the only one.
fn place(taps: &[Tap], name: Option<&str>) -> Result<usize> {
    let known: Vec<&str> = taps.iter().map(|tap| tap.name.as_str()).collect();
    let shown = known.join(", ");
    match name {
        None if taps.len() == 1 => Ok(0),
        None => Err(Error::config(format!("`tap` is to name one of {shown}"))),
        Some(name) => {
            let place = known.iter().position(|known| *known == name);
            place.ok_or_else(|| Error::config(format!("there is no tap \"{name}\", only {shown}")))
        }
    }
}
