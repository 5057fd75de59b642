//! What a configuration names: classes, embeddings, files.

use super::config::{Aliases, ClassesConfig, Config, EmbeddingsConfig, Format, TableConfig};
use super::tensor_file::hexadecimal;
use crate::train::data::{
    Alias, ClassList, DataError, EmbeddingTable, Role, Roles, Split, VOC_ALIASES, wanted_words,
};
use crate::train::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::format;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Of larger files only the first bytes are hashed, and the length: stores of features say at
/// their start what is in them.
const HASHED_BYTES: u64 = 64 << 20;

/// The role of every class.
///
/// # Errors
/// [`Error::Data`] for names that are no classes, [`Error::Config`] for a configuration that says
/// neither which classes are unseen nor a split.
pub fn class_roles(config: &ClassesConfig, classes: &ClassList) -> Result<Roles> {
    match (&config.unseen, &config.split) {
        (Some(unseen), None) => {
            let roles = Roles::with_unseen(classes, unseen)?;
            Ok(roles.leaving_out(classes, &config.ignored)?)
        }
        (None, Some(split)) => Ok(Split::named(split)?.roles(classes)?),
        _ => Err(Error::config("[classes] needs `unseen` or `split`, one of them")),
    }
}

/// One embedding per class; zeros for classes that are neither seen nor unseen.
///
/// # Errors
/// Naming the file, and all classes without an embedding.
pub fn class_embeddings(
    config: &EmbeddingsConfig,
    classes: &ClassList,
    roles: &Roles,
) -> Result<EmbeddingTable> {
    let used = |role: &Role| matches!(role, Role::Seen | Role::Unseen);
    let names = classes.names().iter().zip(roles.as_slice());
    let named: Vec<&String> = names.filter(|(_, role)| used(role)).map(|(name, _)| name).collect();
    let named = ClassList::new(&named)?;
    let aliases = aliases(&config.aliases)?;
    let mut joined: Option<EmbeddingTable> = None;
    for table in &config.tables {
        let about = |error| match error {
            DataError::NoEmbedding { names } => {
                let (file, names) = (table.file.display(), names.join(", "));
                Error::config(format!("{file}: classes without an embedding: {names}"))
            }
            error => error.into(),
        };
        let opened = open(table, &named, &aliases)?;
        // A table of classes, such as ZS3's, has VOC's own spellings.
        let is_needed =
            |alias: &&Alias<'_>| !config.aliases.is_named() || opened.get(alias.0).is_none();
        let aliases: Vec<Alias<'_>> = aliases.iter().filter(is_needed).copied().collect();
        let found = opened.of_classes(&named, &aliases).map_err(about)?;
        joined = Some(match joined {
            Some(before) => before.beside(&found)?,
            None => found,
        });
    }
    let joined = joined.ok_or_else(|| Error::config("[embeddings] `tables` is empty"))?;
    let joined = if config.normalize { joined.normalized()? } else { joined };
    let zeros = vec![0.0; joined.dim()];
    let rows = classes.names().iter().map(|name| joined.get(name).unwrap_or(&zeros));
    let values = rows.flatten().copied().collect();
    Ok(EmbeddingTable::new(classes.names().to_vec(), joined.dim(), values)?)
}

fn aliases(config: &Aliases) -> Result<Vec<Alias<'_>>> {
    match config {
        Aliases::Named(name) if name == "voc" => Ok(VOC_ALIASES.to_vec()),
        Aliases::Named(name) if name == "none" => Ok(Vec::new()),
        Aliases::Named(name) => {
            let reason =
                format!("[embeddings] `aliases` is \"{name}\", not \"voc\", \"none\" or a table");
            Err(Error::config(reason))
        }
        Aliases::Listed(listed) => {
            Ok(listed.iter().map(|(class, name)| (class.as_str(), name.as_str())).collect())
        }
    }
}

fn open(
    config: &TableConfig,
    classes: &ClassList,
    aliases: &[Alias<'_>],
) -> Result<EmbeddingTable> {
    let mut wanted = wanted_words(classes, aliases);
    wanted.extend(aliases.iter().map(|alias| alias.0.to_string()));
    let keep = |word: &str| wanted.contains(word);
    Ok(match config.format {
        Format::Npy => EmbeddingTable::read_npy(&config.file, &names_of(config)),
        Format::Text => EmbeddingTable::read_text(&config.file, keep),
        Format::Binary => EmbeddingTable::read_binary(&config.file, keep),
    }?)
}

fn names_of(config: &TableConfig) -> PathBuf {
    config.names.clone().unwrap_or_else(|| config.file.with_extension("txt"))
}

/// The files that a run reads beside pictures and masks, with a hash of each.
///
/// # Errors
/// [`Error::File`] for one that cannot be read.
pub(super) fn hashes(config: &Config) -> Result<BTreeMap<String, String>> {
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(config.features.stores.iter().cloned());
    files.extend(config.features.validation_stores.iter().cloned());
    files.extend(config.evaluation.fusion.iter().flat_map(|fusion| fusion.stores.iter().cloned()));
    files.extend(config.features.decoder.iter().cloned());
    for table in &config.embeddings.tables {
        files.push(table.file.clone());
        files.extend((table.format == Format::Npy).then(|| names_of(table)));
    }
    if let Some(bundle) = &config.bundle {
        files.extend([bundle.onnx.clone(), bundle.pack.clone()]);
        files.extend(bundle.words.iter().chain(&bundle.card).cloned());
    }
    files.iter().map(|path| Ok((path.display().to_string(), hash(path)?))).collect()
}

fn hash(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::file(path))?;
    let length = file.metadata().map_err(Error::file(path))?.len();
    let mut start = file.take(HASHED_BYTES);
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let count = start.read(&mut block).map_err(Error::file(path))?;
        if count == 0 {
            break;
        }
        hash.update(block.get(..count).unwrap_or_default());
    }
    let digits = hexadecimal(&hash.finalize());
    match length > HASHED_BYTES {
        true => Ok(format!("{digits} (first {HASHED_BYTES} of {length} bytes)")),
        false => Ok(digits),
    }
}

/// The hash of a text.
pub(super) fn fingerprint(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}
