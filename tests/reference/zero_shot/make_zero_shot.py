#!/usr/bin/env python3
"""Reference masks for heads and decisions, computed in float64 with NumPy only.

Nothing of zsseg is used here: this is the yardstick `tests/head.rs` and `tests/decision`
measure with.

    make_zero_shot.py --out .

Inputs come from an integer random sequence (class Integers), the same as in the tests.

Heads (HEADS x TYPES): features, weights brought to the stored type, and for
- linear: features are upsampled first and classified then, `W x + b`;
- dot: the same without b;
- cosine: `20 cos(w, x)` on the grid, then upsampled: what the device states it does.
f16 weights are rounded to nearest even. i8 weights are symmetric per row: the largest becomes
127, halves go to even; a cosine head's rows are brought to unit length in float64 first, and its
scale is one over the length of the rounded row.

Decisions (DECISIONS): random logits on the grid, biases and logarithms of priors divided by the
softmax's factor added, handicap of the seen classes taken off the logits or, after the softmax
over all classes, off the probabilities; argmax; confidence is the winner's probability before
the handicap, margin the lead of its score over the next (with a handicap on logits: of the
probabilities of the changed logits). Unknown is 1 - margin, or the probability of one more class
of constant logit. Pixels below a threshold get label 255.

Upsampling: bilinear between the cells around the pixel's place, half-pixel convention, clamped
at the border; frame to input first (stretched), input to grid then.

NAME.bin, little endian, for n pixels: n bytes labels, n float32 distance to the nearest other
outcome (in logits for heads, in probabilities for decisions; logits for Logits handicaps), then
n float32 each of confidence, margin and unknown score (heads: confidence and margin only).
"""

import argparse
from pathlib import Path

import numpy as np

CLASSES, CHANNELS, GRID, FRAME, INPUT = 11, 24, (5, 7), (23, 37), (40, 56)
HEADS = ("linear", "dot", "cosine")
TYPES = ("f32", "f16", "i8")
COSINE_SCALE, CONFIDENCE_SCALE = 20.0, 0.5
SEEN = np.arange(CLASSES) % 3 != 2
NONE = 255

DECISIONS = {
    "plain": {},
    "probabilities_005": {"probabilities": 0.05},
    "probabilities_012": {"probabilities": 0.12},
    "probabilities_06": {"probabilities": 0.6},
    "logits_05": {"logits": 0.5},
    "logits_2": {"logits": 2.0},
    "confidence": {"min_confidence": 0.25},
    "margin": {"min_margin": 0.06},
    "margin_unknown": {"max_unknown": 0.9},
    "energy_low": {"reference": -1.0},
    "energy_high": {"reference": 6.0},
    "energy_reject": {"reference": 3.0, "max_unknown": 0.25},
    "biased": {"biased": True},
    "everything": {"probabilities": 0.2, "min_confidence": 0.1, "min_margin": 0.02,
                   "reference": 1.0, "max_unknown": 0.3, "biased": True},
}


class Integers:
    """A linear congruential sequence as multiples of 1/1024 from -1 to 1."""

    def __init__(self, seed):
        self.state = seed

    def take(self, *shape):
        values = np.empty(int(np.prod(shape)))
        for i in range(len(values)):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            values[i] = (self.state >> 53) / 1024 - 1
        return values.reshape(shape)


def scaled(values, scale):
    """The float32 product that the tests compute."""
    return (values.astype(np.float32) * np.float32(scale)).astype(np.float64)


def axis(frame, input_side, grid):
    """Lower cell and weight of the upper cell for each pixel."""
    place = (np.arange(frame) + 0.5) * input_side / frame - 0.5
    place = np.clip(place, 0, input_side - 1)
    place = np.clip((place + 0.5) * grid / input_side - 0.5, 0, grid - 1)
    lower = np.minimum(place.astype(int), max(grid - 2, 0))
    return lower, place - lower


def upsample(maps):
    """(channels, grid) to (channels, frame)."""
    (top, down), (left, right) = (axis(f, i, g) for f, i, g in zip(FRAME, INPUT, GRID))
    rows = maps[:, top] * (1 - down)[:, None] + maps[:, top + 1] * down[:, None]
    return rows[:, :, left] * (1 - right) + rows[:, :, left + 1] * right


