//! Products of two activations, and attention.

use super::site::{
    Site, check_addresses, check_floats, check_ratio, has_element, invalid, unsupported,
};
use super::work::{Work, carve};
use crate::math::network::activation_f32::Epilogue;
use crate::math::network::attention_f32::{
    Attention, Tokens, attention_f32, attention_f32_scratch_len, pack_gemm_dynamic_f32,
    pack_gemm_dynamic_transposed_f32,
};
use crate::math::network::gemm_dynamic_u8::DynamicU8;
use crate::math::network::gemm_f32::{Product, Weights, gemm_f32, packed_len};
use crate::math::network::gemm_out::{GemmOut, Places, Requantize};
use crate::math::network::gemm_pack::packed_gemm_i8_len;
use crate::math::network::gemm_u8::{
    BLOCK_COLUMNS, DEPTH_STEP, GemmU8, PackedI8, RowsU8, TILE_DEPTH,
};
use crate::math::network::kernels::NetworkKernels;
use crate::math::network::kernels_f32;
use crate::math::network::view::View;
use crate::plan::step::{MatrixStrides, Operation};
use crate::plan::tensor::{Element, Tensor};
use crate::status::Result;

/// The fields of [`Operation::MatrixProduct`].
#[derive(Clone, Copy)]
struct Fields {
    batch: usize,
    rows: usize,
    depth: usize,
    columns: usize,
    left: MatrixStrides,
    right: MatrixStrides,
    output: MatrixStrides,
    factor: f32,
}

impl Fields {
    fn of(operation: &Operation) -> Option<Fields> {
        let Operation::MatrixProduct { batch, rows, depth, columns, left, right, output, factor } =
            *operation
        else {
            return None;
        };
        let [batch, rows, depth, columns] = [batch, rows, depth, columns].map(|side| side as usize);
        Some(Fields { batch, rows, depth, columns, left, right, output, factor })
    }

    /// Whether a column of the right operand lies in one piece, not a row.
    fn by_column(&self) -> bool {
        self.right.column != 1
    }

    fn right_stride(&self) -> usize {
        let MatrixStrides { row, column, .. } = self.right;
        if self.by_column() { column as usize } else { row as usize }
    }

    fn padded_columns(&self) -> usize {
        self.columns.next_multiple_of(BLOCK_COLUMNS)
    }

    fn padded_depth(&self) -> usize {
        self.depth.next_multiple_of(TILE_DEPTH)
    }

    /// Bytes of working memory: the right operand packed and, in integers, numbers per column and
    /// per row.
    fn scratch_bytes(&self, element: Element) -> usize {
        if element == Element::F32 {
            return packed_len(self.columns, self.depth).saturating_mul(size_of::<f32>());
        }
        let per_column = self.padded_columns().saturating_mul(3 * size_of::<f32>());
        let per_row = self.rows.saturating_mul(size_of::<i32>()).next_multiple_of(64);
        let packed = packed_gemm_i8_len(self.columns, self.padded_depth());
        per_column.saturating_add(per_row).saturating_add(packed)
    }
}

/// Bytes of working memory.
pub fn scratch_bytes(operation: &Operation, inputs: [Option<&Tensor>; 3]) -> usize {
    let [Some(first), second, _] = inputs else { return 0 };
    if let Operation::Attention { head_channels, .. } = *operation {
        let keys = second.map_or(0, |keys| keys.pixels() as usize);
        let depth = head_channels as usize;
        let len = attention_f32_scratch_len(keys, depth, depth);
        return len.saturating_mul(size_of::<f32>());
    }
    Fields::of(operation).map_or(0, |fields| fields.scratch_bytes(first.element))
}

/// Checks MatrixProduct.
pub fn check(site: &Site<'_>) -> Result<()> {
    let Some(fields) = Fields::of(&site.operation) else { return Ok(()) };
    let [left, right] = site.inputs()?;
    let output = site.output();
    let Fields { batch, rows, depth, columns, .. } = fields;
    let sides = [batch, rows, depth, columns];
    if sides.contains(&0) {
        return Err(invalid("side of a product").numbers(0, 1));
    }
    let values = [batch, rows, columns]
        .iter()
        .try_fold(1u64, |values, side| values.checked_mul(*side as u64));
    if values != Some(output.values()) {
        let error = invalid("sides of a product");
        return Err(error.numbers(values.unwrap_or(u64::MAX), output.values()));
    }
    let right_runs = fields.right.column == 1 || fields.right.row == 1;
    if fields.left.column != 1 || fields.output.column != 1 || !right_runs {
        return Err(unsupported("strides of a product"));
    }
    check_reach([batch, rows, depth], &fields.left, left)?;
    check_reach([batch, depth, columns], &fields.right, right)?;
    check_reach([batch, rows, columns], &fields.output, output)?;
    if (fields.output.row as usize) < columns {
        return Err(invalid("rows of a product overlap"));
    }
    has_element(right, left.element)?;
    site.check_constants(&[])?;
    if left.element == Element::U8 {
        let scale = left.scale * right.scale * fields.factor;
        check_ratio(if output.element == Element::U8 { scale / output.scale } else { scale })?;
    } else {
        check_floats()?;
        has_element(output, Element::F32)?;
        check_addresses(site)?;
    }
    site.check_scratch(fields.scratch_bytes(left.element))
}

