"""Segments a picture in slices, as a task that must not stay away long: step_rtos.py BUNDLE PICTURE

The Python twin of the C, C++ and Rust examples of the same name.
"""

import sys
import time

import numpy as np
import zsseg
from PIL import Image

PIECES = 8


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    frame = np.asarray(Image.open(sys.argv[2]).convert("RGB"))
    height, width, _ = frame.shape
    segmenter = zsseg.Segmenter(sys.argv[1], max_width=width, max_height=height)
    whole = segmenter.segment(frame).labels

    work = segmenter.begin(frame)
    slices_us = []
    done = False
    while not done:
        started = time.perf_counter_ns()
        done = work.step(PIECES)
        slices_us.append((time.perf_counter_ns() - started) / 1e3)
    same = np.array_equal(work.mask.labels, whole)
    print(f"{len(slices_us)} slices of {PIECES} pieces, longest {max(slices_us):.0f} us")
    print("the same mask as in one call" if same else "ANOTHER MASK than in one call")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
