//! From tract's decluttered graph to the graph that a plan is compiled from.
//!
//! tract keeps ONNX's order of axes and moves, adds and drops axes while it simplifies. Here every
//! tensor gets one order in memory, channels last: [`Placed`] says which of tract's axes lies
//! where, axes of length 1 left aside. Most changes of axes are then no more than another way to
//! say the same; a [`Op::Transpose`] is written only where memory must be moved.

mod elementwise;
mod pick;
mod place;
mod products;
mod reduce;
mod shapes;
mod windows;

use super::Options;
use super::load::{Source, decluttered, lowering_model, shorten};
use crate::compile::graph::{Graph, Op, Quantization, Value, ValueId};
use crate::map::Layout;
use crate::spec::InputType;
use crate::status::{Error, Result, Status};
use place::{Placed, dims};
use std::collections::HashMap;
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString};
use std::vec::Vec;
use tract_core::internal::*;
use tract_core::ops::konst::Const;
use tract_core::ops::source::TypedSource;

/// A network, or a part of one, that is no backbone: it reads one tensor of any sides.
#[derive(Clone, Debug)]
pub struct Network<'a> {
    /// Name of the graph input that is fed. It must be the only one without an initialiser.
    pub input_name: &'a str,
    /// Type of the input. Integers must be dequantised by the network, which says what they stand
    /// for; the quantisation given here is not looked at.
    pub element: InputType,
    /// Sides of the input. Four are batch, channels, rows and columns, and lie channels last in
    /// the plan; others lie as they are.
    pub input_shape: &'a [usize],
    /// Names of the tensors that are read, one or two. Those of four sides lie channels last.
    pub outputs: &'a [&'a str],
}

/// Reads `onnx` as the tract engine does, and lowers the part of it between `options`' input and
/// outputs.
///
/// # Errors
/// Those of [`super::TractBackbone::load`], and [`Status::Unsupported`] with the name of a node
/// that a plan cannot hold.
pub fn lower(onnx: &[u8], options: &Options<'_>) -> Result<Graph> {
    caught(|| {
        let model = lowering_model(onnx, options)?;
        let mut lowering = Lowering::of(&model, options.input.layout);
        lowering.nodes()?;
        lowering.outputs(options)?;
        Ok(lowering.graph)
    })
}

/// Lowers what `network` says of `onnx`.
///
/// # Errors
/// As for [`lower`].
pub fn lower_network(onnx: &[u8], network: &Network<'_>) -> Result<Graph> {
    caught(|| {
        let shape = network.input_shape.to_vec();
        let source = Source { name: network.input_name, element: network.element, shape };
        let model = decluttered(onnx, &source, network.outputs)?;
        let mut lowering = Lowering::of(&model, Layout::Chw);
        lowering.nodes()?;
        for (index, name) in network.outputs.iter().enumerate() {
            let value = lowering.whole_output(model.outputs[index]);
            let value = value.map_err(|error| refusal(name, &format!("{error:#}")))?;
            lowering.graph.outputs.push(value);
        }
        Ok(lowering.graph)
    })
}

/// The result of `work`; tract's panics become errors.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.unwrap_or_else(|_| Err(Status::Panic.about("lowering the network")))
}

fn named(node: &TypedNode) -> String {
    format!("{} \"{}\"", node.op.name(), node.name)
}

fn refusal(node: &str, reason: &str) -> Error {
    let text = format!("{node} cannot be compiled: {reason}");
    Status::Unsupported.about("node of the network").text(shorten(&text))
}

/// The axes of a picture with the channels behind rows and columns; others as they are.
fn channels_last(rank: usize) -> Vec<usize> {
    match rank {
        4 => [0, 2, 3, 1].to_vec(),
        rank => (0..rank).collect(),
    }
}

/// A graph that grows node by node.
struct Lowering<'a> {
    model: &'a TypedModel,
    /// Order of a picture's axes in the model.
    layout: Layout,
    graph: Graph,
    placed: HashMap<OutletId, Placed>,
}

