//! Small files.

use png::{BitDepth, ColorType, Encoder};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that goes away with the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A picture of colours that do not compress well.
    pub fn picture(&self, path: &str, (width, height): (u32, u32)) -> PathBuf {
        let path = self.write(path, "");
        let pixels = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([((x * 37) ^ (y * 91)) as u8, (x * y) as u8, (x + 3 * y) as u8])
        });
        pixels.save(&path).unwrap();
        path
    }

    /// A mask of 8-bit grey.
    pub fn grey(&self, path: &str, size: (u32, u32), data: &[u8]) -> PathBuf {
        self.mask(path, size, (ColorType::Grayscale, BitDepth::Eight), data)
    }

    /// A mask; with palettes all of whose colours are the same.
    pub fn mask(
        &self,
        path: &str,
        (width, height): (u32, u32),
        (color, depth): (ColorType, BitDepth),
        data: &[u8],
    ) -> PathBuf {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![7u8; 3 << (depth as u8).min(8)]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        self.write(path, bytes)
    }
}
