//! Element-wise operators, sums, softmax and normalisation.

use super::super::quantize::{Dequantize, Grid, Quantize};
use super::Lowering;
use super::place::{Placed, dims, with_units, without_units};
use crate::compile::graph::{Op, Quantization};
use crate::plan::{Activation, BinaryOp};
use std::vec;
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::logic::{CompGT, CompLT, Iff};
use tract_core::ops::math;
use tract_core::ops::nn::gelu_approximate::GeluApproximate;
use tract_core::ops::nn::gelu_exact::GeluExact;
use tract_core::ops::nn::silu::Silu;
use tract_core::ops::nn::{HardSwish, LeakyRelu, Reduce, RmsNorm, Sigmoid, Softmax, SoftmaxKind};

impl Lowering<'_> {
    pub(super) fn elementwise(&mut self, node: &TypedNode) -> TractResult<Option<Placed>> {
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            return self.unary(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<TypedBinOp>() {
            return self.binary(node, op);
        }
        if node.op_is::<Iff>() {
            return match self.without_nan(node)? {
                Some(placed) => Ok(Some(placed)),
                None => self.prelu(node).map(Some),
            };
        }
        if let Some(op) = node.op_as::<Reduce>() {
            return self.reduce(node, op).map(Some);
        }
        if let Some(op) = node.op_as::<Softmax>() {
            ensure!(op.kind == SoftmaxKind::Softmax, "it is not a softmax of f32");
            return self.along(node, &op.axes, Op::Softmax).map(Some);
        }
        if let Some(op) = node.op_as::<RmsNorm>() {
            let epsilon = op.eps.cast_to_scalar::<f32>()?;
            return self.along(node, &[op.axis], Op::RmsNorm { epsilon }).map(Some);
        }
        Ok(None)
    }

    fn unary(&mut self, node: &TypedNode, op: &ElementWiseOp) -> TractResult<Placed> {
        let op = &*op.0;
        if let Some(quantize) = op.downcast_ref::<Quantize>() {
            return self.quantize(node, quantization(&quantize.grid)?);
        }
        if let Some(dequantize) = op.downcast_ref::<Dequantize>() {
            return self.dequantize(node, dequantize);
        }
        if let Some(power) = op.downcast_ref::<math::PowConst>() {
            return self.power(node, power.exponent);
        }
        let activation = activation_of(op).context("plans have no such function")?;
        self.function(node, activation, Vec::new())
    }

    pub(super) fn function(
        &mut self,
        node: &TypedNode,
        activation: Activation,
        slopes: Vec<f32>,
    ) -> TractResult<Placed> {
        self.map(node, Op::Unary { activation, slopes })
    }

    /// One value for one value.
    fn map(&mut self, node: &TypedNode, op: Op) -> TractResult<Placed> {
        let placed = self.input(node, 0)?;
        let dims = self.graph.value(placed.value).dims.clone();
        let value = self.graph.add_node(&node.name, op, vec![placed.value], dims);
        Ok(Placed { value, order: placed.order })
    }

    fn quantize(&mut self, node: &TypedNode, quantization: Quantization) -> TractResult<Placed> {
        let placed = self.map(node, Op::Quantize)?;
        self.value_mut(placed.value).quantization = Some(quantization);
        Ok(placed)
    }

    pub(super) fn dequantize(&mut self, node: &TypedNode, op: &Dequantize) -> TractResult<Placed> {
        let source = self.input(node, 0)?;
        let element = self.model.outlet_fact(node.inputs[0])?.datum_type;
        let grid = Grid::of(element.unquantized(), op.scale, op.zero_point)?;
        let wanted = quantization(&grid)?;
        let is_input = self.graph.input == Some(source.value);
        match self.quantization(source.value) {
            None if is_input => self.value_mut(source.value).quantization = Some(wanted),
            found => ensure!(found == Some(wanted), "it is quantised with other parameters"),
        }
        self.map(node, Op::Dequantize)
    }

    fn power(&mut self, node: &TypedNode, exponent: f32) -> TractResult<Placed> {
        let activation = match exponent {
            2.0 => Activation::Square,
            0.5 => Activation::Sqrt,
            -0.5 => Activation::ReciprocalSqrt,
            -1.0 => Activation::Reciprocal,
            1.0 => Activation::None,
            exponent => {
                let x = self.input(node, 0)?;
                let (value, dims) = (x.value, self.graph.value(x.value).dims.clone());
                let exponent =
                    self.graph.add_constant(&node.name, vec![1; dims.len()], vec![exponent]);
                let op = Op::Binary { op: BinaryOp::Power, activation: Activation::None };
                let value = self.graph.add_node(&node.name, op, vec![value, exponent], dims);
                return Ok(Placed { value, order: x.order });
            }
        };
        self.function(node, activation, Vec::new())
    }

    fn binary(&mut self, node: &TypedNode, op: &TypedBinOp) -> TractResult<Option<Placed>> {
        let op = &*op.0;
        let (op, swapped) = if op.is::<math::Add>() {
            (BinaryOp::Add, false)
        } else if op.is::<math::Sub>() {
            (BinaryOp::Subtract, false)
        } else if op.is::<math::SubF>() {
            (BinaryOp::Subtract, true)
        } else if op.is::<math::Mul>() {
            (BinaryOp::Multiply, false)
        } else if op.is::<math::Div>() {
            (BinaryOp::Divide, false)
        } else if op.is::<math::Min>() {
            (BinaryOp::Minimum, false)
        } else if op.is::<math::Max>() {
            (BinaryOp::Maximum, false)
        } else if op.is::<math::Pow>() {
            (BinaryOp::Power, false)
        } else {
            return Ok(None);
        };
        let indexes = if swapped { [1, 0] } else { [0, 1] };
        let operands = [self.input(node, indexes[0])?, self.input(node, indexes[1])?];
        let shapes = [self.input_shape(node, indexes[0])?, self.input_shape(node, indexes[1])?];
        let to = self.output_shape(node)?;
        self.combined(&node.name, op, operands, shapes, &to).map(Some)
    }

    /// Two operands, which broadcast, in the order of the larger activation.
    pub(super) fn combined(
        &mut self,
        name: &str,
        op: BinaryOp,
        operands: [Placed; 2],
        shapes: [Vec<usize>; 2],
        to: &[usize],
    ) -> TractResult<Placed> {
        let weight = |at: usize| {
            let activation = self.elements(&operands[at]).is_none();
            (
                activation,
                operands[at].order.len(),
                self.graph.value(operands[at].value).element_count(),
            )
        };
        let leader = usize::from(weight(1) > weight(0));
        let lead = &operands[leader].order;
        let others = without_units(&(0..to.len()).collect::<Vec<_>>(), to);
        let missing = others.into_iter().filter(|axis| !lead.contains(axis));
        let full: Vec<usize> = missing.chain(lead.iter().copied()).collect();
        let order = with_units(&full, to);
        let left = self.aligned(&operands[0], &order, &shapes[0])?;
        let right = self.aligned(&operands[1], &order, &shapes[1])?;
        let op = Op::Binary { op, activation: Activation::None };
        let value = self.graph.add_node(name, op, vec![left, right], dims(&order, to));
        Ok(Placed::new(value, &order, to))
    }

    /// `is_nan(x) ? constant : x` of a softmax, as exporters write one whose rows may be masked as
    /// a whole: `x`, since no plan masks rows.
    fn without_nan(&self, node: &TypedNode) -> TractResult<Option<Placed>> {
        let [condition, replacement, x] = node.inputs[..] else { return Ok(None) };
        let test = self.model.node(condition.node);
        let is_test = test.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<math::IsNan>());
        let is_known = self.at(replacement).is_ok_and(|placed| self.elements(placed).is_some());
        if !is_test || test.inputs[0] != x || !is_known || !self.is_softmax(x) {
            return Ok(None);
        }
        self.at(x).cloned().map(Some)
    }

    /// Whether a softmax, under other axes perhaps, is at `outlet`.
    fn is_softmax(&self, outlet: OutletId) -> bool {
        let mut node = self.model.node(outlet.node);
        while node.op_is::<AxisOp>() {
            node = self.model.node(node.inputs[0].node);
        }
        node.op_is::<Softmax>()
    }

    /// `x < 0 ? x * slope : x`, as tract writes a PReLU.
    fn prelu(&mut self, node: &TypedNode) -> TractResult<Placed> {
        let product = self.model.node(node.inputs.get(1).context("an operand is missing")?.node);
        let x = *node.inputs.get(2).context("an operand is missing")?;
        let is_product = product.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<math::Mul>());
        ensure!(is_product && product.inputs[0] == x, "it chooses by a condition");
        let test = self.model.node(node.inputs[0].node);
        let compares = |wanted: fn(&dyn tract_core::ops::binary::BinMiniOp) -> bool| {
            test.op_as::<TypedBinOp>().is_some_and(|op| wanted(&*op.0))
        };
        let zero = match test.inputs[..] {
            [zero, other] if other == x && compares(|op| op.is::<CompGT>()) => zero,
            [other, zero] if other == x && compares(|op| op.is::<CompLT>()) => zero,
            _ => bail!("it chooses by a condition"),
        };
        let is_zero = self.elements(self.at(zero)?).map(|data| data.iter().all(|&v| v == 0.0));
        ensure!(is_zero == Some(true), "it chooses by a condition");
        let placed = self.at(x)?.clone();
        let shape = self.shape_of(x)?;
        let slopes = self.at(product.inputs[1])?.clone();
        let slope_shape = self.shape_of(product.inputs[1])?;
        let channel_axis = placed.order.last().copied().unwrap_or(0);
        let per_channel = slopes.order.iter().all(|&axis| axis == channel_axis);
        if !per_channel || self.elements(&slopes).is_none() {
            return self.rectified_apart(node, placed, &shape, (slopes, slope_shape));
        }
        let order: Vec<usize> = (0..slope_shape.len()).collect();
        let slopes = self.ordered_elements(&slopes, &order, &slope_shape)?.to_vec();
        if let [slope] = slopes[..] {
            return Ok(self.apply(node, placed, Activation::LeakyRelu { slope }));
        }
        let dims = self.graph.value(placed.value).dims.clone();
        let op = Op::Unary { activation: Activation::Prelu, slopes };
        let value = self.graph.add_node(&node.name, op, vec![placed.value], dims);
        Ok(Placed { value, order: placed.order })
    }

    /// `max(x, 0) + min(x, 0) * slopes`, for slopes that are not one per channel.
    fn rectified_apart(
        &mut self,
        node: &TypedNode,
        x: Placed,
        shape: &[usize],
        (slopes, slope_shape): (Placed, Vec<usize>),
    ) -> TractResult<Placed> {
        let mut clip = |low: f32, high: f32| {
            let op = Op::Unary { activation: Activation::Clip { low, high }, slopes: Vec::new() };
            let dims = self.graph.value(x.value).dims.clone();
            let value = self.graph.add_node(&node.name, op, vec![x.value], dims);
            Placed { value, order: x.order.clone() }
        };
        let (above, below) = (clip(0.0, f32::INFINITY), clip(f32::NEG_INFINITY, 0.0));
        let shapes = [shape.to_vec(), slope_shape];
        let below =
            self.combined(&node.name, BinaryOp::Multiply, [below, slopes], shapes, shape)?;
        let shapes = [shape.to_vec(), shape.to_vec()];
        self.combined(&node.name, BinaryOp::Add, [above, below], shapes, shape)
    }

    /// An operator over one axis, which is brought innermost.
    fn along(&mut self, node: &TypedNode, axes: &[usize], op: Op) -> TractResult<Placed> {
        let [axis] = axes else { bail!("it goes over more than one axis") };
        let placed = self.input(node, 0)?;
        let shape = self.input_shape(node, 0)?;
        let others = placed.order.iter().copied().filter(|other| other != axis);
        let order: Vec<usize> = others.chain([*axis]).collect();
        let units = (0..shape.len()).filter(|axis| !order.contains(axis));
        let order: Vec<usize> = units.chain(order.iter().copied()).collect();
        let x = self.aligned(&placed, &order, &shape)?;
        let value = self.graph.add_node(&node.name, op, vec![x], dims(&order, &shape));
        Ok(Placed::new(value, &order, &shape))
    }
}

