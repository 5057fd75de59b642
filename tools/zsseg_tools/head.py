"""The linear head: softmax regression on the features of single grid cells."""

from dataclasses import dataclass

import numpy as np
import onnxruntime
from scipy.optimize import minimize

from .efficientnet_lite import FEATURES_NAME, IMAGE_NAME
from .preprocess import Preprocess, network_input, soft_labels
from .voc13 import CLASSES, Dataset

# Cells whose labelled part is smaller than this are not drawn.
MIN_COVER = 0.05
# Rarer classes weigh no more than one this frequent; a hold-out may leave a class no cell.
MIN_FREQUENCY = 1e-4
_CHUNK = 1 << 16


@dataclass(frozen=True)
class HeadSettings:
    """How the head is trained.

    `cells` grid cells are drawn from every picture and as many from its mirror image.
    `balance` b weighs a class by frequency ** -b. `l2` penalises the squared weights of
    standardised features; `iterations` are of L-BFGS.
    """

    cells: int = 256
    balance: float = 0.3
    l2: float = 0.015
    iterations: int = 200
    seed: int = 20


def collect_cells(
    session: onnxruntime.InferenceSession,
    dataset: Dataset,
    names: list[str],
    pre: Preprocess,
    settings: HeadSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns features [N,D] f32, class cover [N,C] f32 and picture [N] of random cells.

    The picture is its index in `names`.
    """
    rng = np.random.default_rng(settings.seed)
    features, covers, pictures = [], [], []
    for index, name in enumerate(names):
        example = dataset.load(name)
        for view in (example, example.flipped()):
            tensor = network_input(view.frame, pre)
            grid = session.run([FEATURES_NAME], {IMAGE_NAME: tensor})[0][0]
            cover = soft_labels(view.mask, len(CLASSES), grid.shape[1], pre)
            cells = np.flatnonzero(cover.sum(axis=0) > MIN_COVER)
            cells = rng.choice(cells, min(settings.cells, len(cells)), replace=False)
            features.append(grid.reshape(len(grid), -1)[:, cells].T)
            covers.append(cover.reshape(len(cover), -1)[:, cells].T)
            pictures.append(np.full(len(cells), index))
    return np.concatenate(features), np.concatenate(covers), np.concatenate(pictures)


def statistics(
    features: np.ndarray, cover: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and deviation [C,D] f32 of each class's features, weighed by cover."""
    weight = cover / cover.sum(axis=0)
    mean = weight.T @ features
    square = weight.T @ np.square(features)
    deviation = np.sqrt(np.maximum(square - np.square(mean), 0.0))
    return mean.astype(np.float32), deviation.astype(np.float32)


def train(
    features: np.ndarray, cover: np.ndarray, settings: HeadSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Fits the head; returns weight [C,D] and bias [C], f32, for raw features.

    The objective is the cross-entropy of the cells' class cover, convex and minimised
    from zero. The features' standardisation is folded into the result.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    shape = (cover.shape[1], features.shape[1])
    frequency = cover.sum(axis=0, dtype=np.float64) / cover.sum(dtype=np.float64)
    class_weight = np.maximum(frequency, MIN_FREQUENCY) ** -settings.balance
    class_weight /= (class_weight * frequency).sum()
    target = (cover * class_weight).astype(np.float32)
    target /= target.sum(dtype=np.float64)

    def objective(flat):
        weight = flat[: -shape[0]].reshape(shape)
        raw_weight = weight / deviation
        raw_bias = flat[-shape[0] :] - raw_weight @ mean
        loss, raw_gradient, bias_gradient = _cross_entropy(
            features, target, raw_weight.astype(np.float32), raw_bias.astype(np.float32)
        )
        gradient = (raw_gradient - np.outer(bias_gradient, mean)) / deviation
        loss += settings.l2 / 2 * np.square(weight).sum()
        gradient += settings.l2 * weight
        return loss, np.concatenate([gradient.ravel(), bias_gradient])

    start = np.zeros(shape[0] * shape[1] + shape[0])
    options = {"maxiter": settings.iterations, "maxcor": 20}
    best = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    weight = best[: -shape[0]].reshape(shape) / deviation
    bias = best[-shape[0] :] - weight @ mean
    return weight.astype(np.float32), bias.astype(np.float32)


def _cross_entropy(features, target, weight, bias):
    """Returns loss, weight gradient [C,D] and bias gradient [C], all float64."""
    loss = 0.0
    weight_gradient = np.zeros(weight.shape)
    bias_gradient = np.zeros(bias.shape)
    for start in range(0, len(features), _CHUNK):
        x, y = features[start : start + _CHUNK], target[start : start + _CHUNK]
        logits = x @ weight.T + bias
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        total = exponentials.sum(axis=1, keepdims=True)
        loss -= float((y * (logits - np.log(total))).sum(dtype=np.float64))
        error = exponentials / total * y.sum(axis=1, keepdims=True) - y
        weight_gradient += error.T @ x
        bias_gradient += error.sum(axis=0, dtype=np.float64)
    return loss, weight_gradient, bias_gradient
