//! Runs networks over samples.

use super::QuantizeSource;
use super::bias::TakeTap;
use super::samples::Samples;
use crate::arena::{AlignedBytes, Arena};
use crate::backbone::Backbone;
use crate::backbone::plan::PlanBackbone;
use crate::backbone::tract::{
    Options, QuantizableNetwork, Quantization, TractBackbone, TractTaps, lower,
};
use crate::compile::compile;
use crate::image::Target;
use crate::map::{Layout, Map};
use crate::plan::{self, Plan};
use crate::spec::{Input, InputType, Precision};
use anyhow::{Result, bail, ensure};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Takes what a network gives for a sample.
type TakeOutput<'t> = dyn FnMut(usize, Map<'_, f32>) -> Result<()> + 't;

/// What all forms of a network have in common: its input and its output.
pub(super) struct Engine<'a> {
    input: Input,
    input_name: String,
    output_name: String,
    layout: Layout,
    /// Rows, columns and channels of the output.
    grid: [usize; 3],
    source: &'a QuantizeSource<'a>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        source: &'a QuantizeSource<'a>,
        network: &QuantizableNetwork,
    ) -> Result<Engine<'a>> {
        let input = match source.input {
            Some(input) => input,
            None => declared_input(&network.input_sides())?,
        };
        ensure!(
            input.element == InputType::F32,
            "the input is quantised already; state `type = \"f32\"` for a float network"
        );
        let mut engine = Engine {
            input,
            input_name: network.input().to_string(),
            output_name: network.output().to_string(),
            layout: source.output_layout,
            grid: [0; 3],
            source,
        };
        let float = network.write(&network.float_numbers())?;
        let sides = TractBackbone::output_shape(&float, &engine.options())?;
        engine.grid = match (&sides[..], engine.layout) {
            (&[1, c, h, w], Layout::Chw) => [h, w, c],
            (&[1, h, w, c], Layout::Hwc) => [h, w, c],
            (&[1, tokens, c], Layout::Hwc) => [1, tokens, c],
            (&[1, c], _) => [1, 1, c],
            _ => bail!("output \"{}\" has sides {sides:?}: it is no map", engine.output_name),
        };
        if let Some(head) = &source.head {
            head.check(engine.grid[2])?;
        }
        Ok(engine)
    }

    /// Elements of an output with the channels of a cell side by side, as plans have them.
    pub(super) fn in_pixel_order(&self, output: &Map<'_, f32>) -> Vec<f32> {
        let cells = output.height() * output.width();
        match output.layout() {
            Layout::Hwc => output.data().to_vec(),
            Layout::Chw => {
                let cell = |at: usize| output.data().iter().skip(at).step_by(cells).copied();
                (0..cells).flat_map(cell).collect()
            }
        }
    }

    /// Labels of an output's cells.
    pub(super) fn labels(&self, output: &Map<'_, f32>) -> Vec<u16> {
        super::masks::labels(output, self.source.head.as_ref())
    }

    fn options(&self) -> Options<'_> {
        let [height, width, channels] = self.grid.map(|side| side as u32);
        Options {
            input: self.input,
            input_name: &self.input_name,
            output_name: &self.output_name,
            channels,
            grid_height: height,
            grid_width: width,
            output_layout: self.layout,
            second: None,
            precision: Precision::AsModel,
            threads: 1,
        }
    }

    /// Elements of the input.
    fn input_len(&self) -> usize {
        3 * self.input.width as usize * self.input.height as usize
    }

    /// Runs `networks` in tract over all samples and hands out the tensors `names`, of which the
    /// input may be one.
    pub(super) fn each_tap(
        &self,
        networks: &[&[u8]],
        names: &[&str],
        samples: &dyn Samples,
        take: &mut TakeTap<'_>,
    ) -> Result<()> {
        let read = names.iter().copied().filter(|name| *name != self.input_name);
        let read: Vec<&str> = read.collect();
        let mut engines = Vec::with_capacity(networks.len());
        for onnx in networks.iter().filter(|_| !read.is_empty()) {
            engines.push(TractTaps::load(onnx, &self.options(), &read)?);
        }
        let mut values = vec![0.0; self.input_len()];
        for sample in 0..samples.len() {
            samples.read(sample, &mut values)?;
            for engine in &mut engines {
                if let Target::F32(target) = engine.input()? {
                    target.copy_from_slice(&values);
                }
                engine.run()?;
            }
            let mut next = 0;
            for (index, name) in names.iter().enumerate() {
                if *name == self.input_name {
                    let same: Vec<&[f32]> = networks.iter().map(|_| &values[..]).collect();
                    take(sample, index, &same)?;
                    continue;
                }
                let found: Result<Vec<&[f32]>, _> =
                    engines.iter().map(|engine| engine.output(next)).collect();
                take(sample, index, &found?)?;
                next += 1;
            }
        }
        Ok(())
    }

    /// Runs `onnx` over all samples: as a plan, or in tract if it cannot be compiled. Says which.
    pub(super) fn each_output(
        &self,
        onnx: &[u8],
        samples: &dyn Samples,
        take: &mut TakeOutput<'_>,
    ) -> Result<&'static str> {
        let graph = lower(onnx, &self.options());
        let compiled = graph.and_then(|graph| compile(graph, plan::Target::host(), [0; 32]));
        match compiled {
            Ok(compiled) => self.plan_outputs(&compiled.bytes, samples, take).map(|()| "plan"),
            Err(_) => self.tract_outputs(onnx, samples, take).map(|()| "tract"),
        }
    }

    fn tract_outputs(
        &self,
        onnx: &[u8],
        samples: &dyn Samples,
        take: &mut TakeOutput<'_>,
    ) -> Result<()> {
        let mut backbone = TractBackbone::load(onnx, &self.options())?;
        for sample in 0..samples.len() {
            if let Target::F32(target) = backbone.input()? {
                samples.read(sample, target)?;
            }
            backbone.run()?;
            take(sample, backbone.output()?)?;
        }
        Ok(())
    }

    fn plan_outputs(
        &self,
        bytes: &[u8],
        samples: &dyn Samples,
        take: &mut TakeOutput<'_>,
    ) -> Result<()> {
        let plan = Plan::new(bytes)?;
        let mut memory = AlignedBytes::zeros(plan.arena_bytes());
        let mut arena = Arena::over(memory.as_mut_slice())?;
        let input = PlanBackbone::input_of(&plan)?;
        let mut backbone = PlanBackbone::carve(&mut arena, plan, 1)?;
        let mut values = vec![0.0; self.input_len()];
        for sample in 0..samples.len() {
            samples.read(sample, &mut values)?;
            let pixels = channels_last(&values, self.input.layout);
            match (backbone.input()?, input.element) {
                (Target::F32(target), _) => target.copy_from_slice(&pixels),
                (Target::U8(target), InputType::U8(grid)) => {
                    let zero_point = grid.zero_point.clamp(0, 255) as u8;
                    let grid = Quantization { scale: grid.scale, zero_point };
                    let pairs = target.iter_mut().zip(&pixels);
                    pairs.for_each(|(to, value)| *to = grid.quantized(*value));
                }
                _ => bail!("the plan reads other numbers than u8 and f32"),
            }
            backbone.run()?;
            take(sample, backbone.output()?)?;
        }
        Ok(())
    }
}

/// Pixels with their three channels side by side.
fn channels_last(values: &[f32], layout: Layout) -> Vec<f32> {
    let pixels = values.len() / 3;
    match layout {
        Layout::Hwc => values.to_vec(),
        Layout::Chw => {
            let pixel = |at: usize| (0..3).map(move |channel| values[channel * pixels + at]);
            (0..pixels).flat_map(pixel).collect()
        }
    }
}

fn declared_input(sides: &[Option<usize>]) -> Result<Input> {
    let (layout, height, width) = match *sides {
        [_, Some(3), Some(height), Some(width)] => (Layout::Chw, height, width),
        [_, Some(height), Some(width), Some(3)] => (Layout::Hwc, height, width),
        _ => bail!("the network leaves its input's size open: state it in a pack file (--config)"),
    };
    let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
    let input = Input { width, height, layout, element: InputType::F32 };
    input.check()?;
    Ok(input)
}
