//! The container: header and section table, checked; and what it holds, by kind.

use super::layout::{
    FLAG_OPTIONAL, FORMAT_VERSION, HASHED_HEADER_BYTES, HeaderRecord, MAGIC, SECTION_ALIGN_BYTES,
    SectionRecord, kind,
};
use crate::limits::{MAX_BUNDLE_BYTES, MAX_SECTIONS};
use crate::status::{Result, Status};
use sha2::{Digest, Sha256};
use zerocopy::FromBytes;

/// A file whose header and table are in order.
#[derive(Clone, Copy)]
pub struct Container<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// Its start.
    pub header: &'a HeaderRecord,
    /// Its sections.
    pub table: &'a [SectionRecord],
}

impl<'a> Container<'a> {
    /// Checks the structure of the file and the hash of its table.
    pub fn open(bytes: &'a [u8]) -> Result<Container<'a>> {
        let header = read_header(bytes)?;
        let table = read_table(bytes, header)?;
        check_table(bytes, table)?;
        Ok(Container { bytes, header, table })
    }

    /// Contents of the section of this kind.
    pub fn find(&self, wanted: u32) -> Option<&'a [u8]> {
        let record = self.table.iter().find(|record| record.kind.get() == wanted)?;
        contents(self.bytes, record)
    }
}

/// Checks every field of the header except the hash.
fn read_header(bytes: &[u8]) -> Result<&HeaderRecord> {
    let found_bytes = bytes.len() as u64;
    let Ok((header, _)) = HeaderRecord::ref_from_prefix(bytes) else {
        let error = Status::BundleFormat.about("header is cut off");
        return Err(error.numbers(found_bytes, size_of::<HeaderRecord>() as u64));
    };
    if header.magic != MAGIC {
        return Err(Status::BundleFormat.about("magic number"));
    }
    let version = header.format_version.get();
    if version > FORMAT_VERSION {
        let error = Status::BundleVersion.about("format version");
        return Err(error.numbers(version.into(), FORMAT_VERSION.into()));
    }
    if version == 0 || header.reserved.get() != 0 {
        return Err(Status::BundleFormat.about("format version or reserved bytes of the header"));
    }
    let total_bytes = header.total_bytes.get();
    if total_bytes > MAX_BUNDLE_BYTES {
        let error = Status::LimitExceeded.about("length of the bundle");
        return Err(error.numbers(total_bytes, MAX_BUNDLE_BYTES));
    }
    if total_bytes != found_bytes {
        let error = Status::BundleFormat.about("length of the bundle");
        return Err(error.numbers(found_bytes, total_bytes));
    }
    Ok(header)
}

/// The section table, if its hash matches.
fn read_table<'a>(bytes: &'a [u8], header: &HeaderRecord) -> Result<&'a [SectionRecord]> {
    let count = header.section_count.get();
    if count == 0 {
        return Err(Status::BundleFormat.about("number of sections"));
    }
    if count > MAX_SECTIONS {
        let error = Status::LimitExceeded.about("number of sections");
        return Err(error.numbers(count.into(), MAX_SECTIONS.into()));
    }
    let cut_off = || Status::BundleFormat.about("section table is cut off");
    let (_, rest) = bytes.split_at_checked(size_of::<HeaderRecord>()).ok_or_else(cut_off)?;
    let (table, _) = <[SectionRecord]>::ref_from_prefix_with_elems(rest, count as usize)
        .map_err(|_| cut_off())?;
    let (hashed, _) = bytes.split_at_checked(HASHED_HEADER_BYTES).ok_or_else(cut_off)?;
    let mut hash = Sha256::new_with_prefix(hashed);
    for record in table {
        hash.update(zerocopy::IntoBytes::as_bytes(record));
    }
    let found: [u8; 32] = hash.finalize().into();
    if found != header.table_sha256 {
        return Err(Status::BundleChecksum.about("section table"));
    }
    Ok(table)
}

/// Checks that the sections follow one another without overlap, hole or rest, that what pads them
/// is zero, and that every kind is known or optional and occurs once.
fn check_table(bytes: &[u8], table: &[SectionRecord]) -> Result<()> {
    let invalid = |what: &'static str| Status::BundleFormat.about(what);
    let mut end = size_of::<HeaderRecord>().saturating_add(size_of_val(table)) as u64;
    for (index, record) in table.iter().enumerate() {
        let found = record.kind.get();
        if table.iter().take(index).any(|earlier| earlier.kind.get() == found) {
            return Err(invalid("a kind of section occurs twice").numbers(found.into(), 1));
        }
        check_entry(record)?;
        let offset = record.offset.get();
        let start = end.checked_next_multiple_of(SECTION_ALIGN_BYTES);
        if start != Some(offset) {
            let error = invalid("offset of a section");
            return Err(error.numbers(offset, start.unwrap_or(u64::MAX)));
        }
        let padding = range(bytes, end, offset).ok_or(invalid("offset of a section"))?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(invalid("padding between sections is not zero"));
        }
        contents(bytes, record).ok_or(invalid("a section reaches past the end"))?;
        end = offset.saturating_add(record.length_bytes.get());
    }
    if end != bytes.len() as u64 {
        return Err(invalid("bytes after the last section").numbers(bytes.len() as u64, end));
    }
    Ok(())
}

/// Checks what an entry of the table says by itself.
fn check_entry(record: &SectionRecord) -> Result<()> {
    let (found, flags) = (record.kind.get(), record.flags.get());
    if found == 0 {
        return Err(Status::BundleFormat.about("kind of a section"));
    }
    if flags & !FLAG_OPTIONAL != 0 || record.reserved.get() != 0 {
        return Err(Status::BundleFormat.about("flags or reserved bytes of a section"));
    }
    if record.length_bytes.get() == 0 {
        return Err(Status::BundleFormat.about("a section is empty"));
    }
    if !kind::is_known(found) && flags & FLAG_OPTIONAL == 0 {
        let error = Status::Unsupported.about("unknown section that may not be skipped");
        return Err(error.numbers(found.into(), kind::LAST.into()));
    }
    Ok(())
}

fn range(bytes: &[u8], start: u64, end: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

/// Bytes of a section; `None` if it reaches past the end.
pub fn contents<'a>(bytes: &'a [u8], record: &SectionRecord) -> Option<&'a [u8]> {
    let start = record.offset.get();
    range(bytes, start, start.checked_add(record.length_bytes.get())?)
}
