"""The C API of a release build (target/release/libzsseg.so) for benchmarks."""

import ctypes
import functools
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"


@functools.cache
def library() -> ctypes.CDLL:
    """The library, loaded once."""
    return ctypes.CDLL(str(RELEASE / "libzsseg.so"))


def aligned(size: int, contents: bytes = b"") -> tuple[ctypes.Array, ctypes.c_void_p]:
    """Memory, and the address in it of `size` bytes at a multiple of 64."""
    memory = ctypes.create_string_buffer(size + 64)
    start = -(-ctypes.addressof(memory) // 64) * 64
    ctypes.memmove(start, contents, len(contents))
    return memory, ctypes.c_void_p(start)


class Image(ctypes.Structure):
    """zsseg_image_t."""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("format", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("planes", ctypes.c_void_p * 3),
        ("stride_bytes", ctypes.c_size_t * 3),
        ("plane_bytes", ctypes.c_size_t * 3),
        ("color_matrix", ctypes.c_uint32),
        ("color_range", ctypes.c_uint32),
    ]


class Features(ctypes.Structure):
    """zsseg_features_t."""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("layout", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("grid_height", ctypes.c_uint32),
        ("grid_width", ctypes.c_uint32),
        ("channels", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class Output(ctypes.Structure):
    """zsseg_output_t; confidence and margin stay NULL."""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("label_type", ctypes.c_uint32),
        ("labels", ctypes.c_void_p),
        ("labels_stride_bytes", ctypes.c_size_t),
        ("labels_bytes", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 6),
    ]


class Segmenter:
    """A bundle in an arena of exactly the size it asks for; frames of one size."""

    def __init__(self, bundle: bytes, width: int, height: int):
        self.library = library()
        size = ctypes.c_size_t(len(bundle))
        self.memory, bundle = aligned(len(bundle), bundle)
        limits = (ctypes.c_uint32 * 4)(16, width, height, 1)
        need = ctypes.c_size_t()
        self.check(self.library.zsseg_arena_size(bundle, size, limits, ctypes.byref(need), None))
        self.arena_bytes = need.value
        self.arena, start = aligned(need.value)
        self.handle = ctypes.c_void_p()
        self.check(
            self.library.zsseg_init(
                bundle, size, limits, start, need, ctypes.byref(self.handle), None
            )
        )
        self.labels = np.zeros((height, width), np.uint8)
        stride, labels = width, self.labels
        self.output = Output(ctypes.sizeof(Output), 1, labels.ctypes.data, stride, labels.size)

    @staticmethod
    def check(status: int) -> None:
        if status != 0:
            raise RuntimeError(f"status {status}")

    def segment(self, frame: np.ndarray) -> np.ndarray:
        """Labels of an RGB frame, u8 [height, width, 3]; the same array every time."""
        height, width, _ = frame.shape
        picture = Image(ctypes.sizeof(Image), 1, width, height)
        picture.planes[0] = frame.ctypes.data
        picture.stride_bytes[0], picture.plane_bytes[0] = width * 3, frame.size
        self.check(
            self.library.zsseg_segment(
                self.handle, ctypes.byref(picture), ctypes.byref(self.output)
            )
        )
        return self.labels

    def segment_features(self, features: np.ndarray, channels_last: bool = False) -> np.ndarray:
        """Labels of features: f32 [1, channels, rows, columns], or [1, rows, columns, channels]."""
        _, channels, rows, columns = features.shape
        if channels_last:
            _, rows, columns, channels = features.shape
        data, size, layout = features.ctypes.data, features.size, int(channels_last)
        source = Features(ctypes.sizeof(Features), layout, data, size, rows, columns, channels, 0)
        height, width = self.labels.shape
        self.check(
            self.library.zsseg_segment_features(
                self.handle, ctypes.byref(source), width, height, ctypes.byref(self.output)
            )
        )
        return self.labels
