//! From a fit and two sizes to the placement of both axes, and the most taps a frame can need.

use crate::limits::Limits;
use crate::math::resample::{Placement, Taps};
use crate::spec::{Anchor, Fit, Input, Preprocess};
use crate::status::Result;

/// Where a frame lies in the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Columns.
    pub x: Placement,
    /// Rows.
    pub y: Placement,
}

impl Geometry {
    /// Places a frame of `width` x `height` pixels.
    ///
    /// # Errors
    /// [`crate::status::Status::FrameSize`] for a side of 0, a side above
    /// [`crate::limits::MAX_FRAME_SIDE`], or a frame so long and thin that its scaled side
    /// exceeds [`crate::math::resample::MAX_CONTENT_SIDE`].
    pub fn new(fit: Fit, width: u32, height: u32, input: &Input) -> Result<Geometry> {
        let anchor = match fit {
            Fit::Stretch => Anchor::TopLeft,
            Fit::Letterbox(anchor) | Fit::ShortSide { anchor, .. } => anchor,
        };
        let across = content_side(fit, (width, input.width), (height, input.height));
        let down = content_side(fit, (height, input.height), (width, input.width));
        Ok(Geometry {
            x: place(width, across, input.width, anchor)?,
            y: place(height, down, input.height, anchor)?,
        })
    }
}

fn place(frame: u32, content: u32, input: u32, anchor: Anchor) -> Result<Placement> {
    let room = i64::from(input) - i64::from(content);
    let offset = match anchor {
        Anchor::TopLeft => 0,
        // An arithmetic shift rounds towards minus infinity, for cropping too.
        Anchor::Center => room >> 1,
    };
    // An offset that does not fit belongs to a content that `Placement::new` refuses.
    Placement::new(frame, content, offset.clamp(i32::MIN.into(), i32::MAX.into()) as i32, input)
}

/// Side of the content along an axis of (frame, input) pixels, given the other axis; 1 or more,
/// not capped.
fn content_side(fit: Fit, (frame, input): (u32, u32), (other, other_input): (u32, u32)) -> u32 {
    match fit {
        Fit::Stretch => input,
        Fit::Letterbox(_) => {
            let own_limits =
                u64::from(input) * u64::from(other) <= u64::from(other_input) * u64::from(frame);
            if own_limits {
                return input;
            }
            scale_side(frame, other_input, other).clamp(1, input.max(1))
        }
        Fit::ShortSide { size, .. } => scale_side(frame, size, frame.min(other)),
    }
}

/// `floor(side * to / from + 0.5)` in whole numbers, at least 1.
fn scale_side(side: u32, to: u32, from: u32) -> u32 {
    let from = u64::from(from.max(1));
    let scaled = (2 * u64::from(side) * u64::from(to) + from) / (2 * from);
    scaled.clamp(1, u32::MAX.into()) as u32
}

/// Most taps, as (columns, rows), that any frame within `limits` needs per input pixel.
///
/// Exact: the number of taps of an axis grows as its content shrinks, and for a given side the
/// content is smallest when the other side is largest, so it is enough to look at frames of
/// which one side is the largest allowed.
///
/// # Complexity
/// `max_frame_width + max_frame_height` steps.
pub fn max_taps(preprocess: &Preprocess, input: &Input, limits: &Limits) -> (usize, usize) {
    let columns = (limits.max_frame_width, input.width);
    let rows = (limits.max_frame_height, input.height);
    (max_axis_taps(preprocess, columns, rows), max_axis_taps(preprocess, rows, columns))
}

