//! Masks for people to look at: palettes, overlays, legends.

#[cfg(feature = "cli")]
mod legend;
mod overlay;
mod palette;

#[cfg(feature = "train")]
pub(crate) use legend::Surface;
#[cfg(feature = "cli")]
pub use legend::{LegendEntry, with_legend};
pub use overlay::{Picture, WHOLE_TINT, blend, tint};
pub use palette::{Color, Palette};
