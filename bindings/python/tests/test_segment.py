import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import zsseg
from conftest import BUNDLE, ROOT
from PIL import Image


def test_masks_equal_the_commands(segmenter, picture, command, tmp_path):
    """The command was linked from the same sources; its masks are compared with ONNX Runtime's."""
    out = tmp_path / "mask.png"
    arguments = ["segment", ROOT / "tests/data/chelsea.png", "--bundle", BUNDLE, "-o", out]
    subprocess.run([*command, *arguments], check=True)
    assert np.array_equal(segmenter.segment(picture).labels, np.asarray(Image.open(out)))


def test_frames_are_read_where_they_lie(segmenter, picture):
    want = segmenter.segment(picture).labels
    padded = np.zeros((picture.shape[0], picture.shape[1] + 9, 3), np.uint8)
    padded[:, : picture.shape[1]] = picture
    assert np.array_equal(segmenter.segment(padded[:, : picture.shape[1]]).labels, want)
    bgr = np.ascontiguousarray(picture[..., ::-1])
    assert np.array_equal(segmenter.segment(bgr, "bgr8").labels, want)


def test_labels_are_written_where_they_are_wanted(segmenter, picture):
    want = segmenter.segment(picture).labels
    wide = np.full((picture.shape[0], picture.shape[1] + 5), 77, np.uint16)
    mask = segmenter.segment(picture, out=wide[:, :-5])
    assert np.shares_memory(mask.labels, wide)
    assert np.array_equal(wide[:, :-5], want)
    assert (wide[:, -5:] == 77).all()


