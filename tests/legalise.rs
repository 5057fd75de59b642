//! Operators that tract computes wrongly or not at all: plans and the tract engine against numbers
//! that are worked out here.

#![cfg(feature = "tract")]

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::{self, Value as Type};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto,
    ValueInfoProto,
};
use zsseg::arena::AlignedBytes;
use zsseg::backbone::Backbone;
use zsseg::backbone::tract::{Network, Options, TractBackbone, lower_network};
use zsseg::compile::{Settings, compile};
use zsseg::image::Target;
use zsseg::map::Layout;
use zsseg::plan::{Plan, Runner, Target as Processor};
use zsseg::spec::{Input, InputType, Precision};

/// Sides of the picture.
const ROWS: usize = 6;
const COLUMNS: usize = 8;

/// Planes of numbers.
#[derive(Clone, Debug)]
struct Planes {
    channels: usize,
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Planes {
    fn of(sides: [usize; 3], value: impl Fn(usize, usize, usize) -> f32) -> Planes {
        let [channels, rows, columns] = sides;
        let mut values = Vec::new();
        for channel in 0..channels {
            for row in 0..rows {
                values.extend((0..columns).map(|column| value(channel, row, column)));
            }
        }
        Planes { channels, rows, columns, values }
    }

    /// Numbers between -3 and 3 that differ.
    fn picture() -> Planes {
        let at = |c: usize, row: usize, column: usize| (c * ROWS + row) * COLUMNS + column;
        let value = |at: usize| ((at * 37 + 11) % 101) as f32 / 17.0 - 3.0;
        Planes::of([3, ROWS, COLUMNS], |c, row, column| value(at(c, row, column)))
    }

    fn sides(&self) -> [usize; 3] {
        [self.channels, self.rows, self.columns]
    }

    fn at(&self, channel: usize, row: usize, column: usize) -> f32 {
        self.values[(channel * self.rows + row) * self.columns + column]
    }

    /// 0 outside.
    fn near(&self, channel: usize, row: isize, column: isize) -> f32 {
        let is_inside =
            (0..self.rows as isize).contains(&row) && (0..self.columns as isize).contains(&column);
        if is_inside { self.at(channel, row as usize, column as usize) } else { 0.0 }
    }

    fn map(&self, function: impl Fn(usize, f32) -> f32) -> Planes {
        let value = |c, row, column| function(c, self.at(c, row, column));
        Planes::of(self.sides(), value)
    }

    /// Every second row and column, from those on.
    fn strided(&self, [row, column]: [usize; 2]) -> Planes {
        let sides =
            [self.channels, (self.rows - row).div_ceil(2), (self.columns - column).div_ceil(2)];
        Planes::of(sides, |c, r, x| self.at(c, row + 2 * r, column + 2 * x))
    }
}

/// Weights of a convolution of 3 channels into `to`, with a kernel of this many rows and columns.
fn weights(to: usize, kernel: usize) -> Vec<f32> {
    (0..to * 3 * kernel * kernel).map(|at| ((at * 29 + 5) % 17) as f32 / 8.0 - 1.0).collect()
}

/// A convolution by [`weights`] with `before` rows and columns of zeros before the first ones, and
/// a result of the picture's size.
fn convolved(x: &Planes, to: usize, kernel: usize, before: isize) -> Planes {
    let weights = weights(to, kernel);
    Planes::of([to, x.rows, x.columns], |o, row, column| {
        let mut sum = 0.0;
        for (at, weight) in
            weights[o * 3 * kernel * kernel..][..3 * kernel * kernel].iter().enumerate()
        {
            let (c, k, l) = (at / (kernel * kernel), at / kernel % kernel, at % kernel);
            let (row, column) = (row + k, column + l);
            sum += weight * x.near(c, row as isize - before, column as isize - before);
        }
        sum
    })
}

/// A graph that reads the picture "x" and whose last node writes "y".
struct Model {
    version: i64,
    graph: GraphProto,
}

impl Model {
    fn new() -> Model {
        Model::of_version(17)
    }