impl<'a> Lowering<'a> {
    fn of(model: &'a TypedModel, layout: Layout) -> Lowering<'a> {
        Lowering { model, layout, graph: Graph::default(), placed: HashMap::new() }
    }

    fn nodes(&mut self) -> Result<()> {
        let model = self.model;
        let order = model.eval_order().map_err(|error| refusal("the graph", &error.to_string()))?;
        for id in order {
            let node = model.node(id);
            self.node(node).map_err(|error| refusal(&named(node), &format!("{error:#}")))?;
        }
        self.check_source()
    }

    /// Integers that come in must have a meaning.
    fn check_source(&self) -> Result<()> {
        let is_integer = |outlet: &OutletId| {
            self.model.outlet_fact(*outlet).is_ok_and(|fact| fact.datum_type != DatumType::F32)
        };
        let meaning = self.graph.input.and_then(|value| self.quantization(value));
        if self.model.inputs.iter().any(is_integer) && meaning.is_none() {
            return Err(refusal("the input", "nothing dequantises it"));
        }
        Ok(())
    }

    fn node(&mut self, node: &TypedNode) -> TractResult<()> {
        if let Some(constant) = node.op_as::<Const>() {
            return self.constant(node, constant.val());
        }
        if self.is_condition(node)? {
            return Ok(()); // What chooses by it looks at its node; nothing else can read it.
        }
        let placed = if node.op_is::<TypedSource>() {
            self.source(node)?
        } else if let Some(placed) = self.product(node)? {
            placed
        } else if let Some(placed) = self.window(node)? {
            placed
        } else if let Some(placed) = self.shape_change(node)? {
            placed
        } else if let Some(placed) = self.picked(node)? {
            placed
        } else if let Some(placed) = self.elementwise(node)? {
            placed
        } else {
            bail!("plans have no such operator");
        };
        self.placed.insert(OutletId::new(node.id, 0), placed);
        Ok(())
    }

    /// Whether a node compares, or looks for what is no number.
    fn is_condition(&self, node: &TypedNode) -> TractResult<bool> {
        let outlet = OutletId::new(node.id, 0);
        Ok(self.model.outlet_fact(outlet)?.datum_type == DatumType::Bool)
    }

    /// The network's input: channels last, whatever the model's order is.
    fn source(&mut self, node: &TypedNode) -> TractResult<Placed> {
        let shape = self.shape_of(OutletId::new(node.id, 0))?;
        ensure!(shape.iter().all(|&side| side > 0), "the input is empty");
        let order = match self.layout {
            Layout::Chw => channels_last(shape.len()),
            Layout::Hwc => (0..shape.len()).collect(),
        };
        let is_picture = shape.len() == 4 && shape[0] == 1;
        let dims = dims(&order[usize::from(is_picture)..], &shape);
        let value = self.graph.add_activation(&node.name, dims);
        self.graph.input = Some(value);
        Ok(Placed::new(value, &order, &shape))
    }

    /// Constants keep tract's order; those that read them change it.
    fn constant(&mut self, node: &TypedNode, tensor: &Tensor) -> TractResult<()> {
        if !tensor.datum_type().is_float() {
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

    /// An output of any sides, with its channels last if there are four.
    fn whole_output(&mut self, outlet: OutletId) -> TractResult<ValueId> {
        let fact = self.model.outlet_fact(outlet)?;
        ensure!(fact.datum_type == DatumType::F32, "it has elements of {:?}", fact.datum_type);
        let placed = self.at(outlet)?.clone();
        let shape = self.shape_of(outlet)?;
        let order = channels_last(shape.len());
        let value = self.aligned(&placed, &order, &shape)?;
        let name = self.graph.value(value).name.clone();
        Ok(self.graph.add_node(&name, Op::Reshape, std::vec![value], dims(&order, &shape)))
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
