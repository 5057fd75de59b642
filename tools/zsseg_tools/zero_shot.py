"""Rows of the classifier for classes that no mask showed, from their names' vectors.

ZS3Net and SPNet handicap seen classes by gamma when seen and unseen ones compete
("calibrated stacking"). Here gamma is chosen on seen classes that play the unseen ones.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import head
from .measure import decide, iou_scores


@dataclass(frozen=True)
class HoldOutSettings:
    """How gamma is chosen.

    Each of `sets` in turn plays the unseen classes: the head is trained without the
    pictures whose cells show them and measured on a fold of pictures it did not see.
    `train_every` and `test_every` thin the cells.
    """

    sets: tuple[tuple[str, ...], ...] = (
        *(
            ("dog",),
            ("horse",),
            ("sheep",),
            ("person",),
            ("car",),
            ("chair",),
            ("sofa",),
        ),
        *(("dog", "sheep"), ("dog", "horse"), ("horse", "sheep")),
    )
    gammas: tuple[float, ...] = tuple(step / 4 for step in range(25))
    folds: int = 3
    train_every: int = 16
    test_every: int = 4
    iterations: int = 60
    seed: int = 3


def projection(rows: np.ndarray, embeddings: np.ndarray, ridge: float) -> np.ndarray:
    """Returns M [D+1,E]: M a is the row (weights, then bias) of a class of embedding a.

    Kernel ridge regression without intercept from embeddings [C,E] to rows [C,D+1].
    """
    gram = embeddings @ embeddings.T + ridge * np.eye(len(embeddings))
    return rows.T @ np.linalg.solve(gram, embeddings)


def with_new_rows(rows, embeddings, new_embeddings, ridge):
    """Returns `rows` [C,D+1] of background and objects, and those of new classes below.

    Background stays out of the regression: its word does not say what it looks like.
    `embeddings` [C-1,E] are those of the objects.
    """
    matrix = projection(rows[1:], embeddings, ridge)
    return np.concatenate([rows, new_embeddings @ matrix.T])


def hold_out_counts(cells, classes, embeddings, ridge, trained, settings):
    """Returns confusion matrices by set of pseudo-unseen classes, [gammas,C,C].

    `cells` are features [N,D], cover [N,C] and picture [N]; `embeddings` [C,E]. Rows and
    columns stand in the order seen, pseudo-unseen. `trained`: the head's settings.
    """
    features, cover, picture = cells
    trained = replace(trained, iterations=settings.iterations)
    pictures = picture.max() + 1
    shown = np.stack([np.bincount(picture, column, pictures) for column in cover.T]) > 0
    fold = np.random.default_rng(settings.seed).permutation(pictures) % settings.folds
    index = np.arange(len(features))
    result = {}
    for names in settings.sets:
        unseen = [classes.index(name) for name in names]
        seen = [c for c in range(len(classes)) if c not in unseen]
        usable = ~shown[unseen].any(axis=0)
        total = 0
        for tested in range(settings.folds):
            learn = (usable & (fold != tested))[picture]
            learn &= index % settings.train_every == 0
            learn &= cover[:, seen].sum(axis=1) > head.MIN_COVER
            weight, bias = head.train(features[learn], cover[learn][:, seen], trained)
            rows = np.column_stack([weight, bias]).astype(np.float64)
            rows = with_new_rows(rows, embeddings[seen[1:]], embeddings[unseen], ridge)
            look = (index % settings.test_every == 0) & (fold[picture] == tested)
            rows = rows.astype(np.float32)
            logits = rows[:, :-1] @ features[look].T + rows[:, -1:]
            truth = cover[look][:, seen + unseen].T
            total = total + _soft_counts(logits, truth, len(seen), settings.gammas)
        result[names] = total
        print("hold-out", *names, flush=True)
    return result


def _soft_counts(logits, cover, seen: int, gammas) -> np.ndarray:
    """Returns cover by [gamma, true class, predicted class] of cells [C,N]."""
    classes = np.arange(len(logits))
    labels = [decide(logits, seen, gamma) for gamma in gammas]
    one_hot = ((row[:, None] == classes).astype(np.float32) for row in labels)
    return np.array([cover @ predicted for predicted in one_hot], np.float64)


def choose_gamma(counts: dict, settings: HoldOutSettings) -> tuple[float, list[float]]:
    """Returns the gamma of the best mean H over the sets, and that mean by gamma."""
    harmonic = [
        [iou_scores(matrix, len(matrix) - len(names))["h"] for matrix in matrices]
        for names, matrices in counts.items()
    ]
    mean = np.mean(harmonic, axis=0)
    return settings.gammas[int(mean.argmax())], [round(float(x), 4) for x in mean]
