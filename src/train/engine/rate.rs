//! Learning rates by step (methods.md 1.6).

use std::f64::consts::PI;

/// `base * (1 - step / total)^power`; 0 from step `total` on.
pub fn poly_rate(base: f64, step: u64, total: u64, power: f64) -> f64 {
    if step >= total {
        return 0.0;
    }
    base * libm::pow(1.0 - step as f64 / total as f64, power)
}

/// `base * (1 + cos(pi * step / total)) / 2`; 0 from step `total` on.
pub fn cosine_rate(base: f64, step: u64, total: u64) -> f64 {
    if step >= total {
        return 0.0;
    }
    0.5 * base * (1.0 + libm::cos(PI * step as f64 / total as f64))
}
