//! `zsseg bench`.

use super::bench_classes::{self, Adding};
use super::mask::LabelPlane;
use super::model::{ModelFile, arena_for, clock};
use super::report::ms;
use super::{Outcome, inspect, picture, steps};
use crate::arena::AlignedBytes;
use crate::head::Output;
use crate::image::Image;
use crate::limits::{Limits, MAX_CLASSES, MAX_THREADS};
use crate::math::kernels::Kernels;
use crate::plan::{Plan, Runner};
use crate::segmenter::Segmenter;
use crate::threads::Workers;
use crate::trace::StageTimes;
use crate::viz::Picture;
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::time::Instant;
use std::vec::Vec;
use std::{format, fs, vec};

/// Size of the picture that is made up where none is given.
const SYNTHETIC_SIZE: (u32, u32) = (640, 480);

/// Measure a model on this machine: whole frame to mask, stage by stage.
#[derive(clap::Args)]
pub struct Args {
    /// The model.
    bundle: PathBuf,
    /// A picture; without one, a made-up pattern of 640x480 pixels.
    image: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Frames to measure.
    #[arg(long, value_name = "N", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    frames: u32,
    /// Frames to run before.
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: u32,
    /// Threads for a frame, the calling one among them.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_THREADS)))]
    threads: u32,
    /// Measure each step of a compiled network instead, and print the least time of each.
    #[arg(long, conflicts_with_all = ["json", "image", "extra_classes"])]
    steps: bool,
    /// Make room for so many more classes, measure what adding them takes in each way that the
    /// model knows, and measure frames with all of them.
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_CLASSES)))]
    extra_classes: u32,
}

/// The document of `bench --json`. Times are in milliseconds.
#[derive(Serialize)]
struct Report {
    /// Version of zsseg.
    version: &'static str,
    /// Name of the model.
    model: String,
    /// Bytes of the bundle.
    bundle_bytes: usize,
    /// The picture, or "synthetic".
    image: String,
    width: u32,
    height: u32,
    threads: u32,
    frames: u32,
    warmup: u32,
    /// Classes that were added.
    extra_classes: u32,
    /// What adding them took, by each way.
    adding: Vec<Adding>,
    /// Vector instructions of this library's own kernels.
    kernels: &'static str,
    /// Time to verify the bundle and load the network.
    load_ms: f64,
    stages: Stages,
    /// Frames per second at the median total time.
    frames_per_second: f64,
    /// Bytes of the caller's arena.
    arena_bytes: usize,
    /// Most memory that the whole process has held, bundle, picture and engine included; not
    /// known on every system.
    peak_process_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Stages {
    fetch: Summary,
    backbone: Summary,
    head: Summary,
    upsample: Summary,
    total: Summary,
}

/// Times of one stage over all frames, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Summary {
    median: f64,
    min: f64,
    /// 95 of 100 frames take at most this.
    p95: f64,
    /// From the minimum to `p95`, in percent of the median.
    spread_percent: f64,
}

impl Summary {
    fn of(nanoseconds: impl Iterator<Item = u64>) -> Summary {
        let mut sorted: Vec<f64> = nanoseconds.map(ms).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            let index = (quantile * sorted.len() as f64).ceil() as usize;
            sorted.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        let (median, min, p95) = (at(0.5), at(0.0), at(0.95));
        let spread_percent = if median > 0.0 { (p95 - min) / median * 100.0 } else { 0.0 };
        Summary { median, min, p95, spread_percent }
    }
}

impl Stages {
    fn of(frames: &[StageTimes]) -> Stages {
        let summary = |pick: fn(&StageTimes) -> u64| Summary::of(frames.iter().map(pick));
        Stages {
            fetch: summary(|times| times.fetch_ns),
            backbone: summary(|times| times.backbone_ns),
            head: summary(|times| times.head_ns),
            upsample: summary(|times| times.upsample_ns),
            total: summary(|times| {
                times.fetch_ns + times.backbone_ns + times.head_ns + times.upsample_ns
            }),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let file = ModelFile::read(Some(&args.bundle))?;
    let bundle = file.bundle()?;
    if args.steps {
        let plan = inspect::plan_of(&bundle)?;
        let times_ms = step_times_ms(&plan, args)?;
        out.write_all(steps::text(&plan, Some(&times_ms))?.as_bytes())?;
        return Ok(Outcome::Done);
    }
    let picture = match &args.image {
        Some(path) => picture::read(path)?,
        None => synthetic()?,
    };
    let frames = Limits::for_frames(picture.width(), picture.height());
    let limits = Limits { threads: args.threads, ..frames };
    let limits = bench_classes::limits(&bundle, limits, args.extra_classes);
    let mut memory = arena_for(&bundle, &limits)?;
    let start = Instant::now();
    let workers = Workers::new(limits.threads)?;
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice())
        .with_context(|| file.path.display().to_string())?;
    segmenter.set_thread_pool(Some(&workers));
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    let adding = bench_classes::measure(&mut segmenter, &limits)?;
    let frames = measure(&mut segmenter, &picture, args)?;

    let stages = Stages::of(&frames);
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: bundle.model_name().to_string(),
        bundle_bytes: file.bytes().len(),
        image: args.image.as_ref().map_or("synthetic".into(), |path| path.display().to_string()),
        width: picture.width(),
        height: picture.height(),
        threads: args.threads,
        frames: args.frames,
        warmup: args.warmup,
        extra_classes: args.extra_classes,
        adding,
        kernels: Kernels::detect().name,
        load_ms,
        frames_per_second: 1e3 / stages.total.median.max(1e-6),
        stages,
        arena_bytes: segmenter.arena_used_bytes(),
        peak_process_bytes: peak_process_bytes(),
    };
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => out.write_all(report.text().as_bytes())?,
    }
    Ok(Outcome::Done)
}

