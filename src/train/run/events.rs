//! Event files of TensorBoard: records of one loss each.
//!
//! A record is its length, the length's checksum, an `Event` as a protocol buffer, and that one's
//! checksum. Scalars need two messages of that format, which are put together here; the crates
//! that write all of it need a compiler of protocol buffers, or old versions with known faults.

use crc::{CRC_32_ISCSI, Crc};
use std::vec::Vec;

/// Castagnoli's.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What an event says.
pub(super) enum Event<'a> {
    /// The version of the format: the first record of a file.
    Version,
    /// A loss after a step.
    Scalar {
        /// Its name.
        tag: &'a str,
        /// The step.
        step: u64,
        /// The loss.
        value: f64,
    },
}

/// The record of an event. `seconds` is the time since 1970.
pub(super) fn record(seconds: f64, event: &Event<'_>) -> Vec<u8> {
    let data = message(seconds, event);
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(&data);
    record.extend(masked(&data).to_le_bytes());
    record
}

/// The `Event` of `tensorflow/core/util/event.proto`.
fn message(seconds: f64, event: &Event<'_>) -> Vec<u8> {
    let mut message = std::vec![0x09];
    message.extend(seconds.to_le_bytes());
    match event {
        Event::Version => bytes(&mut message, 3, b"brain.Event:2"),
        Event::Scalar { tag, step, value } => {
            message.push(0x10);
            varint(&mut message, *step);
            let mut scalar = Vec::new();
            bytes(&mut scalar, 1, tag.as_bytes());
            scalar.push(0x15);
            scalar.extend((*value as f32).to_le_bytes());
            let mut summary = Vec::new();
            bytes(&mut summary, 1, &scalar);
            bytes(&mut message, 5, &summary);
        }
    }
    message
}

/// A field of bytes, text or a message.
fn bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// The checksum as TensorFlow's records have it.
fn masked(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of a record as TensorFlow documents it: the first one of every event file.
    #[test]
    fn a_record_has_its_documented_layout() {
        let found = record(0.0, &Event::Version);
        let text = b"\x18\0\0\0\0\0\0\0";
        assert_eq!(&found[..8], text);
        assert_eq!(&found[12..21], b"\x09\0\0\0\0\0\0\0\0");
        assert_eq!(&found[21..36], b"\x1a\x0dbrain.Event:2");
        assert_eq!(found.len(), 8 + 4 + 24 + 4);
    }

    /// RFC 3720, B.4: 32 zeros have the checksum 0x8A9136AA.
    #[test]
    fn checksums_are_masked() {
        let rotated = 0x8A91_36AAu32.rotate_right(15);
        assert_eq!(masked(&[0; 32]), rotated.wrapping_add(0xA282_EAD8));
    }

    #[test]
    fn long_numbers_take_more_bytes() {
        let mut message = Vec::new();
        varint(&mut message, 300);
        assert_eq!(message, [0xAC, 0x02]);
    }
}
