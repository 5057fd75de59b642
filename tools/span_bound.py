#!/usr/bin/env python3
"""How far any row that is combined from the seen classes' rows can get, on VOC's animals.

    python tools/span_bound.py --data DATASET --network lite0.onnx

DATASET is as for tools/results.py, lite0.onnx of tools/export_backbones.py. A linear map from
embeddings to rows of a classifier can only give rows of unseen classes that are sums of the
seen classes' rows. Here the best such sums are fitted WITH the masks of the unseen classes,
which no zero-shot method has, by logistic regression on the seen classes' logits. What they
reach, over what free rows reach with the same masks, all but bounds every such method (the
fit is by cross-entropy, not by IoU): better embeddings cannot raise it. Scores are IoU of validation cells of a 64 x 64 grid whose pixels
are all of one class, at the same handicaps of the seen classes. Needs scipy beside
requirements.txt.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import scipy.optimize
from PIL import Image
from zsseg_tools.preprocess import Preprocess, network_input, sides
from zsseg_tools.session import open_session
from zsseg_tools.voc13 import IGNORED, Dataset

VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog "
    "horse motorbike person pottedplant sheep sofa train tvmonitor"
).split()
CLASSES = [name for name in VOC if name not in IGNORED]
SPLITS = [["cow", "cat"], ["cow", "sofa"], ["sheep", "dog", "tvmonitor"]]
TAPS = ["block4/add", "block10/add", "block15/project"]
GRID, CELLS_PER_PICTURE, PENALTY = 64, 160, 1e-3
GAMMAS = (0, 0.5, 1, 1.5, 2, 3)


def open_with_taps(path: Path):
    """Opens the network with the taps as outputs."""
    model = onnx.load(path)
    del model.graph.output[:]
    infos = [onnx.helper.make_empty_tensor_value_info(tap) for tap in TAPS]
    model.graph.output.extend(infos)
    return open_session(model.SerializeToString())


def at_grid(tap: np.ndarray) -> np.ndarray:
    """Resizes [c,n,n] to the grid, bilinear at half-pixel centres."""
    count = tap.shape[1]
    at = np.clip((np.arange(GRID) + 0.5) * count / GRID - 0.5, 0, count - 1)
    low = np.floor(at).astype(int)
    matrix = np.zeros((GRID, count), np.float32)
    matrix[np.arange(GRID), low] = 1 - (at - low)
    matrix[np.arange(GRID), np.minimum(low + 1, count - 1)] += at - low
    return matrix @ tap @ matrix.T


def pure_labels(root: Path, name: str, pre: Preprocess) -> np.ndarray:
    """Returns for each cell its class, -1 where it shows several, padding or none of them."""
    with Image.open(root / "masks" / f"{name}.png") as picture:
        mask = picture.copy()
    across, down = sides(mask.width, mask.height, pre)
    places = np.full(256, -1)
    places[[VOC.index(name) for name in CLASSES]] = np.arange(len(CLASSES))
    small = np.array(mask.resize((across.content, down.content), Image.Resampling.NEAREST))
    frame = np.full((pre.size, pre.size), -1)
    rows = slice(down.offset, down.offset + down.content)
    frame[rows, across.offset : across.offset + across.content] = places[small]
    cell = pre.size // GRID
    cells = frame.reshape(GRID, cell, GRID, cell).transpose(0, 2, 1, 3).reshape(-1, cell**2)
    return np.where((cells == cells[:, :1]).all(1), cells[:, 0], -1)


def cells(session, data: Dataset, lists: list[str], sample: bool):
    """Returns features, classes and pictures of cells."""
    pre, random = Preprocess(), np.random.default_rng(0)
    features, classes, pictures = [], [], []
    for number, name in enumerate(data.names(*lists)):
        labels = pure_labels(data.root, name, pre)
        chosen = np.flatnonzero(labels >= 0)
        if sample and len(chosen):
            # Every class of the picture as often, background half as often.
            weights = (labels[chosen] != 0) * 0.5 + 0.5
            weights = weights / np.bincount(labels[chosen])[labels[chosen]]
            count = min(CELLS_PER_PICTURE, len(chosen))
            chosen = random.choice(chosen, count, False, weights / weights.sum())
        taps = session.run(TAPS, {"image": network_input(data.frame(name), pre)})
        joined = np.concatenate([at_grid(tap[0]) for tap in taps]).reshape(-1, GRID**2)
        features.append(joined[:, chosen].T)
        classes.append(labels[chosen])
        pictures.append(np.full(len(chosen), number))
    return tuple(np.concatenate(part) for part in (features, classes, pictures))


def fitted(x: np.ndarray, fixed: np.ndarray, places: np.ndarray, free: int) -> np.ndarray:
    """Returns rows [free, d + 1] of the classes after those whose logits are fixed."""
    ones = np.ones((len(x), 1), np.float32)
    x = np.concatenate([x, ones], 1)
    weights = np.bincount(places).astype(np.float64) ** -0.5
    weights = weights[places] / weights[places].sum()

    def loss(flat):
        rows = flat.reshape(free, -1).astype(np.float32)
        logits = np.concatenate([fixed, x @ rows.T], 1)
        logits -= logits.max(1, keepdims=True)
        chances = np.exp(logits)
        chances /= chances.sum(1, keepdims=True)
        own = chances[np.arange(len(x)), places]
        value = -(weights * np.log(np.maximum(own, 1e-30))).sum()
        chances[np.arange(len(x)), places] -= 1
        gradient = (chances * weights[:, None])[:, -free:].T.astype(np.float32) @ x
        decayed = rows.copy()
        decayed[:, -1] = 0
        value += PENALTY / 2 * (decayed**2).sum()
        return value, (gradient + PENALTY * decayed).ravel().astype(np.float64)

    start = np.zeros(free * x.shape[1])
    options = {"maxiter": 120}
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(free, -1).astype(np.float32)


def logits_of(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return x @ rows[:, :-1].T + rows[:, -1]


def ious(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    count = logits.shape[1]
    found = logits.argmax(1)
    matrix = np.bincount(truth * count + found, minlength=count**2).reshape(count, count)
    return np.diag(matrix) / np.maximum(matrix.sum(0) + matrix.sum(1) - np.diag(matrix), 1)


def bound(unseen: list[str], train, val) -> None:
    """Prints what a split's unseen classes can reach."""
    (x, classes, pictures), (tested, truth, _) = train, val
    seen = [place for place, name in enumerate(CLASSES) if name not in unseen]
    order = np.array(seen + [CLASSES.index(name) for name in unseen])
    places, truth = np.argsort(order)[classes], np.argsort(order)[truth]
    is_new = places >= len(seen)
    allowed = ~np.isin(pictures, np.unique(pictures[is_new]))
    nothing = np.zeros((allowed.sum(), 0), np.float32)
    rows = fitted(x[allowed], nothing, places[allowed], len(seen))
    seen_logits, tested_logits = logits_of(x, rows), logits_of(tested, rows)
    never = np.full((len(tested), len(unseen)), -np.inf)
    alone = ious(np.concatenate([tested_logits, never], 1), truth)
    only = alone[: len(seen)].mean()
    sums = fitted(seen_logits, seen_logits, places, len(unseen))
    spanned = np.concatenate([tested_logits, logits_of(tested_logits, sums)], 1)
    free = fitted(x, np.zeros((len(x), 0), np.float32), places, len(order))
    ceiling = ious(logits_of(tested, free), truth)[len(seen) :].mean()
    print(f"{', '.join(unseen)}: seen-only {only:.3f}, unseen with free rows {ceiling:.3f}")
    for gamma in GAMMAS:
        handicapped = spanned - gamma * (np.arange(len(order)) < len(seen))
        scores = ious(handicapped, truth)
        new, old = scores[len(seen) :].mean(), scores[: len(seen)].mean()
        print(
            f"  gamma {gamma}: unseen {new:.3f}, seen {old:.3f}; "
            f"ratios {new / ceiling:.2f} and {old / only:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    args = parser.parse_args()
    session, data = open_with_taps(args.network), Dataset(args.data)
    train = cells(session, data, ["train", "train_extra"], sample=True)
    val = cells(session, data, ["val"], sample=False)
    mean, deviation = train[0].mean(0), train[0].std(0) + 1e-6
    train, val = (((part[0] - mean) / deviation, *part[1:]) for part in (train, val))
    for unseen in SPLITS:
        bound(unseen, train, val)


if __name__ == "__main__":
    main()
