"""Adds a class by its name and segments a picture with it: add_class.py BUNDLE PICTURE NAME

The Python twin of the C and C++ examples of the same name, with the same mask.
"""

import sys

import numpy as np
import zsseg
from PIL import Image


def main() -> int:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    bundle, picture, name = sys.argv[1:]
    frame = np.asarray(Image.open(picture).convert("RGB"))
    height, width, _ = frame.shape
    segmenter = zsseg.Segmenter(bundle, max_width=width, max_height=height, extra_classes=1)
    try:
        label = segmenter.add_class(name)
    except zsseg.ZssegError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    labels = segmenter.segment(frame).labels
    share = 100 * np.count_nonzero(labels == label) / labels.size
    print(f"{share:.2f} % of the pixels are {name}, label {label}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