fn max_axis_taps(preprocess: &Preprocess, own: (u32, u32), other: (u32, u32)) -> usize {
    let (max_frame, input) = own;
    let taps_of = |frame| {
        let content = content_side(preprocess.fit, (frame, input), other);
        Taps::new(frame, content, preprocess.filter, preprocess.antialias).count()
    };
    (1..=max_frame).map(taps_of).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Layout;
    use crate::spec::{ChannelOrder, Filter, InputType};
    use crate::status::Status;
    use proptest::prelude::*;

    fn input(width: u32, height: u32) -> Input {
        Input { width, height, layout: Layout::Chw, element: InputType::F32 }
    }

    fn preprocess(fit: Fit, filter: Filter, antialias: bool) -> Preprocess {
        let (scale, order) = (1.0, ChannelOrder::Rgb);
        let (mean, std, pad) = ([0.0; 3], [1.0; 3], [0.0; 3]);
        Preprocess { fit, filter, antialias, order, scale, mean, std, pad }
    }

    fn fits() -> impl Strategy<Value = Fit> {
        let anchor = prop_oneof![Just(Anchor::Center), Just(Anchor::TopLeft)];
        (0..3, 1u32..50, anchor).prop_map(|(kind, size, anchor)| match kind {
            0 => Fit::Stretch,
            1 => Fit::Letterbox(anchor),
            _ => Fit::ShortSide { size, anchor },
        })
    }

    fn sides(place: &Placement) -> (u32, i32) {
        (place.content(), place.offset())
    }

    #[test]
    fn known_placements() {
        let letterbox = Fit::Letterbox(Anchor::Center);
        let found = Geometry::new(letterbox, 1280, 720, &input(512, 512)).unwrap();
        assert_eq!((sides(&found.x), sides(&found.y)), ((512, 0), (288, 112)));
        let found = Geometry::new(letterbox, 10, 1000, &input(64, 64)).unwrap();
        assert_eq!((sides(&found.x), sides(&found.y)), ((1, 31), (64, 0)));
        let short = Fit::ShortSide { size: 513, anchor: Anchor::Center };
        let found = Geometry::new(short, 500, 375, &input(513, 513)).unwrap();
        // 500 * 513 / 375 = 684; 171 columns too many, floor(-85.5) = -86.
        assert_eq!((sides(&found.x), sides(&found.y)), ((684, -86), (513, 0)));
        let corner = Fit::ShortSide { size: 8, anchor: Anchor::TopLeft };
        let found = Geometry::new(corner, 16, 12, &input(16, 16)).unwrap();
        assert_eq!((sides(&found.x), sides(&found.y)), ((11, 0), (8, 0)));
        let found = Geometry::new(Fit::Stretch, 7, 9, &input(3, 20)).unwrap();
        assert_eq!((sides(&found.x), sides(&found.y)), ((3, 0), (20, 0)));
    }

    #[test]
    fn absurd_aspect_ratios_are_refused() {
        let fit = Fit::ShortSide { size: 512, anchor: Anchor::Center };
        let error = Geometry::new(fit, 16_384, 1, &input(512, 512)).unwrap_err();
        assert_eq!(error.status(), Status::FrameSize);
        assert!(Geometry::new(fit, 127, 1, &input(512, 512)).is_ok());
        assert!(Geometry::new(fit, 0, 5, &input(512, 512)).is_err());
    }

    proptest! {
        #[test]
        fn letterbox_fills_one_axis_and_keeps_the_ratio(
            w in 1u32..3000, h in 1u32..3000, iw in 1u32..900, ih in 1u32..900,
        ) {
            let fit = Fit::Letterbox(Anchor::Center);
            let found = Geometry::new(fit, w, h, &input(iw, ih)).unwrap();
            prop_assert!(found.x.content() == iw || found.y.content() == ih);
            let scale = (f64::from(iw) / f64::from(w)).min(f64::from(ih) / f64::from(h));
            for (place, side) in [(found.x, w), (found.y, h)] {
                let exact = f64::from(side) * scale;
                prop_assert!((f64::from(place.content()) - exact.max(1.0)).abs() <= 0.5 + 1e-6);
                prop_assert!(place.offset() >= 0 && place.filled().end <= place.input());
                let after = place.input() as i32 - place.offset() - place.content() as i32;
                prop_assert!((0..=1).contains(&(after - place.offset())));
            }
        }

        #[test]
        fn short_side_is_exact(w in 1u32..400, h in 1u32..400, size in 1u32..100) {
            let fit = Fit::ShortSide { size, anchor: Anchor::Center };
            let found = Geometry::new(fit, w, h, &input(64, 48)).unwrap();
            prop_assert_eq!(found.x.content().min(found.y.content()), size);
            let (long, content) = match w >= h {
                true => (w, found.x.content()),
                false => (h, found.y.content()),
            };
            let exact = f64::from(long) * f64::from(size) / f64::from(w.min(h));
            prop_assert_eq!(f64::from(content), libm::floor(exact + 0.5));
        }

        /// Over all frames within the limits, the most taps are exactly those announced.
        #[test]
        fn most_taps_are_exact(
            fit in fits(), cubic: bool, antialias: bool,
            max_w in 1u32..60, max_h in 1u32..60, iw in 1u32..20, ih in 1u32..20,
        ) {
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            let limits = Limits::for_frames(max_w, max_h);
            let announced =
                max_taps(&preprocess(fit, filter, antialias), &input(iw, ih), &limits);
            let mut most = (0, 0);
            for (w, h) in (1..=max_w).flat_map(|w| (1..=max_h).map(move |h| (w, h))) {
                let found = Geometry::new(fit, w, h, &input(iw, ih)).unwrap();
                let count = |place: Placement| {
                    Taps::new(place.frame(), place.content(), filter, antialias).count()
                };
                most = (most.0.max(count(found.x)), most.1.max(count(found.y)));
            }
            prop_assert_eq!(announced, most);
        }
    }
}
