//! The fused end of a layer, AVX-512: sums of a tile to u8, f32 or int32.

use crate::math::network::gemm_out::{GemmOut, Places, Requantize, Residual};
use crate::math::network::gemm_u8::{BLOCK_COLUMNS, GemmU8};
use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ptr::null;

/// Columns of a tile of sums, and distance between its rows.
pub const TILE_COLUMNS: usize = 32;

/// Rows and columns of the result that a tile of sums covers.
#[derive(Clone, Copy)]
pub struct Part {
    pub row: usize,
    pub rows: usize,
    pub column: usize,
    /// At most [`TILE_COLUMNS`].
    pub columns: usize,
}

/// A [`GemmOut`] whose lengths were checked.
pub struct Target<'a> {
    kind: Kind<'a>,
    /// Null for none.
    row_bias: *const i32,
}

enum Kind<'a> {
    U8 { data: *mut u8, places: Places, requantize: Requantize<'a>, residual: Option<Residual<'a>> },
    F32 { data: *mut f32, places: Places, scale: *const f32, bias: *const f32 },
    I32 { data: *mut i32, places: Places },
}

impl<'a> Target<'a> {
    /// None unless the product and its target are valid.
    pub fn new(gemm: &GemmU8<'_>, out: &'a mut GemmOut<'_>) -> Option<Self> {
        if !gemm.is_valid() || !out.is_valid(gemm.left.rows, gemm.right.columns) {
            return None;
        }
        let row_bias = if gemm.row_bias.is_empty() { null() } else { gemm.row_bias.as_ptr() };
        let kind = match out {
            GemmOut::U8 { data, places, requantize, residual } => Kind::U8 {
                data: data.as_mut_ptr(),
                places: *places,
                requantize: *requantize,
                residual: *residual,
            },
            GemmOut::F32 { data, places, scale, bias } => Kind::F32 {
                data: data.as_mut_ptr(),
                places: *places,
                scale: scale.as_ptr(),
                bias: bias.as_ptr(),
            },
            GemmOut::I32 { data, places } => Kind::I32 { data: data.as_mut_ptr(), places: *places },
        };
        Some(Target { kind, row_bias })
    }

    /// Writes a tile of sums (bias included).
    ///
    /// # Safety
    /// AVX-512 F, BW, VL and VBMI; `part` lies within the result that `new` checked; `sums` has
    /// `part.rows * TILE_COLUMNS` values, at most 32 rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    pub unsafe fn finish(&self, part: Part, sums: *mut i32) {
        // SAFETY: the caller's promises are those of each.
        unsafe {
            if !self.row_bias.is_null() {
                add_row_bias(self.row_bias.add(part.row), part, sums);
            }
            match &self.kind {
                Kind::U8 { data, places, requantize, residual: None } => {
                    for_runs(places, part, |part, start, done| {
                        let rows = Rows { data: data.add(start), stride: places.stride };
                        finish_u8(requantize, part, sums.add(done * TILE_COLUMNS), rows);
                    });
                }
                Kind::U8 { data, places, requantize, residual: Some(residual) } => {
                    let mut bytes = MaybeUninit::<[u8; MAX_ROWS * TILE_COLUMNS]>::uninit();
                    let bytes = bytes.as_mut_ptr().cast::<u8>();
                    let rows = Rows { data: bytes, stride: TILE_COLUMNS };
                    finish_u8(requantize, part, sums, rows);
                    for_runs(places, part, |part, start, done| {
                        let rows = Rows { data: data.add(start), stride: places.stride };
                        let bytes = bytes.add(done * TILE_COLUMNS);
                        add_residual(residual, part, bytes, rows);
                    });
                }
                Kind::F32 { data, places, scale, bias } => {
                    let table = (scale.add(part.column), bias.add(part.column));
                    for_runs(places, part, |part, start, done| {
                        let rows = Rows { data: data.add(start), stride: places.stride };
                        finish_f32(table, part, sums.add(done * TILE_COLUMNS), rows);
                    });
                }
                Kind::I32 { data, places } => for_runs(places, part, |part, start, done| {
                    let rows = Rows { data: data.add(start), stride: places.stride };
                    finish_i32(part, sums.add(done * TILE_COLUMNS), rows);
                }),
            }
        }
    }
}