/// The same numbers as u8; signed ones are moved by 128.
fn quantization(grid: &Grid) -> TractResult<Quantization> {
    let zero_point = grid.zero_point - grid.low;
    ensure!(grid.scale.is_finite() && grid.scale > 0.0, "its scale is {}", grid.scale);
    ensure!((0..=255).contains(&zero_point), "its zero point is {}", grid.zero_point);
    Ok(Quantization { scale: grid.scale, zero_point: zero_point as u8 })
}

fn activation_of(op: &dyn tract_core::ops::element_wise::ElementWiseMiniOp) -> Option<Activation> {
    if let Some(leaky) = op.downcast_ref::<LeakyRelu>() {
        return Some(Activation::LeakyRelu { slope: leaky.alpha });
    }
    let known = [
        (op.is::<Sigmoid>(), Activation::Sigmoid),
        (op.is::<HardSwish>(), Activation::HardSwish),
        (op.is::<Silu>(), Activation::Silu),
        (op.is::<GeluExact>(), Activation::Gelu),
        (op.is::<GeluApproximate>(), Activation::GeluTanh),
        (op.is::<math::Tanh>(), Activation::Tanh),
        (op.is::<math::Erf>(), Activation::Erf),
        (op.is::<math::Exp>(), Activation::Exp),
        (op.is::<math::Ln>(), Activation::Log),
        (op.is::<math::Sqrt>(), Activation::Sqrt),
        (op.is::<math::Rsqrt>(), Activation::ReciprocalSqrt),
        (op.is::<math::Recip>(), Activation::Reciprocal),
        (op.is::<math::Abs>(), Activation::Abs),
        (op.is::<math::Neg>(), Activation::Negate),
        (op.is::<math::Square>(), Activation::Square),
    ];
    known.into_iter().find(|(matches, _)| *matches).map(|(_, activation)| activation)
}
