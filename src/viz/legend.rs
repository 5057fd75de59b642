//! A legend below a picture.

use super::overlay::Picture;
use super::palette::Color;
use crate::status::Result;
use core::convert::Infallible;
use embedded_graphics::mono_font::iso_8859_1::FONT_9X15;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyleBuilder, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use std::string::String;

const FONT: MonoFont<'_> = FONT_9X15;
const PAPER: Color = [24, 24, 24];
const INK: Rgb888 = Rgb888::new(235, 235, 235);
/// Space around entries and between swatch and text, in unscaled pixels.
const GAP: u32 = 6;
/// Side of a swatch.
const SWATCH: u32 = 13;
/// Height of a line of entries.
const LINE: u32 = 19;
/// Pictures get letters of double size from this width on, of triple size from twice of it on,
/// and so forth.
const WIDTH_PER_ZOOM: u32 = 1_000;

/// One line of a legend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegendEntry {
    /// Colour of the swatch; no swatch for `None`.
    pub color: Option<Color>,
    /// Text in Latin script; other characters become question marks.
    pub text: String,
}

impl LegendEntry {
    fn width(&self) -> u32 {
        let swatch = if self.color.is_some() { SWATCH + GAP } else { 0 };
        let letters = self.text.chars().count() as u32;
        swatch + letters * FONT.character_size.width
    }
}

/// The picture with a strip below it that holds the entries in columns. The picture itself stays
/// as it is; only where an entry is wider than the picture, the result is wider too.
///
/// # Errors
/// [`crate::status::Status::LimitExceeded`] if the result does not fit in memory.
pub fn with_legend(picture: &Picture, entries: &[LegendEntry]) -> Result<Picture> {
    if entries.is_empty() {
        return Ok(picture.clone());
    }
    let zoom = 1 + picture.width() / WIDTH_PER_ZOOM;
    let column = entries.iter().map(LegendEntry::width).max().unwrap_or(0) + 2 * GAP;
    let columns = (picture.width() / zoom / column).clamp(1, entries.len() as u32);
    let lines = (entries.len() as u32).div_ceil(columns);
    let width = (picture.width() / zoom).max(column);
    let mut strip = Picture::filled(width, lines * LINE + 2 * GAP, PAPER)?;
    for (index, entry) in (0..).zip(entries) {
        // Down each column first, as lists are read.
        let corner = (index / lines * column, index % lines * LINE);
        draw_entry(&mut strip, entry, corner);
    }
    stack(picture, &strip, zoom)
}

fn draw_entry(strip: &mut Picture, entry: &LegendEntry, corner: (u32, u32)) {
    let mut x = (corner.0 + GAP) as i32;
    let y = (corner.1 + GAP) as i32;
    let mut surface = Surface(strip);
    if let Some([red, green, blue]) = entry.color {
        let style = PrimitiveStyleBuilder::new()
            .fill_color(Rgb888::new(red, green, blue))
            .stroke_color(Rgb888::new(110, 110, 110))
            .stroke_width(1)
            .build();
        let square = Rectangle::new(Point::new(x, y + 2), Size::new_equal(SWATCH));
        let Ok(()) = square.into_styled(style).draw(&mut surface);
        x += (SWATCH + GAP) as i32;
    }
    let style = MonoTextStyle::new(&FONT, INK);
    let text = Text::with_baseline(&entry.text, Point::new(x, y), style, Baseline::Top);
    let Ok(_) = text.draw(&mut surface);
}

/// The picture above the strip, each pixel of the strip `zoom` pixels wide and high.
fn stack(picture: &Picture, strip: &Picture, zoom: u32) -> Result<Picture> {
    let width = picture.width().max(strip.width() * zoom);
    let height = picture.height() + strip.height() * zoom;
    let mut sheet = Picture::filled(width, height, PAPER)?;
    for y in 0..picture.height() {
        for x in 0..picture.width() {
            sheet.set_pixel(x, y, picture.pixel(x, y).unwrap_or(PAPER));
        }
    }
    for y in 0..strip.height() * zoom {
        for x in 0..strip.width() * zoom {
            let color = strip.pixel(x / zoom, y / zoom).unwrap_or(PAPER);
            sheet.set_pixel(x, picture.height() + y, color);
        }
    }
    Ok(sheet)
}

/// A picture as something that embedded-graphics draws on.
pub(crate) struct Surface<'a>(pub(crate) &'a mut Picture);

impl OriginDimensions for Surface<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Surface<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> core::result::Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, color) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y)) else { continue };
            self.0.set_pixel(x, y, [color.r(), color.g(), color.b()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn entries(count: usize) -> Vec<LegendEntry> {
        let entry = |index| LegendEntry {
            color: Some([200, index as u8, 7]),
            text: std::format!("class {index}"),
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn the_picture_stays_and_every_swatch_is_there() {
        let picture = Picture::filled(400, 40, [1, 2, 3]).unwrap();
        let sheet = with_legend(&picture, &entries(9)).unwrap();
        assert_eq!(sheet.width(), 400);
        assert_eq!(sheet.rgb()[..picture.rgb().len()], *picture.rgb());
        let below: Vec<&[u8]> = sheet.rgb()[picture.rgb().len()..].chunks(3).collect();
        for index in 0..9 {
            assert!(below.contains(&&[200, index, 7][..]), "swatch {index}");
        }
        assert!(below.contains(&&[235, 235, 235][..]), "letters");
    }

    #[test]
    fn a_narrow_picture_gets_room_for_the_text() {
        let picture = Picture::filled(5, 5, [1, 2, 3]).unwrap();
        let sheet = with_legend(&picture, &entries(2)).unwrap();
        assert!(sheet.width() > 80);
        assert_eq!(sheet.pixel(4, 4), Some([1, 2, 3]));
        assert_eq!(sheet.pixel(5, 5), Some(PAPER));
    }

    #[test]
    fn a_wide_picture_gets_larger_letters() {
        let height = |width| {
            let picture = Picture::filled(width, 1, [0; 3]).unwrap();
            with_legend(&picture, &entries(1)).unwrap().height() - 1
        };
        assert_eq!(height(3_000), 4 * height(900));
    }

    #[test]
    fn no_entries_no_strip() {
        let picture = Picture::filled(5, 5, [1, 2, 3]).unwrap();
        assert_eq!(with_legend(&picture, &[]).unwrap(), picture);
    }
}
