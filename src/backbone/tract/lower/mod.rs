//! From tract's decluttered graph to the graph that a plan is compiled from.
//!
//! tract keeps ONNX's order of axes and moves, adds and drops axes while it simplifies. Here every
//! tensor gets one order in memory, channels last: [`Placed`] says which of tract's axes lies
//! where, axes of length 1 left aside. Most changes of axes are then no more than another way to
//! say the same; a [`Op::Transpose`] is written only where memory must be moved.

mod elementwise;
mod place;
mod products;
mod shapes;
mod windows;

use super::Options;
use super::load::{lowering_model, shorten};
use crate::compile::graph::{Graph, Op, Quantization, Value, ValueId};
use crate::status::{Error, Result, Status};
use place::Placed;
use std::collections::HashMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::konst::Const;
use tract_core::ops::source::TypedSource;

/// Reads `onnx` as the tract engine does, and lowers the part of it between `options`' input and
/// outputs.
///
/// # Errors
/// Those of [`super::TractBackbone::load`], and [`Status::Unsupported`] with the name of a node
/// that a plan cannot hold.
pub fn lower(onnx: &[u8], options: &Options<'_>) -> Result<Graph> {
    let model = lowering_model(onnx, options)?;
    let mut lowering = Lowering { model: &model, graph: Graph::default(), placed: HashMap::new() };
    for &id in &model.eval_order().map_err(|error| refusal("the graph", &error.to_string()))? {
        let node = model.node(id);
        lowering.node(node).map_err(|error| refusal(&named(node), &format!("{error:#}")))?;
    }
    lowering.outputs(options)?;
    Ok(lowering.graph)
}

fn named(node: &TypedNode) -> String {
    format!("{} \"{}\"", node.op.name(), node.name)
}

fn refusal(node: &str, reason: &str) -> Error {
    let text = format!("{node} cannot be compiled: {reason}");
    Status::Unsupported.about("node of the network").text(shorten(&text))
}

/// A graph that grows node by node.
struct Lowering<'a> {
    model: &'a TypedModel,
    graph: Graph,
    placed: HashMap<OutletId, Placed>,
}

impl Lowering<'_> {
    fn node(&mut self, node: &TypedNode) -> TractResult<()> {
        if let Some(constant) = node.op_as::<Const>() {
            return self.constant(node, constant.val());
        }
        let placed = if node.op_is::<TypedSource>() {
            self.source(node)?
        } else if let Some(placed) = self.product(node)? {
            placed
        } else if let Some(placed) = self.window(node)? {
            placed
        } else if let Some(placed) = self.shape_change(node)? {
            placed
        } else if let Some(placed) = self.elementwise(node)? {
            placed
        } else {
            bail!("plans have no such operator");
        };
        self.placed.insert(OutletId::new(node.id, 0), placed);
        Ok(())
    }

    /// The network's input: channels last, whatever the model's order is.
    fn source(&mut self, node: &TypedNode) -> TractResult<Placed> {
        let shape = self.shape_of(OutletId::new(node.id, 0))?;
        ensure!(shape.len() == 4 && shape[0] == 1, "the input is not one picture");
        let order = if shape[1] == 3 { [0, 2, 3, 1] } else { [0, 1, 2, 3] };
        let dims: Vec<usize> = order[1..].iter().map(|&axis| shape[axis]).collect();
        let value = self.graph.add_activation(&node.name, dims);
        self.graph.input = Some(value);
        Ok(Placed::new(value, &order, &shape))
    }

    /// Constants keep tract's order; those that read them change it.
    fn constant(&mut self, node: &TypedNode, tensor: &Tensor) -> TractResult<()> {
        if !matches!(tensor.datum_type(), DatumType::F32 | DatumType::F16) {
            return Ok(()); // Sizes and the like, which readers take from the model.
        }
        let data = tensor.cast_to::<f32>()?;
        let data = data.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        let shape = tensor.shape().to_vec();
        let order: Vec<usize> = (0..shape.len()).collect();
        let value = self.graph.add_constant(&node.name, shape.clone(), data);
        let placed = Placed::new(value, &order, &shape);
        self.placed.insert(OutletId::new(node.id, 0), placed);
        Ok(())
    }

    fn outputs(&mut self, options: &Options<'_>) -> Result<()> {
        let second = options
            .second
            .map(|second| (second.name, [second.grid_height, second.grid_width, second.channels]));
        let first = [options.grid_height, options.grid_width, options.channels];
        for (index, (name, shape)) in
            [(options.output_name, first)].into_iter().chain(second).enumerate()
        {
            let outlet = self.model.outputs[index];
            let value = self.output(outlet, shape.map(|side| side as usize));
            let value = value.map_err(|error| refusal(name, &format!("{error:#}")))?;
            self.graph.outputs.push(value);
        }
        Ok(())
    }

    /// An output, channels last, in the shape that the options state.
    fn output(&mut self, outlet: OutletId, grid: [usize; 3]) -> TractResult<ValueId> {
        let placed = self.at(outlet)?.clone();
        let shape = self.shape_of(outlet)?;
        let is_planar = shape.len() == 4 && shape[1..] == [grid[2], grid[0], grid[1]];
        let order: Vec<usize> = match is_planar {
            true => [0, 2, 3, 1].to_vec(),
            false => (0..shape.len()).collect(),
        };
        let value = self.aligned(&placed, &order, &shape)?;
        let count: usize = grid.iter().product();
        ensure!(self.graph.value(value).element_count() == count, "the output has another size");
        let name = self.graph.value(value).name.clone();
        Ok(self.graph.add_node(&name, Op::Reshape, std::vec![value], grid.to_vec()))
    }

    /// Where the result of `outlet` lies.
    fn at(&self, outlet: OutletId) -> TractResult<&Placed> {
        self.placed.get(&outlet).context("an operand is neither an activation nor a float constant")
    }

    fn input(&self, node: &TypedNode, index: usize) -> TractResult<Placed> {
        let outlet = node.inputs.get(index).context("an operand is missing")?;
        self.at(*outlet).cloned()
    }

    fn input_shape(&self, node: &TypedNode, index: usize) -> TractResult<Vec<usize>> {
        self.shape_of(*node.inputs.get(index).context("an operand is missing")?)
    }

    fn output_shape(&self, node: &TypedNode) -> TractResult<Vec<usize>> {
        self.shape_of(OutletId::new(node.id, 0))
    }

    fn shape_of(&self, outlet: OutletId) -> TractResult<Vec<usize>> {
        let fact = self.model.outlet_fact(outlet)?;
        fact.shape.as_concrete().map(|shape| shape.to_vec()).context("a shape is not fixed")
    }

    /// The elements of a constant, in tract's order.
    fn elements(&self, placed: &Placed) -> Option<&[f32]> {
        self.graph.value(placed.value).constant.as_deref().map(|data| &data[..])
    }

    fn quantization(&self, value: ValueId) -> Option<Quantization> {
        self.graph.value(value).quantization
    }

    fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.graph.values[id.0]
    }
}
