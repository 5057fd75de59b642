//! What becomes of the sums of a product: the fused end of a layer.

use super::gemm_u8::BLOCK_COLUMNS;
use super::quantization::within;
use super::table_u8;

/// Adding and subtracting it rounds an f32 of at most 2^22 to the nearest whole number, ties to
/// even.
const ROUNDER: f32 = 12_582_912.0;
/// Ratios above this could overflow.
const MAX_RATIO: f32 = 1e30;

/// Where the rows of a matrix lie in a slice: row `m` starts at
/// `m / run * run_stride + m % run * stride`.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Elements from row to row of one run.
    pub stride: usize,
    /// Rows of a run; at least 1.
    pub run: usize,
    /// Elements from run to run.
    pub run_stride: usize,
}

impl Places {
    /// All rows `stride` apart.
    pub const fn uniform(stride: usize) -> Self {
        Places { stride, run: usize::MAX, run_stride: 0 }
    }

    /// Where a row starts.
    #[inline(always)]
    pub const fn start(&self, row: usize) -> usize {
        if row < self.run {
            return row.saturating_mul(self.stride);
        }
        let (Some(run), Some(place)) = (row.checked_div(self.run), row.checked_rem(self.run))
        else {
            return 0;
        };
        run.saturating_mul(self.run_stride).saturating_add(place.saturating_mul(self.stride))
    }

    /// Whether `rows` rows of `width` elements lie within `len`.
    pub fn fit(&self, len: usize, rows: usize, width: usize) -> bool {
        let Some(last) = rows.checked_sub(1) else { return true };
        // The furthest row is the last, or the last of the run before.
        let before = last.checked_rem(self.run).and_then(|place| last.checked_sub(place + 1));
        [Some(last), before].into_iter().flatten().all(|row| {
            let end = self.checked_start(row).and_then(|start| start.checked_add(width));
            end.is_some_and(|end| end <= len)
        })
    }

    fn checked_start(&self, row: usize) -> Option<usize> {
        let (run, place) = (row.checked_div(self.run)?, row.checked_rem(self.run)?);
        run.checked_mul(self.run_stride)?.checked_add(place.checked_mul(self.stride)?)
    }
}

/// Turns sums into u8: `clamp(rne(sum * scale[column]) + zero_point, low, high)`, then the table.
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// One per column, padded to a multiple of 16; positive and finite.
    pub scale: &'a [f32],
    /// Added last.
    pub zero_point: u8,
    /// Lowest result.
    pub low: u8,
    /// Highest result, at least `low`.
    pub high: u8,
    /// An activation as a look-up, applied to the clamped result.
    pub table: Option<&'a [u8; 256]>,
}

/// A second u8 map added to the requantised one:
/// `clamp(rne((q - zero_point_q) * ratio_q + (r - zero_point_r) * ratio_r) + zero_point)`, where
/// both products are rounded to f32, then their sum.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// The map `r`.
    pub data: &'a [u8],
    /// Where its rows lie.
    pub places: Places,
    /// Zero point of the requantised result `q`.
    pub zero_point_q: u8,
    /// Step of `q` over the step of the sum; below 1e30 in magnitude.
    pub ratio_q: f32,
    /// Zero point of `r`.
    pub zero_point_r: u8,
    /// Step of `r` over the step of the sum; below 1e30 in magnitude.
    pub ratio_r: f32,
    /// Zero point of the sum.
    pub zero_point: u8,
    /// Lowest sum.
    pub low: u8,
    /// Highest sum, at least `low`.
    pub high: u8,
}

/// Where the sums of a product go.
#[derive(Debug)]
pub enum GemmOut<'a> {
    /// Requantised.
    U8 {
        /// Written at `places`.
        data: &'a mut [u8],
        /// Where rows lie in `data`.
        places: Places,
        /// Applied to the sums.
        requantize: Requantize<'a>,
        /// Then added.
        residual: Option<Residual<'a>>,
    },
    /// As `sum * scale[column] + bias[column]`, both rounded to f32.
    F32 {
        /// Written at `places`.
        data: &'a mut [f32],
        /// Where rows lie in `data`.
        places: Places,
        /// One per column, padded to a multiple of 16.
        scale: &'a [f32],
        /// One per column, padded to a multiple of 16.
        bias: &'a [f32],
    },
    /// As they are.
    I32 {
        /// Written at `places`.
        data: &'a mut [i32],
        /// Where rows lie in `data`.
        places: Places,
    },
}

