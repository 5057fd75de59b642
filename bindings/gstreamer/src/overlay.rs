//! The frame in RGB with the mask's colours.

use crate::frame::Crop;
use crate::model::Model;
use crate::problem::Problem;
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFrameRef, VideoInfo};
use zsseg::viz::{WHOLE_TINT, tint};

/// Makes overlays of one size.
pub struct Overlay {
    out_info: VideoInfo,
    /// One label per pixel of a frame.
    pub labels: Vec<u8>,
    converter: Option<Converter>,
}

/// A converter to RGB, and what it was made for: a decoder may change the padding or the crop
/// without new caps.
struct Converter {
    converter: VideoConverter,
    frame_size: (u32, u32),
    crop: Crop,
}

impl Overlay {
    /// Takes memory for the labels of a frame.
    pub fn new(out_info: &VideoInfo) -> Overlay {
        let pixels = out_info.width() as usize * out_info.height() as usize;
        Overlay { out_info: out_info.clone(), labels: vec![0; pixels], converter: None }
    }

    /// Writes the cropped frame to `out` and tints it by the labels.
    ///
    /// # Errors
    /// If GStreamer has no way from the frame's format to RGB.
    pub fn draw(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        crop: &Crop,
        out: &mut VideoFrameRef<&mut gst::BufferRef>,
        model: &Model,
        opacity: f64,
    ) -> Result<(), Problem> {
        self.converter(frame, crop)?.frame_ref(frame, out);
        let weight = (opacity * f64::from(WHOLE_TINT)).round() as u16;
        let (row_bytes, width) = (crop.width as usize * 3, crop.width as usize);
        let stride = out.plane_stride().first().copied().unwrap_or(0);
        let stride_bytes = usize::try_from(stride).map_err(Problem::frame)?;
        let rows = out.plane_data_mut(0).map_err(Problem::frame)?;
        let rows = rows.chunks_mut(stride_bytes.max(row_bytes));
        for (rgb, labels) in rows.zip(self.labels.chunks(width)) {
            let rgb = rgb.get_mut(..row_bytes).unwrap_or_default();
            tint(rgb, labels, model.label_capacity(), model.palette(), weight);
        }
        Ok(())
    }

    fn converter(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
        crop: &Crop,
    ) -> Result<&VideoConverter, Problem> {
        let frame_size = (frame.width(), frame.height());
        let fits = |made: &Converter| made.frame_size == frame_size && made.crop == *crop;
        let made = match self.converter.take().filter(fits) {
            Some(made) => made,
            None => {
                let converter = convert(frame.info(), &self.out_info, crop)?;
                Converter { converter, frame_size, crop: *crop }
            }
        };
        Ok(&self.converter.insert(made).converter)
    }
}

fn convert(from: &VideoInfo, to: &VideoInfo, crop: &Crop) -> Result<VideoConverter, Problem> {
    let side = |pixels: u32| i32::try_from(pixels).map_err(Problem::frame);
    let mut config = VideoConverterConfig::new();
    config.set_src_x(side(crop.x)?);
    config.set_src_y(side(crop.y)?);
    config.set_src_width(Some(side(crop.width)?));
    config.set_src_height(Some(side(crop.height)?));
    VideoConverter::new(from, to, Some(config)).map_err(Problem::frame)
}
