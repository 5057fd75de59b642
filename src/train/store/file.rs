//! A safetensors file of rows that are written one by one and may be carried on.

use super::bytes::{read_at, write_at};
use crate::train::error::{Error, Result};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::format;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Largest header; what other readers of safetensors take.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Under which name the metadata have this library's own.
const KEY: &str = "zsseg";
/// The plane that says which rows are there.
const DONE: &str = "done";

/// A tensor of the file; its first two sides are the rows and their parts.
pub(super) struct Plane {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    /// Sides of what lies in one part of a row.
    pub(super) sides: Vec<usize>,
}

/// What a file says about itself. The header is a function of it.
pub(super) trait Contents: Serialize + DeserializeOwned {
    /// What such a file is called in errors.
    const KIND: &'static str;

    /// Rows, and parts of each that are written by themselves.
    fn rows(&self) -> [usize; 2];

    /// The tensors.
    fn planes(&self) -> Vec<Plane>;

    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self) -> core::result::Result<(), String>;

    /// What keeps `wanted` from being written into this file, if anything does.
    fn difference(&self, wanted: &Self) -> Option<String>;
}

/// Where things lie in the file.
struct Layout {
    header: Vec<u8>,
    /// By plane: its start, and bytes of one part of a row.
    planes: Vec<(u64, usize)>,
    /// Start of the plane of flags.
    done: u64,
    total_bytes: u64,
}

/// An open file.
pub(super) struct RowFile<M> {
    path: PathBuf,
    file: File,
    contents: M,
    layout: Layout,
}

impl<M: Contents> RowFile<M> {
    /// Makes the file, or opens the one that is there to carry on with it. Nobody else can write
    /// to it until this is dropped, or the process ends.
    pub(super) fn create(path: &Path, contents: M) -> Result<RowFile<M>> {
        let layout = Layout::of(&contents).map_err(Error::config)?;
        if let Some(file) = new_file(path, &layout)? {
            return Ok(RowFile { path: path.to_path_buf(), file, contents, layout });
        }
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(Error::file(path))?;
        lock(path, &file)?;
        let found = RowFile::<M>::parse(path, file)?;
        match found.contents.difference(&contents) {
            None => Ok(found),
            Some(reason) => Err(Error::broken(path, reason)),
        }
    }

    /// Opens a file to read it.
    pub(super) fn open(path: &Path) -> Result<RowFile<M>> {
        let file = File::open(path).map_err(Error::file(path))?;
        RowFile::parse(path, file)
    }

    fn parse(path: &Path, file: File) -> Result<RowFile<M>> {
        let len_bytes = file.metadata().map_err(Error::file(path))?.len();
        let no = |reason: &str| Error::broken(path, format!("no {}: {reason}", M::KIND));
        let mut start = [0; 8];
        if len_bytes < 8 {
            return Err(no("the file is too short"));
        }
        read_at(&file, &mut start, 0).map_err(Error::file(path))?;
        let header_bytes = u64::from_le_bytes(start);
        if header_bytes > MAX_HEADER_BYTES || header_bytes > len_bytes - 8 {
            return Err(no("the header is longer than the file, or than is allowed"));
        }
        let mut header = vec![0; header_bytes as usize];
        read_at(&file, &mut header, 8).map_err(Error::file(path))?;
        let contents: M = contents_of(&header).map_err(|reason| no(&reason))?;
        contents.check().map_err(|reason| no(&reason))?;
        let layout = Layout::of(&contents).map_err(|reason| no(&reason))?;
        if layout.header != header {
            return Err(no("its tensors are not those that its metadata announce"));
        }
        if layout.total_bytes != len_bytes {
            let reason = format!("it has {len_bytes} bytes in place of {}", layout.total_bytes);
            return Err(no(&reason));
        }
        Ok(RowFile { path: path.to_path_buf(), file, contents, layout })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn contents(&self) -> &M {
        &self.contents
    }

    /// Whether a part of a row is there.
    pub(super) fn is_done(&self, row: usize, part: usize) -> Result<bool> {
        let mut flag = [0];
        let at = self.layout.done + self.place(row, part)?;
        read_at(&self.file, &mut flag, at).map_err(Error::file(&self.path))?;
        match flag {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::broken(&self.path, format!("row {row} is neither done nor not"))),
        }
    }

    /// Writes a part of a row, all planes of it, and then that it is there.
    pub(super) fn write(&self, row: usize, part: usize, planes: &[Vec<u8>]) -> Result<()> {
        let place = self.place(row, part)?;
        let fits = |(bytes, (_, len)): (&Vec<u8>, &(u64, usize))| bytes.len() == *len;
        let same = planes.len() == self.layout.planes.len();
        if !same || !planes.iter().zip(&self.layout.planes).all(fits) {
            return Err(Error::config("a row of another size than the file's"));
        }
        for (bytes, (start, len)) in planes.iter().zip(&self.layout.planes) {
            let at = start + place * *len as u64;
            write_at(&self.file, bytes, at).map_err(Error::file(&self.path))?;
        }
        // On the disk before the flag is: after a loss of power no flag may stand for nothing.
        self.file.sync_data().map_err(Error::file(&self.path))?;
        write_at(&self.file, &[1], self.layout.done + place).map_err(Error::file(&self.path))
    }