/// Checks that a batch of matrices lies inside a tensor.
fn check_reach(sides: [usize; 3], strides: &MatrixStrides, tensor: &Tensor) -> Result<()> {
    let steps = [strides.batch, strides.row, strides.column];
    let last = sides.into_iter().zip(steps).try_fold(0u64, |last, (side, step)| {
        last.checked_add((side as u64).checked_sub(1)?.checked_mul(step.into())?)
    });
    match last {
        Some(last) if last < tensor.extent() => Ok(()),
        _ => {
            let error = invalid("a product reaches beyond its tensors");
            Err(error.numbers(last.unwrap_or(u64::MAX), tensor.extent()))
        }
    }
}

/// Makes products `rows` of the batch.
pub fn run(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    let fields = Fields::of(&site.operation)?;
    let [left, right] = site.inputs().ok()?;
    if left.element == Element::F32 {
        return run_f32(site, work, &fields);
    }
    let mut operands = Operands::of(site, &mut work, &fields)?;
    let output = site.output();
    let zero_point = output.zero_point;
    let places = Places::uniform(fields.output.row as usize);
    let scale_of_sums = left.scale * right.scale * fields.factor;
    if output.element == Element::F32 {
        operands.scale.fill(scale_of_sums);
        let map = work.output::<f32>(site)?;
        return work.rows.clone().try_for_each(|index| {
            let first = index.checked_mul(fields.output.batch as usize)?;
            let data = map.data.get_mut(first..)?;
            operands.multiply(work.kernels, &fields, index, |scale, bias| GemmOut::F32 {
                data,
                places,
                scale,
                bias,
            })
        });
    }
    operands.scale.fill(scale_of_sums / output.scale);
    let map = work.output::<u8>(site)?;
    work.rows.clone().try_for_each(|index| {
        let first = index.checked_mul(fields.output.batch as usize)?;
        let data = map.data.get_mut(first..)?;
        operands.multiply(work.kernels, &fields, index, |scale, _| GemmOut::U8 {
            data,
            places,
            requantize: Requantize { scale, zero_point, low: u8::MIN, high: u8::MAX, table: None },
            residual: None,
        })
    })
}

/// The operands of a product in integers, and working memory.
struct Operands<'w> {
    left: View<'w, u8>,
    right: View<'w, u8>,
    /// Of the left and the right operand.
    zero_points: [u8; 2],
    /// What becomes of the sums, per column.
    scale: &'w mut [f32],
    zeros: &'w mut [f32],
    bias: &'w mut [i32],
    row_bias: &'w mut [i32],
    packed: &'w mut [i8],
}

impl<'w> Operands<'w> {
    fn of(site: &Site<'_>, work: &mut Work<'w>, fields: &Fields) -> Option<Operands<'w>> {
        let [left, right] = site.inputs().ok()?;
        let rest = &mut work.scratch::<u8>()?;
        let columns = fields.padded_columns();
        let operands = Operands {
            left: work.input(site, 0)?,
            right: work.input(site, 1)?,
            zero_points: [left.zero_point, right.zero_point],
            scale: carve(rest, columns)?,
            zeros: carve(rest, columns)?,
            bias: carve(rest, columns)?,
            row_bias: carve(rest, fields.rows)?,
            packed: carve(rest, packed_gemm_i8_len(fields.columns, fields.padded_depth()))?,
        };
        operands.zeros.fill(0.0);
        Some(operands)
    }

    /// Product `index` of the batch, into what `out` makes of the scales and of zeros.
    fn multiply<'o>(
        &'o mut self,
        kernels: &NetworkKernels,
        fields: &Fields,
        index: usize,
        out: impl FnOnce(&'o [f32], &'o [f32]) -> GemmOut<'o>,
    ) -> Option<()> {
        let start = |strides: &MatrixStrides| index.checked_mul(strides.batch as usize);
        let [left_zero_point, zero_point] = self.zero_points;
        let left = RowsU8 {
            data: self.left.data.get(start(&fields.left)?..)?,
            stride: fields.left.row as usize,
            rows: fields.rows,
        };
        let right = DynamicU8 {
            data: self.right.data.get(start(&fields.right)?..)?,
            stride: fields.right_stride(),
            by_column: fields.by_column(),
            columns: fields.columns,
            depth: fields.depth,
            zero_point,
            left_zero_point,
        };
        let depth_padded = fields.padded_depth();
        let packs = (kernels.pack_dynamic_u8)(&right, depth_padded, self.packed, self.bias)
            && (kernels.row_bias_u8)(&left, fields.depth, zero_point, self.row_bias);
        let depth = fields.depth.next_multiple_of(DEPTH_STEP);
        let whole = 0..depth;
        let gemm = GemmU8 {
            left,
            right: PackedI8 { data: self.packed, columns: fields.columns, depth, depth_padded },
            bias: self.bias,
            row_bias: self.row_bias,
            segments: core::slice::from_ref(&whole),
        };
        (packs && (kernels.gemm_u8)(&gemm, &mut out(self.scale, self.zeros))).then_some(())
    }
}

