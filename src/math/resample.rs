//! Resampling of one axis: where a frame lies in the network's input, which frame pixels an
//! input pixel reads, and which grid cells a frame pixel reads on the way back.
//!
//! Pixel `i` of an axis covers `i..i + 1`, its centre is `i + 0.5` (methods.md section 1.9,
//! align_corners = false). All positions are computed in whole numbers or f64, so that the way
//! forth and the way back agree to the pixel.

use crate::limits::{MAX_FRAME_SIDE, MAX_INPUT_SIDE};
use crate::spec::Filter;
use crate::status::{Result, Status};
use core::ops::Range;

/// Longest side of a frame after scaling and before cropping, in pixels.
pub const MAX_CONTENT_SIDE: u32 = 65_535;

/// Where one axis of a frame lies in the network's input: `frame` pixels scaled to `content`
/// pixels, of which the first lies at `offset`, in an input of `input` pixels. A negative
/// offset, or content reaching beyond the input, means cropping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    frame: u32,
    content: u32,
    offset: i32,
    input: u32,
}

/// The two neighbouring grid cells that a frame pixel reads: `index` with weight
/// `1 - fraction` and `index + 1` with weight `fraction`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridTap {
    /// Lower cell; `index + 1` exists too, unless the grid has a single cell.
    pub index: u32,
    /// Weight of the upper cell: 0 to 1, both inclusive; 0 when the grid has a single cell.
    pub fraction: f32,
}

impl Placement {
    /// Places an axis. `frame` is 1 to [`MAX_FRAME_SIDE`], `content` 1 to [`MAX_CONTENT_SIDE`],
    /// `input` 1 to [`MAX_INPUT_SIDE`]; at least one pixel of the content lies in the input.
    ///
    /// # Errors
    /// [`Status::FrameSize`] for anything else.
    pub fn new(frame: u32, content: u32, offset: i32, input: u32) -> Result<Placement> {
        let sides = [
            ("side of the frame", frame, MAX_FRAME_SIDE),
            ("side of the scaled frame", content, MAX_CONTENT_SIDE),
            ("side of the network's input", input, MAX_INPUT_SIDE),
        ];
        for (what, side, most) in sides {
            if side == 0 || side > most {
                return Err(Status::FrameSize.about(what).numbers(side.into(), most.into()));
            }
        }
        let end = i64::from(offset) + i64::from(content);
        if end <= 0 || i64::from(offset) >= i64::from(input) {
            return Err(Status::FrameSize.about("frame outside the network's input"));
        }
        Ok(Placement { frame, content, offset, input })
    }

    /// Side of the frame, in pixels.
    pub fn frame(&self) -> u32 {
        self.frame
    }

    /// Side of the scaled frame, in input pixels, cropped parts included.
    pub fn content(&self) -> u32 {
        self.content
    }

    /// Input pixel on which the first pixel of the content lies; negative when cropped.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// Side of the network's input, in pixels.
    pub fn input(&self) -> u32 {
        self.input
    }

    /// Pixels of the content that lie in the input; never empty.
    pub fn shown(&self) -> Range<u32> {
        let first = (-i64::from(self.offset)).max(0);
        let end = i64::from(self.input) - i64::from(self.offset);
        first as u32..end.min(self.content.into()) as u32
    }

    /// Input pixels that hold content; the others are padding. Never empty.
    pub fn filled(&self) -> Range<u32> {
        let end = i64::from(self.offset) + i64::from(self.content);
        self.offset.max(0) as u32..end.min(self.input.into()) as u32
    }

    /// Frame pixels whose centre lies in the input: with `n = (pixel + 0.5) * content / frame -
    /// 0.5 + offset`, those with `-0.5 <= n < input - 0.5`. The others were cropped away. Empty
    /// when a strongly enlarged frame shows no pixel's centre.
    pub fn visible(&self) -> Range<u32> {
        let first = self.first_pixel_from(-i64::from(self.offset));
        let end = self.first_pixel_from(i64::from(self.input) - i64::from(self.offset));
        first..end
    }

