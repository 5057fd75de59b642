//! The constants of a plan, each once.

use crate::plan::Constant;
use std::collections::HashMap;
use std::vec::Vec;

/// Every constant starts at a multiple of this.
const ALIGN_BYTES: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Constants {
    pub(super) bytes: Vec<u8>,
    known: HashMap<Vec<u8>, Constant>,
}

impl Constants {
    /// Nothing for no bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Constant {
        if bytes.is_empty() {
            return Constant::default();
        }
        if let Some(known) = self.known.get(bytes) {
            return *known;
        }
        let start = self.bytes.len().next_multiple_of(ALIGN_BYTES);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(bytes);
        let constant = Constant { offset_bytes: start as u64, len_bytes: bytes.len() as u64 };
        self.known.insert(bytes.to_vec(), constant);
        constant
    }

    pub(super) fn add_f32(&mut self, values: &[f32]) -> Constant {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add(&bytes)
    }

    pub(super) fn add_i32(&mut self, values: &[i32]) -> Constant {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add(&bytes)
    }

    pub(super) fn add_u16(&mut self, values: &[u16]) -> Constant {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add(&bytes)
    }

    pub(super) fn add_i8(&mut self, values: &[i8]) -> Constant {
        let bytes: Vec<u8> = values.iter().map(|&value| value as u8).collect();
        self.add(&bytes)
    }
}