def stored(rows, kind, weight_type):
    """Rows as the stored type holds them."""
    if kind == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows.astype(np.float32)
    if weight_type == "f32":
        return rows.astype(np.float64)
    if weight_type == "f16":
        return rows.astype(np.float16).astype(np.float64)
    step = np.abs(rows).max(axis=1, keepdims=True) / np.float32(127)
    whole = np.rint(rows / step).astype(np.float64)
    if kind == "cosine":
        return whole / np.linalg.norm(whole, axis=1, keepdims=True)
    return whole * step.astype(np.float64)


def head_logits(kind, weight_type):
    integers = Integers(7)
    features = np.rint(integers.take(CHANNELS, *GRID) * 127)
    features[0] = 127
    features /= 64
    integers = Integers(CLASSES * 31 + CHANNELS)
    rows = stored(scaled(integers.take(CLASSES, CHANNELS), 0.37), kind, weight_type)
    if kind == "cosine":
        lengths = np.linalg.norm(features, axis=0)
        cosines = np.einsum("cd,dyx->cyx", rows, features / lengths)
        return upsample(COSINE_SCALE * cosines)
    logits = np.einsum("cd,dyx->cyx", rows, upsample(features))
    if kind == "linear":
        logits += (np.arange(CLASSES) % 5 / 16)[:, None, None]
    return logits


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=0))
    return exponentials / exponentials.sum(axis=0)


def lead(scores):
    ordered = np.sort(scores, axis=0)
    return ordered[-1] - ordered[-2]


def judge(logits, settings):
    """Label, distance to another outcome, confidence, margin, unknown."""
    if settings.get("biased"):
        priors = 1 + np.arange(CLASSES) % 4
        biases = np.arange(CLASSES) % 3 / 4 - 0.25
        logits = logits + (biases + np.log(priors) / CONFIDENCE_SCALE)[:, None, None]
    seen = SEEN[:, None, None]
    logits = logits - settings.get("logits", 0) * seen
    probabilities = softmax(logits * CONFIDENCE_SCALE)
    scores = probabilities - settings.get("probabilities", 0) * seen
    labels = scores.argmax(axis=0)
    confidence = np.take_along_axis(probabilities, labels[None], axis=0)[0]
    margin = lead(scores)
    unknown = 1 - margin
    if "reference" in settings:
        extra = np.full((1, *FRAME), settings["reference"])
        unknown = softmax(np.concatenate([logits, extra]) * CONFIDENCE_SCALE)[-1]
    distance = margin.copy()
    tests = ((confidence, settings.get("min_confidence", 0), False),
             (margin, settings.get("min_margin", 0), False),
             (unknown, settings.get("max_unknown", 1), True))
    rejected = np.zeros(FRAME, bool)
    for value, limit, above in tests:
        if limit != above:
            rejected |= value > limit if above else value < limit
            distance = np.minimum(distance, np.abs(value - limit))
    return np.where(rejected, NONE, labels), distance, confidence, margin, unknown


def save(path, labels, *planes):
    data = labels.astype(np.uint8).tobytes()
    data += b"".join(plane.astype("<f4").tobytes() for plane in planes)
    path.write_bytes(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    for kind in HEADS:
        for weight_type in TYPES:
            logits = head_logits(kind, weight_type)
            probabilities = softmax(logits * CONFIDENCE_SCALE)
            save(out / f"{kind}_{weight_type}.bin", logits.argmax(axis=0), lead(logits),
                 probabilities.max(axis=0), lead(probabilities))
    logits = upsample(4 * Integers(11).take(CLASSES, *GRID))
    for name, settings in DECISIONS.items():
        result = judge(logits, settings)
        save(out / f"{name}.bin", *result)
        rejected = (result[0] == NONE).mean()
        unseen = np.isin(result[0], np.flatnonzero(~SEEN)).mean()
        print(f"{name}: {rejected:.3f} rejected, {unseen:.3f} unseen")


if __name__ == "__main__":
    main()
