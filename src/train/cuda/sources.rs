//! The CUDA sources, which are part of the program.

/// A CUDA source.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its file's name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The kernels in it.
    pub kernels: &'static [&'static str],
    /// Whether products and sums may be fused to one rounding. The simple kernels are not: they
    /// give the CPU engine's bits, up to the order of sums.
    pub is_fused: bool,
}

/// Files that the sources include: name and text.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("common.cuh", include_str!("kernels/common.cuh")),
    ("numbers.cuh", include_str!("kernels/numbers.cuh")),
    ("tiles.cuh", include_str!("kernels/tiles.cuh")),
];

/// All sources.
pub static SOURCES: [&Source; 9] =
    [&ROWS, &NOISE, &ENTROPY, &BILINEAR, &DEPTHWISE, &SELECT, &OPTIMISER, &MMD, &CONTRASTIVE];

pub(super) static ROWS: Source = Source {
    name: "rows.cu",
    text: include_str!("kernels/rows.cu"),
    kernels: &[
        "add_scaled",
        "column_sums",
        "copy_columns",
        "gather_rows",
        "scatter_rows",
        "normalise",
        "normalise_backward",
    ],
    is_fused: false,
};

pub(super) static NOISE: Source = Source {
    name: "noise.cu",
    text: include_str!("kernels/noise.cu"),
    kernels: &["noise", "activate"],
    is_fused: false,
};

pub(super) static ENTROPY: Source = Source {
    name: "entropy.cu",
    text: include_str!("kernels/entropy.cu"),
    kernels: &[
        "cross_entropy",
        "divergence",
        "weighted_sums",
        "squared_error",
        "balanced_cross_entropy",
    ],
    is_fused: false,
};

pub(super) static BILINEAR: Source = Source {
    name: "bilinear.cu",
    text: include_str!("kernels/bilinear.cu"),
    kernels: &["resize", "resize_backward"],
    is_fused: false,
};

pub(super) static DEPTHWISE: Source = Source {
    name: "depthwise.cu",
    text: include_str!("kernels/depthwise.cu"),
    kernels: &["depthwise", "depthwise_gradient"],
    is_fused: false,
};

pub(super) static SELECT: Source = Source {
    name: "select.cu",
    text: include_str!("kernels/select.cu"),
    kernels: &["hardest_rows"],
    is_fused: false,
};

pub(super) static OPTIMISER: Source = Source {
    name: "optimiser.cu",
    text: include_str!("kernels/optimiser.cu"),
    kernels: &["adam", "sgd"],
    is_fused: false,
};

pub(super) static MMD: Source = Source {
    name: "mmd.cu",
    text: include_str!("kernels/mmd.cu"),
    kernels: &["mmd_centres", "mmd_points", "mmd_pass", "mmd_values", "mmd_gradient"],
    is_fused: true,
};

pub(super) static CONTRASTIVE: Source = Source {
    name: "contrastive.cu",
    text: include_str!("kernels/contrastive.cu"),
    kernels: &[
        "contrastive_sums",
        "contrastive_stats",
        "contrastive_pulls",
        "contrastive_pulled",
        "contrastive_value",
        "contrastive_slopes",
        "contrastive_gradient",
    ],
    is_fused: true,
};
