//! Memory at a place that an arena may start at, for programs that have a heap.

use super::ALIGN_BYTES;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::vec;
use std::vec::Vec;

/// Bytes whose first is at a multiple of [`ALIGN_BYTES`]: an arena, or a bundle, whose weights then
/// lie across no two cache lines (which is worth up to a tenth of a network's time).
///
/// On Linux 2 MiB and more are asked for in huge pages: the kernel hands out the ten megabytes of a
/// usual bundle and arena in a third of the time.
#[derive(Debug)]
pub struct AlignedBytes {
    memory: Memory,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    /// So many zeros.
    pub fn zeros(len: usize) -> AlignedBytes {
        let memory = Memory::zeros(len);
        let start = memory.as_slice().as_ptr().align_offset(memory.align_bytes());
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
        self.memory.as_slice().get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.memory.as_mut_slice().get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// Zeros from the heap, or whole pages from the system.
#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    #[cfg(target_os = "linux")]
    Pages(memmap2::MmapMut),
}

impl Memory {
    /// Enough for so many bytes at an aligned place.
    fn zeros(len: usize) -> Memory {
        #[cfg(target_os = "linux")]
        if let Some(pages) = huge_pages(len) {
            return Memory::Pages(pages);
        }
        Memory::Heap(vec![0; len.saturating_add(ALIGN_BYTES)])
    }

    fn align_bytes(&self) -> usize {
        match self {
            Memory::Heap(_) => ALIGN_BYTES,
            #[cfg(target_os = "linux")]
            Memory::Pages(_) => HUGE_PAGE_BYTES,
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Memory::Pages(bytes) => bytes,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Memory::Pages(bytes) => bytes,
        }
    }
}

/// Of x86-64, and of ARM with pages of 4 KiB.
#[cfg(target_os = "linux")]
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Memory with room to start at a huge page; `None` if it would not fill one, or there is none.
/// Pages that nobody touches take no memory. A kernel without huge pages refuses them, which does
/// no harm.
#[cfg(target_os = "linux")]
fn huge_pages(len: usize) -> Option<memmap2::MmapMut> {
    let mapped_bytes = len.checked_add(HUGE_PAGE_BYTES).filter(|_| len >= HUGE_PAGE_BYTES)?;
    let pages = memmap2::MmapMut::map_anon(mapped_bytes).ok()?;
    let _ = pages.advise(memmap2::Advice::HugePage);
    Some(pages)
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
        for len in [0usize, 1, 64, 100_001, (2 << 20) - 1, 2 << 20, (5 << 20) + 3] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let read = AlignedBytes::read(&path, len as u64).unwrap();
            assert_eq!(read.as_slice(), bytes);
            assert_eq!(read.as_slice().as_ptr().addr() % ALIGN_BYTES, 0);
            assert_eq!(AlignedBytes::copy_of(&bytes).as_slice(), bytes);
        }
        let error = AlignedBytes::read(&path, 5 << 20).unwrap_err();
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