impl Target<'_> {
    /// The requantisation of a part, to be done piece by piece; none where `finish` has more to do.
    ///
    /// # Safety
    /// As for [`Target::finish`]; `TABLE` as [`Target::has_table`] says, `WIDE` as the columns say.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    pub unsafe fn requantizer<const TABLE: bool, const WIDE: bool>(
        &self,
        part: Part,
        sums: *const i32,
    ) -> Option<Requantizer<TABLE, WIDE>> {
        let Kind::U8 { data, places, requantize, residual: None } = &self.kind else { return None };
        let run = if part.row < places.run { 0 } else { part.row / places.run.max(1) };
        let one_run = part.row + part.rows - run * places.run <= places.run;
        if !self.row_bias.is_null() || !one_run {
            return None;
        }
        // SAFETY: the part lies within the result; all its rows are in one run.
        unsafe {
            let data = data.add(places.start(part.row) + part.column);
            let rows = Rows { data, stride: places.stride };
            Some(Requantizer::new(requantize, part, sums, rows))
        }
    }

    /// Whether results are looked up in a table.
    pub fn has_table(&self) -> bool {
        matches!(&self.kind, Kind::U8 { requantize, .. } if requantize.table.is_some())
    }
}

/// Most rows of a part.
const MAX_ROWS: usize = 32;

/// Rows at one distance.
#[derive(Clone, Copy)]
struct Rows<T> {
    data: *mut T,
    stride: usize,
}

/// Calls `run` for each run of rows of a part: the run's part, where it starts in the result, and
/// how many rows came before.
#[inline(always)]
fn for_runs(places: &Places, part: Part, mut run: impl FnMut(Part, usize, usize)) {
    let mut done = 0;
    while done < part.rows {
        let row = part.row + done;
        let before = if row < places.run { row } else { row % places.run.max(1) };
        let rows = (part.rows - done).min(places.run - before);
        run(Part { row, rows, ..part }, places.start(row) + part.column, done);
        done += rows;
    }
}

/// The lanes of a vector of `lanes` that lie before `columns`.
#[inline(always)]
fn mask(columns: usize, lanes: usize) -> u64 {
    if columns >= lanes { u64::MAX >> (64 - lanes) } else { (1 << columns) - 1 }
}