    /// Reads what a plane has of a part of a row.
    pub(super) fn read(&self, plane: usize, row: usize, part: usize) -> Result<Vec<u8>> {
        let place = self.place(row, part)?;
        let Some(&(start, len)) = self.layout.planes.get(plane) else {
            return Err(Error::config(format!("tensor {plane} of {}", self.layout.planes.len())));
        };
        let mut bytes = vec![0; len];
        let at = start + place * len as u64;
        read_at(&self.file, &mut bytes, at).map_err(Error::file(&self.path))?;
        Ok(bytes)
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(Error::file(&self.path))
    }

    fn place(&self, row: usize, part: usize) -> Result<u64> {
        let [rows, parts] = self.contents.rows();
        if row >= rows || part >= parts {
            let reason = format!("row {row}, {part} of {rows}, {parts}");
            return Err(Error::config(format!("{}: {reason}", self.path.display())));
        }
        Ok(row as u64 * parts as u64 + part as u64)
    }
}

impl Layout {
    /// # Errors
    /// If the file would be too large to count its bytes, or its header too large for readers.
    fn of<M: Contents>(contents: &M) -> core::result::Result<Layout, String> {
        let rows = contents.rows();
        let mut tensors = Vec::new();
        let mut planes = Vec::new();
        let mut end = 0usize;
        let flags = Plane { name: DONE.to_string(), dtype: Dtype::U8, sides: Vec::new() };
        for plane in contents.planes().into_iter().chain([flags]) {
            let element_bytes = plane.dtype.bitsize() / 8;
            let part_bytes = product(plane.sides.iter().copied().chain([element_bytes]))?;
            let bytes = product([rows[0], rows[1], part_bytes])?;
            let start = end;
            end = end.checked_add(bytes).ok_or_else(too_large)?;
            let shape = rows.into_iter().chain(plane.sides).collect();
            let info = TensorInfo { dtype: plane.dtype, shape, data_offsets: (start, end) };
            tensors.push((plane.name, info));
            planes.push((start as u64, part_bytes));
        }
        let header = header_of(contents, tensors)?;
        let data_start = 8 + header.len() as u64;
        let total_bytes = data_start.checked_add(end as u64).ok_or_else(too_large)?;
        planes.iter_mut().for_each(|(start, _)| *start += data_start);
        let done = planes.pop().map_or(0, |(start, _)| start);
        Ok(Layout { header, planes, done, total_bytes })
    }
}

/// The metadata, and what the tensors are.
fn header_of<M: Contents>(
    contents: &M,
    tensors: Vec<(String, TensorInfo)>,
) -> core::result::Result<Vec<u8>, String> {
    let own = serde_json::to_string(contents).map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(KEY.to_string(), own)]);
    let header = Metadata::new(Some(metadata), tensors).map_err(|error| error.to_string())?;
    let mut header = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    header.resize(header.len().next_multiple_of(8), b' ');
    match header.len() as u64 > MAX_HEADER_BYTES {
        true => Err(format!("a header of {} bytes; use more shards", header.len())),
        false => Ok(header),
    }
}

fn contents_of<M: Contents>(header: &[u8]) -> core::result::Result<M, String> {
    let header: Metadata = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let own = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let own = own.ok_or_else(|| format!("the metadata have no \"{KEY}\""))?;
    serde_json::from_str(own).map_err(|error| error.to_string())
}

fn product(factors: impl IntoIterator<Item = usize>) -> core::result::Result<usize, String> {
    factors.into_iter().try_fold(1usize, usize::checked_mul).ok_or_else(too_large)
}

fn too_large() -> String {
    "more bytes than can be counted".to_string()
}

/// A new file with its header, of its final size and locked; `None` if there is one already. It
/// gets its name when the header is complete, so that no file has half of one.
fn new_file(path: &Path, layout: &Layout) -> Result<Option<File>> {
    if path.exists() {
        return Ok(None);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".zsseg-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The user's umask applies, as for any new file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(Error::file(path))?;
    let write = |file: &File| {
        write_at(file, &(layout.header.len() as u64).to_le_bytes(), 0)?;
        write_at(file, &layout.header, 8)?;
        file.set_len(layout.total_bytes)?;
        file.sync_all()
    };
    write(file.as_file()).map_err(Error::file(path))?;
    lock(path, file.as_file())?;
    match file.persist_noclobber(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(Error::file(path)(error.error)),
    }
}

/// The system gives the lock back when the process ends, however it does.
fn lock(path: &Path, file: &File) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(Error::broken(path, "another process is writing to this file"))
        }
        Err(TryLockError::Error(error)) => Err(Error::file(path)(error)),
    }
}
