"""Segments a picture and prints the classes found: segment_image.py BUNDLE PICTURE

The Python twin of the C, C++ and Rust examples of the same name, with the same mask.
"""

import sys

import numpy as np
import zsseg
from PIL import Image


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    frame = np.asarray(Image.open(sys.argv[2]).convert("RGB"))
    height, width, _ = frame.shape
    segmenter = zsseg.Segmenter(sys.argv[1], max_width=width, max_height=height, extra_classes=0)
    labels = segmenter.segment(frame).labels

    print(f"{segmenter.model_name} ({width} x {height}, arena {segmenter.arena_bytes} bytes)")
    for found in segmenter.classes:
        pixels = np.count_nonzero(labels == found.label)
        if pixels:
            print(f"{100 * pixels / labels.size:6.2f} %  {found.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