def test_planes_in_one_array_or_apart(segmenter, picture):
    rows, columns = 200, 300
    luma = np.ascontiguousarray(picture[:rows, :columns, 1])
    chroma = np.full((rows // 2, columns // 2, 2), 120, np.uint8)
    together = np.concatenate([luma, chroma.reshape(rows // 2, columns)])
    apart = segmenter.segment((luma, chroma), "nv12").labels
    assert apart.shape == (rows, columns)
    assert np.array_equal(segmenter.segment(together, "nv12").labels, apart)
    assert np.array_equal(segmenter.segment(together, "i420").labels, apart)
    full = segmenter.segment(together, "nv12", matrix="bt709", range="full").labels
    assert not np.array_equal(full, apart)


class Interface:
    def __init__(self, array):
        self.__array_interface__ = array.__array_interface__
        self.array = array


class DLPack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **named):
        return self.array.__dlpack__(**named)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [Interface, DLPack])
def test_other_libraries_arrays(segmenter, picture, wrap):
    owned = picture.copy()
    want = segmenter.segment(picture).labels
    assert np.array_equal(segmenter.segment(wrap(owned)).labels, want)


def test_masks_go_to_other_libraries(segmenter, picture):
    mask = segmenter.segment(picture, confidence=True, margin=True, unknown=True)
    assert np.shares_memory(np.asarray(mask), mask.labels)
    assert np.shares_memory(np.from_dlpack(mask), mask.labels)
    assert mask.confidence.shape == mask.margin.shape == mask.unknown.shape == mask.labels.shape
    assert (mask.margin <= mask.confidence).all()


def test_slices_give_the_same_mask(segmenter, picture):
    want = segmenter.segment(picture).labels
    work = segmenter.begin(picture)
    with pytest.raises(RuntimeError):
        work.mask
    slices = 1
    while not work.step(5):
        slices += 1
    assert slices > 50
    assert np.array_equal(work.mask.labels, want)


def test_features_of_another_engine(segmenter, picture):
    want = segmenter.segment(picture).labels
    features = segmenter.features()
    height, width, _ = picture.shape
    assert np.array_equal(segmenter.segment_features(features, width, height).labels, want)


def test_masks_do_not_depend_on_the_number_of_threads(segmenter, picture):
    several = zsseg.Segmenter(BUNDLE, threads=3)
    assert np.array_equal(several.segment(picture).labels, segmenter.segment(picture).labels)
    with pytest.raises(zsseg.ZssegError, match="threads"):
        zsseg.Segmenter(BUNDLE, threads=65)


def test_other_threads_go_on(segmenter, picture):
    """While frames are segmented, another thread of the interpreter makes progress."""
    ticks, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            ticks[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    before, started = ticks[0], time.perf_counter()
    while time.perf_counter() - started < 0.3:
        segmenter.segment(picture)
    during = ticks[0] - before
    stop.set()
    thread.join()
    assert during > 1000


def test_threads_that_share_a_segmenter(segmenter, picture):
    want = segmenter.segment(picture).labels
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(segmenter.segment(picture).labels))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(np.array_equal(found, want) for found in results)


@pytest.mark.parametrize("name", ["segment_image", "step_rtos", "bench"])
def test_examples(name):
    script = ROOT / "bindings/python/examples" / f"{name}.py"
    picture = ROOT / "tests/data/chelsea.png"
    subprocess.run([sys.executable, script, BUNDLE, picture], check=True)


def test_the_example_that_adds_a_class():
    script = ROOT / "bindings/python/examples/add_class.py"
    picture = ROOT / "tests/data/chelsea.png"
    arguments = [sys.executable, script, BUNDLE, picture]
    done = subprocess.run([*arguments, "cat"], check=True, capture_output=True, text=True)
    assert float(done.stdout.split()[0]) > 10
    failed = subprocess.run([*arguments, "qwertyuiop"], capture_output=True, text=True)
    assert failed.returncode == 1 and "qwertyuiop" in failed.stderr


@pytest.mark.parametrize(
    ("frame", "format", "error"),
    [
        (np.zeros((4, 5, 4), np.uint8), "rgb8", ValueError),
        (np.zeros((4, 5, 3), np.float32), "rgb8", TypeError),
        (np.zeros((4, 5, 3), np.uint8)[:, ::-1], "rgb8", ValueError),
        (np.zeros((4, 5, 3), np.uint8)[::-1], "rgb8", ValueError),
        (np.zeros((5, 4, 3), np.uint8).transpose(1, 0, 2), "rgb8", ValueError),
        (np.zeros((4, 5, 3), np.uint8), "rgb", ValueError),
        (np.zeros((7, 4), np.uint8), "nv12", ValueError),
        (np.zeros((0, 4, 3), np.uint8), "rgb8", zsseg.ZssegError),
        (np.zeros((301, 4, 3), np.uint8), "rgb8", zsseg.ZssegError),
        ((np.zeros((4, 4), np.uint8),) * 3, "nv12", ValueError),
        ((), "nv12", ValueError),
        ("picture.png", "rgb8", TypeError),
        (np.zeros(5, np.uint8), "gray8", ValueError),
    ],
)
def test_bad_frames(segmenter, frame, format, error):
    with pytest.raises(error):
        segmenter.segment(frame, format)


def test_bad_outputs(segmenter, picture):
    for out in [np.zeros((3, 3), np.uint8), np.zeros(picture.shape[:2], np.float32), "x"]:
        with pytest.raises((TypeError, ValueError)):
            segmenter.segment(picture, out=out)
    readonly = np.zeros(picture.shape[:2], np.uint8)
    readonly.flags.writeable = False
    with pytest.raises(ValueError):
        segmenter.segment(picture, out=readonly)
    aliased = np.zeros(picture.shape, np.uint8)
    with pytest.raises(ValueError):
        segmenter.segment(aliased, out=aliased[..., 0])


def test_bad_bundles(tmp_path):
    with pytest.raises(FileNotFoundError):
        zsseg.Segmenter(tmp_path / "none.zsb")
    with pytest.raises(zsseg.ZssegError) as caught:
        zsseg.Segmenter(b"not a bundle at all" * 10)
    assert (caught.value.status, caught.value.code) == ("BundleFormat", 12)
    broken = bytearray(BUNDLE.read_bytes())
    broken[-1] ^= 1
    with pytest.raises(zsseg.ZssegError) as caught:
        zsseg.Segmenter(bytes(broken))
    assert caught.value.status == "BundleChecksum"
    with pytest.raises(zsseg.ZssegError) as caught:
        zsseg.Segmenter(BUNDLE, max_width=0)
    assert caught.value.status == "InvalidArgument"
