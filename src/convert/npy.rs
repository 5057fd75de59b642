//! Matrices and vectors of floats from NumPy's `.npy` files.
//!
//! Only what vectors, tables and network inputs are: versions 1 to 3,
//! little-endian f16, f32 or f64, C order. The crates for this format bring along a parser of
//! Python literals and multiply the sides of the shape unchecked.

use super::tensors::Matrix;
use anyhow::{Context, Result, bail, ensure};
use half::f16;
use std::format;
use std::vec::Vec;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads a matrix.
///
/// # Errors
/// If it is no such file, or has other bytes than its shape says.
pub fn read(bytes: &[u8]) -> Result<Matrix> {
    let Numbers { shape, sides, values } = numbers(bytes)?;
    match *sides {
        [rows, columns] => Ok(Matrix { rows, columns, values }),
        _ => bail!("the shape is ({shape}), not (words, numbers)"),
    }
}

/// Reads a vector: one dimension, or two of which the first is 1. f64 numbers are rounded.
///
/// # Errors
/// If it is no such file, or has other bytes than its shape says.
pub fn read_vector(bytes: &[u8]) -> Result<Vec<f32>> {
    let Numbers { shape, sides, values } = numbers(bytes)?;
    match *sides {
        [_] | [1, _] => Ok(values),
        _ => bail!("the shape is ({shape}), not (numbers,)"),
    }
}

/// Numbers in any number of dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sides, none of them 0.
    pub sides: Vec<usize>,
    /// The numbers, the last side's neighbours side by side.
    pub values: Vec<f32>,
}

/// Reads an array of any shape. f64 numbers are rounded.
///
/// # Errors
/// If it is no such file, or has other bytes than its shape says.
pub fn read_array(bytes: &[u8]) -> Result<Array> {
    let Numbers { sides, values, .. } = numbers(bytes)?;
    Ok(Array { sides, values })
}

/// What a file holds.
struct Numbers<'a> {
    /// The shape as it is written, without the brackets.
    shape: &'a str,
    /// None is 0.
    sides: Vec<usize>,
    values: Vec<f32>,
}

fn numbers(bytes: &[u8]) -> Result<Numbers<'_>> {
    let (header, data) = split(bytes).context("not an .npy file")?;
    let order = field(header, "fortran_order").context("no order in the header")?;
    ensure!(order.starts_with("False"), "the table is in Fortran order, not in C order");
    let (shape, sides) = shape_of(header)?;
    let element_bytes = match field(header, "descr").context("no type in the header")? {
        text if text.starts_with("'<f2'") => size_of::<f16>(),
        text if text.starts_with("'<f4'") => size_of::<f32>(),
        text if text.starts_with("'<f8'") => size_of::<f64>(),
        text => {
            let found = text.split(',').next().unwrap_or(text);
            bail!("the type is {found}, not <f2, <f4 or <f8")
        }
    };
    let count = sides.iter().try_fold(1, |product: usize, &side| product.checked_mul(side));
    ensure!(
        count.and_then(|count| count.checked_mul(element_bytes)) == Some(data.len()),
        "({shape}) numbers of {element_bytes} bytes are said to follow, but {} bytes do",
        data.len()
    );
    let values = match element_bytes {
        2 => data.as_chunks().0.iter().map(|&raw| f16::from_le_bytes(raw).to_f32()).collect(),
        4 => data.as_chunks().0.iter().map(|&raw| f32::from_le_bytes(raw)).collect::<Vec<f32>>(),
        _ => data.as_chunks().0.iter().map(|&raw| f64::from_le_bytes(raw) as f32).collect(),
    };
    Ok(Numbers { shape, sides, values })
}

/// Header and data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (len, rest) = match version {
        [1, 0] => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_le_bytes(*len)), rest)
        }
        [2 | 3, 0] => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::try_from(u32::from_le_bytes(*len)).ok()?, rest)
        }
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(len)?;
    Some((core::str::from_utf8(header).ok()?, data))
}

