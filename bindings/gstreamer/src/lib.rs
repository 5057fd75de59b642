//! The GStreamer element `zsseg`: video in, one class label per pixel or a coloured overlay out.
//!
//! | module | what |
//! |---|---|
//! | `element` | properties, caps, states: what GStreamer asks of an element |
//! | `settings` | the properties' values, and the classes they name |
//! | `model` | a bundle and a segmenter beside the memory that it borrows |
//! | `frame` | GStreamer's frames as the library's, with strides and crops |
//! | `overlay` | the frame in RGB with the mask's colours |
//! | `problem` | errors as GStreamer's |
#![deny(missing_docs)]

mod element;
mod frame;
mod model;
mod overlay;
mod problem;
mod settings;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element `zsseg`.
    pub struct ZssegFilter(ObjectSubclass<element::ZssegFilter>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "zsseg", gst::Rank::NONE, ZssegFilter::static_type())
}

#[allow(missing_docs)] // what the macro makes has none
mod plugin {
    use super::plugin_init;

    gst::plugin_define!(
        zsseg,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        env!("CARGO_PKG_VERSION"),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME")
    );
}

pub use plugin::plugin_register_static;
