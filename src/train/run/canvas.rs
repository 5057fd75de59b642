//! A picture that plots are drawn on, with letters that need no font of the system.

use crate::viz::Picture;
use core::convert::Infallible;
use embedded_graphics::mono_font::iso_8859_1::FONT_8X13;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontTransform,
};

const FONT: MonoFont<'_> = FONT_8X13;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Draws on a picture.
pub(super) struct Canvas<'a>(pub(super) &'a mut Picture);

impl Canvas<'_> {
    fn mix(&mut self, (x, y): BackendCoord, color: BackendColor) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        let Some([red, green, blue]) = self.0.pixel(x, y) else { return };
        let mix = |old: u8, new: u8| {
            (f64::from(old) + (f64::from(new) - f64::from(old)) * color.alpha) as u8
        };
        let (r, g, b) = color.rgb;
        self.0.set_pixel(x, y, [mix(red, r), mix(green, g), mix(blue, b)]);
    }
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.mix(point, color);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        place: BackendCoord,
    ) -> Drawn {
        let (width, height) = self.estimate_text_size(text, style)?;
        let (width, height) = (width as i32, height as i32);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Right => -width,
            HPos::Center => -width / 2,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        let (color, turn) = (style.color(), style.transform());
        let mut letters = Letters { canvas: self, color, turn, place };
        let letter = MonoTextStyle::new(&FONT, Rgb888::BLACK);
        let text = Text::with_baseline(text, Point::new(left, top), letter, Baseline::Top);
        let Ok(_) = text.draw(&mut letters);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = FONT.character_size;
        Ok((size.width * text.chars().count() as u32, size.height))
    }
}

/// Letters around (0, 0), which are turned and then moved to their place.
struct Letters<'c, 'a> {
    canvas: &'c mut Canvas<'a>,
    color: BackendColor,
    turn: FontTransform,
    place: BackendCoord,
}

impl Dimensions for Letters<'_, '_> {
    fn bounding_box(&self) -> embedded_graphics::primitives::Rectangle {
        let (width, height) = self.canvas.get_size();
        let (width, height) = (width.max(height), width.max(height));
        let corner = Point::new(-(width as i32), -(height as i32));
        let size = Size::new(2 * width, 2 * height);
        embedded_graphics::primitives::Rectangle::new(corner, size)
    }
}

impl DrawTarget for Letters<'_, '_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, _) in pixels {
            let (x, y) = self.turn.transform(point.x, point.y);
            self.canvas.mix((self.place.0 + x, self.place.1 + y), self.color);
        }
        Ok(())
    }
}