/// What follows a key of the header, which is a Python dictionary.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    Some(rest.trim_start())
}

fn shape_of(header: &str) -> Result<(&str, Vec<usize>)> {
    let found = field(header, "shape").and_then(|text| text.strip_prefix('(')?.split_once(')'));
    let (text, _) = found.context("no shape in the header")?;
    let sides: Option<Vec<usize>> = text
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok().filter(|&side| side > 0))
        .collect();
    Ok((text, sides.with_context(|| format!("the shape is ({text})"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let len = header.len() as u32;
        let len =
            if version == 1 { len.to_le_bytes()[..2].to_vec() } else { len.to_le_bytes().into() };
        [MAGIC, &[version, 0], &len, header.as_bytes(), data].concat()
    }

    fn header(descr: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}   \n")
    }

    #[test]
    fn halves_and_floats_are_read() {
        let floats: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let found = read(&file(1, &header("'<f4'", "False", "(1, 2)"), &floats)).unwrap();
        assert_eq!((found.rows, found.columns, found.values), (1, 2, [1.5, -2.0].to_vec()));
        let found =
            read(&file(2, &header("'<f2'", "False", "(2, 1)"), &[0, 0x3C, 0, 0x40])).unwrap();
        assert_eq!((found.rows, found.columns, found.values), (2, 1, [1.0, 2.0].to_vec()));
    }

    #[test]
    fn vectors_have_one_dimension_or_a_first_of_1() {
        let vector = |descr, shape, data: &[u8]| {
            read_vector(&file(1, &header(descr, "False", shape), data))
                .map_err(|e| format!("{e:#}"))
        };
        let doubles: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(vector("'<f8'", "(2,)", &doubles), Ok([1.5, -2.0].to_vec()));
        assert_eq!(vector("'<f8'", "(1, 2)", &doubles), Ok([1.5, -2.0].to_vec()));
        for (shape, said) in [("(2, 1)", "(2, 1)"), ("()", "()"), ("(3,)", "16 bytes do")] {
            let error = vector("'<f8'", shape, &doubles).unwrap_err();
            assert!(error.contains(said), "{shape}: {error}");
        }
    }

    #[test]
    fn other_files_are_explained() {
        let error = |bytes: &[u8]| format!("{:#}", read(bytes).unwrap_err());
        let with =
            |descr, order, shape, data: &[u8]| error(&file(1, &header(descr, order, shape), data));
        assert!(error(b"").contains("not an .npy"));
        assert!(error(b"PK\x03\x04").contains("not an .npy"));
        assert!(error(&file(9, "", b"")).contains("not an .npy"));
        assert!(error(&file(1, "", b"")).contains("order"));
        assert!(error(b"\x93NUMPY\x01\x00\xFF\xFF{").contains("not an .npy"));
        assert!(with("'<f4'", "True", "(1, 1)", &[0; 4]).contains("Fortran"));
        assert!(with("'<i8'", "False", "(1, 1)", &[0; 8]).contains("<i8"));
        assert!(with("'>f4'", "False", "(1, 1)", &[0; 4]).contains(">f4"));
        assert!(with("'<f4'", "False", "(4,)", &[0; 16]).contains("(4,)"));
        assert!(with("'<f4'", "False", "(0, 4)", &[]).contains("(0, 4)"));
        assert!(with("'<f4'", "False", "(1, -1)", &[]).contains("(1, -1)"));
        assert!(with("'<f4'", "False", "(1, 2)", &[0; 4]).contains("4 bytes do"));
        assert!(with("'<f4'", "False", "(1, 1)", &[0; 5]).contains("5 bytes do"));
        let largest = "(18446744073709551615, 18446744073709551615)";
        assert!(with("'<f4'", "False", largest, &[0; 4]).contains("4 bytes do"));
    }
}
