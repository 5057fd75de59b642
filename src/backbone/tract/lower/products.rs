//! Convolutions and matrix products.

use super::Lowering;
use super::place::{Placed, dims, with_units};
use super::windows::Spatial;
use crate::compile::graph::{Convolution, MatrixProduct, Op, Strides, ValueId, Window};
use crate::plan::{Activation, BinaryOp};
use std::ops::Range;
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, Deconv, KernelFormat, PoolSpec};
use tract_core::ops::einsum::EinSum;

/// How a convolution's weights lie.
#[derive(Clone, Copy)]
struct Kernels {
    format: KernelFormat,
    groups: usize,
    transposed: bool,
}

impl Lowering<'_> {
    pub(super) fn product(&mut self, node: &TypedNode) -> TractResult<Option<Placed>> {
        if let Some(op) = node.op_as::<Conv>() {
            return self.convolution(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<Deconv>() {
            return self.transposed_convolution(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<EinSum>() {
            return self.einsum(node, op).map(Some);
        }
        Ok(None)
    }

    fn convolution(&mut self, node: &TypedNode, op: &Conv) -> TractResult<Placed> {
        ensure!(op.q_params.is_none(), "it computes in tract's own quantisation");
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let spatial = Spatial::of(&op.pool_spec, &from)?;
        let kernels = Kernels { format: op.kernel_fmt, groups: op.group, transposed: false };
        self.filtered(node, &op.pool_spec, spatial, kernels, [&from, &to])
    }

    /// A transposed convolution; its padding is what the network cuts off the output.
    fn transposed_convolution(&mut self, node: &TypedNode, op: &Deconv) -> TractResult<Placed> {
        let (from, to) = (self.input_shape(node, 0)?, self.output_shape(node)?);
        let spatial = Spatial::of_transposed(&op.pool_spec, &op.adjustments, &from)?;
        let kernels = Kernels { format: op.kernel_format, groups: op.group, transposed: true };
        self.filtered(node, &op.pool_spec, spatial, kernels, [&from, &to])
    }

    fn filtered(
        &mut self,
        node: &TypedNode,
        pool: &PoolSpec,
        spatial: Spatial,
        kernels: Kernels,
        [from, to]: [&[usize]; 2],
    ) -> TractResult<Placed> {
        let x = self.input(node, 0)?;
        let mut x = self.aligned(&x, &spatial.order, from)?;
        let mut window = spatial.window;
        let mut input = spatial.sides(from);
        let fits = kernels.transposed || [0, 1].into_iter().all(|axis| window.fits_padding(axis));
        if !fits {
            // Steps have no windows that lie in the padding as a whole.
            let pads = [window.pad_before, window.pad_after];
            x = self.surrounded(node, x, pads, 0.0);
            input = [0, 1, 2]
                .map(|at| input[at] + pads.iter().filter_map(|p| p.get(at)).sum::<usize>());
            (window.pad_before, window.pad_after) = ([0, 0], [0, 0]);
        }
        let weights = self.filters(node, kernels)?;
        let (bias, context) = self.bias(node, pool.output_channels)?;
        let convolution = Convolution {
            window,
            transposed: kernels.transposed,
            groups: kernels.groups,
            input,
            output: spatial.sides(to),
            weights,
            bias,
            activation: Activation::None,
            slopes: Vec::new(),
            inner: None,
            residual_after_activation: false,
            table: None,
        };
        let value = self.graph.add_node(
            &node.name,
            Op::Convolution(convolution),
            vec![x],
            dims(&spatial.order, to),
        );
        let result = Placed::new(value, &spatial.order, to);
        let Some(context) = context else { return Ok(result) };
        // It stands for the channels of the result.
        let channel_axis = *spatial.order.last().context("it has no axes")?;
        let mut sides = vec![1; to.len()];
        sides[channel_axis] = self.graph.value(context).element_count();
        let context = Placed::new(context, &[channel_axis], &sides);
        let operands = [result, context];
        self.combined(&node.name, BinaryOp::Add, operands, [to.to_vec(), sides], to)
    }

    /// The bias of each channel; one that is computed is left to be added.
    fn bias(&self, node: &TypedNode, channels: usize) -> TractResult<(Vec<f32>, Option<ValueId>)> {
        let placed = self.input(node, 2)?;
        let count = self.graph.value(placed.value).element_count();
        ensure!(
            count == 1 || count == channels,
            "the bias has another length than the output's channels"
        );
        Ok(match self.elements(&placed) {
            Some([bias]) => (vec![*bias; channels], None),
            Some(bias) => (bias.to_vec(), None),
            None => (vec![0.0; channels], Some(placed.value)),
        })
    }

    /// Output channel x row x column x input channel of the group.
    fn filters(&mut self, node: &TypedNode, kernels: Kernels) -> TractResult<Arc<Vec<f32>>> {
        let placed = self.input(node, 1)?;
        let shape = self.input_shape(node, 1)?;
        let rank = shape.len();
        ensure!(rank == 3 || rank == 4, "it has {} axes in space", rank - 2);
        let order: Vec<usize> = match kernels.format {
            KernelFormat::OIHW => [&[0], &Vec::from_iter(2..rank)[..], &[1]].concat(),
            KernelFormat::HWIO => {
                [&[rank - 1], &Vec::from_iter(0..rank - 2)[..], &[rank - 2]].concat()
            }
            KernelFormat::OHWI => (0..rank).collect(),
        };
        let is_plain = kernels.format == KernelFormat::OIHW || kernels.groups == 1;
        ensure!(is_plain, "its groups lie otherwise");
        self.ordered_elements(&placed, &order, &shape)
    }

    fn einsum(&mut self, node: &TypedNode, op: &EinSum) -> TractResult<Placed> {
        ensure!(op.q_params.is_none() && node.inputs.len() == 2, "it is not a product of two");
        let roles = Roles::of(self, node, op)?;
        let constant =
            |index| -> TractResult<bool> { Ok(self.elements(&self.input(node, index)?).is_some()) };
        // One constant matrix per index of a batch is read like an activation.
        match (constant(0)?, constant(1)?) {
            (false, true) if roles.batch.is_empty() => self.constant_product(node, &roles),
            (true, false) if roles.batch.is_empty() => {
                self.constant_product(node, &roles.swapped())
            }
            _ => self.dynamic_product(node, &roles),
        }
    }

    /// Activation times constant matrix: a 1x1 convolution.
    fn constant_product(&mut self, node: &TypedNode, roles: &Roles) -> TractResult<Placed> {
        let (x, matrix) = (self.input(node, roles.inputs[0])?, self.input(node, roles.inputs[1])?);
        let from = self.input_shape(node, roles.inputs[0])?;
        let to = self.output_shape(node)?;
        let (rows, sums) = roles.left_order(&x)?;
        let left = with_units(&[&rows[..], &sums].concat(), &from);
        let value = self.aligned(&x, &left, &from)?;
        let matrix_shape = self.input_shape(node, roles.inputs[1])?;
        let matrix_order: Vec<usize> = {
            let columns = roles.columns.iter().map(|axis| axis.right);
            let sums = sums
                .iter()
                .map(|left| roles.right_of_sum(*left))
                .collect::<TractResult<Vec<_>>>()?;
            with_units(&columns.chain(sums).collect::<Vec<_>>(), &matrix_shape)
        };
        let weights = self.ordered_elements(&matrix, &matrix_order, &matrix_shape)?;
        let output_rows =
            rows.iter().map(|left| roles.output_of_row(*left)).collect::<TractResult<Vec<_>>>()?;
        let columns: Vec<usize> = roles.columns.iter().map(|axis| axis.output).collect();
        let order = with_units(&[&output_rows[..], &columns].concat(), &to);
        let count =
            |axes: &[usize], shape: &[usize]| axes.iter().map(|&axis| shape[axis]).product();
        let (height, width) = match &*rows {
            [height, width] => (from[*height], from[*width]),
            rows => (1, count(rows, &from)),
        };
        let channels: usize = count(&columns, &to);
        let convolution = Convolution {
            window: Window::POINT,
            transposed: false,
            groups: 1,
            input: [height, width, count(&sums, &from)],
            output: [height, width, channels],
            weights,
            bias: vec![0.0; channels],
            activation: Activation::None,
            slopes: Vec::new(),
            inner: None,
            residual_after_activation: false,
            table: None,
        };
        let op = Op::Convolution(convolution);
        let value = self.graph.add_node(&node.name, op, vec![value], dims(&order, &to));
        Ok(Placed::new(value, &order, &to))
    }

    /// Product of two activations, once per index of the axes that both have.
    fn dynamic_product(&mut self, node: &TypedNode, roles: &Roles) -> TractResult<Placed> {
        let (left, right) =
            (self.input(node, roles.inputs[0])?, self.input(node, roles.inputs[1])?);
        let left_shape = self.input_shape(node, roles.inputs[0])?;
        let right_shape = self.input_shape(node, roles.inputs[1])?;
        let to = self.output_shape(node)?;
        // Axes of a kind count as one, in the order that the left operand has them in.
        let roles = roles.in_order_of(&left, &right);
        let lefts = |axes: &[Linked]| axes.iter().map(|axis| axis.left).collect::<Vec<_>>();
        let rights = |axes: &[Linked]| axes.iter().map(|axis| axis.right).collect::<Vec<_>>();
        let outputs = |axes: &[Linked]| axes.iter().map(|axis| axis.output).collect::<Vec<_>>();
        let left_axes = [&roles.batch, &roles.rows, &roles.sums].map(|axes| lefts(axes));
        let mut right_axes = [&roles.batch, &roles.sums, &roles.columns].map(|axes| rights(axes));
        let output_axes = [&roles.batch, &roles.rows, &roles.columns].map(|axes| outputs(axes));
        // Sums along the innermost axis of the right operand give scores, which a softmax reads
        // head after head; otherwise tokens stay together.
        let scores = right.order.last().is_some_and(|last| right_axes[1].contains(last));
        let [batch, rows, columns] = &output_axes;
        let sequence = match scores || batch.len() > 1 {
            true => [batch, rows, columns],
            false => [rows, batch, columns],
        };
        let order: Vec<usize> = sequence.into_iter().flatten().copied().collect();
        let left = self.together(left, &left_axes, 2..3, &left_shape)?;
        if scores {
            right_axes.swap(1, 2);
        }
        let right = self.together(right, &right_axes, 1..3, &right_shape)?;
        if scores {
            right_axes.swap(1, 2);
        }
        let left_value = self.dense(&left, &left_shape)?;
        let right_value = self.dense(&right, &right_shape)?;
        let count =
            |axes: &[usize], shape: &[usize]| axes.iter().map(|&axis| shape[axis]).product();
        let strides = |order: &[usize], shape: &[usize], axes: &[Vec<usize>; 3]| {
            let [batch, row, column] = [0, 1, 2].map(|kind| stride_of(order, shape, &axes[kind]));
            Strides { batch, row, column }
        };
        let mut output = strides(&order, &to, &output_axes);
        if rows.is_empty() {
            output.row = count(columns, &to); // A single row overlaps none.
        }
        let product = MatrixProduct {
            batch: count(batch, &to),
            rows: count(rows, &to),
            columns: count(columns, &to),
            depth: count(&left_axes[2], &left_shape),
            left: strides(&left.order, &left_shape, &left_axes),
            right: strides(&right.order, &right_shape, &right_axes),
            output,
            factor: 1.0,
        };
        let full = with_units(&order, &to);
        let inputs = vec![left_value, right_value];
        let value =
            self.graph.add_node(&node.name, Op::MatrixProduct(product), inputs, dims(&full, &to));
        Ok(Placed { value, order })
    }

    /// The tensor with the axes of each kind side by side in memory and one of the `inner` kinds
    /// innermost: as it is, or moved to the order of `kinds`.
    fn together(
        &mut self,
        placed: Placed,
        kinds: &[Vec<usize>; 3],
        inner: Range<usize>,
        shape: &[usize],
    ) -> TractResult<Placed> {
        let follows = |axes: &Vec<usize>| {
            let first = axes.first().and_then(|first| placed.order.iter().position(|a| a == first));
            first.is_none_or(|first| placed.order[first..].starts_with(axes))
        };
        let inner = kinds[inner].concat();
        let fits = inner.is_empty() || placed.order.last().is_some_and(|axis| inner.contains(axis));
        if fits && kinds.iter().all(follows) {
            return Ok(placed);
        }
        let order = with_units(&kinds.concat(), shape);
        let value = self.aligned(&placed, &order, shape)?;
        Ok(Placed::new(value, &order, shape))
    }

    /// The tensor with the dims of its order in memory.
    fn dense(&mut self, placed: &Placed, shape: &[usize]) -> TractResult<ValueId> {
        let order = with_units(&placed.order, shape);
        self.aligned(placed, &order, shape)
    }
}

/// Elements between neighbours along `axes`, which lie side by side in a dense tensor and count as
/// one; 1 where there are none.
fn stride_of(order: &[usize], shape: &[usize], axes: &[usize]) -> usize {
    let Some(last) = axes.last() else { return 1 };
    let after = order.iter().skip_while(|&other| other != last).skip(1);
    after.map(|&axis| shape[axis]).product()
}

/// One axis of an einsum, where it occurs.
#[derive(Clone, Copy, Debug)]
struct Linked {
    left: usize,
    right: usize,
    output: usize,
}

/// In place of the position of an axis that a tensor has not.
const ABSENT: usize = usize::MAX;

/// The axes of an einsum that are longer than 1, by their role.
#[derive(Clone, Debug)]
struct Roles {
    /// Which operand is on the left.
    inputs: [usize; 2],
    /// In both operands and the output.
    batch: Vec<Linked>,
    /// In the left operand and the output.
    rows: Vec<Linked>,
    /// In the right operand and the output.
    columns: Vec<Linked>,
    /// In both operands only.
    sums: Vec<Linked>,
}

impl Roles {
    fn of(lowering: &Lowering<'_>, node: &TypedNode, op: &EinSum) -> TractResult<Roles> {
        let shapes = [lowering.input_shape(node, 0)?, lowering.input_shape(node, 1)?];
        let to = lowering.output_shape(node)?;
        let mut roles = Roles {
            inputs: [0, 1],
            batch: Vec::new(),
            rows: Vec::new(),
            columns: Vec::new(),
            sums: Vec::new(),
        };
        for axis in op.axes.iter_all_axes() {
            let position = |places: &[usize], shape: &[usize]| match places {
                [] => Ok(ABSENT),
                [place] if shape[*place] == 1 => Ok(ABSENT),
                [place] => Ok(*place),
                _ => bail!("an axis occurs twice"),
            };
            let linked = Linked {
                left: position(&axis.inputs[0], &shapes[0])?,
                right: position(&axis.inputs[1], &shapes[1])?,
                output: position(&axis.outputs[0], &to)?,
            };
            match (linked.left != ABSENT, linked.right != ABSENT, linked.output != ABSENT) {
                (true, true, true) => roles.batch.push(linked),
                (true, false, true) => roles.rows.push(linked),
                (false, true, true) => roles.columns.push(linked),
                (true, true, false) => roles.sums.push(linked),
                (false, false, false) => {}
                _ => bail!("it sums over an axis of one operand"),
            }
        }
        Ok(roles)
    }

    fn swapped(&self) -> Roles {
        let swap = |axes: &[Linked]| -> Vec<Linked> {
            let swap =
                |axis: &Linked| Linked { left: axis.right, right: axis.left, output: axis.output };
            axes.iter().map(swap).collect()
        };
        Roles {
            inputs: [self.inputs[1], self.inputs[0]],
            batch: swap(&self.batch),
            rows: swap(&self.columns),
            columns: swap(&self.rows),
            sums: swap(&self.sums),
        }
    }

    /// The axes of each kind in the order in memory of the left operand, columns in that of the
    /// right one.
    fn in_order_of(&self, left: &Placed, right: &Placed) -> Roles {
        let place = |placed: &Placed, axis: usize| placed.order.iter().position(|&at| at == axis);
        let mut roles = self.clone();
        for axes in [&mut roles.batch, &mut roles.rows, &mut roles.sums] {
            axes.sort_by_key(|axis| place(left, axis.left));
        }
        roles.columns.sort_by_key(|axis| place(right, axis.right));
        roles
    }

    /// The left operand's rows and summed axes, each in the order that they have in memory.
    fn left_order(&self, placed: &Placed) -> TractResult<(Vec<usize>, Vec<usize>)> {
        let is_row = |axis: &usize| self.rows.iter().any(|row| row.left == *axis);
        let (rows, sums): (Vec<usize>, Vec<usize>) = placed.order.iter().copied().partition(is_row);
        ensure!(sums.len() == self.sums.len(), "an axis of the left operand has no role");
        Ok((rows, sums))
    }

    fn right_of_sum(&self, left: usize) -> TractResult<usize> {
        let sum = self.sums.iter().find(|sum| sum.left == left);
        Ok(sum.context("a summed axis is missing")?.right)
    }

    fn output_of_row(&self, left: usize) -> TractResult<usize> {
        let row = self.rows.iter().find(|row| row.left == left);
        Ok(row.context("an axis of rows is missing")?.output)
    }
}