impl GemmOut<'_> {
    /// Whether `rows` rows of `columns` results fit and the fields agree.
    pub fn is_valid(&self, rows: usize, columns: usize) -> bool {
        let padded = columns.next_multiple_of(BLOCK_COLUMNS);
        match self {
            GemmOut::U8 { data, places, requantize, residual } => {
                places.fit(data.len(), rows, columns)
                    && requantize.scale.len() >= padded
                    && requantize.low <= requantize.high
                    && residual.as_ref().is_none_or(|residual| residual.is_valid(rows, columns))
            }
            GemmOut::F32 { data, places, scale, bias } => {
                places.fit(data.len(), rows, columns)
                    && scale.len() >= padded
                    && bias.len() >= padded
            }
            GemmOut::I32 { data, places } => places.fit(data.len(), rows, columns),
        }
    }

    /// Writes some sums of a row, from `column` on.
    pub fn write(&mut self, row: usize, column: usize, sums: &[i32]) {
        match self {
            GemmOut::U8 { data, places, requantize, residual } => {
                let start = places.start(row).saturating_add(column);
                let out = data.get_mut(start..).unwrap_or_default();
                requantize.apply(column, sums, out);
                if let Some(residual) = residual {
                    residual.add(row, column, out.get_mut(..sums.len()).unwrap_or_default());
                }
            }
            GemmOut::F32 { data, places, scale, bias } => {
                let start = places.start(row).saturating_add(column);
                let out = data.get_mut(start..).unwrap_or_default();
                let scale = scale.get(column..).unwrap_or_default();
                let bias = bias.get(column..).unwrap_or_default();
                for (((place, sum), scale), bias) in out.iter_mut().zip(sums).zip(scale).zip(bias) {
                    *place = *sum as f32 * scale + bias;
                }
            }
            GemmOut::I32 { data, places } => {
                let start = places.start(row).saturating_add(column);
                let out = data.get_mut(start..).unwrap_or_default();
                for (place, sum) in out.iter_mut().zip(sums) {
                    *place = *sum;
                }
            }
        }
    }
}

impl Requantize<'_> {
    fn apply(&self, column: usize, sums: &[i32], out: &mut [u8]) {
        let limits = Limits::new(self.zero_point, self.low, self.high);
        let scale = self.scale.get(column..).unwrap_or_default();
        for ((place, sum), scale) in out.iter_mut().zip(sums).zip(scale) {
            *place = limits.quantize(*sum as f32 * scale);
        }
        self.look_up(out.get_mut(..sums.len()).unwrap_or_default());
    }

    /// Applies the table, if there is one.
    pub(crate) fn look_up(&self, values: &mut [u8]) {
        let Some(table) = self.table else { return };
        for value in values {
            *value = table_u8::look_up(table, *value);
        }
    }
}

impl Residual<'_> {
    fn is_valid(&self, rows: usize, columns: usize) -> bool {
        self.places.fit(self.data.len(), rows, columns)
            && self.low <= self.high
            && self.ratio_q.abs() < MAX_RATIO
            && self.ratio_r.abs() < MAX_RATIO
    }

    /// Adds the bytes of a row from `column` on to results.
    pub(crate) fn add(&self, row: usize, column: usize, out: &mut [u8]) {
        let limits = Limits::new(self.zero_point, self.low, self.high);
        let start = self.places.start(row).saturating_add(column);
        let others = self.data.get(start..).unwrap_or_default();
        for (place, other) in out.iter_mut().zip(others) {
            let first = (f32::from(*place) - f32::from(self.zero_point_q)) * self.ratio_q;
            let second = (f32::from(*other) - f32::from(self.zero_point_r)) * self.ratio_r;
            *place = limits.quantize(first + second);
        }
    }
}

/// Limits relative to a zero point.
struct Limits {
    low: f32,
    high: f32,
    zero_point: f32,
}

impl Limits {
    fn new(zero_point: u8, low: u8, high: u8) -> Self {
        let zero_point = f32::from(zero_point);
        Limits { low: f32::from(low) - zero_point, high: f32::from(high) - zero_point, zero_point }
    }

    #[inline(always)]
    fn quantize(&self, value: f32) -> u8 {
        let rounded = within(value, self.low, self.high) + ROUNDER - ROUNDER;
        (rounded + self.zero_point) as u8
    }
}
