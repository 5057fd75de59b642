//! `zsseg segment`.

use super::class_options::ClassArgs;
use super::decision_options::DecisionArgs;
use super::failure;
use super::fusion_options::{Affinity, FusionArgs};
use super::mask::{Mask, Wanted};
use super::model::{ModelFile, arena_for, clock};
use super::plan::{self, Job, Outputs};
use super::report::{BundleReport, ClassShare, FailedImage, ImageReport, Report, Times};
use super::{Outcome, picture, png, write};
use crate::classes::voc_color;
use crate::limits::{Limits, MAX_THREADS};
use crate::segmenter::Segmenter;
use crate::threads::Workers;
use crate::viz::{LegendEntry, Palette, Picture, with_legend};
use anyhow::{Error, Result};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::string::{String, ToString};
use std::time::Instant;
use std::vec::Vec;

/// Mark of unseen classes in a legend, and its explanation.
const UNSEEN_MARK: &str = "*";
const UNSEEN_NOTE: &str = "* unseen in training";

/// Most classes in a legend.
const MAX_LEGEND: usize = 24;

/// Segment pictures: the class of every pixel, at the picture's own size.
///
/// Reads PNG, JPEG, BMP, PNM, TIFF and WebP, whatever the file is called. For several pictures
/// each output option names a folder, which is created; the files in it are called like the
/// pictures, with the ending .png. Without any output only the summary is printed.
#[derive(clap::Args)]
pub struct Args {
    /// Pictures to segment.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The model. Default: $ZSSEG_BUNDLE, else voc11-lite0-zs.zsb in ./models, beside the program
    /// or in ../share/zsseg from there.
    #[arg(short, long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Mask: PNG whose pixels are class indices (with a palette for viewers; 255 = no class).
    #[arg(short = 'o', long = "output", value_name = "PNG")]
    mask: Option<PathBuf>,
    /// The mask over the picture, with a legend of the classes below.
    #[arg(long, value_name = "PNG")]
    overlay: Option<PathBuf>,
    /// Probability of each pixel's class: grey PNG, 255 = 1.
    #[arg(long, value_name = "PNG")]
    confidence: Option<PathBuf>,
    /// Lead of each pixel's class over the second best: grey PNG, 255 = 1.
    #[arg(long, value_name = "PNG")]
    margin: Option<PathBuf>,
    /// How much each pixel looks like none of the classes: grey PNG, 255 = not at all like any.
    #[arg(long, value_name = "PNG")]
    unknown: Option<PathBuf>,
    /// Print one JSON document instead of the summary.
    #[arg(long)]
    json: bool,
    /// Colours of masks and overlays.
    #[arg(long, value_enum, default_value_t = PaletteName::Bundle)]
    palette: PaletteName,
    /// Threads for the network, the calling one among them.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_THREADS)))]
    threads: u32,
    /// Leave the legend out of overlays: they have the picture's size then.
    #[arg(long)]
    no_legend: bool,
    #[command(flatten, next_help_heading = "Classes")]
    classes: ClassArgs,
    #[command(flatten, next_help_heading = "Decision")]
    decision: DecisionArgs,
    #[command(flatten, next_help_heading = "Segments")]
    fusion: FusionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PaletteName {
    /// The model's own.
    Bundle,
    /// PASCAL VOC.
    Voc,
    /// Cityscapes.
    Cityscapes,
}

impl PaletteName {
    fn palette(self, segmenter: &Segmenter<'_>) -> Palette {
        let labels = segmenter.label_capacity();
        let color = |label: usize| {
            let class = u16::try_from(label).ok().and_then(|label| segmenter.class(label).ok());
            class.map_or(voc_color(label), |class| class.color)
        };
        match self {
            PaletteName::Bundle => Palette::of_classes((0..labels).map(color)),
            PaletteName::Voc => Palette::voc(labels),
            PaletteName::Cityscapes => Palette::cityscapes(labels),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let wanted = Outputs {
        mask: args.mask.clone(),
        overlay: args.overlay.clone(),
        confidence: args.confidence.clone(),
        margin: args.margin.clone(),
        unknown: args.unknown.clone(),
    };
    let jobs = plan::jobs(&args.images, &wanted)?;
    let file = ModelFile::read(args.bundle.as_deref())?;
    let bundle = file.bundle()?;
    let mut log = Log::new(args.json, jobs.len(), out);

    let (jobs, limits) = measure(jobs, args.threads, &mut log);
    if !jobs.is_empty() {
        work(args, &file, &jobs, &limits, &mut log)?;
    }
    log.finish(BundleReport {
        path: file.path.display().to_string(),
        name: bundle.model_name().to_string(),
        license: bundle.license().to_string(),
        sha256: hex(&bundle.sha256()),
    })
}

/// Makes a segmenter as the options say and does the jobs.
fn work(
    args: &Args,
    file: &ModelFile,
    jobs: &[Job],
    limits: &Limits,
    log: &mut Log<'_>,
) -> Result<()> {
    let bundle = file.bundle()?;
    let affinity_file = args.fusion.read_affinity()?;
    let affinity_bundle = affinity_file.as_ref().map(ModelFile::bundle).transpose()?;
    let limits = args.fusion.limits(args.classes.limits(*limits), affinity_bundle.as_ref());
    let mut affinity_memory = match &affinity_bundle {
        Some(found) => Some(Affinity::memory(found, &bundle, &limits)?),
        None => None,
    };
    let mut memory = arena_for(&bundle, &limits)?;
    let workers = Workers::new(limits.threads)?;
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice())
        .map_err(|error| Error::new(error).context(file.path.display().to_string()))?;
    segmenter.set_thread_pool(Some(&workers));
    segmenter.set_clock(clock());
    segmenter.set_decision(args.decision.of(bundle.decision())?)?;
    segmenter.set_fusion(args.fusion.settings())?;
    args.classes.apply(&mut segmenter)?;
    let affinity = match (&affinity_file, &affinity_bundle, &mut affinity_memory) {
        (Some(file), Some(found), Some(memory)) => {
            Some(Affinity::load(file, found, &limits, memory)?)
        }
        _ => None,
    };
    let palette = args.palette.palette(&segmenter);
    let mut worker = Worker { segmenter, affinity, palette, legend: !args.no_legend };
    for job in jobs {
        match worker.segment(job) {
            Ok(report) => log.done(report)?,
            Err(error) => log.failed(job, &error),
        }
    }
    Ok(())
}

/// The jobs whose pictures can be opened, and limits that hold for all of them.
fn measure(jobs: Vec<Job>, threads: u32, log: &mut Log<'_>) -> (Vec<Job>, Limits) {
    let mut limits = Limits { threads, ..Limits::for_frames(1, 1) };
    let mut usable = Vec::new();
    for job in jobs {
        match picture::size(&job.image) {
            Ok((width, height)) => {
                limits.max_frame_width = limits.max_frame_width.max(width);
                limits.max_frame_height = limits.max_frame_height.max(height);
                usable.push(job);
            }
            Err(error) => log.failed(&job, &error),
        }
    }
    (usable, limits)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Does one job after another.
struct Worker<'a> {
    segmenter: Segmenter<'a>,
    affinity: Option<Affinity<'a>>,
    palette: Palette,
    legend: bool,
}

impl Worker<'_> {
    fn segment(&mut self, job: &Job) -> Result<ImageReport> {
        let start = Instant::now();
        let picture = picture::read(&job.image)?;
        let decode = milliseconds(start);

        let Worker { segmenter, affinity, .. } = self;
        let wanted =
            Wanted { margin: job.outputs.margin.is_some(), unknown: job.outputs.unknown.is_some() };
        let named = |error| Error::new(error).context(job.image.display().to_string());
        let start = Instant::now();
        let features = affinity.as_mut().map(|affinity| affinity.features(&picture));
        let features = features.transpose().map_err(named)?;
        let affinity = features.as_ref().map_or(0.0, |_| milliseconds(start));
        let mask = Mask::of(segmenter, &picture, wanted, features.as_ref()).map_err(named)?;
        let times_ms = Times::new(decode, affinity, segmenter.stage_times());
        let (classes, unlabeled_pixels) = mask.shares(segmenter);
        let mut report = ImageReport {
            path: job.image.display().to_string(),
            width: picture.width(),
            height: picture.height(),
            times_ms,
            classes,
            unlabeled_pixels,
            mask_sha256: hex(&mask.labels.sha256()),
            outputs: BTreeMap::new(),
        };
        let start = Instant::now();
        self.write(job, &picture, &mask, &mut report)?;
        report.times_ms.write = milliseconds(start);
        Ok(report)
    }

