//! Where the weights come from: the pack file's words, and what went into the bundle.

use super::pack::{Source, Sources};
use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::format;
use std::string::{String, ToString};

/// The pack file's `[provenance]` as JSON, and under `packed` what went into the bundle.
pub(super) fn provenance(sources: &Sources<'_>) -> Result<String> {
    let file = sources.config.name;
    let mut document: Map<String, Value> = Map::new();
    for (key, value) in &sources.config.data.provenance {
        ensure!(key != "packed", "{file}: [provenance] `packed` is written by this command");
        document.insert(key.clone(), to_json(value));
    }
    let described = |source: Source<'_, &[u8]>| {
        json!({
            "file": source.name,
            "bytes": source.data.len(),
            "sha256": hex(&Sha256::digest(source.data)),
        })
    };
    let mut packed = json!({
        "by": concat!("zsseg ", env!("CARGO_PKG_VERSION")),
        "network": described(sources.onnx),
        "classifier": sources.head.map(described),
    });
    let zero_shot = &sources.zero_shot;
    if let Some(words) = zero_shot.words {
        packed["words"] = json!({ "file": words.name, "words": words.data.len() });
    }
    for (key, source) in [
        ("projection", zero_shot.projection),
        ("generator", zero_shot.generator),
        ("statistics", zero_shot.statistics),
    ] {
        if let Some(source) = source {
            packed[key] = described(source);
        }
    }
    document.insert("packed".to_string(), packed);
    Ok(serde_json::to_string_pretty(&document)?)
}

fn to_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(moment) => json!(moment.to_string()),
        toml::Value::Array(values) => values.iter().map(to_json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
