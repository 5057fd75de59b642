//! What the readers of sections share.

use crate::status::{Error, Result, Status};
use zerocopy::little_endian::{F32, U16};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The fields of a section, one after another, each of a length known by then.
pub struct Fields<'a> {
    name: &'static str,
    rest: &'a [u8],
    section_bytes: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the section called `name`.
    pub fn of(name: &'static str, section: &'a [u8]) -> Fields<'a> {
        Fields { name, rest: section, section_bytes: section.len() }
    }

    /// The next field: one record.
    pub fn record<T>(&mut self) -> Result<&'a T>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        let cut_off = || self.wrong_length(size_of::<T>());
        let (record, rest) = T::ref_from_prefix(self.rest).map_err(|_| cut_off())?;
        self.rest = rest;
        Ok(record)
    }

    /// The next field: `len` elements.
    pub fn elements<T>(&mut self, len: usize) -> Result<&'a [T]>
    where
        T: FromBytes + Immutable + Unaligned,
    {
        let cut_off = || self.wrong_length(size_of::<T>().saturating_mul(len));
        let (elements, rest) =
            <[T]>::ref_from_prefix_with_elems(self.rest, len).map_err(|_| cut_off())?;
        self.rest = rest;
        Ok(elements)
    }

    /// Checks that nothing follows the last field.
    pub fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong_length(0)) }
    }

    /// The section must have `more` bytes behind the fields that were read.
    fn wrong_length(&self, more: usize) -> Error {
        let read_bytes = self.section_bytes.saturating_sub(self.rest.len());
        let wanted = read_bytes.saturating_add(more) as u64;
        Status::BundleContent.about(self.name).numbers(self.section_bytes as u64, wanted)
    }
}

/// A section that holds exactly `len` elements of type `T`.
pub fn elements<'a, T>(name: &'static str, section: Option<&'a [u8]>, len: usize) -> Result<&'a [T]>
where
    T: FromBytes + Immutable + Unaligned,
{
    let bytes = section.ok_or(Status::BundleContent.about(name))?;
    <[T]>::ref_from_bytes_with_elems(bytes, len).map_err(|_| {
        let want_bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        Status::BundleContent.about(name).numbers(bytes.len() as u64, want_bytes)
    })
}

/// Checks every value; the error tells the index of the first bad one.
pub fn all<T>(what: &'static str, values: &[T], valid: impl Fn(&T) -> bool) -> Result<()> {
    let Some(index) = values.iter().position(|value| !valid(value)) else { return Ok(()) };
    Err(Status::BundleContent.about(what).numbers(index as u64, values.len() as u64))
}

/// Checks that every number is finite.
pub fn finite(what: &'static str, values: &[F32]) -> Result<()> {
    all(what, values, |value| value.get().is_finite())
}

/// Checks that these are the bits of finite 16-bit floats.
pub fn finite_halves(what: &'static str, values: &[U16]) -> Result<()> {
    const EXPONENT: u16 = 0x7C00;
    all(what, values, |bits| bits.get() & EXPONENT != EXPONENT)
}

/// Checks that reserved bytes are zero.
pub fn reserved(what: &'static str, bytes: &[u8]) -> Result<()> {
    if bytes.iter().any(|&byte| byte != 0) {
        return Err(Status::BundleContent.about(what));
    }
    Ok(())
}

/// Checks that a section is not there.
pub fn absent(unwanted: u32, section: Option<&[u8]>) -> Result<()> {
    if section.is_some() {
        let error = Status::BundleContent.about("a section is not wanted by the manifest");
        return Err(error.numbers(unwanted.into(), 0));
    }
    Ok(())
}
