//! Memory at a place that an arena may start at, for programs that have a heap.

use super::ALIGN_BYTES;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::vec;
use std::vec::Vec;

/// Bytes on the heap whose first is at a multiple of [`ALIGN_BYTES`]: an arena, or a bundle, whose
/// weights then lie across no two cache lines (which is worth up to a tenth of a network's time).
#[derive(Debug)]
pub struct AlignedBytes {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    /// So many zeros.
    pub fn zeros(len: usize) -> AlignedBytes {
        let memory = vec![0; len.saturating_add(ALIGN_BYTES)];
        let start = memory.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
        AlignedBytes { memory, start, len }
    }

    /// The same bytes at an aligned place.
    pub fn copy_of(bytes: &[u8]) -> AlignedBytes {
        let mut copy = AlignedBytes::zeros(bytes.len());
        copy.as_mut_slice().copy_from_slice(bytes);
        copy
    }

    /// A file, read to where it stays: at no moment is there a second copy of it.
    ///
    /// # Errors
    /// As of [`File::open`] and [`Read::read`]; [`ErrorKind::FileTooLarge`] for a file of more than
    /// `max_bytes` bytes.
    pub fn read(path: &Path, max_bytes: u64) -> io::Result<AlignedBytes> {
        let file = File::open(path)?;
        let told_bytes = file.metadata()?.len().min(max_bytes);
        let mut file = file.take(max_bytes.saturating_add(1));
        let mut read = AlignedBytes::zeros(usize::try_from(told_bytes).unwrap_or(0));
        read.len = fill(&mut file, read.as_mut_slice())?;
        // Pipes do not tell their length, and files may grow.
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        if file.limit() == 0 {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if rest.is_empty() {
            return Ok(read);
        }
        Ok(AlignedBytes::copy_of(&[read.as_slice(), &rest].concat()))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// Reads until the file or the buffer ends; how many bytes were read.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_and_aligned() {
        let name = std::format!("zsseg-aligned-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for len in [0usize, 1, 64, 100_001] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let read = AlignedBytes::read(&path, len as u64).unwrap();
            assert_eq!(read.as_slice(), bytes);
            assert_eq!(read.as_slice().as_ptr().addr() % ALIGN_BYTES, 0);
            assert_eq!(AlignedBytes::copy_of(&bytes).as_slice(), bytes);
        }
        let error = AlignedBytes::read(&path, 100_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_tells_no_length_is_read_as_well() {
        let Ok(read) = AlignedBytes::read(Path::new("/proc/self/status"), 1 << 20) else { return };
        assert!(read.as_slice().starts_with(b"Name:"));
    }

    #[test]
    fn a_folder_and_nothing_are_errors() {
        assert!(AlignedBytes::read(Path::new("."), 1 << 20).is_err());
        assert!(AlignedBytes::read(Path::new("no such file"), 1 << 20).is_err());
    }
}
