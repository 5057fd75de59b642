"""Milliseconds per frame: bench.py BUNDLE PICTURE [FRAMES [THREADS]]

The Python twin of the C, C++ and Rust examples of the same name.
"""

import statistics
import sys
import time

import numpy as np
import zsseg
from PIL import Image


def main() -> int:
    if len(sys.argv) not in (3, 4, 5):
        print(__doc__, file=sys.stderr)
        return 2
    frames = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    threads = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    frame = np.asarray(Image.open(sys.argv[2]).convert("RGB"))
    height, width, _ = frame.shape
    segmenter = zsseg.Segmenter(
        sys.argv[1], max_width=width, max_height=height, threads=threads
    )
    labels = np.empty((height, width), np.uint8)
    times_ms = []
    for _ in range(frames):
        started = time.perf_counter_ns()
        segmenter.segment(frame, out=labels)
        times_ms.append((time.perf_counter_ns() - started) / 1e6)
    print(f"{statistics.median(times_ms):.2f} ms median, {min(times_ms):.2f} ms least, of {frames}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
