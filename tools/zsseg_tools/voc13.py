"""Thirteen classes of PASCAL VOC, and the pictures that show them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# PASCAL VOC index of each class, in the model's order.
CLASSES = {
    "background": 0,
    "bottle": 5,
    "car": 7,
    "cat": 8,
    "chair": 9,
    "cow": 10,
    "dog": 12,
    "horse": 13,
    "person": 15,
    "pottedplant": 16,
    "sheep": 17,
    "sofa": 18,
    "tvmonitor": 20,
}
# Classes that no training mask may show, and the others.
UNSEEN = ("cat", "cow")
SEEN = tuple(name for name in CLASSES if name not in UNSEEN)
VOID = 255
_LABEL_OF_VOC = np.full(256, VOID, np.uint8)
_LABEL_OF_VOC[list(CLASSES.values())] = np.arange(len(CLASSES))


@dataclass(frozen=True)
class Example:
    """A picture [h,w,3] u8 RGB and its mask [h,w] u8 of labels 0..12 or VOID.

    Pixels of VOC's other classes are VOID.
    """

    frame: np.ndarray
    mask: np.ndarray

    def flipped(self) -> "Example":
        """Returns the example mirrored left to right."""
        return Example(self.frame[:, ::-1], self.mask[:, ::-1])


class Dataset:
    """A folder with `images/*.jpg`, `masks/*.png` and lists of names `*.txt`."""

    def __init__(self, root: Path):
        self.root = root

    def names(self, *lists: str) -> list[str]:
        """Returns the picture names of the given lists, in order."""
        return [
            name
            for item in lists
            for name in (self.root / f"{item}.txt").read_text("utf-8").split()
        ]

    def load(self, name: str) -> Example:
        """Reads one picture with its mask."""
        with Image.open(self.root / "images" / f"{name}.jpg") as picture:
            frame = np.array(picture.convert("RGB"))
        with Image.open(self.root / "masks" / f"{name}.png") as picture:
            voc = np.array(picture)
        return Example(frame, _LABEL_OF_VOC[voc])

    def shows(self, name: str, classes: tuple[str, ...]) -> bool:
        """Whether the mask of a picture has a pixel of one of `classes`."""
        labels = [list(CLASSES).index(item) for item in classes]
        return bool(np.isin(self.load(name).mask, labels).any())