    /// First frame pixel whose centre is at or after `position`, in content pixels:
    /// `(2 * pixel + 1) * content >= 2 * position * frame`.
    fn first_pixel_from(&self, position: i64) -> u32 {
        let content = i64::from(self.content);
        let above = 2 * position * i64::from(self.frame) - content;
        let pixel = floor_div(above + 2 * content - 1, 2 * u64::from(self.content));
        pixel.clamp(0, self.frame.into()) as u32
    }

    /// Grid cells that frame pixel `pixel` reads, when `grid` cells (1 or more) span the input.
    /// A pixel outside [`Placement::visible`] reads the nearest border.
    ///
    /// With `n` as in [`Placement::visible`], clamped to `0..=input - 1`, the position is
    /// `(n + 0.5) * grid / input - 0.5`, or with `align_corners` `n * (grid - 1) / (input - 1)`
    /// (0 for an input of one pixel), clamped to `0..=grid - 1`.
    pub fn grid_tap(&self, pixel: u32, grid: u32, align_corners: bool) -> GridTap {
        let input = f64::from(self.input);
        let scaled = (f64::from(pixel) + 0.5) * f64::from(self.content) / f64::from(self.frame);
        let n = (scaled - 0.5 + f64::from(self.offset)).min(input - 1.0).max(0.0);
        let last_cell = f64::from(grid) - 1.0;
        let position = match (align_corners, self.input) {
            (false, _) => (n + 0.5) * f64::from(grid) / input - 0.5,
            (true, 0 | 1) => 0.0,
            (true, _) => n * last_cell / (input - 1.0),
        };
        let position = position.min(last_cell).max(0.0);
        let index = (position as u32).min(grid.saturating_sub(2));
        GridTap { index, fraction: (position - f64::from(index)) as f32 }
    }
}

/// Filter taps of one axis: how `content` pixels are made from `frame` pixels.
///
/// Content pixel `i` has its centre at `centre = (i + 0.5) * frame / content` in the frame and
/// reads frame pixel `j` with weight `filter((j + 0.5 - centre) / scale)`, where `scale` is
/// `max(frame / content, 1)` with antialias and 1 without. Beyond the border, taps are dropped
/// and the others renormalised with antialias (Pillow, torch's antialias); without it the border
/// pixel is repeated (OpenCV, torch).
#[derive(Clone, Copy, Debug)]
pub struct Taps {
    frame: u32,
    content: u32,
    /// `scale * content`, a whole number.
    scaled: u32,
    filter: Filter,
    antialias: bool,
    count: u32,
}

impl Taps {
    /// The taps of an axis of `frame` pixels (1 to [`MAX_FRAME_SIDE`]) scaled to `content`
    /// pixels (1 to [`MAX_CONTENT_SIDE`]); values outside are brought to the nearest end.
    pub fn new(frame: u32, content: u32, filter: Filter, antialias: bool) -> Taps {
        let frame = frame.clamp(1, MAX_FRAME_SIDE);
        let content = content.clamp(1, MAX_CONTENT_SIDE);
        let scaled = if antialias { content.max(frame) } else { content };
        let count = (2 * radius(filter) * scaled).div_ceil(content).min(frame);
        Taps { frame, content, scaled, filter, antialias, count }
    }

    /// Taps of every content pixel: `ceil(2 * radius * scale)`, at most `frame`; 1 or more.
    /// Some of the weights may be 0.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Writes the weights of content pixel `output` (below `content`) to `weights`, which holds
    /// [`Taps::count`] elements, and returns the frame pixel that the first of them belongs to;
    /// the others follow it. The first pixel never decreases with `output`, and all taps lie
    /// inside the frame. The weights add up to 1.
    pub fn write(&self, output: u32, weights_f32: &mut [f32]) -> u32 {
        let output = output.min(self.content - 1);
        let (reach, first) = self.reach(output);
        let pixels = i64::from(first)..i64::from(first + self.count);
        let total: f64 = pixels.clone().map(|pixel| self.weight(output, &reach, pixel)).sum();
        for (weight, pixel) in weights_f32.iter_mut().zip(pixels) {
            *weight = (self.weight(output, &reach, pixel) / total) as f32;
        }
        first
    }

