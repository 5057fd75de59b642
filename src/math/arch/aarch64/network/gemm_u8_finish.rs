//! The fused end of a layer: sums of some rows and up to 16 columns to u8, f32 or int32.

use super::lanes::{Bytes128, Floats128};
use crate::math::network::gemm_out::{GemmOut, Requantize, Residual};
use crate::math::network::gemm_u8::BLOCK_COLUMNS;
use crate::math::network::quantization::QuantizedRange;
use crate::math::network::vector::{ByteLanes, FloatLanes, SPREAD};
use core::arch::aarch64::*;

/// Writes sums of rows from `row` on: of each `columns` columns from `column` on.
#[inline]
pub fn finish(
    out: &mut GemmOut<'_>,
    row: usize,
    [column, columns]: [usize; 2],
    sums: &[[i32; BLOCK_COLUMNS]],
) {
    let GemmOut::U8 { data, places, requantize, residual } = out else {
        for (row, sums) in (row..).zip(sums) {
            out.write(row, column, sums.get(..columns).unwrap_or_default());
        }
        return;
    };
    let Some(requantizer) = Requantizer::new(requantize, column) else { return };
    let addition = residual.as_ref().map(Addition::new);
    for (row, sums) in (row..).zip(sums) {
        let mut bytes = requantizer.bytes(sums);
        if let Some(addition) = &addition {
            bytes = addition.add(bytes, row, [column, columns]);
        }
        let start = places.start(row).saturating_add(column);
        let places = data.get_mut(start..).and_then(|data| data.get_mut(..columns));
        let Some(places) = places else { return };
        match columns {
            BLOCK_COLUMNS => bytes.store(places),
            _ => bytes.store_part(places),
        }
    }
}

/// A [`Requantize`] of 16 columns.
struct Requantizer {
    scales: [Floats128; 4],
    range: <Bytes128 as ByteLanes>::Range,
    table: Option<<Bytes128 as ByteLanes>::Table>,
}

impl Requantizer {
    #[inline(always)]
    fn new(requantize: &Requantize<'_>, column: usize) -> Option<Self> {
        let scales = requantize.scale.get(column..)?.first_chunk::<BLOCK_COLUMNS>()?;
        let mut vectors = [Floats128::splat(0.0); 4];
        for (vector, scales) in vectors.iter_mut().zip(scales.as_chunks::<4>().0) {
            *vector = Floats128::load(scales);
        }
        let Requantize { zero_point, low, high, .. } = *requantize;
        Some(Requantizer {
            scales: vectors,
            range: Bytes128::range(QuantizedRange { zero_point, low, high }),
            table: requantize.table.map(Bytes128::table),
        })
    }

    #[inline(always)]
    fn bytes(&self, sums: &[i32; BLOCK_COLUMNS]) -> Bytes128 {
        let mut steps = self.scales;
        for (step, sums) in steps.iter_mut().zip(sums.as_chunks::<4>().0) {
            // SAFETY: four values are readable.
            let sums = Floats128(unsafe { vcvtq_f32_s32(vld1q_s32(sums.as_ptr())) });
            *step = sums.mul(*step);
        }
        let bytes = Bytes128::quantize(steps, &self.range);
        match &self.table {
            Some(table) => bytes.look_up(table),
            None => bytes,
        }
    }
}

/// A [`Residual`] in vectors.
struct Addition<'a> {
    residual: &'a Residual<'a>,
    /// Plus [`SPREAD`]: the difference is exact.
    zero_points: [Floats128; 2],
    ratios: [Floats128; 2],
    range: <Bytes128 as ByteLanes>::Range,
}

impl<'a> Addition<'a> {
    #[inline(always)]
    fn new(residual: &'a Residual<'a>) -> Self {
        let Residual { zero_point, low, high, .. } = *residual;
        let zero_points = [residual.zero_point_q, residual.zero_point_r];
        Addition {
            residual,
            zero_points: zero_points.map(|zero| Floats128::splat(SPREAD + f32::from(zero))),
            ratios: [residual.ratio_q, residual.ratio_r].map(Floats128::splat),
            range: Bytes128::range(QuantizedRange { zero_point, low, high }),
        }
    }

    /// Requantised bytes plus those of a row of the residual.
    #[inline(always)]
    fn add(&self, bytes: Bytes128, row: usize, [column, columns]: [usize; 2]) -> Bytes128 {
        let start = self.residual.places.start(row).saturating_add(column);
        let others = self.residual.data.get(start..).and_then(|data| data.get(..columns));
        let others = match others.unwrap_or_default() {
            others if columns == BLOCK_COLUMNS => Bytes128::load(others),
            others => Bytes128::load_part(others),
        };
        let ([zero_q, zero_r], [ratio_q, ratio_r]) = (self.zero_points, self.ratios);
        let mut steps = bytes.spread();
        for (step, other) in steps.iter_mut().zip(others.spread()) {
            *step = step.sub(zero_q).mul(ratio_q).add(other.sub(zero_r).mul(ratio_r));
        }
        Bytes128::gather(steps, &self.range)
    }
}
