"""Pseudo-labels for a folder of pictures on a Ray cluster: label_with_ray.py BUNDLE DIR OUT [NAME...]

Every worker opens the bundle once, adds the classes named, and writes a mask per picture as an
8-bit PNG of labels; 255 where the confidence is low. Runs on a laptop as it runs on a cluster.
"""

import sys
from pathlib import Path

import numpy as np
import ray
import zsseg
from PIL import Image

SIDE = 1024
MIN_CONFIDENCE = 0.5


class Labeller:
    """Holds one segmenter per worker."""

    def __init__(self, bundle: bytes, names: list[str]) -> None:
        self.segmenter = zsseg.Segmenter(bundle, max_width=SIDE, max_height=SIDE)
        for name in names:
            self.segmenter.add_class(name)
        self.segmenter.set_decision(min_confidence=MIN_CONFIDENCE)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        unlabeled = []
        for path, out in zip(batch["path"], batch["out"]):
            with Image.open(path) as picture:
                picture.thumbnail((SIDE, SIDE))
                frame = np.asarray(picture.convert("RGB"))
            labels = self.segmenter.segment(frame).labels
            Image.fromarray(labels).save(out)
            unlabeled.append(float((labels == zsseg.UNLABELED_U8).mean()))
        return {"path": batch["path"], "unlabeled": np.array(unlabeled)}


def main() -> int:
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    bundle, pictures, out = (Path(argument) for argument in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    found = [p for p in sorted(pictures.iterdir()) if p.suffix.lower() in (".jpg", ".png")]
    rows = [{"path": str(p.absolute()), "out": str((out / f"{p.stem}.png").absolute())} for p in found]
    labelled = ray.data.from_items(rows).map_batches(
        Labeller,
        fn_constructor_args=(bundle.read_bytes(), sys.argv[4:]),
        batch_size=16,
        concurrency=(1, 64),
    )
    shares = [row["unlabeled"] for row in labelled.take_all()]
    print(f"{len(shares)} masks in {out}, {100 * np.mean(shares):.1f} % of their pixels left open")
    return 0


if __name__ == "__main__":
    sys.exit(main())