    /// Encodes every output before the first is written.
    fn write(
        &self,
        job: &Job,
        picture: &Picture,
        mask: &Mask,
        report: &mut ImageReport,
    ) -> Result<()> {
        let size = (picture.width(), picture.height());
        let mut files = Vec::new();
        for (kind, path) in job.outputs.iter() {
            let bytes = match kind {
                "mask" => png::of_labels(&mask.labels, size, &self.palette)?,
                "overlay" => png::of_picture(&self.overlay(picture, mask, report)?)?,
                "confidence" => png::of_grey(&mask.confidence, size)?,
                "unknown" => png::of_grey(mask.unknown.as_deref().unwrap_or_default(), size)?,
                _ => png::of_grey(mask.margin.as_deref().unwrap_or_default(), size)?,
            };
            files.push((kind, path, bytes));
        }
        for (kind, path, bytes) in files {
            write::atomically(path, &bytes)?;
            report.outputs.insert(kind, path.display().to_string());
        }
        Ok(())
    }

    fn overlay(&self, picture: &Picture, mask: &Mask, report: &ImageReport) -> Result<Picture> {
        let capacity = self.segmenter.label_capacity();
        let overlay = mask.labels.blend(picture, capacity, &self.palette)?;
        if !self.legend {
            return Ok(overlay);
        }
        let shown = report.classes.iter().take(MAX_LEGEND);
        let entry = |class: &ClassShare| LegendEntry {
            color: Some(self.palette.color(class.index as usize)),
            text: format!(
                "{}{} {}",
                class.name,
                if class.seen { "" } else { UNSEEN_MARK },
                class.percent()
            ),
        };
        let some_unseen = shown.clone().any(|class| !class.seen);
        let mut entries: Vec<LegendEntry> = shown.map(entry).collect();
        let hidden = report.classes.len() - entries.len();
        if hidden > 0 {
            entries.push(LegendEntry { color: None, text: format!("and {hidden} more") });
        }
        if some_unseen {
            entries.push(LegendEntry { color: None, text: UNSEEN_NOTE.to_string() });
        }
        Ok(with_legend(&overlay, &entries)?)
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Reports picture by picture, or collects the reports for JSON.
struct Log<'a> {
    json: bool,
    out: &'a mut dyn Write,
    bar: ProgressBar,
    images: Vec<ImageReport>,
    failed: Vec<FailedImage>,
}

impl<'a> Log<'a> {
    fn new(json: bool, jobs: usize, out: &'a mut dyn Write) -> Log<'a> {
        let visible = jobs > 1 && std::io::stderr().is_terminal();
        let bar = if visible { ProgressBar::new(jobs as u64) } else { ProgressBar::hidden() };
        let template = "{bar:30} {pos}/{len} pictures, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Log { json, out, bar, images: Vec::new(), failed: Vec::new() }
    }

    fn done(&mut self, report: ImageReport) -> Result<()> {
        self.bar.inc(1);
        if self.json {
            self.images.push(report);
            return Ok(());
        }
        let out = &mut *self.out;
        Ok(self.bar.suspend(|| out.write_all(report.text().as_bytes()))?)
    }

    fn failed(&mut self, job: &Job, error: &Error) {
        self.bar.inc(1);
        self.bar.suspend(|| failure::report(error));
        let path = job.image.display().to_string();
        self.failed.push(FailedImage { path, error: format!("{error:#}") });
    }

    fn finish(self, bundle: BundleReport) -> Result<Outcome> {
        self.bar.finish_and_clear();
        let outcome = match self.failed.is_empty() {
            true => Outcome::Done,
            false => Outcome::SomeFailed,
        };
        if self.json {
            let version = env!("CARGO_PKG_VERSION");
            let report = Report { version, bundle, images: self.images, failed: self.failed };
            writeln!(self.out, "{}", serde_json::to_string_pretty(&report)?)?;
        }
        Ok(outcome)
    }
}
