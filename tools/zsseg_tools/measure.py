"""Segmentation accuracy of a backbone with its head, at the pictures' own size."""

import numpy as np
import onnxruntime

from .efficientnet_lite import FEATURES_NAME, IMAGE_NAME
from .preprocess import Preprocess, label_map, network_input
from .voc13 import CLASSES, VOID, Dataset


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Opens an ONNX model on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model, options, providers)


def confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Counts pixels by [true class, predicted class]; VOID truth is left out."""
    classes = len(CLASSES)
    valid = truth != VOID
    index = truth[valid].astype(np.int64) * classes + predicted[valid]
    return np.bincount(index, minlength=classes**2).reshape(classes, classes)


def scores(counts: np.ndarray) -> dict:
    """Returns mIoU, pixel accuracy and IoU per class of a confusion matrix."""
    hits = np.diag(counts).astype(np.float64)
    iou = hits / (counts.sum(axis=0) + counts.sum(axis=1) - hits)
    return {
        "miou": round(float(iou.mean()), 4),
        "pixel_accuracy": round(float(hits.sum() / counts.sum()), 4),
        "iou": {name: round(float(x), 4) for name, x in zip(CLASSES, iou)},
    }


def evaluate(
    session: onnxruntime.InferenceSession,
    weight: np.ndarray,
    bias: np.ndarray,
    dataset: Dataset,
    names: list[str],
    pre: Preprocess,
) -> dict[str, dict]:
    """Returns the scores with foreign VOC classes left out, and as background."""
    left_out = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    as_background = np.zeros_like(left_out)
    for name in names:
        example = dataset.load(name)
        tensor = network_input(example.frame, pre)
        features = session.run([FEATURES_NAME], {IMAGE_NAME: tensor})[0][0]
        logits = np.tensordot(weight, features, axes=1) + bias[:, None, None]
        height, width = example.mask.shape
        predicted = label_map(logits, width, height, pre)
        left_out += confusion(example.mask, predicted)
        mask = np.where(example.other, np.uint8(0), example.mask)
        as_background += confusion(mask, predicted)
    return {
        "other_classes_left_out": scores(left_out),
        "other_classes_as_background": scores(as_background),
    }
