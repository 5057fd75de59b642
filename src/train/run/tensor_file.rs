//! Safetensors files of this library's own: named matrices and numbers, a note, and a checksum
//! over all of it.

use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::stage::State;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::ToOwned;
use std::collections::{BTreeMap, HashMap};
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// The only key of the file's metadata, so that equal contents are equal bytes.
const KEY: &str = "zsseg";
/// Stands before names of numbers.
const NUMBERS: &str = "numbers/";

/// The metadata.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// JSON.
    note: String,
    /// Of the note and of all tensors, in hexadecimal.
    sha256: String,
}

/// The bytes of a file. Equal contents give equal bytes.
///
/// # Errors
/// [`Error::Config`] if a matrix and a list of numbers cannot be told apart.
pub(super) fn encode(note: &impl Serialize, state: &State) -> Result<Vec<u8>> {
    let note = serde_json::to_string(note).map_err(Error::config)?;
    let mut parts: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, matrix) in &state.matrices {
        let bytes = matrix.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        parts.insert(name.clone(), (Dtype::F32, matrix.shape().to_vec(), bytes));
    }
    for (name, numbers) in &state.numbers {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let part = (Dtype::U64, vec![numbers.len()], bytes);
        if parts.insert(format!("{NUMBERS}{name}"), part).is_some() {
            return Err(Error::config(format!("a matrix is named as the numbers \"{name}\"")));
        }
    }
    let mut tensors = BTreeMap::new();
    for (name, (dtype, shape, bytes)) in &parts {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(Error::config)?;
        tensors.insert(name.as_str(), view);
    }
    let sha256 = digest(&note, &tensors);
    let sealed = serde_json::to_string(&Sealed { note, sha256 }).map_err(Error::config)?;
    let metadata = HashMap::from([(KEY.to_owned(), sealed)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(Error::config)
}

/// The note and the contents of a file.
///
/// # Errors
/// [`Error::Broken`] unless it is what [`encode`] wrote, every bit of it.
pub(super) fn decode<N: for<'n> Deserialize<'n>>(path: &Path, bytes: &[u8]) -> Result<(N, State)> {
    let broken = |reason: String| Error::broken(path, reason);
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| broken(e.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| broken(error.to_string()))?;
    let sealed = sealed(&metadata).ok_or_else(|| broken("no file of zsseg's".to_string()))?;
    let tensors: BTreeMap<&str, TensorView<'_>> = file.iter().collect();
    if digest(&sealed.note, &tensors) != sealed.sha256 {
        return Err(broken("its checksum is wrong".to_string()));
    }
    let note = serde_json::from_str(&sealed.note).map_err(|error| broken(error.to_string()))?;
    let mut state = State::default();
    for (name, view) in &tensors {
        add(&mut state, name, view)
            .map_err(|error| broken(format!("tensor \"{name}\": {error}")))?;
    }
    Ok((note, state))
}

fn sealed(metadata: &Metadata) -> Option<Sealed> {
    let text = metadata.metadata().as_ref()?.get(KEY)?;
    serde_json::from_str(text).ok()
}

fn add(state: &mut State, name: &str, view: &TensorView<'_>) -> Result<()> {
    match (view.dtype(), view.shape()) {
        (Dtype::F32, &[rows, columns]) => {
            let values = view.data().as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw));
            state.put(name, Matrix::new([rows, columns], values.collect())?);
        }
        (Dtype::U64, &[_]) => {
            let numbers = view.data().as_chunks().0.iter().map(|raw| u64::from_le_bytes(*raw));
            state.put_numbers(name.strip_prefix(NUMBERS).unwrap_or(name), numbers.collect());
        }
        (dtype, shape) => return Err(Error::config(format!("{dtype:?} of shape {shape:?}"))),
    }
    Ok(())
}

fn digest(note: &str, tensors: &BTreeMap<&str, TensorView<'_>>) -> String {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(note.as_bytes());
    for (name, view) in tensors {
        field(name.as_bytes());
        field(format!("{:?} {:?}", view.dtype(), view.shape()).as_bytes());
        field(view.data());
    }
    hexadecimal(&hash.finalize())
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Shape and values of a tensor.
pub(super) type Plain = (Vec<usize>, Vec<f32>);

/// A safetensors file of f32 tensors without a note, for `convert`.
///
/// # Errors
/// [`Error::Config`] for a shape that the values do not fill.
pub(super) fn encode_plain(tensors: &[(&str, Plain)]) -> Result<Vec<u8>> {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let raw: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (*name, shape.as_slice(), bytes(values)))
        .collect();
    let mut views = BTreeMap::new();
    for (name, shape, bytes) in &raw {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(Error::config)?;
        views.insert(*name, view);
    }
    safetensors::serialize(views, None).map_err(Error::config)
}