/// The least time of each step, with an input of zeros: steps take as long with others.
fn step_times_ms(plan: &Plan<'_>, args: &Args) -> Result<Vec<f64>> {
    let mut memory = AlignedBytes::zeros(plan.arena_bytes());
    let arena = memory.as_mut_slice();
    let mut runner = Runner::new(*plan);
    let mut least = vec![f64::INFINITY; plan.step_count()];
    for _ in 0..u64::from(args.warmup) + u64::from(args.frames) {
        let mut times = vec![0.0; least.len()];
        // A step of a chain has a turn for every strip.
        let mut done = false;
        while !done {
            let (step, start) = (runner.next_step(), Instant::now());
            done = runner.run_steps(arena, 1)?;
            if let Some(time) = times.get_mut(step) {
                *time += start.elapsed().as_secs_f64() * 1e3;
            }
        }
        for (least, time) in least.iter_mut().zip(times) {
            *least = least.min(time);
        }
    }
    Ok(least)
}

/// Labels only, as a device would ask for them.
fn measure(
    segmenter: &mut Segmenter<'_>,
    picture: &Picture,
    args: &Args,
) -> Result<Vec<StageTimes>> {
    segmenter.set_clock(clock());
    let frame = Image::rgb8(picture.rgb(), picture.width(), picture.height())?;
    let width = picture.width() as usize;
    let pixels = width * picture.height() as usize;
    let mut labels = LabelPlane::new(segmenter.label_capacity(), pixels);
    let mut frames = Vec::new();
    for number in 0..u64::from(args.warmup) + u64::from(args.frames) {
        let labels = labels.view(width);
        let mut output = Output { labels, confidence: None, margin: None, unknown: None };
        segmenter.segment(&frame, &mut output)?;
        if number >= u64::from(args.warmup) {
            frames.push(segmenter.stage_times());
        }
    }
    Ok(frames)
}

/// A smooth pattern with some edges: what it shows does not matter, that it is the same
/// everywhere does.
fn synthetic() -> Result<Picture> {
    let (width, height) = SYNTHETIC_SIZE;
    let mut picture = Picture::filled(width, height, [0; 3])?;
    for y in 0..height {
        for x in 0..width {
            let square = if (x / 80 + y / 80) % 2 == 0 { 64 } else { 0 };
            let color = [x * 191 / width + square, y * 191 / height + square, (x + y) % 256];
            picture.set_pixel(x, y, color.map(|value| value as u8));
        }
    }
    Ok(picture)
}

/// `VmHWM` of Linux.
fn peak_process_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

impl Report {
    fn text(&self) -> String {
        let Report { model, image, width, height, threads, frames, warmup, kernels, .. } = self;
        let image = match &**image {
            "synthetic" => "a synthetic pattern (no picture was given)",
            path => path,
        };
        let mut text = format!(
            "{model} on {image}, {width}x{height}\n\
             {frames} frames after {warmup}, {threads} thread(s), kernels: {kernels}\n\n\
             {:10} {:>10} {:>10} {:>10} {:>9}\n",
            "ms", "median", "min", "p95", "spread"
        );
        let Stages { fetch, backbone, head, upsample, total } = &self.stages;
        let rows = [
            ("fetch", fetch),
            ("backbone", backbone),
            ("head", head),
            ("upsample", upsample),
            ("total", total),
        ];
        for (name, Summary { median, min, p95, spread_percent }) in rows {
            text += &format!(
                "{name:10} {median:>10.3} {min:>10.3} {p95:>10.3} {spread_percent:>7.1} %\n"
            );
        }
        if !self.adding.is_empty() {
            text += &Adding::title();
            text.extend(self.adding.iter().map(Adding::text));
        }
        let peak = match self.peak_process_bytes {
            Some(bytes) => format!("{bytes} bytes, bundle, picture and engine included"),
            None => "not known on this system".to_string(),
        };
        text += &format!(
            "\n{:.2} frames/s; loading took {:.0} ms\narena: {} bytes; bundle: {} bytes\n\
             peak of the process: {peak}\n",
            self.frames_per_second, self.load_ms, self.arena_bytes, self.bundle_bytes
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_frames_that_were_measured() {
        let found = Summary::of((1..=20).rev().map(|value| value * 1_000_000));
        let wanted = Summary { median: 10.0, min: 1.0, p95: 19.0, spread_percent: 180.0 };
        assert_eq!(found, wanted);
        let one = Summary::of([2_000_000].into_iter());
        assert_eq!((one.median, one.min, one.p95, one.spread_percent), (2.0, 2.0, 2.0, 0.0));
    }
}
