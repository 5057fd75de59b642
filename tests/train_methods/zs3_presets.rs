//! Preset files of ZS3Net, ZS5Net and ZS-MMD.

use zsseg::train::methods::{
    Candidates, GeneratorSampling, GraphSettings, InitChoice, KernelChoice, Layout, NoiseChoice,
    OptimiserKind, Zs3Settings, Zs5Settings, ZsMmdSettings,
};

macro_rules! preset {
    ($name:literal) => {
        include_str!(concat!("../../src/train/presets/", $name, ".toml"))
    };
}

/// The keys of a table and of those in it.
fn keys(table: &toml::Table) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in table {
        match value.as_table() {
            Some(inner) => found.extend(keys(inner).iter().map(|key| format!("{name}.{key}"))),
            None => found.push(name.clone()),
        }
    }
    found
}

/// That a file has every setting, with its default.
fn writes_out<T>(text: &str, default: &T)
where
    T: serde::Serialize + for<'d> serde::Deserialize<'d> + PartialEq + std::fmt::Debug,
{
    assert_eq!(&toml::from_str::<T>(text).unwrap(), default);
    let wanted = toml::Table::try_from(default).unwrap();
    assert_eq!(keys(&toml::from_str(text).unwrap()), keys(&wanted));
}

#[test]
fn default_presets_write_all_settings_out() {
    writes_out(preset!("zs3net"), &Zs3Settings::default());
    let graph = Zs3Settings { graph: Some(GraphSettings::default()), ..Zs3Settings::default() };
    writes_out(preset!("zs3net-graph"), &graph);
    writes_out(preset!("zs5net"), &Zs5Settings::default());
    writes_out(preset!("zs-mmd"), &ZsMmdSettings::default());
}

#[test]
fn published_presets_are_the_published_settings() {
    let zs3: Zs3Settings = toml::from_str(preset!("zs3net-paper")).unwrap();
    zs3.check().unwrap();
    assert_eq!(
        (zs3.standardise, zs3.kernel, zs3.layout),
        (false, KernelChoice::Code, Layout::GtMap)
    );
    let generator = &zs3.generator;
    assert_eq!(
        (generator.sampling, generator.noise),
        (GeneratorSampling::Pictures, NoiseChoice::Uniform)
    );
    assert_eq!((generator.batch, generator.hidden_size, generator.noise_size), (128, 256, 0));
    assert_eq!((generator.dropout, generator.rate), (0.5, 2e-4));
    let classifier = &zs3.classifier;
    assert_eq!((classifier.optimiser, classifier.init), (OptimiserKind::Sgd, InitChoice::Unit));
    assert_eq!((classifier.rate, classifier.unseen_weight), (0.07, 100.0));
    assert_eq!((classifier.momentum, classifier.weight_decay), (0.9, 5e-4));
    assert!(classifier.upsample && classifier.ce_batch_average && classifier.warm_steps == 0);
    let zs5: Zs5Settings = toml::from_str(preset!("zs5net-paper")).unwrap();
    zs5.check().unwrap();
    assert_eq!(zs5.zs3, zs3);
    assert_eq!((zs5.candidates, zs5.percent), (Candidates::Winners, 25.0));
    assert!(zs5.generated && zs5.rounds == 1);
}

#[test]
fn unknown_settings_are_refused() {
    for text in ["speed = 1", "[generator]\nspeed = 1", "layout = \"maps\""] {
        assert!(toml::from_str::<Zs3Settings>(text).is_err(), "{text}");
    }
}