    fn of_version(version: i64) -> Model {
        let elem_type = DataType::Float as i32;
        let tensor = type_proto::Tensor { elem_type, shape: None };
        let r#type = TypeProto { value: Some(Type::TensorType(tensor)), ..TypeProto::default() };
        let input = ValueInfoProto { name: "x".into(), r#type: Some(r#type), ..Default::default() };
        let output = ValueInfoProto { name: "y".into(), ..ValueInfoProto::default() };
        let graph =
            GraphProto { input: vec![input], output: vec![output], ..GraphProto::default() };
        Model { version, graph }
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

    /// [`convolved`], its padding by the following attributes.
    fn convolution(self, from: &str, output: &str, to: usize, kernel: usize) -> Model {
        let (name, side) = (format!("weights of {output}"), kernel as i64);
        let model = self.floats(&name, &[to as i64, 3, side, side], &weights(to, kernel));
        model.node("Conv", &[from, &name], output)
    }

    /// Every second element along axes from `starts` on.
    fn strides(self, from: &str, output: &str, axes: &[i64], starts: &[i64]) -> Model {
        let name = |what: &str| format!("{what} of {output}");
        let (start, end, along, step) = (name("start"), name("end"), name("axes"), name("step"));
        let count = axes.len();
        let sides = [count as i64];
        self.constant(&start, &sides, starts)
            .constant(&end, &sides, &vec![i64::MAX; count])
            .constant(&along, &sides, axes)
            .constant(&step, &sides, &vec![2; count])
            .node("Slice", &[from, &start, &end, &along, &step], output)
    }

    fn onnx(&self) -> Vec<u8> {
        let import = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
        let proto = ModelProto {
            ir_version: 8,
            opset_import: vec![import("", self.version), import("com.microsoft", 1)],
            graph: Some(self.graph.clone()),
            ..ModelProto::default()
        };
        proto.encode_to_vec()
    }

    /// What a plan computes, channels last.
    fn plan(&self) -> Vec<f32> {
        let picture = Planes::picture();
        let network = Network {
            input_name: "x",
            element: InputType::F32,
            input_shape: &[1, 3, ROWS, COLUMNS],
            outputs: &["y"],
        };
        let graph = lower_network(&self.onnx(), &network);
        let graph = graph.unwrap_or_else(|error| panic!("{error}"));
        let compiled = compile(graph, Settings::from(Processor::X86_64), [0; 32]);
        let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
        let plan = Plan::new(&compiled.bytes).unwrap();
        let mut arena = AlignedBytes::zeros(plan.arena_bytes());
        let arena = arena.as_mut_slice();
        let start = plan.tensor(plan.input()).unwrap().offset_bytes as usize;
        for (bytes, value) in arena[start..].chunks_exact_mut(4).zip(channels_last(&picture)) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        Runner::new(plan).run(arena).unwrap();
        let tensor = plan.tensor(plan.outputs().next().unwrap()).unwrap();
        let float = |at: usize| f32::from_le_bytes(arena[at..at + 4].try_into().unwrap());
        let (start, stride) = (tensor.offset_bytes as usize, tensor.pixel_stride as usize);
        let channels = tensor.channels as usize;
        let place = |pixel: usize| (0..channels).map(move |c| start + 4 * (pixel * stride + c));
        (0..tensor.pixels() as usize).flat_map(place).map(float).collect()
    }

    /// The tract engine with this model, if that loads.
    fn engine(&self, [channels, rows, columns]: [usize; 3]) -> Result<TractBackbone, String> {
        let (width, height) = (COLUMNS as u32, ROWS as u32);
        let options = Options {
            input: Input { width, height, layout: Layout::Chw, element: InputType::F32 },
            input_name: "x",
            output_name: "y",
            channels: channels as u32,
            grid_height: rows as u32,
            grid_width: columns as u32,
            output_layout: Layout::Chw,
            second: None,
            precision: Precision::AsModel,
            threads: 1,
        };
        TractBackbone::load(&self.onnx(), &options).map_err(|error| error.to_string())
    }

    /// Both compute `wanted`.
    fn check(self, wanted: &Planes) {
        let mut engine = self.engine(wanted.sides()).unwrap_or_else(|error| panic!("{error}"));
        let Target::F32(input) = engine.input().unwrap() else { panic!("not a float input") };
        input.copy_from_slice(&Planes::picture().values);
        engine.run().unwrap();
        assert_near(engine.output().unwrap().data(), &wanted.values);
        assert_near(&self.plan(), &channels_last(wanted));
    }

    /// It is refused by an error that has these words.
    fn refuse(self, words: &[&str]) {
        let error = self.engine([3, ROWS, COLUMNS]).err().expect("it must be refused");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

fn channels_last(planes: &Planes) -> Vec<f32> {
    let pixels = planes.rows * planes.columns;
    let pixel = |pixel: usize| (0..planes.channels).map(move |c| c * pixels + pixel);
    (0..pixels).flat_map(pixel).map(|at| planes.values[at]).collect()
}

fn assert_near(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let error = (found - wanted).abs();
        assert!(error <= 1e-5 * wanted.abs().max(1.0), "{at}: {found} instead of {wanted}");
    }
}

/// The softmax of each run of `count` numbers.
fn softmax(values: &[f32], count: usize) -> Vec<f32> {
    let run = |run: &[f32]| {
        let sum: f32 = run.iter().map(|value| value.exp()).sum();
        run.iter().map(|value| value.exp() / sum).collect::<Vec<f32>>()
    };
    values.chunks_exact(count).flat_map(run).collect()
}

#[test]
fn strides_behind_a_convolution_start_where_they_say() {
    let wanted = convolved(&Planes::picture(), 4, 3, 1).strided([1, 1]);
    Model::new()
        .convolution("x", "a", 4, 3)
        .integers("pads", &[1, 1, 1, 1])
        .strides("a", "y", &[2, 3], &[1, 1])
        .check(&wanted);
}

#[test]
fn strides_behind_a_convolution_of_the_same_size_keep_its_padding() {
    // Of three rows and columns that the size takes, one is before with this.
    let wanted = convolved(&Planes::picture(), 3, 4, 1).map(|_, value| value.max(0.0));
    let wanted = convolved(&wanted, 2, 1, 0).strided([0, 0]);
    Model::new()
        .convolution("x", "a", 3, 4)
        .text("auto_pad", "SAME_UPPER")
        .node("Relu", &["a"], "b")
        .convolution("b", "y", 2, 1)
        .integers("strides", &[2, 2])
        .check(&wanted);
}

#[test]
fn strides_behind_a_softmax_leave_it_the_whole_axis() {
    let x = Planes::picture();
    let whole = Planes { values: softmax(&x.values, COLUMNS), ..x.clone() };
    let model = Model::new().node("Softmax", &["x"], "a").integer("axis", 3);
    model
        .strides("a", "y", &[3], &[0])
        .check(&Planes::of([3, ROWS, COLUMNS / 2], |c, row, column| whole.at(c, row, 2 * column)));
}

#[test]
fn strides_behind_a_reshape_are_taken() {
    let x = Planes::picture();
    let wanted = Planes::of([3, 1, ROWS * COLUMNS / 2], |c, _, at| x.values[c * 48 + 2 * at]);
    Model::new()
        .constant("tokens", &[4], &[1, 3, 1, 48])
        .node("Reshape", &["x", "tokens"], "a")
        .strides("a", "y", &[3], &[0])
        .check(&wanted);
}

#[test]
fn numbers_less_or_by_a_convolution_keep_its_sign_and_place() {
    let numbers = [2.0, -1.5, 0.5, 3.0];
    let conv = convolved(&Planes::picture(), 4, 1, 0).map(|_, value| value + 40.0);
    type Combine = fn(f32, f32) -> f32;
    let cases: [(&str, Combine); 2] = [("Sub", |k, y| k - y), ("Div", |k, y| k / y)];
    for (operator, combine) in cases {
        let wanted = conv.map(|c, value| combine(numbers[c], value));
        Model::new()
            .floats("k", &[1, 4, 1, 1], &numbers)
            .floats("bias", &[4], &[40.0; 4])
            .floats("weights", &[4, 3, 1, 1], &weights(4, 1))
            .node("Conv", &["x", "weights", "bias"], "a")
            .node(operator, &["k", "a"], "y")
            .check(&wanted);
    }
}

#[test]
fn numbers_less_or_by_a_convolution_of_windows_keep_its_sign_and_place() {
    let numbers = [2.0, -1.5, 0.5, 3.0];
    let conv = convolved(&Planes::picture(), 4, 3, 1).map(|_, value| value + 90.0);
    type Combine = fn(f32, f32) -> f32;
    let cases: [(&str, Combine); 2] = [("Sub", |k, y| k - y), ("Div", |k, y| k / y)];
    for (operator, combine) in cases {
        let wanted = conv.map(|c, value| combine(numbers[c], value));
        Model::new()
            .floats("k", &[1, 4, 1, 1], &numbers)
            .floats("bias", &[4], &[90.0; 4])
            .floats("weights", &[4, 3, 3, 3], &weights(4, 3))
            .node("Conv", &["x", "weights", "bias"], "a")
            .integers("pads", &[1, 1, 1, 1])
            .node(operator, &["k", "a"], "y")
            .check(&wanted);
    }
}

/// A transposed convolution of the picture by steps of 2 and a kernel of 3 x 3 into one channel,
/// of `sides`, without the first rows and columns that are `cut` off.
fn transposed(weights: &[f32], [rows, columns]: [usize; 2], cut: [usize; 2]) -> Planes {
    let x = Planes::picture();
    let mut values = vec![0.0; rows * columns];
    for (at, value) in x.values.iter().enumerate() {
        let (c, row, column) = (at / (ROWS * COLUMNS), at / COLUMNS % ROWS, at % COLUMNS);
        for (tap, weight) in weights[9 * c..][..9].iter().enumerate() {
            let row = (2 * row + tap / 3).checked_sub(cut[0]).filter(|row| *row < rows);
            let column = (2 * column + tap % 3).checked_sub(cut[1]).filter(|at| *at < columns);
            if let (Some(row), Some(column)) = (row, column) {
                values[row * columns + column] += value * weight;
            }
        }
    }
    Planes { channels: 1, rows, columns, values }
}

#[test]
fn transposed_convolutions_cut_where_the_wanted_size_says() {
    // 13 x 17 before anything is cut off: of an odd number the one more is at the start, but for
    // SAME_UPPER.
    let weights = weights(1, 3);
    let cases = [
        ("NOTSET", [12, 16], [1, 1]),
        ("NOTSET", [11, 14], [1, 2]),
        ("NOTSET", [15, 20], [0, 0]),
        ("SAME_UPPER", [12, 14], [0, 1]),
        ("SAME_LOWER", [12, 14], [1, 2]),
    ];
    for (auto_pad, sides, cut) in cases {
        Model::new()
            .floats("weights", &[3, 1, 3, 3], &weights)
            .node("ConvTranspose", &["x", "weights"], "y")
            .integers("strides", &[2, 2])
            .integers("output_shape", &sides.map(|side| side as i64))
            .text("auto_pad", auto_pad)
            .check(&transposed(&weights, sides, cut));
    }
    for (auto_pad, cut) in [("SAME_UPPER", [0, 0]), ("SAME_LOWER", [1, 1])] {
        Model::new()
            .floats("weights", &[3, 1, 3, 3], &weights)
            .node("ConvTranspose", &["x", "weights"], "y")
            .integers("strides", &[2, 2])
            .text("auto_pad", auto_pad)
            .check(&transposed(&weights, [2 * ROWS, 2 * COLUMNS], cut));
    }
}

#[test]
fn transposed_convolutions_that_make_too_little_are_refused() {
    let model = || {
        let weights = weights(1, 3);
        let model = Model::new().floats("weights", &[3, 1, 3, 3], &weights);
        model.node("ConvTranspose", &["x", "weights"], "y")
    };
    model().integers("pads", &[4, 9, 4, 9]).refuse(&["node y", "cut off everything"]);
    let model = model().integers("strides", &[5, 5]).text("auto_pad", "SAME_UPPER");
    model.refuse(&["node y", "elements, not 30"]);
}

#[test]
fn pads_below_zero_crop() {
    let x = Planes::picture();
    let wanted = Planes::of([3, ROWS + 1, COLUMNS - 4], |c, row, column| {
        x.near(c, row as isize - 2, column as isize + 1)
    });
    Model::new()
        .constant("pads", &[8], &[0, 0, 2, -1, 0, 0, -1, -3])
        .node("Pad", &["x", "pads"], "y")
        .check(&wanted);
    Model::of_version(18)
        .constant("pads", &[4], &[-1, 2, -3, -1])
        .constant("axes", &[2], &[3, 2])
        .node("Pad", &["x", "pads", "", "axes"], "y")
        .check(&wanted);
    Model::of_version(9)
        .node("Pad", &["x"], "y")
        .integers("pads", &[0, 0, 2, -1, 0, 0, -1, -3])
        .check(&wanted);
    Model::new()
        .constant("pads", &[8], &[0, 0, 2, -1, 0, 0, -1, -3])
        .node("Pad", &["x", "pads"], "y")
        .text("mode", "reflect")
        .refuse(&["node y", "negative pads"]);
}

#[test]
fn softmax_before_version_13_is_over_all_axes_from_one_on() {
    let x = Planes::picture();
    for (axis, count) in [(None, x.values.len()), (Some(2), ROWS * COLUMNS), (Some(3), COLUMNS)] {
        for operator in ["Softmax", "LogSoftmax"] {
            let mut model = Model::of_version(11).node(operator, &["x"], "y");
            if let Some(axis) = axis {
                model = model.integer("axis", axis);
            }
            let mut values = softmax(&x.values, count);
            if operator == "LogSoftmax" {
                values.iter_mut().for_each(|value| *value = value.ln());
            }
            model.check(&Planes { values, ..x.clone() });
        }
    }
}

#[test]
fn attributes_that_mean_nothing_are_refused_by_name() {
    let transposed =
        |perm: &[i64]| Model::new().node("Transpose", &["x"], "y").integers("perm", perm);
    transposed(&[0, 1, 1, 3]).refuse(&["node y", "perm"]);
    transposed(&[0, 1, 4, 3]).refuse(&["node y", "perm"]);
    let model = Model::new().node("Softmax", &["x"], "y").integer("axis", 9);
    model.refuse(&["node y", "axis 9"]);
    let model = Model::new().node("DepthToSpace", &["x"], "y").integer("blocksize", 0);
    model.refuse(&["node y", "blocksize"]);
    Model::of_version(21)
        .floats("ones", &[3], &[1.0; 3])
        .node("GroupNormalization", &["x", "ones", "ones"], "y")
        .integer("num_groups", 0)
        .refuse(&["node y", "num_groups"]);
    Model::new()
        .constant("none", &[], &[0])
        .constant("end", &[], &[10])
        .node("Range", &["none", "end", "none"], "steps")
        .node("ReduceSum", &["steps"], "sum")
        .integer("keepdims", 0)
        .node("Cast", &["sum"], "float")
        .integer("to", 1)
        .node("Add", &["x", "float"], "y")
        .refuse(&["node steps", "step is 0"]);
    Model::of_version(20).node("GlobalLpPool", &["x"], "y").refuse(&["node y", "GlobalLpPool"]);
}

#[test]
fn functions_of_large_numbers_stay_finite() {
    let picture = Planes::picture();
    let steep = picture.map(|_, value| value * 200.0);
    let large = || Model::new().floats("large", &[], &[200.0]).node("Mul", &["x", "large"], "a");
    let exact = |value: f32| f64::from(value).max(0.0) + (-f64::from(value).abs()).exp().ln_1p();
    large().node("Softplus", &["a"], "y").check(&steep.map(|_, value| exact(value) as f32));

    let [channels, rows, columns] = steep.sides();
    let logarithm = Planes::of([channels, rows, columns], |channel, row, column| {
        let all = (0..channels).map(|channel| f64::from(steep.at(channel, row, column)));
        let largest = all.clone().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = all.map(|value| (value - largest).exp()).sum();
        (f64::from(steep.at(channel, row, column)) - largest - total.ln()) as f32
    });
    large().node("LogSoftmax", &["a"], "y").integer("axis", 1).check(&logarithm);
}

/// Of 6 rows and 8 columns, by windows of 3 x 3: the last ones reach over the end.
#[test]
fn pools_without_padding_count_windows_that_reach_over_the_end() {
    let x = Planes::picture();
    let wanted = Planes::of([3, 3, 4], |c, row, column| {
        let rows = 2 * row..(2 * row + 3).min(ROWS);
        let taps =
            rows.flat_map(|r| (2 * column..(2 * column + 3).min(COLUMNS)).map(move |at| (r, at)));
        taps.map(|(r, at)| x.at(c, r, at)).fold(f32::NEG_INFINITY, f32::max)
    });
    Model::new()
        .node("MaxPool", &["x"], "y")
        .integers("kernel_shape", &[3, 3])
        .integers("strides", &[2, 2])
        .integer("ceil_mode", 1)
        .text("auto_pad", "VALID")
        .check(&wanted);
}