    /// Pixels that the filter reaches from `output`, border ignored, and the first pixel of the
    /// window of [`Taps::count`] pixels inside the frame that is laid over them.
    fn reach(&self, output: u32) -> (Range<i64>, u32) {
        let content = i64::from(self.content);
        let centre = (2 * i64::from(output) + 1) * i64::from(self.frame) + content;
        let support = 2 * i64::from(radius(self.filter) * self.scaled);
        let double = 2 * u64::from(self.content);
        let reach = floor_div(centre - support, double)..floor_div(centre + support, double);
        let last_start = self.frame.saturating_sub(self.count);
        let first = reach.start.clamp(0, last_start.into()) as u32;
        (reach, first)
    }

    /// Weight of frame pixel `pixel` before normalisation. Without antialias a border pixel also
    /// stands for all pixels beyond it.
    fn weight(&self, output: u32, reach: &Range<i64>, pixel: i64) -> f64 {
        let (mut low, mut high) = (pixel, pixel);
        if !self.antialias && pixel == 0 {
            low = low.min(reach.start);
        }
        if !self.antialias && pixel == i64::from(self.frame) - 1 {
            high = high.max(reach.end - 1);
        }
        let centre = (2 * i64::from(output) + 1) * i64::from(self.frame);
        let weight_of = |tap: i64| {
            let distance = (2 * tap + 1) * i64::from(self.content) - centre;
            evaluate(self.filter, distance as f64 / (2.0 * f64::from(self.scaled)))
        };
        (low..=high).map(weight_of).sum()
    }
}

/// Half the width of the filter, in pixels of the larger spacing.
const fn radius(filter: Filter) -> u32 {
    match filter {
        Filter::Bilinear => 1,
        Filter::Bicubic => 2,
    }
}

