//! Preprocessing profiles: data compiled in from `profiles.toml`.

use super::config::PreprocessTable;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

const TABLE: &str = include_str!("profiles.toml");

/// The profile called `name`.
pub(super) fn find(name: &str) -> Result<PreprocessTable> {
    let mut profiles = all()?;
    let known: Vec<String> = profiles.keys().cloned().collect();
    let unknown =
        || std::format!("no profile is called \"{name}\"; there are {}", known.join(", "));
    profiles.remove(name).with_context(unknown)
}

fn all() -> Result<BTreeMap<String, PreprocessTable>> {
    toml::from_str(TABLE).context("profiles.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// methods.md section 1.5 under the names of this project.
    #[test]
    fn every_promised_profile_is_there() {
        let profiles = all().unwrap();
        let names: Vec<&str> = profiles.keys().map(String::as_str).collect();
        let wanted =
            ["clip", "deeplab-tf", "dino", "imagenet", "maskdistill-seg", "sazs", "spnet", "zs3"];
        assert_eq!(names, wanted);
    }
}
