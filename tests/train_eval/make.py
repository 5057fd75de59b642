"""Makes numpy.json: scores of made-up pictures by NumPy, for tests/train_eval/scores.rs.

Run as `python make.py > numpy.json` (NumPy 1.26 or later).
"""

import itertools
import json

import numpy as np

CLASSES, SEEN, VOID, NONE = 5, [0, 1, 2], 255, 65535
rng = np.random.default_rng(7)
pictures = []
for _ in range(3):
    truth = rng.integers(0, 4, 120)  # class 4 is never true
    truth[rng.random(120) < 0.1] = VOID
    right = rng.random(120) < 0.6
    found = np.where(right & (truth < CLASSES), truth, rng.integers(0, CLASSES, 120))
    found[rng.random(120) < 0.05] = NONE
    confidence = rng.integers(0, 65536, 120)
    pictures.append((truth, found, confidence))

truth, found, confidence = (np.concatenate(part) for part in zip(*pictures))
valid = truth != VOID
matrix = np.zeros((CLASSES, CLASSES + 1), np.int64)
np.add.at(matrix, (truth[valid], np.minimum(found[valid], CLASSES)), 1)
tp = np.diag(matrix[:, :CLASSES]).astype(float)
gt = matrix.sum(1).astype(float)
pr = matrix[:, :CLASSES].sum(0).astype(float)
with np.errstate(invalid="ignore"):
    iou = tp / (gt + pr - tp)
    acc = tp / gt


def subset(classes):
    return {
        "pixel_accuracy": tp[classes].sum() / gt[classes].sum(),
        "mean_accuracy": np.nanmean(acc[classes]),
        "mean_iou": np.nanmean(iou[classes]),
        "frequency_weighted_iou": (gt * iou)[classes].sum() / gt[classes].sum(),
    }


def harmonic(a, b):
    return 2 * a * b / (a + b)


labelled = valid & (found != NONE)
share = confidence[labelled] / 65535
right = (truth == found)[labelled]
bins = np.minimum((share * 15).astype(int), 14)
ece = sum(
    abs(right[bins == b].mean() - share[bins == b].mean()) * (bins == b).sum()
    for b in range(15)
    if (bins == b).any()
) / labelled.sum()

unseen = [c for c in range(CLASSES) if c not in SEEN]
seen_scores, unseen_scores = subset(SEEN), subset(unseen)
clusters = rng.random((5, 6)).round(3)
totals = [sum(clusters[r, c] for r, c in enumerate(p)) for p in itertools.permutations(range(6), 5)]
document = {
    "pictures": [[part.tolist() for part in picture] for picture in pictures],
    "matrix": matrix.tolist(),
    "seen": seen_scores,
    "unseen": unseen_scores,
    "all": subset(list(range(CLASSES))),
    "harmonic": {
        "iou": harmonic(seen_scores["mean_iou"], unseen_scores["mean_iou"]),
        "pixel_accuracy": harmonic(seen_scores["pixel_accuracy"], unseen_scores["pixel_accuracy"]),
        "mean_accuracy": harmonic(seen_scores["mean_accuracy"], unseen_scores["mean_accuracy"]),
    },
    "calibration_error": ece,
    "assignment": {"scores": clusters.tolist(), "best_sum": max(totals)},
}
print(json.dumps(document))
