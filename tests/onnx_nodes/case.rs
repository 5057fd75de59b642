//! The node tests as cases: a model that reads one tensor, what it reads, what it should give.

use crate::model::{ALL, is_covered, quantization, read_tensor, with_one_input, with_rows};
use prost::Message;
use std::fs;
use std::path::Path;
use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};
use tract_onnx::tensor::load_tensor;

/// A test, ready to be run.
pub struct Case {
    pub name: String,
    pub model: ModelProto,
    pub input_name: String,
    pub input: Values,
    pub outputs: Vec<Wanted>,
}

/// A tensor in ONNX's order.
#[derive(Clone)]
pub struct Values {
    pub element: DataType,
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// An output.
pub struct Wanted {
    pub name: String,
    pub values: Values,
    /// Scale and zero point, where the network quantises it.
    pub grid: Option<[f32; 2]>,
}

/// A name and why there is no case.
type Refused = (String, String);

impl Case {
    /// The cases of a folder; none if its operators are not covered.
    pub fn all_of(folder: &Path) -> Vec<Result<Case, Refused>> {
        let name = folder.file_name().unwrap().to_str().unwrap().to_string();
        let bytes = fs::read(folder.join("model.onnx")).unwrap();
        let model = ModelProto::decode(&*bytes).unwrap();
        if !is_covered(model.graph.as_ref().unwrap()) {
            return Vec::new();
        }
        let data = folder.join("test_data_set_0");
        match Files::read(&data, model.graph.as_ref().unwrap()) {
            Ok(files) => files.cases(&name, &model),
            Err(reason) => vec![Err((name, reason))],
        }
    }
}

/// The tensors of a test.
struct Files {
    inputs: Vec<TensorProto>,
    outputs: Vec<TensorProto>,
}

impl Files {
    fn read(folder: &Path, graph: &GraphProto) -> Result<Files, String> {
        let read = |kind: &str, count: usize| -> Result<Vec<TensorProto>, String> {
            let file = |index: usize| {
                let bytes = fs::read(folder.join(format!("{kind}_{index}.pb"))).ok()?;
                read_tensor(&bytes)
            };
            let all: Option<Vec<TensorProto>> = (0..count).map(file).collect();
            all.ok_or(format!("an {kind} is no tensor"))
        };
        let inputs = read("input", graph.input.len())?;
        let outputs = read("output", graph.output.len())?;
        Ok(Files { inputs, outputs })
    }

    fn cases(&self, name: &str, model: &ModelProto) -> Vec<Result<Case, Refused>> {
        let refused = |reason: String| vec![Err((name.to_string(), reason))];
        let types: Vec<DataType> = self.inputs.iter().map(type_of).collect();
        let feeds =
            |kind: &DataType| matches!(kind, DataType::Float | DataType::Uint8 | DataType::Int8);
        let Some(index) = types.iter().position(feeds) else {
            let names: Vec<&str> = types.iter().map(|kind| kind.as_str_name()).collect();
            return refused(format!(
                "no input is of floats or 8-bit integers: {}",
                names.join(", ")
            ));
        };
        let one = with_one_input(model, index, &self.inputs);
        let mut cases = vec![(name.to_string(), one, self.inputs[index].name.clone(), vec![index])];
        let same = |at: &usize| {
            types[*at] == DataType::Float
                && types[index] == DataType::Float
                && count(&self.inputs[*at]) == count(&self.inputs[index])
        };
        let rows: Vec<usize> = (0..types.len()).filter(same).collect();
        if rows.len() > 1 {
            let all = with_rows(model, &rows, &self.inputs);
            cases.push((format!("{name} with all inputs"), all, ALL.into(), rows));
        }
        cases
            .into_iter()
            .map(|(name, model, input, rows)| self.case(name, model, input, &rows))
            .collect()
    }

    fn case(
        &self,
        name: String,
        model: ModelProto,
        input_name: String,
        rows: &[usize],
    ) -> Result<Case, Refused> {
        let refuse = |reason: String| (name.clone(), reason);
        let values = |tensor: &TensorProto| values_of(tensor).map_err(refuse);
        let graph = model.graph.as_ref().unwrap();
        let mut input = values(&self.inputs[rows[0]])?;
        if let [_, others @ ..] = rows
            && !others.is_empty()
        {
            input.shape = vec![rows.len(), input.data.len()];
            for &row in others {
                input.data.extend(values(&self.inputs[row])?.data);
            }
        }
        let input_name = match rows {
            [_] => graph.input[0].name.clone(),
            _ => input_name,
        };
        let mut outputs = Vec::new();
        for (output, tensor) in graph.output.iter().zip(&self.outputs) {
            let values = values(tensor)?;
            let name = output.name.clone();
            let number = |constant: &str| self.constant(&model, constant);
            let grid = quantization(graph, &name)
                .and_then(|[scale, zero]| Some([number(scale)?, number(zero).unwrap_or(0.0)]));
            outputs.push(Wanted { name, values, grid });
        }
        Ok(Case { name: name.clone(), model: model.clone(), input_name, input, outputs })
    }

    /// The one number of a constant.
    fn constant(&self, model: &ModelProto, name: &str) -> Option<f32> {
        let tensors = &model.graph.as_ref()?.initializer;
        let tensor = tensors.iter().find(|tensor| tensor.name == name)?;
        values_of(tensor).ok()?.data.first().copied()
    }
}

fn type_of(tensor: &TensorProto) -> DataType {
    DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined)
}

fn count(tensor: &TensorProto) -> i64 {
    tensor.dims.iter().product()
}

fn values_of(tensor: &TensorProto) -> Result<Values, String> {
    let element = type_of(tensor);
    let known = [DataType::Float, DataType::Uint8, DataType::Int8, DataType::Int32];
    if !known.contains(&element) {
        return Err(format!("a tensor is of type {}", element.as_str_name()));
    }
    let loaded =
        load_tensor(&MmapDataResolver, tensor, None).map_err(|error| format!("{error:#}"))?;
    let shape = loaded.shape().to_vec();
    let floats = loaded.cast_to::<f32>().map_err(|error| format!("{error:#}"))?.into_owned();
    let view = floats.try_as_plain_ram().map_err(|error| format!("{error:#}"))?;
    let data = view.as_slice::<f32>().map_err(|error| format!("{error:#}"))?.to_vec();
    Ok(Values { element, shape, data })
}
