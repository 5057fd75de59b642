"""Thirteen classes of PASCAL VOC, and the pictures that show them."""

from pathlib import Path

import numpy as np
from PIL import Image

# Classes that no training mask may show, and those that masks teach, in the model's order.
UNSEEN = ("cat", "cow")
SEEN = tuple(
    "background bottle car chair dog horse person pottedplant sheep sofa tvmonitor".split()
)
# VOC's other classes, whose pixels do not count.
IGNORED = tuple("aeroplane bicycle bird boat bus diningtable motorbike train".split())


class Dataset:
    """A folder with `images/*.jpg` and lists of names `*.txt`."""

    def __init__(self, root: Path):
        self.root = root

    def names(self, *lists: str) -> list[str]:
        """Returns the picture names of the given lists, in order."""
        return [
            name
            for item in lists
            for name in (self.root / f"{item}.txt").read_text("utf-8").split()
        ]

    def frame(self, name: str) -> np.ndarray:
        """Reads one picture, [h,w,3] u8 RGB."""
        with Image.open(self.root / "images" / f"{name}.jpg") as picture:
            return np.array(picture.convert("RGB"))
