//! Pools and resizing: operators of the two axes in space.

use super::Lowering;
use super::place::{Placed, dims};
use crate::compile::graph::{Op, ValueId, Window};
use crate::plan::{CoordinateMode, Interpolation, Nearest};
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::cnn::{MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_core::ops::nn::DataFormat;
use tract_core::ops::nn::resize::{
    CoordTransformer, Interpolator, Nearest as TractNearest, NearestUpsample, Resize,
};

/// The axes of a picture and a window over it.
pub(super) struct Spatial {
    /// tract's axes in memory order: batch if there is one, rows if there are any, columns,
    /// channels.
    pub(super) order: Vec<usize>,
    /// The window, padding included.
    pub(super) window: Window,
}

impl Spatial {
    pub(super) fn of(pool: &PoolSpec, shape: &[usize]) -> TractResult<Spatial> {
        let (order, sides) = axes(pool, shape)?;
        let padding = pool.computed_padding(&sides);
        let pads = padding.iter().map(|padded| [padded.pad_before, padded.pad_after]);
        Ok(Spatial { order, window: window(pool, &pads.collect::<Vec<_>>()) })
    }

    /// Of a transposed convolution whose output has `adjustments` further rows and columns.
    pub(super) fn of_transposed(
        pool: &PoolSpec,
        adjustments: &[usize],
        shape: &[usize],
    ) -> TractResult<Spatial> {
        let (order, sides) = axes(pool, shape)?;
        let (dilations, strides) = (pool.dilations(), pool.strides());
        let kernel = &pool.kernel_shape;
        let padding = pool.padding.compute_for_deconv::<usize>(
            &sides,
            kernel,
            &dilations,
            &strides,
            adjustments,
        )?;
        let pads = padding.iter().map(|padded| [padded.pad_before, padded.pad_after]);
        Ok(Spatial { order, window: window(pool, &pads.collect::<Vec<_>>()) })
    }

    /// Whether the padding before an axis is larger than the axis, or a window larger than both
    /// with its paddings: a pool step does neither.
    fn is_lost_in_padding(&self, shape: &[usize]) -> bool {
        let [rows, columns, _] = self.sides(shape);
        [rows, columns].into_iter().enumerate().any(|(axis, side)| {
            let span = (self.window.kernel[axis] - 1) * self.window.dilation[axis] + 1;
            let pad = self.window.pad_before[axis];
            pad > side || span > side + 2 * pad + self.window.stride[axis]
        })
    }

    /// Rows, columns and channels of a tensor whose axes these are.
    pub(super) fn sides(&self, shape: &[usize]) -> [usize; 3] {
        let dims = dims(&self.order, shape);
        let from_end = |back: usize| dims.len().checked_sub(back).map_or(1, |at| dims[at]);
        let has_rows =
            self.order.len() == shape.len() && shape.len() - usize::from(shape.len() == 4) == 3;
        [if has_rows { from_end(3) } else { 1 }, from_end(2), from_end(1)]
    }
}

/// The axes of a picture in memory order, and its sides in space.
fn axes(pool: &PoolSpec, shape: &[usize]) -> TractResult<(Vec<usize>, Vec<usize>)> {
    let data = pool.data_format.shape(TVec::from_slice(shape))?;
    let space: Vec<usize> = data.hw_axes().collect();
    ensure!(matches!(space.len(), 1 | 2), "it has {} axes in space", space.len());
    let batch = match pool.data_format {
        DataFormat::NCHW | DataFormat::NHWC => {
            ensure!(shape[0] == 1, "more than one picture at a time");
            vec![0]
        }
        DataFormat::CHW | DataFormat::HWC => vec![],
    };
    let order = [&batch[..], &space, &[data.c_axis()]].concat();
    Ok((order, space.iter().map(|&axis| shape[axis]).collect()))
}

/// The window of a pool with the padding before and after each axis.
fn window(pool: &PoolSpec, pads: &[[usize; 2]]) -> Window {
    let pair = |of: &dyn Fn(usize) -> usize, absent: usize| match pads.len() {
        1 => [absent, of(0)],
        _ => [of(0), of(1)],
    };
    Window {
        kernel: pair(&|axis| pool.kernel_shape[axis], 1),
        stride: pair(&|axis| pool.stride(axis), 1),
        dilation: pair(&|axis| pool.dilation(axis), 1),
        pad_before: pair(&|axis| pads[axis][0], 0),
        pad_after: pair(&|axis| pads[axis][1], 0),
    }
}

impl Lowering<'_> {
    pub(super) fn window(&mut self, node: &TypedNode) -> TractResult<Option<Placed>> {
        if let Some(op) = node.op_as::<MaxPool>() {
            return self.max_pool(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<SumPool>() {
            ensure!(op.normalize, "it sums without dividing");
            return self.average_pool(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<NearestUpsample>() {
            return self.upsample(node, &op.scales).map(Some);
        }
        if let Some(op) = node.op_as::<Resize>() {
            return self.resize(node, op).map(Some);
        }
        Ok(None)
    }

    fn pool(
        &mut self,
        node: &TypedNode,
        pool: &PoolSpec,
        op: impl FnOnce(Window) -> Op,
    ) -> TractResult<Placed> {
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let spatial = Spatial::of(pool, &from)?;
        let x = self.input(node, 0)?;
        let x = self.aligned(&x, &spatial.order, &from)?;
        let value =
            self.graph.add_node(&node.name, op(spatial.window), vec![x], dims(&spatial.order, &to));
        Ok(self.like_input(Placed::new(value, &spatial.order, &to), x))
    }

    /// The largest value. A step's padding is not larger than its input; what goes beyond is
    /// written first.
    fn max_pool(&mut self, node: &TypedNode, op: &MaxPool) -> TractResult<Placed> {
        ensure!(op.with_index_outputs.is_none(), "it returns places");
        let from = self.input_shape(node, 0)?;
        let spatial = Spatial::of(&op.pool_spec, &from)?;
        if !spatial.is_lost_in_padding(&from) {
            return self.pool(node, &op.pool_spec, Op::MaxPool);
        }
        let window = spatial.window;
        let pads = [window.pad_before, window.pad_after];
        let window = Window { pad_before: [0, 0], pad_after: [0, 0], ..window };
        self.padded_pool(node, &spatial, pads, (f32::MIN, Op::MaxPool(window)))
    }

    /// Where windows reach beyond the padding that counts as zeros, or the padding is larger than
    /// the input, the zeros are written first.
    fn average_pool(&mut self, node: &TypedNode, op: &SumPool) -> TractResult<Placed> {
        let from = self.input_shape(node, 0)?;
        let spatial = Spatial::of(&op.pool_spec, &from)?;
        let is_lost = spatial.is_lost_in_padding(&from);
        let reaches_beyond =
            matches!(op.pool_spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true));
        if !op.count_include_pad || !(is_lost || reaches_beyond) {
            let count_include_pad = op.count_include_pad;
            ensure!(count_include_pad || !is_lost, "its padding is larger than its input");
            let pool = |window| Op::AveragePool { window, count_include_pad };
            return self.pool(node, &op.pool_spec, pool);
        }
        let pads = match &op.pool_spec.padding {
            PaddingSpec::ExplicitOnnxPool(before, after, _) if before.len() == 1 => {
                [[0, before[0]], [0, after[0]]]
            }
            PaddingSpec::ExplicitOnnxPool(before, after, _) => {
                [[before[0], before[1]], [after[0], after[1]]]
            }
            _ => [spatial.window.pad_before, spatial.window.pad_after],
        };
        let window = Window { pad_before: [0, 0], pad_after: [0, 0], ..spatial.window };
        let pool = Op::AveragePool { window, count_include_pad: false };
        self.padded_pool(node, &spatial, pads, (0.0, pool))
    }

    /// A pool over an input that is surrounded with a value first: rows and columns before and
    /// behind.
    fn padded_pool(
        &mut self,
        node: &TypedNode,
        spatial: &Spatial,
        pads: [[usize; 2]; 2],
        (value, pool): (f32, Op),
    ) -> TractResult<Placed> {
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let order = &spatial.order;
        let x = self.input(node, 0)?;
        let x = self.aligned(&x, order, &from)?;
        let padded = self.surrounded(node, x, pads, value);
        let value = self.graph.add_node(&node.name, pool, vec![padded], dims(order, &to));
        Ok(self.like_input(Placed::new(value, order, &to), x))
    }

    /// Rows and columns of `value` before and behind those of a picture.
    pub(super) fn surrounded(
        &mut self,
        node: &TypedNode,
        x: ValueId,
        pads: [[usize; 2]; 2],
        value: f32,
    ) -> ValueId {
        let mut wide = self.graph.value(x).dims.clone();
        let [mut before, mut after] = [vec![0; wide.len()], vec![0; wide.len()]];
        let channels = wide.len() - 1;
        for (back, axis) in [(2, 0), (1, 1)] {
            let Some(dim) = channels.checked_sub(back) else { continue };
            (before[dim], after[dim]) = (pads[0][axis], pads[1][axis]);
            wide[dim] += before[dim] + after[dim];
        }
        let pad = Op::Pad { before, after, value };
        let padded = self.graph.add_node(&node.name, pad, vec![x], wide);
        self.value_mut(padded).quantization = self.quantization(x);
        padded
    }

    /// Every pixel becomes a rectangle.
    fn upsample(&mut self, node: &TypedNode, scales: &[usize]) -> TractResult<Placed> {
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let [1, channels, rows, columns] = *scales else { bail!("it resizes other axes than two") };
        let (order, scale) = match (channels, columns) {
            (1, _) => ([0, 2, 3, 1], [rows, columns]),
            (_, 1) => ([0, 1, 2, 3], [channels, rows]),
            _ => bail!("it resizes other axes than two"),
        };
        let x = self.input(node, 0)?;
        let x = self.aligned(&x, &order, &from)?;
        let op = Op::Resize {
            interpolation: Interpolation::Nearest(Nearest::Floor),
            coordinates: CoordinateMode::Asymmetric,
            scale: scale.map(|scale| scale as f32),
            table: None,
        };
        let value = self.graph.add_node(&node.name, op, vec![x], dims(&order, &to));
        Ok(self.like_input(Placed::new(value, &order, &to), x))
    }

    fn resize(&mut self, node: &TypedNode, op: &Resize) -> TractResult<Placed> {
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        ensure!(
            from.len() == 4 && from[0] == 1 && from[1] == to[1],
            "it resizes other axes than two"
        );
        let coordinates = match op.coord_transformer {
            CoordTransformer::HalfPixel => CoordinateMode::HalfPixel,
            CoordTransformer::AlignCorners => CoordinateMode::AlignCorners,
            CoordTransformer::Asymmetric => CoordinateMode::Asymmetric,
            CoordTransformer::PytorchHalfPixel => CoordinateMode::PytorchHalfPixel,
            ref other => bail!("coordinates by \"{}\"", other.as_str()),
        };
        let interpolation = match (&op.interpolator, &op.nearest) {
            (Interpolator::Linear, _) => Interpolation::Bilinear,
            (Interpolator::Nearest, TractNearest::Floor) => Interpolation::Nearest(Nearest::Floor),
            (Interpolator::Nearest, TractNearest::RoundPreferCeil) => {
                Interpolation::Nearest(Nearest::RoundPreferCeil)
            }
            (Interpolator::Cubic, _) => bail!("cubic interpolation"),
        };
        let scales = match op.optional_scales_input.and_then(|index| node.inputs.get(index)) {
            Some(outlet) => self.model.outlet_fact(*outlet)?.konst.clone(),
            None => None,
        };
        let scale = |axis: usize| -> TractResult<f32> {
            match scales.as_ref().filter(|scales| scales.len() == from.len()) {
                Some(scales) => {
                    Ok(scales.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?[axis])
                }
                None => Ok(to[axis] as f32 / from[axis] as f32),
            }
        };
        let order = [0, 2, 3, 1];
        let x = self.input(node, 0)?;
        let x = self.aligned(&x, &order, &from)?;
        let scale = [scale(2)?, scale(3)?];
        let op = Op::Resize { interpolation, coordinates, scale, table: None };
        let value = self.graph.add_node(&node.name, op, vec![x], dims(&order, &to));
        Ok(self.like_input(Placed::new(value, &order, &to), x))
    }
}
