//! `zsseg features`.

#[path = "features/network.rs"]
mod network;
#[path = "features/report.rs"]
mod report;
#[path = "features/work.rs"]
mod work;

use super::Outcome;
use super::data_options::DataOptions;
use super::failure::Usage;
use crate::train::Tap;
use crate::train::data::{DataSet, FileSet};
use crate::train::store::{
    CacheMeta, Extractor, Network, PictureCache, Scratch, Shard, StoreMeta, StoreWriter, TapSource,
    merge,
};
use crate::train::view::views_of;
use anyhow::{Context, Result};
use report::{Progress, Report, TapReport};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::time::Instant;
use std::vec::Vec;
use work::Work;

/// Compute a network's features of the pictures of a data set, once, into a feature store.
///
/// Work that was broken off is carried on: run the same command again. A store is described in
/// docs/features.md, work on several machines in docs/scale-out.md.
#[derive(clap::Args)]
pub struct Args {
    /// The network, or a bundle that has one.
    #[arg(value_name = "MODEL", required_unless_present = "merge")]
    model: Option<PathBuf>,
    /// Pack file with the tables [input] and [preprocess]; not for a bundle.
    #[arg(long, value_name = "PACK.toml")]
    config: Option<PathBuf>,
    /// Tensor to read: NAME (channels first), NAME@hwc, or NAME@ROWSxCOLUMNS for a transformer's
    /// tokens; may be given several times. A bundle's output is the default.
    #[arg(long = "tap", value_name = "NAME")]
    taps: Vec<String>,
    #[command(flatten)]
    data: Option<DataOptions>,
    /// A view beside the plain picture: flip, zoom:Z, crop:K or colour:S, or several with commas
    /// between; may be given several times.
    #[arg(long = "view", value_name = "VIEW")]
    views: Vec<String>,
    /// Number that random views follow from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Keep decoded and resized pictures in this file.
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,
    /// Pictures that are worked on at a time.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    threads: NonZeroUsize,
    /// Do only pictures I, I + N, I + 2 N ... of the list; the store has no others.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Put the stores of all shards together instead.
    #[arg(
        long, value_name = "STORE", num_args = 1..,
        conflicts_with_all = ["model", "config", "taps", "DataOptions", "views", "cache", "shard"]
    )]
    merge: Vec<PathBuf>,
    /// The store to write, a safetensors file.
    #[arg(short = 'o', long = "output", value_name = "STORE.safetensors")]
    output: PathBuf,
    /// Report as JSON.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

fn shard(text: &str) -> core::result::Result<Shard, String> {
    let numbers = text.split_once('/').and_then(|(number, of)| {
        Some(Shard { number: number.parse().ok()?, of: of.parse().ok()? })
    });
    let sound = |shard: &Shard| shard.number >= 1 && shard.number <= shard.of;
    numbers.filter(sound).ok_or_else(|| "I/N with I from 1 to N, such as 3/8".to_string())
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let start = Instant::now();
    if !args.merge.is_empty() {
        return run_merge(args, start, out);
    }
    let (Some(model), Some(data)) = (&args.model, &args.data) else {
        return Err(Usage("a network needs --data and --list".to_string()).into());
    };
    let views = views_of(&args.views, args.seed).map_err(|error| Usage(error.to_string()))?;
    let (network, taps) = network::read(model, args.config.as_deref(), &args.taps)?;
    let set = data.source().open()?;
    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let samples: Vec<usize> = (0..set.len()).filter(|place| shard.has(*place)).collect();
    let names = samples.iter().filter_map(|sample| set.name(*sample)).map(String::from).collect();

    let found = grids(&network, &taps, model)?;
    let backbone = (network.sha256(), network.record());
    let meta = StoreMeta::new(backbone, &found, (&views, args.seed), shard, names);
    let store = StoreWriter::create(&args.output, meta)?;
    let cache = args.cache.as_deref().map(|path| open_cache(path, &network, &set, &samples));
    let cache = cache.transpose()?;
    let done_before = store.done()?;
    let progress = Progress::new(samples.len() - done_before, args.quiet);
    let work = Work {
        network: &network,
        taps: &taps,
        views: &views,
        seed: args.seed,
        set: &set,
        samples: &samples,
        store: &store,
        cache: cache.as_ref(),
    };
    let failed = work.run(args.threads, &progress)?;
    progress.finish();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        store: args.output.display().to_string(),
        backbone_sha256: store.meta().backbone_sha256().to_string(),
        pictures: samples.len(),
        done_before,
        done: samples.len() - failed.len(),
        taps: found.iter().map(TapReport::new).collect(),
        views: views.len(),
        seconds: start.elapsed().as_secs_f64(),
        failed,
    };
    store.finish()?;
    report.print(args.json, out)
}

fn run_merge(args: &Args, start: Instant, out: &mut dyn Write) -> Result<Outcome> {
    let pictures = merge(&args.merge, &args.output)?;
    let store = crate::train::store::StoreReader::open_complete(&args.output)?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        store: args.output.display().to_string(),
        backbone_sha256: store.meta().backbone_sha256().to_string(),
        pictures,
        done_before: 0,
        done: pictures,
        taps: store.meta().taps().iter().map(TapReport::new).collect(),
        views: store.meta().views().len(),
        seconds: start.elapsed().as_secs_f64(),
        failed: Vec::new(),
    };
    report.print(args.json, out)
}

/// The taps with their sides, found by loading the network.
fn grids(network: &Network, taps: &[TapSource], model: &Path) -> Result<Vec<Tap>> {
    let mut scratch = Scratch::new(network)?;
    let extractor = Extractor::new(network, taps, 0, &mut scratch);
    Ok(extractor.with_context(|| model.display().to_string())?.taps())
}

fn open_cache(
    path: &Path,
    network: &Network,
    set: &FileSet,
    samples: &[usize],
) -> Result<PictureCache> {
    let paths: Vec<Option<PathBuf>> =
        samples.iter().map(|sample| set.picture_path(*sample).ok()).collect();
    let names = samples.iter().map(|sample| set.name(*sample).unwrap_or_default());
    let pictures = names.zip(paths.iter().map(|path| path.as_deref()));
    Ok(PictureCache::create(path, CacheMeta::new(network.record(), pictures))?)
}
