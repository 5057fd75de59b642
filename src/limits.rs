//! Hard caps and checked products.
//!
//! A size that comes from outside (a bundle, a frame, a caller) passes through here once, before
//! anything is computed from it; inside these caps no product of sizes overflows a `u64`, and the
//! checked products catch the ones that overflow a 32-bit `usize`.

use crate::status::{Result, Status};

/// Longest side of a frame, in pixels.
pub const MAX_FRAME_SIDE: u32 = 16_384;
/// Longest side of a network's input, in pixels.
pub const MAX_INPUT_SIDE: u32 = 4_096;
/// Longest side of a network's output grid, in cells.
pub const MAX_GRID_SIDE: u32 = 4_096;
/// Most classes of a head.
pub const MAX_CLASSES: u32 = 4_096;
/// Most channels of a feature map.
pub const MAX_FEATURES: u32 = 4_096;
/// Most numbers of a class embedding, of a generator's noise or of its hidden layer.
pub const MAX_EMBEDDING: u32 = 4_096;
/// Most bytes of a class's name.
pub const MAX_NAME_BYTES: usize = 63;
/// Largest bundle, in bytes.
pub const MAX_BUNDLE_BYTES: u64 = 1 << 30;
/// Most sections of a bundle.
pub const MAX_SECTIONS: u32 = 64;
/// Most steps of a plan.
pub const MAX_PLAN_STEPS: u32 = 4_096;
/// Most tensors of a plan.
pub const MAX_PLAN_TENSORS: u32 = 8_192;
/// Longest side of a plan's tensor: rows, columns, channels, or elements from pixel to pixel.
pub const MAX_PLAN_SIDE: u32 = 1 << 20;
/// Most threads an engine may be asked to use.
pub const MAX_THREADS: u32 = 64;
/// Most parts that a picture, a layer of a compiled network or a mask is cut into, however many
/// threads there are.
pub const MAX_PARTS: usize = 16;

/// Shape of features that spectral segments are found from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffinityShape {
    /// Rows: 1 to [`MAX_GRID_SIDE`].
    pub height: usize,
    /// Columns: 1 to [`MAX_GRID_SIDE`].
    pub width: usize,
    /// Values per cell: 1 to [`MAX_FEATURES`].
    pub channels: usize,
}

/// What a segmenter must be ready for. The arena's size follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Widest frame that will be handed in, in pixels: 1 to [`MAX_FRAME_SIDE`].
    pub max_frame_width: u32,
    /// Highest frame that will be handed in, in pixels: 1 to [`MAX_FRAME_SIDE`].
    pub max_frame_height: u32,
    /// Threads that may be used, the calling one among them: 1 to [`MAX_THREADS`]. A picture, a
    /// compiled network and a mask use those of [`crate::threads::ThreadPool`], at most
    /// [`MAX_PARTS`], for each of which the arena has memory; tract starts its own. Smoothing and
    /// fusion, and pictures and masks in builds without `std`, are single-threaded.
    pub threads: u32,
    /// Classes that may be added or replaced at run time: 0 to [`MAX_CLASSES`] together with the
    /// model's own.
    pub extra_classes: u32,
    /// Whether frames may be smoothed over time.
    pub smoothing: bool,
    /// Whether masks may be fused with spectral segments.
    pub fusion: bool,
    /// Shape of the features that the caller hands in for the segments; `None` to use those of
    /// the bundle's network.
    pub affinity: Option<AffinityShape>,
    /// Whether classes may be added through the model's generator.
    pub generator: bool,
}

impl Limits {
    /// Limits for frames up to `width` x `height`, one thread, and nothing beyond the model's
    /// own classes.
    pub const fn for_frames(width: u32, height: u32) -> Limits {
        Limits {
            max_frame_width: width,
            max_frame_height: height,
            threads: 1,
            extra_classes: 0,
            smoothing: false,
            fusion: false,
            affinity: None,
            generator: false,
        }
    }

    /// Checks the ranges stated at the fields.
    pub fn check(&self) -> Result<()> {
        in_range("max_frame_width", self.max_frame_width, 1, MAX_FRAME_SIDE)?;
        in_range("max_frame_height", self.max_frame_height, 1, MAX_FRAME_SIDE)?;
        in_range("threads", self.threads, 1, MAX_THREADS)?;
        in_range("extra_classes", self.extra_classes, 0, MAX_CLASSES)?;
        let Some(AffinityShape { height, width, channels }) = self.affinity else { return Ok(()) };
        let sides = [(height, MAX_GRID_SIDE), (width, MAX_GRID_SIDE), (channels, MAX_FEATURES)];
        for (value, most) in sides {
            let value = u32::try_from(value).unwrap_or(u32::MAX);
            in_range("shape of the affinity's features", value, 1, most)?;
        }
        Ok(())
    }
}

fn in_range(what: &'static str, value: u32, low: u32, high: u32) -> Result<()> {
    if value < low {
        return Err(Status::InvalidArgument.about(what).numbers(value.into(), low.into()));
    }
    if value > high {
        return Err(Status::LimitExceeded.about(what).numbers(value.into(), high.into()));
    }
    Ok(())
}

/// Product of `factors`, or [`Status::LimitExceeded`] naming `what` when it leaves `usize`.
pub fn product(what: &'static str, factors: &[usize]) -> Result<usize> {
    let mut total: usize = 1;
    for &factor in factors {
        total = total.checked_mul(factor).ok_or(Status::LimitExceeded.about(what))?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_reports_overflow() {
        assert_eq!(product("cells", &[3, 4, 5]).unwrap(), 60);
        assert_eq!(product("cells", &[]).unwrap(), 1);
        let error = product("cells", &[usize::MAX, 2]).unwrap_err();
        assert_eq!(error.status(), Status::LimitExceeded);
    }

    #[test]
    fn limits_are_checked_at_both_ends() {
        assert!(Limits::for_frames(1, MAX_FRAME_SIDE).check().is_ok());
        let zero = Limits::for_frames(0, 1).check().unwrap_err();
        assert_eq!(zero.status(), Status::InvalidArgument);
        let large = Limits::for_frames(1, MAX_FRAME_SIDE + 1).check().unwrap_err();
        assert_eq!(large.status(), Status::LimitExceeded);
        let threads = Limits { threads: 0, ..Limits::for_frames(1, 1) };
        assert!(threads.check().is_err());
    }
}