/// Adds one value to all sums of a row.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add_row_bias(row_bias: *const i32, part: Part, sums: *mut i32) {
    for row in 0..part.rows {
        for column in (0..part.columns).step_by(16) {
            // SAFETY: the caller gives a bias for each row and sums of whole blocks of columns.
            unsafe {
                let sums = sums.add(row * TILE_COLUMNS + column);
                let bias = _mm512_set1_epi32(*row_bias.add(row));
                let total = _mm512_add_epi32(_mm512_loadu_si512(sums.cast()), bias);
                _mm512_storeu_si512(sums.cast(), total);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn finish_u8(requantize: &Requantize<'_>, part: Part, sums: *const i32, rows: Rows<u8>) {
    let wide = part.columns > TILE_COLUMNS / 2;
    // SAFETY: the caller's promises.
    unsafe {
        match (requantize.table, wide) {
            (None, true) => Requantizer::<false, true>::new(requantize, part, sums, rows).rest(),
            (None, false) => Requantizer::<false, false>::new(requantize, part, sums, rows).rest(),
            (Some(_), true) => Requantizer::<true, true>::new(requantize, part, sums, rows).rest(),
            (Some(_), false) => {
                Requantizer::<true, false>::new(requantize, part, sums, rows).rest()
            }
        }
    }
}

/// Requantises a tile of sums piece by piece: with 17 to 32 columns (`WIDE`) two rows at a time,
/// else four. `TABLE`: whether there is one.
pub struct Requantizer<const TABLE: bool, const WIDE: bool> {
    scales: [__m512; 2],
    high: __m512,
    zero_points: __m512i,
    low: __m512i,
    order: __m512i,
    table: [__m512i; 4],
    columns: u32,
    sums: *const i32,
    rows: Rows<u8>,
    row: usize,
    end: usize,
}

impl<const TABLE: bool, const WIDE: bool> Requantizer<TABLE, WIDE> {
    /// Rows of a piece.
    pub const ROWS: usize = if WIDE { 2 } else { 4 };

    /// # Safety
    /// `rows` are the part's rows in the result, `sums` its sums, `WIDE` as its columns say;
    /// scales are padded to 16 columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    unsafe fn new(
        requantize: &Requantize<'_>,
        part: Part,
        sums: *const i32,
        rows: Rows<u8>,
    ) -> Self {
        let zero_point = i32::from(requantize.zero_point);
        // SAFETY: the caller's promises.
        let scales = unsafe {
            let scale = requantize.scale.as_ptr().add(part.column);
            let second = if WIDE { scale.add(BLOCK_COLUMNS) } else { scale };
            [_mm512_loadu_ps(scale), _mm512_loadu_ps(second)]
        };
        Requantizer {
            scales,
            high: _mm512_set1_ps((i32::from(requantize.high) - zero_point) as f32),
            zero_points: _mm512_set1_epi16(zero_point as i16),
            low: _mm512_set1_epi8(requantize.low.cast_signed()),
            order: _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
            table: load_table(requantize.table.unwrap_or(&[0; 256])),
            columns: mask(part.columns, TILE_COLUMNS) as u32,
            sums,
            rows,
            row: 0,
            end: part.rows,
        }
    }

    /// Sums of two vectors as 16-bit numbers, still to be limited.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    unsafe fn scale(&self, sums: [*const i32; 2]) -> __m512i {
        let scaled = |sums: *const i32, scale: __m512| {
            // SAFETY: the caller gives two vectors of the tile.
            let sums = unsafe { _mm512_loadu_si512(sums.cast()) };
            let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale);
            _mm512_cvtps_epi32(_mm512_min_ps(value, self.high))
        };
        let ([first_sums, second_sums], [first_scale, second_scale]) = (sums, self.scales);
        let (first, second) = (scaled(first_sums, first_scale), scaled(second_sums, second_scale));
        _mm512_adds_epi16(_mm512_packs_epi32(first, second), self.zero_points)
    }

    /// Bytes of four vectors, in their order. In lanes of 128 bits, packing leaves them
    /// interleaved by four; one permutation sorts them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    fn bytes(&self, first: __m512i, second: __m512i) -> __m512i {
        let mixed = _mm512_packus_epi16(first, second);
        let bytes = _mm512_max_epu8(_mm512_permutexvar_epi32(self.order, mixed), self.low);
        if TABLE { look_up(&self.table, bytes) } else { bytes }
    }

    /// The next piece, if any is left.
    ///
    /// # Safety
    /// The processor features; what `new` was given still holds.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    pub unsafe fn next(&mut self) {
        if self.row >= self.end {
            return;
        }
        // SAFETY: rows behind the last read its sums again; stores are masked to the columns.
        unsafe {
            let to = self.rows.data.add(self.row * self.rows.stride);
            if WIDE {
                let bytes = self.wide_bytes();
                self.store_half(to, _mm512_castsi512_si256(bytes));
                if self.row + 1 < self.end {
                    let second = _mm512_extracti64x4_epi64::<1>(bytes);
                    self.store_half(to.add(self.rows.stride), second);
                }
            } else {
                self.narrow_rows(to);
            }
        }
        self.row += Self::ROWS;
    }

    /// Bytes of two rows of 32 columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    unsafe fn wide_bytes(&self) -> __m512i {
        // SAFETY: both rows are in the tile.
        unsafe {
            let first = self.sums.add(self.row * TILE_COLUMNS);
            let next = if self.row + 1 < self.end { TILE_COLUMNS } else { 0 };
            let second = first.add(next);
            let first = self.scale([first, first.add(BLOCK_COLUMNS)]);
            self.bytes(first, self.scale([second, second.add(BLOCK_COLUMNS)]))
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    unsafe fn store_half(&self, to: *mut u8, bytes: __m256i) {
        // SAFETY: the caller gives a row of the result; the store is masked to its columns.
        unsafe {
            if self.columns == u32::MAX {
                _mm256_storeu_si256(to.cast(), bytes);
            } else {
                _mm256_mask_storeu_epi8(to.cast(), self.columns, bytes);
            }
        }
    }

    /// Four rows of up to 16 columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    unsafe fn narrow_rows(&self, to: *mut u8) {
        // SAFETY: rows behind the last read its sums again; stores are masked to the columns.
        unsafe {
            let last = self.end - 1;
            let sums = |row: usize| self.sums.add((self.row + row).min(last) * TILE_COLUMNS);
            let first = self.scale([sums(0), sums(1)]);
            let bytes = self.bytes(first, self.scale([sums(2), sums(3)]));
            let quarters = [
                _mm512_castsi512_si128(bytes),
                _mm512_extracti32x4_epi32::<1>(bytes),
                _mm512_extracti32x4_epi32::<2>(bytes),
                _mm512_extracti32x4_epi32::<3>(bytes),
            ];
            for (row, bytes) in (0..self.end - self.row).zip(quarters) {
                let to = to.add(row * self.rows.stride);
                _mm_mask_storeu_epi8(to.cast(), self.columns as __mmask16, bytes);
            }
        }
    }

    /// All pieces that are left.
    ///
    /// # Safety
    /// As for [`Requantizer::next`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    pub unsafe fn rest(mut self) {
        while self.row < self.end {
            // SAFETY: the caller's promises.
            unsafe { self.next() };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_table(table: &[u8; 256]) -> [__m512i; 4] {
    // SAFETY: the table has four times 64 bytes.
    [0, 64, 128, 192].map(|at| unsafe { _mm512_loadu_si512(table.as_ptr().add(at).cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up(table: &[__m512i; 4], bytes: __m512i) -> __m512i {
    let low = _mm512_permutex2var_epi8(table[0], bytes, table[1]);
    let high = _mm512_permutex2var_epi8(table[2], bytes, table[3]);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high)
}

/// Adds a residual to requantised rows, [`TILE_COLUMNS`] apart at `bytes`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn add_residual(residual: &Residual<'_>, part: Part, bytes: *const u8, rows: Rows<u8>) {
    let splat = |zero_point: u8| _mm512_set1_epi32(i32::from(zero_point));
    let (zero_point_q, zero_point_r) = (splat(residual.zero_point_q), splat(residual.zero_point_r));
    let ratio_q = _mm512_set1_ps(residual.ratio_q);
    let ratio_r = _mm512_set1_ps(residual.ratio_r);
    let limit =
        |limit: u8| _mm512_set1_ps((i32::from(limit) - i32::from(residual.zero_point)) as f32);
    let (low, high) = (limit(residual.low), limit(residual.high));
    let zero_point = splat(residual.zero_point);
    for row in 0..part.rows {
        let start = residual.places.start(part.row + row) + part.column;
        let mut column = 0;
        while column < part.columns {
            let columns = mask(part.columns - column, 16) as __mmask16;
            // SAFETY: loads and stores are masked to the columns of the result, which `new` found
            // inside both maps; `bytes` has TILE_COLUMNS bytes per row.
            unsafe {
                let q =
                    _mm_maskz_loadu_epi8(columns, bytes.add(row * TILE_COLUMNS + column).cast());
                let r = residual.data.as_ptr().add(start + column);
                let r = _mm_maskz_loadu_epi8(columns, r.cast());
                let q = _mm512_sub_epi32(_mm512_cvtepu8_epi32(q), zero_point_q);
                let r = _mm512_sub_epi32(_mm512_cvtepu8_epi32(r), zero_point_r);
                let q = _mm512_mul_ps(_mm512_cvtepi32_ps(q), ratio_q);
                let r = _mm512_mul_ps(_mm512_cvtepi32_ps(r), ratio_r);
                let sum = _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(q, r), low), high);
                let sum = _mm512_add_epi32(_mm512_cvtps_epi32(sum), zero_point);
                let to = rows.data.add(row * rows.stride + column);
                _mm_mask_storeu_epi8(to.cast(), columns, _mm512_cvtepi32_epi8(sum));
            }
            column += 16;
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn finish_f32(
    (scale, bias): (*const f32, *const f32),
    part: Part,
    sums: *const i32,
    rows: Rows<f32>,
) {
    for row in 0..part.rows {
        let mut column = 0;
        while column < part.columns {
            let columns = mask(part.columns - column, 16) as __mmask16;
            // SAFETY: scale and bias are padded to 16 columns, the store is masked to those of
            // the result.
            unsafe {
                let sums = sums.add(row * TILE_COLUMNS + column);
                let value = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums.cast()));
                let value = _mm512_mul_ps(value, _mm512_loadu_ps(scale.add(column)));
                let value = _mm512_add_ps(value, _mm512_loadu_ps(bias.add(column)));
                _mm512_mask_storeu_ps(rows.data.add(row * rows.stride + column), columns, value);
            }
            column += 16;
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn finish_i32(part: Part, sums: *const i32, rows: Rows<i32>) {
    for row in 0..part.rows {
        let mut column = 0;
        while column < part.columns {
            let columns = mask(part.columns - column, 16) as __mmask16;
            // SAFETY: the store is masked to the columns of the result.
            unsafe {
                let sums = sums.add(row * TILE_COLUMNS + column);
                let sums = _mm512_loadu_si512(sums.cast());
                _mm512_mask_storeu_epi32(rows.data.add(row * rows.stride + column), columns, sums);
            }
            column += 16;
        }
    }
}
