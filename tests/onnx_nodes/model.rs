//! Models of the node tests, rewritten so that they read one tensor.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::{self, Value as Type};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, TypeProto};
use tract_onnx::pb::{ModelProto, ValueInfoProto};

/// Operators that plans have steps for, or that tract makes of those.
const OPERATORS: &str = "\
    Abs Add AveragePool BatchNormalization Cast CastLike Celu Clip Concat Constant \
    ConstantOfShape Conv ConvInteger ConvTranspose DepthToSpace DequantizeLinear Div Dropout Elu \
    Erf Exp Expand Flatten Gather Gelu Gemm GlobalAveragePool GlobalMaxPool GroupNormalization \
    HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log \
    LogSoftmax MatMul MatMulInteger Max MaxPool Mean Min Mish Mul Neg PRelu Pad Pow QLinearConv \
    QLinearMatMul QuantizeLinear RMSNormalization Reciprocal ReduceMax ReduceMean ReduceSum \
    ReduceSumSquare Relu Reshape Resize Selu Shape Sigmoid Slice Softmax Softplus SpaceToDepth \
    Split Sqrt Squeeze Sub Sum Swish Tanh Transpose Unsqueeze Upsample";

/// Those of them that only change types, and numbers that are known: no test is about a plan that
/// has nothing else.
const AUXILIARY: &str = "Cast CastLike Constant ConstantOfShape Gather Shape";

/// Whether plans should hold all operators of a graph.
pub fn is_covered(graph: &GraphProto) -> bool {
    let is_in = |list: &str, node: &NodeProto| list.split(' ').any(|name| name == node.op_type);
    graph.node.iter().all(|node| is_in(OPERATORS, node))
        && graph.node.iter().any(|node| !is_in(AUXILIARY, node))
}

/// `model` with input `index` as the only one and the others as constants.
pub fn with_one_input(model: &ModelProto, index: usize, values: &[TensorProto]) -> ModelProto {
    let mut model = model.clone();
    let graph = model.graph.as_mut().unwrap();
    let inputs = std::mem::take(&mut graph.input);
    for (at, (input, value)) in inputs.into_iter().zip(values).enumerate() {
        if at == index {
            graph.input.push(input);
        } else {
            graph.initializer.push(TensorProto { name: input.name, ..value.clone() });
        }
    }
    model
}

/// Name of the input that holds several.
pub const ALL: &str = "all_inputs";

/// `model` with the inputs `indexes`, floats of one size, as rows of one tensor.
pub fn with_rows(model: &ModelProto, indexes: &[usize], values: &[TensorProto]) -> ModelProto {
    let mut model = model.clone();
    let graph = model.graph.as_mut().unwrap();
    let inputs = std::mem::take(&mut graph.input);
    let mut nodes = Vec::new();
    for (at, (input, value)) in inputs.into_iter().zip(values).enumerate() {
        let Some(row) = indexes.iter().position(|index| *index == at) else {
            graph.initializer.push(TensorProto { name: input.name, ..value.clone() });
            continue;
        };
        let name = |what: &str| format!("{}_{what}", input.name);
        graph.initializer.push(integers(name("start"), &[row as i64]));
        graph.initializer.push(integers(name("end"), &[row as i64 + 1]));
        graph.initializer.push(integers(name("axis"), &[0]));
        graph.initializer.push(integers(name("shape"), &value.dims));
        let slice = [ALL.into(), name("start"), name("end"), name("axis")];
        nodes.push(node("Slice", slice.to_vec(), name("row")));
        nodes.push(node("Reshape", vec![name("row"), name("shape")], input.name.clone()));
    }
    nodes.append(&mut graph.node);
    graph.node = nodes;
    let elem_type = DataType::Float as i32;
    let tensor = type_proto::Tensor { elem_type, shape: None };
    let r#type = TypeProto { value: Some(Type::TensorType(tensor)), ..TypeProto::default() };
    let all = ValueInfoProto { name: ALL.into(), r#type: Some(r#type), ..Default::default() };
    graph.input.push(all);
    model
}

fn node(operator: &str, input: Vec<String>, output: String) -> NodeProto {
    NodeProto { op_type: operator.into(), input, output: vec![output], ..NodeProto::default() }
}

fn integers(name: String, values: &[i64]) -> TensorProto {
    TensorProto {
        name,
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// Names of the scale and the zero point with which the tensor `name` is quantised.
pub fn quantization<'m>(graph: &'m GraphProto, name: &str) -> Option<[&'m str; 2]> {
    let writer = graph.node.iter().find(|node| node.output.iter().any(|one| one == name))?;
    let first = match &*writer.op_type {
        "QuantizeLinear" => 1,
        "QLinearConv" | "QLinearMatMul" => 6,
        _ => return None,
    };
    let zero_point = writer.input.get(first + 1).map_or("", |name| name);
    Some([writer.input.get(first)?, zero_point])
}

/// A tensor file.
pub fn read_tensor(bytes: &[u8]) -> Option<TensorProto> {
    TensorProto::decode(bytes).ok().filter(|tensor| tensor.data_type != 0)
}
