#!/usr/bin/env python3
"""Reference eigenvectors and fused labels, computed with NumPy, SciPy and Pillow only.

Nothing of zsseg is used here: this is the yardstick `tests/spectral.rs` measures with.

    make_spectral.py --out spectral PICTURE.png...
    make_spectral.py --out spectral --color --fuse tests/data/*.png

The shared pictures are the first 10 of CamVid's test.txt and of VOC's val.txt. JPEG decoders
may differ by a few levels, so that both sides see the same pixels they are decoded once:
`cargo run --release --example convert_picture -- FRAME.jpg FRAMES/FRAME.png`.

For each picture, all in float64:

1. Pillow decodes it to 8-bit RGB. Each side is brought to 24 * 8 pixels with a triangle
   filter, widened when scaling down (Pillow's convention, nothing rounded); values become
   (v / 255 - 0.5) / 0.5.
2. A cell of the 24 x 24 grid has the 3 * 8 * 8 values of its patch as features (channel,
   row, column), divided by their length.
3. W = relu(F F^T). With --color, W += 10 * W_c, where W_c is the graph of the 20 nearest
   neighbours in (r, g, b, 2 x, 2 y) and of the 10 nearest in (r, g, b, 0.1 x, 0.1 y), on
   the picture brought to 24 x 24 in 0..1 (rounded to 8 bits, so that ties are ties; upwards
   from .6, since means of pixels are often halves), x and y from 0 to 1; every directed
   edge, the one to itself included, adds 1 at (i, j) and (j, i).
4. D = row sums. The eigenvectors u of D^-1/2 W D^-1/2 with the largest eigenvalues but for
   the first, by numpy.linalg.eigh and, as a check, by scipy.sparse.linalg.eigsh. y = u /
   sqrt(D), negated when more than half of it, but not all, is positive.

NAME.npy holds [6, 576] float32: for each of 5 vectors y, and then in the first places of the
last row the 6 smallest eigenvalues of the Laplacian after 0 (the sixth shows the gap).
NAME_color.npy is the same with colour. With --fuse, NAME_fused.npy holds [8, 576] float32:
labels after `select` (threshold 0.25) and `vote` (agreement 0.6), then the 6 classes' scores
after `soft` (mix 0.5), for the scores of `scores()` and the segments in NAME.npy.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import scipy.sparse.linalg
from PIL import Image

GRID = 24
PATCH = 8
SEGMENTS = 5
CLASSES = 6


def triangle(count: int, frame: int) -> np.ndarray:
    """Returns the [count, frame] matrix that resamples a side."""
    ratio = frame / count
    centres = (np.arange(count) + 0.5) * ratio - 0.5
    distance = np.abs(np.arange(frame)[None, :] - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / max(ratio, 1.0))
    return weights / weights.sum(axis=1, keepdims=True)


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Resamples [h, w, 3] to [side, side, 3]."""
    rows = triangle(side, picture.shape[0])
    columns = triangle(side, picture.shape[1])
    return np.einsum("yh,hwc,xw->yxc", rows, picture, columns, optimize=True)


