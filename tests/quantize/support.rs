//! Networks, pictures and engines.

use std::path::{Path, PathBuf};
use zsseg::backbone::Backbone;
use zsseg::backbone::tract::{Options, TractBackbone, TractTaps};
use zsseg::convert::{
    QuantizeSettings, QuantizeSource, QuantizedNetwork, RangeMethod, Samples, quantize,
};
use zsseg::image::Target;
use zsseg::map::Layout;
use zsseg::spec::{Input, InputType, Precision};

pub const SIDE: u32 = 16;

pub fn model(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Smooth pictures with some noise, from -1 to 1.
pub struct Waves {
    pictures: Vec<Vec<f32>>,
    names: Vec<String>,
}

impl Waves {
    /// Pictures number `from` to `to`; equal numbers are equal pictures.
    pub fn new(from: u32, to: u32) -> Waves {
        let names = (from..to).map(|number| format!("wave {number}")).collect();
        Waves { pictures: (from..to).map(wave).collect(), names }
    }

    pub fn values(&self, index: usize) -> &[f32] {
        &self.pictures[index]
    }

    pub fn values_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.pictures[index]
    }
}

fn wave(number: u32) -> Vec<f32> {
    let mut state = number.wrapping_mul(747_796_405).wrapping_add(1);
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let turns: Vec<f32> = (0..9).map(|_| noise()).collect();
    (0..3 * SIDE * SIDE)
        .map(|at| {
            let (channel, y, x) = (at / (SIDE * SIDE), at / SIDE % SIDE, at % SIDE);
            let turn = &turns[3 * channel as usize..];
            let phase = (x as f32 * turn[0] + y as f32 * turn[1]) * 0.8 + turn[2] * 3.0;
            (phase.sin() * 0.8 + noise() * 0.2).clamp(-1.0, 1.0)
        })
        .collect()
}

impl Samples for Waves {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    fn read(&self, index: usize, values: &mut [f32]) -> anyhow::Result<()> {
        values.copy_from_slice(&self.pictures[index]);
        Ok(())
    }
}

pub fn source<'a>(onnx: &'a [u8], output: Option<&'a str>) -> QuantizeSource<'a> {
    QuantizeSource { onnx, input: None, output, output_layout: Layout::Chw, head: None }
}

pub fn settings() -> QuantizeSettings {
    QuantizeSettings {
        method: Some(RangeMethod::Mse),
        bias_correction: true,
        equalize: false,
        smooth: true,
        attention: false,
        keep_float: Vec::new(),
        auto_float_db: None,
        layers_alone: false,
    }
}

/// Quantises with 8 pictures and measures on 4 others.
pub fn quantized(
    source: &QuantizeSource<'_>,
    settings: &QuantizeSettings,
) -> anyhow::Result<QuantizedNetwork> {
    quantize(source, &Waves::new(0, 8), &Waves::new(8, 12), settings, &mut |_| {})
}

pub fn options(output: &str, [channels, rows, columns]: [u32; 3]) -> Options<'_> {
    let input = Input { width: SIDE, height: SIDE, layout: Layout::Chw, element: InputType::F32 };
    Options {
        input,
        input_name: "image",
        output_name: output,
        channels,
        grid_height: rows,
        grid_width: columns,
        output_layout: Layout::Chw,
        second: None,
        precision: Precision::AsModel,
        threads: 1,
    }
}

/// An output of the tract engine for one picture.
pub fn run(onnx: &[u8], options: &Options<'_>, picture: &[f32]) -> Vec<f32> {
    let mut backbone = TractBackbone::load(onnx, options).unwrap();
    let Target::F32(target) = backbone.input().unwrap() else { panic!("not a float input") };
    target.copy_from_slice(picture);
    backbone.run().unwrap();
    backbone.output().unwrap().data().to_vec()
}

/// Any tensor of a network for one picture.
pub fn tap(onnx: &[u8], name: &str, picture: &[f32]) -> Vec<f32> {
    let mut taps = TractTaps::load(onnx, &options(name, [0; 3]), &[name]).unwrap();
    let Target::F32(target) = taps.input().unwrap() else { panic!("not a float input") };
    target.copy_from_slice(picture);
    taps.run().unwrap();
    taps.output(0).unwrap().to_vec()
}

pub fn sqnr_db(float: &[f32], quantized: &[f32]) -> f64 {
    assert_eq!(float.len(), quantized.len());
    let square = |value: f32| f64::from(value).powi(2);
    let signal: f64 = float.iter().map(|value| square(*value)).sum();
    let noise: f64 = float.iter().zip(quantized).map(|(a, b)| square(a - b)).sum();
    10.0 * (signal / noise).log10()
}
