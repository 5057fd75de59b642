"""Segmentation accuracy of a backbone with its head, at the pictures' own size."""

import numpy as np
import onnxruntime

from .efficientnet_lite import FEATURES_NAME, IMAGE_NAME
from .preprocess import Preprocess, network_input, resample_logits
from .voc13 import CLASSES, SEEN, UNSEEN, VOID, Dataset

# The order of the rows: seen classes, then unseen ones.
NAMES = (*SEEN, *UNSEEN)
_LABEL = np.full(256, VOID, np.uint8)
_LABEL[[list(CLASSES).index(name) for name in NAMES]] = np.arange(len(NAMES))


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Opens an ONNX model on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model, options, providers)


def decide(logits: np.ndarray, seen: int, gamma: float) -> np.ndarray:
    """Returns the labels of logits [C,...] with gamma taken from the first `seen`."""
    best_seen, best_new = logits[:seen].max(axis=0), logits[seen:].max(axis=0)
    new = logits[seen:].argmax(axis=0) + seen
    return np.where(best_seen - gamma >= best_new, logits[:seen].argmax(axis=0), new)


def confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Counts pixels by [true class, predicted class]; VOID truth is left out."""
    valid = truth != VOID
    index = truth[valid].astype(np.int64) * len(NAMES) + predicted[valid]
    return np.bincount(index, minlength=len(NAMES) ** 2).reshape(len(NAMES), -1)


def iou_scores(counts: np.ndarray, seen: int) -> dict:
    """Returns IoU per class, its means over seen and unseen classes and their H."""
    hits = np.diag(counts).astype(np.float64)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    iou = hits / np.maximum(union, 1e-9)
    first, second = iou[:seen].mean(), iou[seen:].mean()
    harmonic = 2 * first * second / max(first + second, 1e-9)
    return {"seen": first, "unseen": second, "h": harmonic, "iou": iou}


def rounded(scores: dict) -> dict:
    """Returns `iou_scores` with names, to four digits."""
    result = {key: round(float(scores[key]), 4) for key in ("seen", "unseen", "h")}
    result["iou"] = {n: round(float(x), 4) for n, x in zip(NAMES, scores["iou"])}
    return result


def sweep(
    session: onnxruntime.InferenceSession,
    rows: np.ndarray,
    dataset: Dataset,
    names: list[str],
    pre: Preprocess,
    gammas: list[float],
) -> np.ndarray:
    """Returns the confusion matrices [gammas,C,C] of rows [C,D+1], in NAMES' order.

    Pixels of the VOC classes that the model does not know are left out.
    """
    counts = np.zeros((len(gammas), len(NAMES), len(NAMES)), np.int64)
    for name in names:
        example = dataset.load(name)
        tensor = network_input(example.frame, pre)
        features = session.run([FEATURES_NAME], {IMAGE_NAME: tensor})[0][0]
        logits = np.tensordot(rows[:, :-1], features, axes=1) + rows[:, -1, None, None]
        height, width = example.mask.shape
        logits = resample_logits(logits, width, height, pre)
        truth = _LABEL[example.mask]
        for index, gamma in enumerate(gammas):
            counts[index] += confusion(truth, decide(logits, len(SEEN), gamma))
    return counts
