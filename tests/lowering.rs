//! Small graphs as networks have them, as plans: the numbers are those of tract, which evaluates
//! each graph node by node as it stands in the file.

#![cfg(feature = "tract")]

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::{self, Value as Type};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto,
    ValueInfoProto,
};
use tract_onnx::prelude::*;
use zsseg::arena::AlignedBytes;
use zsseg::backbone::tract::{Network, lower_network};
use zsseg::compile::graph::Graph;
use zsseg::compile::{Settings, compile};
use zsseg::plan::{Plan, Runner, Target as Processor};
use zsseg::spec::InputType;

/// A graph that reads "x" and whose last node writes "y".
struct Model {
    sides: Vec<usize>,
    graph: GraphProto,
}

impl Model {
    fn reading(sides: &[usize]) -> Model {
        let elem_type = DataType::Float as i32;
        let tensor = type_proto::Tensor { elem_type, shape: None };
        let r#type = TypeProto { value: Some(Type::TensorType(tensor)), ..TypeProto::default() };
        let input = ValueInfoProto { name: "x".into(), r#type: Some(r#type), ..Default::default() };
        let output = ValueInfoProto { name: "y".into(), ..ValueInfoProto::default() };
        let graph =
            GraphProto { input: vec![input], output: vec![output], ..GraphProto::default() };
        Model { sides: sides.to_vec(), graph }
    }

    fn node(mut self, operator: &str, inputs: &[&str], output: &str) -> Model {
        self.graph.node.push(NodeProto {
            op_type: operator.into(),
            name: format!("node {output}"),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        });
        self
    }

    fn attribute(mut self, attribute: AttributeProto) -> Model {
        self.graph.node.last_mut().unwrap().attribute.push(attribute);
        self
    }

    fn integers(self, name: &str, values: &[i64]) -> Model {
        let (name, r#type) = (name.into(), AttributeType::Ints as i32);
        self.attribute(AttributeProto { name, r#type, ints: values.into(), ..Default::default() })
    }

    fn integer(self, name: &str, value: i64) -> Model {
        let (name, r#type) = (name.into(), AttributeType::Int as i32);
        self.attribute(AttributeProto { name, r#type, i: value, ..Default::default() })
    }

    fn text(self, name: &str, value: &str) -> Model {
        let (name, r#type) = (name.into(), AttributeType::String as i32);
        self.attribute(AttributeProto { name, r#type, s: value.into(), ..Default::default() })
    }

    fn constant(mut self, name: &str, sides: &[i64], values: &[i64]) -> Model {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: sides.into(),
            data_type: DataType::Int64 as i32,
            int64_data: values.into(),
            ..TensorProto::default()
        });
        self
    }

    fn floats(mut self, name: &str, sides: &[i64], values: &[f32]) -> Model {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: sides.into(),
            data_type: DataType::Float as i32,
            float_data: values.into(),
            ..TensorProto::default()
        });
        self
    }

    fn mask(self, name: &str, sides: &[i64], values: &[i32]) -> Model {
        self.small(DataType::Bool, name, sides, values)
    }

    fn bytes(self, name: &str, sides: &[i64], values: &[i32]) -> Model {
        self.small(DataType::Uint8, name, sides, values)
    }

    fn small(mut self, element: DataType, name: &str, sides: &[i64], values: &[i32]) -> Model {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: sides.into(),
            data_type: element as i32,
            int32_data: values.into(),
            ..TensorProto::default()
        });
        self
    }

    fn proto(&self) -> ModelProto {
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { version: 17, ..Default::default() }],
            graph: Some(self.graph.clone()),
            ..ModelProto::default()
        }
    }

    /// Numbers between -3 and 3 that differ.
    fn input(&self) -> Vec<f32> {
        let len: usize = self.sides.iter().product();
        (0..len).map(|at| ((at * 37 + 11) % 101) as f32 / 17.0 - 3.0).collect()
    }

    /// What tract computes of the graph as it is, channels of pictures last.
    fn reference(&self) -> Vec<f32> {
        let mut model = onnx().parse(&self.proto(), None).unwrap().model;
        model.set_input_fact(0, f32::fact(&*self.sides).into()).unwrap();
        let input = Tensor::from_shape(&self.sides, &self.input()).unwrap();
        let plan = model.into_typed().unwrap().into_runnable().unwrap();
        let output = plan.run(tvec!(input.into())).unwrap().remove(0).into_tensor();
        let output = match output.rank() {
            4 => output.permute_axes(&[0, 2, 3, 1]).unwrap(),
            _ => output,
        };
        output.to_plain_array_view::<f32>().unwrap().iter().copied().collect()
    }

    fn lowered(&self) -> zsseg::status::Result<Graph> {
        let network = Network {
            input_name: "x",
            element: InputType::F32,
            input_shape: &self.sides,
            outputs: &["y"],
        };
        lower_network(&self.proto().encode_to_vec(), &network)
    }

    fn plan(&self) -> Vec<f32> {
        let graph = self.lowered().unwrap_or_else(|error| panic!("{error}"));
        let compiled = compile(graph, Settings::from(Processor::X86_64), [0; 32]);
        let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
        let plan = Plan::new(&compiled.bytes).unwrap();
        let mut arena = AlignedBytes::zeros(plan.arena_bytes());
        let arena = arena.as_mut_slice();
        let mut picture = self.input();
        if let [1, channels, rows, columns] = self.sides[..] {
            let pixels = rows * columns;
            let pixel = |pixel: usize| (0..channels).map(move |c| c * pixels + pixel);
            picture = (0..pixels).flat_map(pixel).map(|at| picture[at]).collect();
        }
        let start = plan.tensor(plan.input()).unwrap().offset_bytes as usize;
        for (bytes, value) in arena[start..].chunks_exact_mut(4).zip(&picture) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        Runner::new(plan).run(arena).unwrap();
        let tensor = plan.tensor(plan.outputs().next().unwrap()).unwrap();
        let float = |at: usize| f32::from_le_bytes(arena[at..at + 4].try_into().unwrap());
        let (start, stride) = (tensor.offset_bytes as usize, tensor.pixel_stride as usize);
        let channels = tensor.channels as usize;
        assert!(tensor.is_dense(), "outputs have no gaps");
        let place = |pixel: usize| (0..channels).map(move |c| start + 4 * (pixel * stride + c));
        (0..tensor.pixels() as usize).flat_map(place).map(float).collect()
    }

    /// It cannot be lowered, and `reason` is why.
    fn check_refused(self, reason: &str) {
        let error = self.lowered().unwrap_err().to_string();
        assert!(error.contains("node y") || error.contains("\"y"), "{error}");
        assert!(error.contains(reason), "{error}");
    }

    /// Both agree.
    fn check(self) {
        let (found, wanted) = (self.plan(), self.reference());
        assert_eq!(found.len(), wanted.len());
        for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let error = (found - wanted).abs();
            assert!(error <= 1e-5 * wanted.abs().max(1.0), "{at}: {found} instead of {wanted}");
        }
    }
}

#[test]
fn products_of_windows_and_heads_count_them_as_one_axis() {
    Model::reading(&[1, 2, 3, 4, 5])
        .node("Transpose", &["x"], "a")
        .integers("perm", &[0, 3, 1, 2, 4])
        .node("Transpose", &["x"], "b")
        .integers("perm", &[0, 3, 1, 4, 2])
        .node("MatMul", &["a", "b"], "y")
        .check();
}

#[test]
fn products_read_operands_whose_sums_do_not_lie_innermost() {
    Model::reading(&[1, 6, 4, 4])
        .constant("matrix", &[3], &[1, 6, 16])
        .node("Reshape", &["x", "matrix"], "a")
        .node("Transpose", &["a"], "b")
        .integers("perm", &[0, 2, 1])
        .node("MatMul", &["a", "b"], "y")
        .check();
}

#[test]
fn products_are_put_beside_others() {
    Model::reading(&[1, 3, 4, 4])
        .node("Transpose", &["x"], "b")
        .integers("perm", &[0, 1, 3, 2])
        .node("MatMul", &["x", "b"], "c")
        .node("MatMul", &["b", "x"], "d")
        .node("Concat", &["c", "d"], "e")
        .integer("axis", 3)
        .node("Softmax", &["e"], "y")
        .integer("axis", 3)
        .check();
}

#[test]
fn slices_reach_over_the_parts_of_a_concatenation() {
    Model::reading(&[1, 4, 3, 3])
        .node("Exp", &["x"], "a")
        .node("Tanh", &["x"], "b")
        .node("Concat", &["a", "b"], "c")
        .integer("axis", 1)
        .constant("start", &[1], &[2])
        .constant("end", &[1], &[7])
        .constant("axis", &[1], &[1])
        .node("Slice", &["c", "start", "end", "axis"], "d")
        .node("Sigmoid", &["d"], "y")
        .check();
}

#[test]
fn known_indexes_pick_slices() {
    Model::reading(&[1, 5, 4, 3])
        .constant("channels", &[2, 3], &[4, 0, 1, 2, -1, -1])
        .node("Gather", &["x", "channels"], "a")
        .integer("axis", 1)
        .constant("row", &[], &[2])
        .node("Gather", &["a", "row"], "y")
        .integer("axis", 3)
        .check();
}

#[test]
fn a_grid_of_known_indexes_picks_along_each_axis() {
    // The two rows and two columns of each of 2 x 2 cells, which overlap.
    let mut indexes = Vec::new();
    for row in [0, 1, 1, 2] {
        for column in [0, 1, 3, 4] {
            indexes.extend([row, column]);
        }
    }
    Model::reading(&[3, 5, 2])
        .constant("grid", &[2, 2, 2, 2, 2], &indexes)
        .node("GatherND", &["x", "grid"], "a")
        .constant("inner", &[2], &[1, 3])
        .node("ReduceMean", &["a"], "y")
        .integers("axes", &[1, 3])
        .integer("keepdims", 0)
        .check();
}

#[test]
fn axes_are_repeated() {
    Model::reading(&[1, 2, 3, 1])
        .constant("times", &[4], &[1, 3, 2, 4])
        .node("Tile", &["x", "times"], "y")
        .check();
}

#[test]
fn borders_are_mirrored_and_repeated() {
    for mode in ["reflect", "edge"] {
        Model::reading(&[1, 2, 5, 4])
            .constant("pads", &[8], &[0, 0, 2, 1, 0, 0, 1, 3])
            .node("Pad", &["x", "pads"], "y")
            .text("mode", mode)
            .check();
    }
}

#[test]
fn channels_are_padded() {
    Model::reading(&[1, 3, 4, 5])
        .constant("pads", &[8], &[0, 1, 2, 0, 0, 2, 0, 1])
        .floats("value", &[], &[1.5])
        .node("Pad", &["x", "pads", "value"], "y")
        .check();
}

#[test]
fn known_masks_choose() {
    Model::reading(&[1, 2, 3, 2])
        .mask("mask", &[3, 1], &[1, 0, 1])
        .node("Exp", &["x"], "a")
        .node("Where", &["mask", "a", "x"], "y")
        .check();
}

/// As attention masks do it, with the least float or with none.
#[test]
fn known_masks_choose_numbers_beyond_all_others() {
    for low in [f32::MIN, f32::NEG_INFINITY] {
        Model::reading(&[1, 2, 3, 4])
            .mask("mask", &[3, 4], &[0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1])
            .floats("low", &[], &[low])
            .node("Where", &["mask", "low", "x"], "a")
            .node("Softmax", &["a"], "y")
            .integer("axis", 3)
            .check();
    }
}

#[test]
fn numbers_that_are_none_are_not_looked_for() {
    Model::reading(&[1, 2, 3, 4])
        .node("Softmax", &["x"], "a")
        .integer("axis", 3)
        .node("IsNaN", &["a"], "b")
        .floats("zero", &[], &[0.0])
        .node("Where", &["b", "zero", "a"], "y")
        .check();
}

#[test]
fn exponential_units_need_no_condition() {
    for operator in ["Elu", "Celu", "Selu"] {
        Model::reading(&[1, 4, 3, 5]).node(operator, &["x"], "y").check();
    }
}

#[test]
fn a_stack_that_is_summed_is_a_sum() {
    let model = Model::reading(&[1, 300, 60, 60])
        .constant("front", &[1], &[0])
        .node("Exp", &["x"], "a")
        .node("Tanh", &["x"], "b")
        .node("Unsqueeze", &["a", "front"], "c")
        .node("Unsqueeze", &["b", "front"], "d")
        .node("Concat", &["c", "d"], "e")
        .integer("axis", 0);
    model.node("ReduceSum", &["e", "front"], "y").integer("keepdims", 0).check();
}

#[test]
fn a_quantised_stack_that_is_summed_is_a_sum() {
    let grid = |model: Model, from: &str, quantized: &str, to: &str| {
        let model = model.node("QuantizeLinear", &[from, "scale"], quantized);
        model.node("DequantizeLinear", &[quantized, "scale"], to)
    };
    let mut model = Model::reading(&[1, 300, 60, 60])
        .constant("front", &[1], &[0])
        .floats("scale", &[], &[1.0 / 64.0])
        .node("Sigmoid", &["x"], "a")
        .node("Abs", &["x"], "b");
    model = grid(model, "a", "c", "d").node("Unsqueeze", &["d", "front"], "e");
    model = grid(model, "b", "f", "g").node("Unsqueeze", &["g", "front"], "h");
    model = model.node("Concat", &["e", "h"], "i").integer("axis", 0);
    model = grid(model, "i", "j", "k").node("ReduceSum", &["k", "front"], "y");
    model.integer("keepdims", 0).check();
}

#[test]
fn pools_are_surrounded_by_more_than_they_read() {
    for operator in ["AveragePool", "MaxPool"] {
        let model = Model::reading(&[1, 2, 3, 4])
            .node(operator, &["x"], "y")
            .integers("kernel_shape", &[17, 17])
            .integers("strides", &[8, 8])
            .integers("pads", &[8, 8, 8, 8]);
        match operator {
            "AveragePool" => model.integer("count_include_pad", 1).check(),
            _ => model.check(),
        }
    }
}

#[test]
fn a_repeated_token_beside_others_is_multiplied() {
    let weights: Vec<f32> = (0..24).map(|at| (at % 7) as f32 - 3.0).collect();
    Model::reading(&[1, 6, 4])
        .constant("zero", &[1], &[0])
        .constant("one", &[1], &[1])
        .constant("end", &[1], &[9])
        .constant("shape", &[3], &[1, 5, 4])
        .floats("weights", &[8, 3], &weights)
        .node("Slice", &["x", "zero", "one", "one"], "token")
        .node("Slice", &["x", "one", "end", "one"], "others")
        .node("Expand", &["token", "shape"], "tokens")
        .node("Concat", &["others", "tokens"], "both")
        .integer("axis", 2)
        .node("MatMul", &["both", "weights"], "y")
        .check();
}

/// Numbers around 0, none of them twice in a row.
fn weights(len: usize) -> Vec<f32> {
    (0..len).map(|at| ((at * 29 + 5) % 23) as f32 / 8.0 - 1.25).collect()
}

#[test]
fn what_a_comparison_finds_is_no_number() {
    let below = Model::reading(&[1, 2, 3, 4]).floats("zero", &[], &[0.0]);
    below
        .node("Less", &["x", "zero"], "a")
        .node("Cast", &["a"], "y")
        .integer("to", DataType::Float as i64)
        .check_refused("of what a comparison finds");
    Model::reading(&[1, 2, 3, 4])
        .node("Neg", &["x"], "a")
        .node("Less", &["x", "a"], "b")
        .node("Cast", &["b"], "y")
        .integer("to", DataType::Float as i64)
        .check_refused("of what a comparison finds");
}

#[test]
fn numbers_that_may_be_none_are_not_left() {
    Model::reading(&[1, 2, 3, 4])
        .node("Log", &["x"], "a")
        .node("IsNaN", &["a"], "b")
        .floats("zero", &[], &[0.0])
        .node("Where", &["b", "zero", "a"], "y")
        .check_refused("chooses by a condition");
}

#[test]
fn floats_of_other_widths_are_computed_in_f32() {
    Model::reading(&[1, 2, 3, 4])
        .node("Cast", &["x"], "a")
        .integer("to", DataType::Double as i64)
        .node("Cast", &["a"], "b")
        .integer("to", DataType::Float as i64)
        .node("Exp", &["b"], "y")
        .check();
}

#[test]
fn slices_of_windows_leave_out_part_of_each() {
    for (axis, step) in [(2, 1), (2, 2), (3, 1), (4, 2)] {
        Model::reading(&[2, 3, 5, 4, 3])
            .constant("start", &[1], &[1])
            .constant("end", &[1], &[9])
            .constant("axis", &[1], &[axis])
            .constant("step", &[1], &[step])
            .node("Slice", &["x", "start", "end", "axis", "step"], "a")
            .node("Exp", &["a"], "y")
            .check();
    }
    Model::reading(&[2, 3, 5, 4, 3])
        .constant("start", &[3], &[1, 2, 1])
        .constant("end", &[3], &[9, 4, 3])
        .constant("axis", &[3], &[0, 2, 4])
        .node("Slice", &["x", "start", "end", "axis"], "a")
        .node("Exp", &["a"], "y")
        .check();
}

#[test]
fn windows_are_padded_each_for_itself() {
    Model::reading(&[2, 3, 5, 4, 3])
        .constant("pads", &[10], &[0, 0, 1, 2, 0, 0, 0, 2, 0, 0])
        .node("Pad", &["x", "pads"], "y")
        .check();
}

#[test]
fn eight_bit_maps_are_padded_with_what_their_grid_says() {
    for pad in [0, 100, 255] {
        Model::reading(&[1, 2, 3, 4])
            .floats("scale", &[], &[1.0 / 32.0])
            .bytes("zero", &[], &[100])
            .bytes("pad", &[], &[pad])
            .constant("pads", &[8], &[0, 0, 1, 1, 0, 0, 1, 2])
            .node("Tanh", &["x"], "t")
            .node("QuantizeLinear", &["t", "scale", "zero"], "a")
            .node("Pad", &["a", "pads", "pad"], "b")
            .node("DequantizeLinear", &["b", "scale", "zero"], "y")
            .check();
    }
}

#[test]
fn pools_overlook_padding_that_is_less_than_everything() {
    Model::reading(&[1, 2, 6, 5])
        .floats("least", &[], &[f32::NEG_INFINITY])
        .constant("pads", &[8], &[0, 0, 0, 0, 0, 0, 1, 2])
        .node("Pad", &["x", "pads", "least"], "a")
        .node("MaxPool", &["a"], "y")
        .integers("kernel_shape", &[3, 3])
        .integers("strides", &[2, 2])
        .check();
}

#[test]
fn a_product_with_one_column_meets_a_constant_per_row() {
    for operator in ["Add", "Mul", "Sub"] {
        Model::reading(&[1, 3, 4, 6])
            .floats("matrix", &[6, 1], &weights(6))
            .floats("rows", &[3, 1, 1], &weights(3))
            .node("MatMul", &["x", "matrix"], "a")
            .node(operator, &["a", "rows"], "y")
            .check();
    }
}

#[test]
fn a_product_of_several_heads_is_scaled_as_a_whole() {
    for operator in ["Add", "Mul"] {
        Model::reading(&[1, 5, 6])
            .floats("matrix", &[3, 6, 4], &weights(72))
            .floats("half", &[], &[0.5])
            .node("Einsum", &["x", "matrix"], "a")
            .text("equation", "bnc,hcd->bnhd")
            .node(operator, &["a", "half"], "y")
            .check();
    }
}

#[test]
fn one_channel_has_one_slope() {
    Model::reading(&[1, 3, 6, 4])
        .floats("kernel", &[1, 3, 1, 1], &weights(3))
        .floats("slope", &[1, 1, 1], &[0.25])
        .node("Conv", &["x", "kernel"], "a")
        .node("PRelu", &["a", "slope"], "y")
        .check();
}

#[test]
fn known_masks_choose_between_an_activation_and_constants() {
    for constant in [vec![-9.0; 12], weights(12)] {
        Model::reading(&[1, 2, 3, 4])
            .mask("mask", &[3, 4], &[0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1])
            .floats("fill", &[1, 1, 3, 4], &constant)
            .node("Exp", &["x"], "a")
            .node("Where", &["mask", "fill", "a"], "y")
            .check();
    }
}

#[test]
fn a_tensor_is_put_beside_itself() {
    Model::reading(&[1, 2, 3, 4])
        .floats("kernel", &[3, 2, 1, 1], &weights(6))
        .node("Conv", &["x", "kernel"], "a")
        .node("Concat", &["a", "a"], "y")
        .integer("axis", 1)
        .check();
}

#[test]
fn a_part_of_a_tensor_is_an_output() {
    Model::reading(&[3, 4, 6])
        .constant("start", &[1], &[2])
        .constant("end", &[1], &[5])
        .constant("axis", &[1], &[2])
        .floats("matrix", &[6, 6], &weights(36))
        .node("MatMul", &["x", "matrix"], "a")
        .node("Softmax", &["a"], "b")
        .integer("axis", 2)
        .node("Slice", &["b", "start", "end", "axis"], "y")
        .check();
}

#[test]
fn windows_may_lie_in_their_padding() {
    for (kernel, pad, group) in [(1, 1, 1), (3, 5, 1), (3, 4, 3)] {
        let len = 3 * 3 / group * kernel * kernel;
        let side = kernel as i64;
        Model::reading(&[1, 3, 5, 4])
            .floats("kernel", &[3, (3 / group) as i64, side, side], &weights(len))
            .node("Conv", &["x", "kernel"], "y")
            .integers("pads", &[pad; 4])
            .integer("group", group as i64)
            .check();
    }
}

#[test]
fn what_is_padded_stays_so_under_other_axes() {
    Model::reading(&[1, 3, 5, 4])
        .constant("pads", &[8], &[0, 0, 1, 2, 0, 0, 0, 1])
        .floats("kernel", &[2, 3, 1, 1], &weights(6))
        .node("Pad", &["x", "pads"], "a")
        .node("Conv", &["a", "kernel"], "y")
        .check();
    Model::reading(&[1, 5, 4])
        .constant("pads", &[6], &[0, 1, 0, 0, 2, 0])
        .floats("matrix", &[4, 3], &weights(12))
        .node("Pad", &["x", "pads"], "a")
        .node("MatMul", &["a", "matrix"], "y")
        .check();
}

#[test]
fn what_a_network_computes_is_added_to_each_channel() {
    Model::reading(&[1, 3, 5, 4])
        .floats("kernel", &[3, 3, 3, 3], &weights(81))
        .node("GlobalAveragePool", &["x"], "a")
        .node("Conv", &["x", "kernel"], "b")
        .integers("pads", &[1; 4])
        .node("Add", &["b", "a"], "y")
        .check();
}

#[test]
fn outer_sums_and_products_repeat_both_operands() {
    for operator in ["Add", "Mul", "Sub"] {
        Model::reading(&[1, 3, 5, 4])
            .node("ReduceMean", &["x"], "a")
            .integers("axes", &[3])
            .node("ReduceMax", &["x"], "b")
            .integers("axes", &[2])
            .node(operator, &["a", "b"], "y")
            .check();
    }
}