def features(picture: np.ndarray) -> np.ndarray:
    """Returns [cells, 3 * PATCH * PATCH] unit rows."""
    values = (resized(picture, GRID * PATCH) / 255.0 - 0.5) / 0.5
    blocks = values.reshape(GRID, PATCH, GRID, PATCH, 3).transpose(0, 2, 4, 1, 3)
    rows = blocks.reshape(GRID * GRID, -1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def color_graph(picture: np.ndarray) -> np.ndarray:
    """Returns W_c; of equally near cells the lower ones are taken."""
    rgb = np.floor(resized(picture, GRID) + 0.4) / 255.0
    rgb = rgb.astype(np.float32).astype(np.float64).reshape(-1, 3)
    place = np.stack(np.divmod(np.arange(GRID * GRID), GRID), axis=1)
    graph = np.zeros((GRID * GRID, GRID * GRID))
    for i in range(GRID * GRID):
        hue = ((rgb - rgb[i]) ** 2).sum(axis=1)
        step = (np.abs(place - place[i]) * (1.0 / (GRID - 1))) ** 2
        for count, weight in [(20, 2.0), (10, 0.1)]:
            nearest = np.argsort(hue + weight**2 * step.sum(axis=1), kind="stable")[:count]
            graph[i, nearest] += 1
            graph[nearest, i] += 1
    return graph


def eigenvectors(affinity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns SEGMENTS vectors y and one eigenvalue more than that."""
    degree = affinity.sum(axis=1)
    degree[degree < 1e-12] = 1.0
    root = np.sqrt(degree)
    matrix = affinity / root[:, None] / root[None, :]
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    sparse = scipy.sparse.linalg.eigsh(matrix, k=SEGMENTS + 1, which="LA", tol=1e-12)[0]
    assert np.allclose(np.sort(sparse)[::-1], values[: SEGMENTS + 1], atol=1e-9)
    result = []
    for vector in vectors[:, 1 : SEGMENTS + 1].T:
        y = vector / root
        result.append(-y if 0.5 < (y > 0).mean() < 1 else y)
    return np.array(result), 1.0 - values[1 : SEGMENTS + 2]


def scores() -> np.ndarray:
    """Returns made-up class scores [CLASSES, cells], all exact in float32."""
    c, y, x = np.meshgrid(np.arange(CLASSES), np.arange(GRID), np.arange(GRID), indexing="ij")
    centre_x, centre_y = (11 * c + 5) % GRID, (7 * c + 3) % GRID
    number = (c * GRID + y) * GRID + x
    noise = ((number * 2654435761) % 2**32) >> 27
    values = -((x - centre_x) ** 2 + (y - centre_y) ** 2) / 8 + noise / 2
    return values.reshape(CLASSES, -1)


def select(values: np.ndarray, inside: np.ndarray, threshold: float) -> np.ndarray:
    """Gives each class the shape that fits it best; returns labels."""
    labels = values.argmax(axis=0)
    shapes = {}
    lost = np.zeros(labels.shape, bool)
    for c in np.unique(labels):
        own = labels == c
        shapes[c] = own
        if own.mean() <= 0.005:
            continue
        both = [shape for mask in inside for shape in (mask, ~mask)]
        overlap = [(own & shape).sum() / (own | shape).sum() for shape in both]
        if max(overlap) >= threshold:
            shapes[c] = both[int(np.argmax(overlap))]
            lost |= own
    mean = {c: values[c, shape].mean() for c, shape in shapes.items()}
    result = labels.copy()
    for cell in range(labels.size):
        claims = [c for c, shape in shapes.items() if shape[cell]]
        if claims:
            result[cell] = max(claims, key=lambda c: (mean[c], -c))
        else:
            assert lost[cell]
            others = values[:, cell].copy()
            others[labels[cell]] = -np.inf
            result[cell] = others.argmax()
    return result


def regions(inside: np.ndarray) -> np.ndarray:
    """Returns the region of each cell, small ones merged."""
    number = sum(mask.astype(int) << k for k, mask in enumerate(inside)).reshape(GRID, GRID)
    while True:
        names, areas = np.unique(number, return_counts=True)
        small = areas * 100 < number.size
        if not small.any() or len(names) == 1:
            return number.reshape(-1)
        least = names[small][np.argmin(areas[small])]
        pairs = np.concatenate(
            [
                np.stack([number[:, 1:].ravel(), number[:, :-1].ravel()], axis=1),
                np.stack([number[1:].ravel(), number[:-1].ravel()], axis=1),
            ]
        )
        pairs = pairs[(pairs == least).sum(axis=1) == 1]
        border = np.bincount(pairs.sum(axis=1) - least)
        number[number == least] = border.argmax()


def vote(values: np.ndarray, inside: np.ndarray, agreement: float) -> np.ndarray:
    """Gives each region its commonest class; returns labels."""
    labels = values.argmax(axis=0)
    result = labels.copy()
    number = regions(inside)
    for name in np.unique(number):
        votes = np.bincount(labels[number == name])
        if votes.max() >= agreement * (number == name).sum():
            result[number == name] = votes.argmax()
    return result


def soft(values: np.ndarray, inside: np.ndarray, mix: float) -> np.ndarray:
    """Mixes scores with their mean over the region."""
    result = values.copy()
    number = regions(inside)
    for name in np.unique(number):
        cells = number == name
        mean = values[:, cells].mean(axis=1, keepdims=True)
        result[:, cells] = (1 - mix) * values[:, cells] + mix * mean
    return result


def save(path: Path, affinity: np.ndarray) -> np.ndarray:
    """Writes the eigenvectors of `affinity` and returns them."""
    vectors, values = eigenvectors(affinity)
    last = np.zeros((1, GRID * GRID))
    last[0, : SEGMENTS + 1] = values
    np.save(path, np.concatenate([vectors, last]).astype(np.float32))
    print(f"{path.name}: {np.array2string(values, precision=4)}, gap {values[-1] - values[-2]:.5f}")
    return vectors.astype(np.float32)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--color", action="store_true")
    parser.add_argument("--fuse", action="store_true")
    parser.add_argument("pictures", type=Path, nargs="+")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in arguments.pictures:
        picture = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
        rows = features(picture)
        affinity = np.maximum(rows @ rows.T, 0.0)
        vectors = save(arguments.out / f"{path.stem}.npy", affinity)
        if arguments.color:
            colored = affinity + 10 * color_graph(picture)
            save(arguments.out / f"{path.stem}_color.npy", colored)
        if arguments.fuse:
            values, inside = scores(), vectors > 0
            labels = [select(values, inside, 0.25), vote(values, inside, 0.6)]
            before = values.argmax(axis=0)
            print(f"  labels changed: {[int((after != before).sum()) for after in labels]}")
            fused = np.concatenate([labels, soft(values, inside, 0.5)])
            np.save(arguments.out / f"{path.stem}_fused.npy", fused.astype(np.float32))
    written = sorted(arguments.out.glob("*.npy"))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in written]
    (arguments.out / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main()
