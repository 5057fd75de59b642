//! Golden files, and how far results are from them.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;
use zsseg::train::engine::{CpuEngine, Matrix, Real};

pub fn engine() -> CpuEngine {
    CpuEngine::new(2.try_into().unwrap())
}

/// A golden file.
pub struct Golden {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Golden {
    pub fn open(name: &'static str) -> Golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/training");
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Golden { name, bytes }
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    /// The names of the cases that hold a tensor of this name.
    pub fn cases(&self, tensor: &str) -> Vec<String> {
        let end = format!(".{tensor}");
        let names = self.file().names().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut cases: Vec<String> =
            names.iter().filter_map(|name| name.strip_suffix(&end)).map(str::to_owned).collect();
        cases.sort();
        assert!(!cases.is_empty(), "{}: no case with {tensor}", self.name);
        cases
    }

    /// The tensors of a case.
    pub fn case<'a>(&'a self, name: &'a str) -> Case<'a> {
        Case { golden: self, name }
    }
}

/// The tensors of a case.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    golden: &'a Golden,
    name: &'a str,
}

impl Case<'_> {
    fn read<T>(&self, name: &str, dtype: Dtype, of: impl Fn(TensorView<'_>) -> T) -> T {
        let name = format!("{}.{name}", self.name);
        let file = self.golden.file();
        let tensor = file.tensor(&name);
        let tensor = tensor.unwrap_or_else(|error| panic!("{}: {error}", self.golden.name));
        assert_eq!(tensor.dtype(), dtype, "{name}");
        of(tensor)
    }

    pub fn has(&self, name: &str) -> bool {
        self.golden.file().tensor(&format!("{}.{name}", self.name)).is_ok()
    }

    pub fn numbers(&self, name: &str) -> Vec<f64> {
        self.read(name, Dtype::F64, |tensor| {
            let words = tensor.data().as_chunks::<8>().0;
            words.iter().map(|word| f64::from_le_bytes(*word)).collect()
        })
    }

    pub fn number(&self, name: &str) -> f64 {
        let numbers = self.numbers(name);
        assert_eq!(numbers.len(), 1, "{name}");
        numbers[0]
    }

    pub fn values<F: Real>(&self, name: &str) -> Vec<F> {
        self.numbers(name).into_iter().map(F::of).collect()
    }

    pub fn whole(&self, name: &str) -> Vec<i32> {
        self.read(name, Dtype::I64, |tensor| {
            let words = tensor.data().as_chunks::<8>().0;
            words.iter().map(|word| i64::from_le_bytes(*word).try_into().unwrap()).collect()
        })
    }

    /// A matrix; part `index` of a tensor of three dimensions.
    pub fn part<F: Real>(&self, name: &str, index: usize) -> Matrix<F> {
        let shape = self.read(name, Dtype::F64, |tensor| tensor.shape().to_vec());
        let [rows, columns] = shape[shape.len() - 2..] else { panic!("{name}: {shape:?}") };
        let values = self.values(name);
        let size = rows * columns;
        Matrix::new([rows, columns], values[index * size..][..size].to_vec()).unwrap()
    }

    pub fn matrix<F: Real>(&self, name: &str) -> Matrix<F> {
        self.part(name, 0)
    }

    /// Checks a matrix against the tensor of this name.
    #[track_caller]
    pub fn meets<F: Real>(&self, name: &str, found: &Matrix<F>, bound: f64) {
        let found: Vec<f64> = found.values().iter().map(|value| value.to_f64()).collect();
        self.meets_numbers(name, &found, bound);
    }

    #[track_caller]
    pub fn meets_numbers(&self, name: &str, found: &[f64], bound: f64) {
        near(
            &format!("{} {}.{name}", self.golden.name, self.name),
            found,
            &self.numbers(name),
            bound,
        );
    }
}

/// Checks numbers by the length of their difference.
#[track_caller]
pub fn near(what: &str, found: &[f64], wanted: &[f64], bound: f64) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let pairs = found.iter().zip(wanted);
    let difference: f64 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
    let length: f64 = wanted.iter().map(|value| value * value).sum();
    let error = if difference == 0.0 { 0.0 } else { (difference / length).sqrt() };
    // For `--nocapture`: the errors as they are.
    println!("{} {error:.1e} {what}", if bound < 1e-9 { "f64" } else { "f32" });
    assert!(error <= bound, "{what}: error {error:e} beyond {bound:e}: {found:?} {wanted:?}");
}
