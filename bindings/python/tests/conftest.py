import os
import sys
from pathlib import Path

import numpy as np
import pytest
import zsseg
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
BUNDLE = ROOT / "models" / "voc11-lite0-zs.zsb"


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A photograph, 451 x 300, RGB."""
    return np.asarray(Image.open(ROOT / "tests" / "data" / "chelsea.png").convert("RGB"))


@pytest.fixture
def segmenter(picture: np.ndarray) -> zsseg.Segmenter:
    height, width, _ = picture.shape
    return zsseg.Segmenter(BUNDLE, max_width=width, max_height=height, extra_classes=2)


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The `zsseg` command: the wheel's own, or the one named by ZSSEG_COMMAND."""
    named = os.environ.get("ZSSEG_COMMAND")
    return [named] if named else [sys.executable, "-m", "zsseg"]