fn run_f32(site: &Site<'_>, mut work: Work<'_>, fields: &Fields) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let packed = work.scratch::<f32>()?;
    let (a, b) = (work.input::<f32>(site, 0)?, work.input::<f32>(site, 1)?);
    let output = work.output::<f32>(site)?;
    let (columns, depth, stride) = (fields.columns, fields.depth, fields.right_stride());
    for index in work.rows {
        let start = |strides: &MatrixStrides| index.checked_mul(strides.batch as usize);
        let right = b.data.get(start(&fields.right)?..)?;
        let packs = match fields.by_column() {
            true => pack_gemm_dynamic_transposed_f32(right, stride, columns, depth, packed),
            false => pack_gemm_dynamic_f32(right, stride, columns, depth, packed),
        };
        let product = Product {
            left: a.data.get(start(&fields.left)?..)?,
            zeros: &[],
            rows: fields.rows,
            depth,
            columns,
            weights: Weights::F32(packed),
            epilogue: Epilogue { scale: fields.factor, ..Epilogue::NONE },
        };
        let out = output.data.get_mut(start(&fields.output)?..)?;
        let (left_stride, out_stride) = (fields.left.row as usize, fields.output.row as usize);
        let kernel = &work.kernels.floats.tile;
        if !packs || !gemm_f32(kernel, &product, left_stride, out, out_stride) {
            return None;
        }
    }
    Some(())
}

/// Checks Attention.
pub fn check_attention(site: &Site<'_>) -> Result<()> {
    let Operation::Attention { heads, head_channels, .. } = site.operation else { return Ok(()) };
    check_floats()?;
    let [queries, keys, values] = site.inputs()?;
    let output = site.output();
    let channels = u64::from(heads) * u64::from(head_channels);
    for tensor in [queries, keys, values, output] {
        has_element(tensor, Element::F32)?;
        if u64::from(tensor.channels) != channels {
            return Err(invalid("channels of heads").numbers(tensor.channels.into(), channels));
        }
    }
    for (found, want) in [(values.pixels(), keys.pixels()), (output.pixels(), queries.pixels())] {
        if found != want {
            return Err(invalid("tokens of an attention").numbers(found, want));
        }
    }
    check_addresses(site)?;
    site.check_constants(&[])?;
    site.check_scratch(scratch_bytes(&site.operation, [Some(queries), Some(keys), None]))
}

/// Makes heads `rows` of the output.
pub fn run_attention(site: &Site<'_>, mut work: Work<'_>) -> Option<()> {
    if !kernels_f32::ARE_BUILT {
        return None;
    }
    let Operation::Attention { head_channels, factor, .. } = site.operation else { return None };
    let [queries, keys, _] = site.inputs().ok()?;
    let depth = head_channels as usize;
    let first = work.rows.start.checked_mul(depth)?;
    let tokens = |index: usize| {
        let map = work.input::<f32>(site, index)?;
        let data = map.data.get(first..)?;
        Some(Tokens { data, stride: map.pixel_stride, head_stride: depth })
    };
    let attention = Attention {
        queries: tokens(0)?,
        keys: tokens(1)?,
        values: tokens(2)?,
        query_count: queries.pixels() as usize,
        key_count: keys.pixels() as usize,
        heads: work.rows.len(),
        depth,
        value_depth: depth,
        scale: factor,
    };
    let scratch = work.scratch::<f32>()?;
    let output = work.output::<f32>(site)?;
    let out = output.data.get_mut(first..)?;
    attention_f32(work.kernels.floats, &attention, out, output.pixel_stride, scratch).then_some(())
}
