import subprocess
import sys

import numpy as np
from conftest import BUNDLE, ROOT
from PIL import Image


def test_pseudo_labels_on_a_local_cluster(tmp_path, picture):
    """Every picture of the folder has a mask of its own size, with the class that was added."""
    pictures, out = tmp_path / "pictures", tmp_path / "masks"
    pictures.mkdir()
    for index in range(5):
        Image.fromarray(picture[index:]).save(pictures / f"{index}.png")
    (pictures / "notes.txt").write_text("not a picture")
    script = ROOT / "bindings/python/examples/label_with_ray.py"
    done = subprocess.run(
        [sys.executable, script, BUNDLE, pictures, out, "cat"],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.startswith("5 masks")
    for index in range(5):
        mask = np.asarray(Image.open(out / f"{index}.png"))
        assert mask.shape == (picture.shape[0] - index, picture.shape[1])
        assert (mask == 11).mean() > 0.05
