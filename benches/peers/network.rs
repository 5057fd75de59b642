//! A network alone, compiled to a plan, for the comparison with peers: input in floats to output.
//! Speaks as the workers of `benches/peers/compare.py` do: a line of JSON when the first frame is
//! there, then for each line with a number of seconds one with the least time of a frame (by the clock
//! on the wall: the standard library has no other).
//!
//! ```sh
//! cargo run --release --example bench_network -- NETWORK.onnx PICTURE.f32 INPUT SIDE OUTPUT CHANNELS \
//!     ROWS COLUMNS chw|hwc
//! ```
//!
//! PICTURE.f32 holds SIDE x SIDE pixels of three floats.

use anyhow::{Result, bail};
use std::io::BufRead;
use std::time::{Duration, Instant};
use zsseg::arena::AlignedBytes;
use zsseg::backbone::tract::{Options, lower};
use zsseg::compile::compile;
use zsseg::map::Layout;
use zsseg::plan::{Plan, Runner, Target};
use zsseg::spec::{Input, InputType, Precision};

const USAGE: &str = "usage: bench_network NETWORK.onnx PICTURE.f32 INPUT SIDE OUTPUT CHANNELS ROWS \
                     COLUMNS chw|hwc";

fn options(arguments: &[String]) -> Result<Options<'_>> {
    let [input_name, side, output_name, channels, rows, columns, layout] = arguments else {
        bail!(USAGE);
    };
    let side: u32 = side.parse()?;
    Ok(Options {
        input: Input { width: side, height: side, layout: Layout::Chw, element: InputType::F32 },
        input_name,
        output_name,
        channels: channels.parse()?,
        grid_height: rows.parse()?,
        grid_width: columns.parse()?,
        output_layout: if layout == "hwc" { Layout::Hwc } else { Layout::Chw },
        second: None,
        precision: Precision::AsModel,
        threads: 1,
    })
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, picture, rest @ ..] = arguments.as_slice() else { bail!(USAGE) };
    let options = options(rest)?;
    let graph = lower(&std::fs::read(network)?, &options)?;
    let compiled = compile(graph, Target::host(), [0; 32])?;
    let values = std::fs::read(picture)?;

    let started = Instant::now();
    let plan = Plan::new(&compiled.bytes)?;
    let mut memory = AlignedBytes::zeros(plan.arena_bytes());
    let arena = memory.as_mut_slice();
    let place = plan.tensor(plan.input())?.offset_bytes as usize;
    let mut runner = Runner::new(plan);
    let load = started.elapsed();
    let mut frame = || -> Result<()> {
        arena[place..place + values.len()].copy_from_slice(&values);
        Ok(runner.run(arena)?)
    };
    frame()?;
    let [load, ready] = [load, started.elapsed()].map(|time| time.as_secs_f64() * 1e3);
    println!("{{\"load\": {load}, \"ready\": {ready}}}");
    for line in std::io::stdin().lock().lines() {
        let end = Instant::now() + Duration::from_secs_f64(line?.trim().parse()?);
        let (mut frames, mut least) = (0, Duration::MAX);
        while frames < 3 || Instant::now() < end {
            let start = Instant::now();
            frame()?;
            least = least.min(start.elapsed());
            frames += 1;
        }
        let ms = least.as_secs_f64() * 1e3;
        println!("{{\"ms\": {ms}}}");
    }
    Ok(())
}
