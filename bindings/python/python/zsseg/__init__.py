"""Zero-shot semantic segmentation on edge devices: a frame in, a mask out, in fixed memory.

    >>> import numpy, zsseg
    >>> segmenter = zsseg.Segmenter("model.zsb", max_width=640, max_height=480)
    >>> segmenter.add_class("zebra")
    11
    >>> mask = segmenter.segment(frame)          # (480, 640, 3) uint8, RGB
    >>> (mask.labels == 11).mean()
"""

from ._zsseg import (
    UNLABELED_U8,
    UNLABELED_U16,
    Class,
    Mask,
    Segmenter,
    Work,
    ZssegError,
    __version__,
)

__all__ = [
    "UNLABELED_U8",
    "UNLABELED_U16",
    "Class",
    "Mask",
    "Segmenter",
    "Work",
    "ZssegError",
    "__version__",
]
