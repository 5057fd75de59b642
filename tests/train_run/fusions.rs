//! Fusion in the configuration of a run, from its file to the metrics.

use crate::sessions::{files, registry, request};
use crate::support::Synthetic;
use crate::trainee::Heard;
use crate::two_taps::TwoTaps;
use std::path::{Path, PathBuf};
use zsseg::train::data::{DataSet, FileSet};
use zsseg::train::run::{Config, Environment, Request, Setting, Start, Summary, session};
use zsseg::train::{Error, Pictures, Result, View};

/// One store has one tap, two have another one behind it. A third makes another set of pictures.
fn open(stores: &[PathBuf], set: FileSet) -> Result<Box<dyn Pictures>> {
    Ok(match stores.len() {
        1 => Box::new(Synthetic::new(set.len(), 0.3, &[View::PLAIN], 3)),
        2 => Box::new(TwoTaps::new(set.len(), 0.3, &[View::PLAIN], 3)),
        _ => Box::new(TwoTaps::new(set.len() + 1, 0.3, &[View::PLAIN], 3)),
    })
}

fn trained(request: &Request) -> Result<Summary> {
    let methods = registry();
    let environment = Environment { methods: &methods, open: &open };
    session(request, &environment, &mut Heard::default())
}

fn with_fusion(folder: &Path, fusion: &str) -> PathBuf {
    let config = files(folder);
    std::fs::write(folder.join("tokens.store"), "tokens").unwrap();
    std::fs::write(folder.join("more.store"), "more").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[method]", &format!("[evaluation.fusion]\n{fusion}\n[method]"));
    std::fs::write(&config, text).unwrap();
    config
}

#[test]
fn metrics_have_the_scores_of_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let fusion = "stores = [\"tokens.store\"]\nrules = [\"vote\", \"soft=1\"]\nborder = 3";
    let config = with_fusion(folder.path(), fusion);
    let new = request(&config, Start::New, &[]);
    let summary = trained(&new).unwrap();
    let validation = summary.validation.unwrap();
    let fusion = &validation["fusion"];
    let rules: Vec<&str> =
        fusion["rules"].as_array().unwrap().iter().map(|it| it["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["none", "vote=0.6", "soft=1"]);
    assert_eq!((&fusion["segments"], &fusion["border"]), (&5.into(), &3.into()));
    assert_eq!(fusion["rules"][0]["scores"], validation["scores"]);
    assert_ne!(fusion["rules"][2]["scores"], validation["scores"]);
    assert!(fusion["rules"][1]["near_borders"]["all"]["mean_iou"].is_number());
    assert!(
        fusion["oracle"]["chosen"]["seen"].as_f64() >= fusion["oracle"]["own"]["seen"].as_f64()
    );
    let written = std::fs::read_to_string(new.folder.join("metrics.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    let written = &written["validation"]["fusion"]["rules"];
    assert_eq!(written[2]["rule"].as_str(), Some("soft=1"));
    let versions = std::fs::read_to_string(new.folder.join("versions.json")).unwrap();
    assert!(versions.contains("tokens.store"), "a store is an input");
    let text = std::fs::read_to_string(new.folder.join("config.toml")).unwrap();
    let resolved = Config::parse(&text, &[]).unwrap();
    assert_eq!(resolved.evaluation, new.config.evaluation);
    // Other segments, from the features that the head works on.
    let own = ["evaluation.fusion={ rules = [\"soft=1\"], border = 0 }"];
    let own = Request { folder: folder.path().join("own"), ..request(&config, Start::New, &own) };
    let own = trained(&own).unwrap().validation.unwrap();
    assert_ne!(own["fusion"]["rules"][1]["scores"], fusion["rules"][2]["scores"]);
    assert!(own["fusion"]["rules"][1]["near_borders"].is_null());
}

#[test]
fn what_does_not_fit_is_told_before_the_training() {
    let refused = |fusion: &str, texts: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let config = with_fusion(folder.path(), fusion);
        let new = request(&config, Start::New, &[]);
        let error = trained(&new).map(|_| ()).unwrap_err();
        let told = error.to_string();
        texts.iter().for_each(|text| assert!(told.contains(text), "no \"{text}\" in {told}"));
        assert!(!new.folder.exists(), "{fusion}");
        error
    };
    let missing = refused("stores = [\"none.store\"]", &["none.store"]);
    assert!(matches!(missing, Error::File { .. }));
    refused("tap = \"nonesuch\"", &["[evaluation.fusion]", "nonesuch", "taps"]);
    refused("stores = [\"tokens.store\"]\ntap = \"fine\"", &["\"fine\"", "only coarse"]);
    let others = "stores = [\"tokens.store\", \"more.store\"]";
    refused(others, &["[evaluation.fusion]", "other pictures"]);
}

#[test]
fn fields_are_checked_with_the_file() {
    let refused = |fusion: &str, settings: &[&str], wanted: &str| {
        let folder = tempfile::tempdir().unwrap();
        let config = with_fusion(folder.path(), fusion);
        let settings: Vec<Setting> =
            settings.iter().map(|text| Setting::parse(text).unwrap()).collect();
        let told = Config::read(&config, &settings).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains("toy.toml") && told.contains(wanted), "no \"{wanted}\" in {told}");
    };
    refused("rules = [\"oracle\"]", &[], "select, vote and soft");
    refused("rules = [\"soft=1.5\"]", &[], "mix of soft");
    refused("rules = []", &[], "`rules` is empty");
    refused("segments = 6", &[], "`segments` must be 0 to 5");
    refused("store = \"a\"", &[], "unknown field `store`");
    let folder = tempfile::tempdir().unwrap();
    let config = with_fusion(folder.path(), "tap = \"taps\"");
    let text = std::fs::read_to_string(&config).unwrap();
    let from = text.find("[validation]").unwrap();
    let text = format!("{}{}", &text[..from], &text[text.find("[classes]").unwrap()..]);
    let text = text.replace("validation_stores = [\"features.store\"]\n", "");
    std::fs::write(&config, text).unwrap();
    let told = Config::read(&config, &[]).map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("[evaluation.fusion] needs [validation]"), "{told}");
}
