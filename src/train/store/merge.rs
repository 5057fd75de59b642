//! Puts the stores of shards together.

use super::meta::{Shard, StoreMeta};
use super::reader::StoreReader;
use super::writer::StoreWriter;
use crate::train::error::{Error, Result};
use std::format;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

/// Puts complete stores of all shards of a list together, in the list's order: byte for byte the
/// store that one run over the list makes. May be broken off and carried on. Gives the number of
/// pictures.
///
/// # Errors
/// [`Error::Config`] unless the parts are shards 1 to N of N, each once; [`Error::Broken`] for a
/// part that is not complete, or differs from the first in backbone, taps or views; those of
/// [`StoreWriter::create`].
pub fn merge(parts: &[PathBuf], output: &Path) -> Result<usize> {
    let mut stores = Vec::with_capacity(parts.len());
    for path in parts {
        stores.push(StoreReader::open_complete(path)?);
    }
    stores.sort_by_key(|store| store.meta().shard().number);
    check_shards(&stores)?;
    let whole = whole(&stores)?;
    let (count, views, taps) = (whole.pictures().len(), whole.views().len(), whole.taps().len());
    let writer = StoreWriter::create(output, whole)?;
    for picture in 0..count {
        let Some(store) = stores.get(picture % stores.len()) else { break };
        let row = picture / stores.len();
        for view in (0..views).filter(|view| !matches!(writer.is_done(picture, *view), Ok(true))) {
            let planes: Result<Vec<Vec<u8>>> =
                (0..taps).map(|tap| store.bytes(row, view, tap)).collect();
            writer.put_bytes(picture, view, &planes?)?;
        }
    }
    writer.finish()?;
    Ok(count)
}

fn check_shards(stores: &[StoreReader]) -> Result<()> {
    let Some(first) = stores.first() else {
        return Err(Error::config("no stores to put together"));
    };
    for (store, number) in stores.iter().zip(1..) {
        let wanted = Shard { number, of: stores.len() };
        let found = store.meta().shard();
        if found != wanted {
            return Err(Error::config(format!(
                "{} is shard {} of {}; the {} stores should be shards 1 to {3} of {3}",
                store.path().display(),
                found.number,
                found.of,
                stores.len()
            )));
        }
        if let Some(reason) = store.meta().differs_in(first.meta()) {
            return Err(Error::broken(store.path(), reason));
        }
    }
    Ok(())
}

/// Metadata of the whole list.
fn whole(stores: &[StoreReader]) -> Result<StoreMeta> {
    let count: usize = stores.iter().map(|store| store.meta().pictures().len()).sum();
    let mut pictures: Vec<String> = Vec::with_capacity(count);
    for place in 0..count {
        let name = stores
            .get(place % stores.len())
            .and_then(|store| store.meta().pictures().get(place / stores.len()).cloned());
        let Some(name) = name else {
            return Err(Error::config("the stores are not shards of one list of pictures"));
        };
        pictures.push(name);
    }
    match stores.first() {
        Some(first) => Ok(first.meta().of_pictures(Shard::WHOLE, pictures)),
        None => Err(Error::config("no stores to put together")),
    }
}
