"""The 13 classes of the shipped model, and the pictures it learns them from."""

import random
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
VOID = 255
VOC_VOID = 255
_LABEL_OF_VOC = np.full(256, VOID, np.uint8)
_LABEL_OF_VOC[list(CLASSES.values())] = np.arange(len(CLASSES))


@dataclass(frozen=True)
class Example:
    """A picture [h,w,3] u8 RGB and its mask [h,w] u8 of labels 0..12 or VOID.

    `other` marks the pixels of the VOC classes the model does not know; they are VOID in
    the mask.
    """

    frame: np.ndarray
    mask: np.ndarray
    other: np.ndarray

    def flipped(self) -> "Example":
        """Returns the example mirrored left to right."""
        return Example(self.frame[:, ::-1], self.mask[:, ::-1], self.other[:, ::-1])


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
        mask = _LABEL_OF_VOC[voc]
        return Example(frame, mask, (mask == VOID) & (voc != VOC_VOID))


def hold_out(names: list[str], count: int) -> tuple[list[str], list[str]]:
    """Splits names into those to learn from and `count` to choose settings on."""
    shuffled = random.Random(7).sample(names, len(names))
    return shuffled[count:], shuffled[:count]