/// The filter at distance `x` from its centre.
fn evaluate(filter: Filter, x: f64) -> f64 {
    let x = libm::fabs(x);
    match filter {
        Filter::Bilinear if x < 1.0 => 1.0 - x,
        Filter::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// `value / divisor` rounded towards minus infinity. `divisor` is 1 or more; `value` is far from
/// the ends of its type.
fn floor_div(value: i64, divisor: u64) -> i64 {
    let quotient = value.unsigned_abs() / divisor.max(1);
    let remainder = value.unsigned_abs() % divisor.max(1);
    match value < 0 {
        false => quotient as i64,
        true => -(quotient as i64) - i64::from(remainder > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn placements() -> impl Strategy<Value = Placement> {
        (1u32..400, 1u32..400, 1u32..300, 0.0f64..1.0).prop_map(|(frame, content, input, at)| {
            let low = -f64::from(content) + 1.0;
            let offset = low + libm::floor(at * (f64::from(input) - 1.0 - low));
            Placement::new(frame, content, offset as i32, input).unwrap()
        })
    }

    /// Unclamped position of a frame pixel in the input.
    fn position(place: &Placement, pixel: u32) -> f64 {
        let scale = f64::from(place.content) / f64::from(place.frame);
        (f64::from(pixel) + 0.5) * scale - 0.5 + f64::from(place.offset)
    }

    proptest! {
        #[test]
        fn visible_pixels_are_those_whose_centre_is_in_the_input(place in placements()) {
            let visible = place.visible();
            for pixel in 0..place.frame() {
                // In whole numbers: 2 * frame * (n + 0.5).
                let centre = i64::from(2 * pixel + 1) * i64::from(place.content)
                    + 2 * i64::from(place.frame) * i64::from(place.offset);
                let inside = 0 <= centre && centre < 2 * i64::from(place.frame * place.input);
                prop_assert_eq!(visible.contains(&pixel), inside, "pixel {}", pixel);
            }
        }

        #[test]
        fn a_frame_pixel_maps_to_the_input_pixel_that_covers_its_centre(place in placements()) {
            for pixel in place.visible() {
                let tap = place.grid_tap(pixel, place.input, false);
                let n = f64::from(tap.index) + f64::from(tap.fraction);
                let clamped = position(&place, pixel).clamp(0.0, f64::from(place.input) - 1.0);
                prop_assert!((n - clamped).abs() < 1e-6);
                let cell = libm::floor(n + 0.5) as i64 - i64::from(place.offset);
                let (frame, content) = (i64::from(place.frame), i64::from(place.content));
                let centre = i64::from(2 * pixel + 1) * content;
                prop_assert!(cell * 2 * frame <= centre && centre <= (cell + 1) * 2 * frame);
            }
        }

        #[test]
        fn an_input_pixel_maps_back_to_the_frame_pixel_that_covers_it(place in placements()) {
            let half = f64::from(place.content) / f64::from(place.frame) / 2.0;
            for at in place.filled() {
                let content_pixel = i64::from(at) - i64::from(place.offset);
                let covering = (2 * content_pixel + 1) * i64::from(place.frame)
                    / (2 * i64::from(place.content));
                let pixel = covering as u32;
                prop_assert!((position(&place, pixel) - f64::from(at)).abs() <= half + 1e-9);
                if place.visible().contains(&pixel) {
                    let tap = place.grid_tap(pixel, place.input, false);
                    let n = f64::from(tap.index) + f64::from(tap.fraction);
                    prop_assert!((n - f64::from(at)).abs() <= half + 1e-6);
                }
            }
        }

        #[test]
        fn grid_taps_follow_the_formula(place in placements(), grid in 1u32..80, align: bool) {
            let input = f64::from(place.input);
            for pixel in place.visible() {
                let n = position(&place, pixel).clamp(0.0, input - 1.0);
                let g = match (align, place.input) {
                    (true, 1) => 0.0,
                    (true, _) => n * (f64::from(grid) - 1.0) / (input - 1.0),
                    (false, _) => (n + 0.5) * f64::from(grid) / input - 0.5,
                };
                let g = g.clamp(0.0, f64::from(grid) - 1.0);
                let tap = place.grid_tap(pixel, grid, align);
                prop_assert!((f64::from(tap.index) + f64::from(tap.fraction) - g).abs() < 1e-6);
                prop_assert!((0.0..=1.0).contains(&tap.fraction));
                let single = GridTap { index: 0, fraction: 0.0 };
                prop_assert!(tap.index + 1 < grid || (grid == 1 && tap == single));
            }
        }

        #[test]
        fn an_untouched_axis_is_the_identity(side in 1u32..3000, align: bool) {
            let place = Placement::new(side, side, 0, side).unwrap();
            prop_assert_eq!(place.visible(), 0..side);
            for pixel in 0..side {
                let tap = place.grid_tap(pixel, side, align);
                let exact = f64::from(tap.index) + f64::from(tap.fraction);
                prop_assert!((exact - f64::from(pixel)).abs() < 1e-6);
                if !align {
                    prop_assert_eq!(exact, f64::from(pixel));
                }
            }
        }

        #[test]
        fn windows_cover_the_filter_and_stay_inside(
            frame in 1u32..500, content in 1u32..500, cubic: bool, antialias: bool,
        ) {
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            let taps = Taps::new(frame, content, filter, antialias);
            let shrink = (f64::from(frame) / f64::from(content)).max(1.0);
            let ratio = if antialias { shrink } else { 1.0 };
            let support = f64::from(radius(filter)) * ratio;
            prop_assert!(taps.count() <= libm::ceil(2.0 * support + 1e-9) as usize);
            let mut weights = std::vec![0.0f32; taps.count()];
            let mut last = 0;
            for output in 0..content {
                let first = taps.write(output, &mut weights);
                prop_assert!(first >= last && first + taps.count() as u32 <= frame);
                last = first;
                let total: f32 = weights.iter().sum();
                prop_assert!((total - 1.0).abs() < 1e-5);
                // What the window leaves out has no weight.
                let centre = (f64::from(output) + 0.5) * f64::from(frame) / f64::from(content);
                let window = first..first + taps.count() as u32;
                for pixel in (0..frame).filter(|pixel| !window.contains(pixel)) {
                    let distance = (f64::from(pixel) + 0.5 - centre) / ratio;
                    prop_assert!(evaluate(filter, distance).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn known_weights() {
        let mut two = [0.0; 2];
        // Halving without antialias reads the two pixels in the middle.
        assert_eq!(Taps::new(4, 2, Filter::Bilinear, false).write(1, &mut two), 2);
        assert_eq!(two, [0.5, 0.5]);
        // Doubling: the border pixel alone, then 3/4 and 1/4.
        let double = Taps::new(2, 4, Filter::Bilinear, false);
        assert_eq!(double.write(0, &mut two), 0);
        assert_eq!(two, [1.0, 0.0]);
        double.write(1, &mut two);
        assert_eq!(two, [0.75, 0.25]);
        // Halving with antialias: 1 3 3 1, and at the border 3 3 1.
        let mut four = [0.0; 4];
        let wide = Taps::new(8, 4, Filter::Bilinear, true);
        assert_eq!((wide.count(), wide.write(1, &mut four)), (4, 1));
        assert_eq!(four, [0.125, 0.375, 0.375, 0.125]);
        assert_eq!(wide.write(0, &mut four), 0);
        assert_eq!(four.map(|weight| (weight * 7.0 + 0.5) as u32), [3, 3, 1, 0]);
        // Keys' cubic at half a pixel: -1 9 9 -1 sixteenths.
        Taps::new(8, 4, Filter::Bicubic, false).write(1, &mut four);
        assert_eq!(four, [-0.0625, 0.5625, 0.5625, -0.0625]);
    }

    #[test]
    fn impossible_placements_are_refused() {
        let side = MAX_CONTENT_SIDE;
        assert!(Placement::new(1, side, -(side as i32) + 1, 1).is_ok());
        let bad = [(0, 1, 0, 1), (1, 0, 0, 1), (1, 1, 0, 0), (1, 4, -4, 2), (1, 4, 2, 2)];
        for (frame, content, offset, input) in bad {
            let error = Placement::new(frame, content, offset, input).unwrap_err();
            assert_eq!(error.status(), Status::FrameSize);
        }
        assert!(Placement::new(1, side + 1, 0, 1).is_err());
        assert!(Placement::new(MAX_FRAME_SIDE + 1, 1, 0, 1).is_err());
    }

    #[test]
    fn extremes_neither_overflow_nor_leave_the_frame() {
        let mut weights = std::vec![0.0f32; 1 << 16];
        for (frame, content) in
            [(MAX_FRAME_SIDE, 1), (1, MAX_CONTENT_SIDE), (MAX_FRAME_SIDE, MAX_CONTENT_SIDE)]
        {
            for filter in [Filter::Bilinear, Filter::Bicubic] {
                let taps = Taps::new(frame, content, filter, true);
                let window = &mut weights[..taps.count()];
                assert!(taps.write(content - 1, window) + taps.count() as u32 <= frame);
            }
            let place = Placement::new(frame, content, 0, MAX_INPUT_SIDE).unwrap();
            assert!(place.visible().end <= frame);
        }
    }

    #[test]
    fn floor_division_rounds_down() {
        assert_eq!([7, -7, 6, -6, 0].map(|value| floor_div(value, 3)), [2, -3, 2, -2, 0]);
    }
}
