"""Frame to network input, as the runtime defines it.

Resampling is separable, with a triangle filter at half-pixel centres: output pixel i of
m samples position (i + 0.5) * n / m - 0.5 of n input pixels. With `antialias` the filter
widens to n / m pixels when shrinking, taps outside the picture are dropped and the rest
renormalised (Pillow's convention); without it there are two taps, clamped to the edge.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Preprocess:
    """How an 8-bit RGB frame becomes the network's input of `size` x `size` pixels.

    The frame keeps its shape and lies centred in the square (`letterbox`), or fills it
    (not `letterbox`). `pad` is the value around it. `pad`, `mean` and `std` are in units
    of 0..255; the constants are those EfficientNet-Lite was trained with.
    """

    size: int = 512
    antialias: bool = True
    letterbox: bool = True
    pad: float = 127.0
    mean: float = 127.0
    std: float = 128.0


@dataclass(frozen=True)
class Side:
    """One axis of the geometry, in pixels: `frame` shown as `content` of `net`."""

    frame: int
    net: int
    content: int
    offset: int


def sides(width: int, height: int, pre: Preprocess) -> tuple[Side, Side]:
    """Returns the horizontal and the vertical axis for a frame."""
    if not pre.letterbox:
        return Side(width, pre.size, pre.size, 0), Side(height, pre.size, pre.size, 0)
    scale = pre.size / max(width, height)

    def side(frame):
        content = max(1, int(np.floor(frame * scale + 0.5)))
        return Side(frame, pre.size, content, (pre.size - content) // 2)

    return side(width), side(height)


def _triangle(positions: np.ndarray, count: int, width: float) -> np.ndarray:
    """Returns triangle-filter weights [len(positions), count], not normalised."""
    distance = np.abs(np.arange(count)[None, :] - positions[:, None])
    return np.maximum(0.0, 1.0 - distance / width)


def frame_matrix(side: Side, antialias: bool) -> np.ndarray:
    """Returns the [content, frame] float64 matrix that resamples the frame."""
    ratio = side.frame / side.content
    centres = (np.arange(side.content) + 0.5) * ratio - 0.5
    if not antialias:
        centres = np.clip(centres, 0, side.frame - 1)
    weights = _triangle(centres, side.frame, max(1.0, ratio) if antialias else 1.0)
    return weights / weights.sum(axis=1, keepdims=True)


def network_input(frame: np.ndarray, pre: Preprocess) -> np.ndarray:
    """Turns a frame [h,w,3] of 8-bit RGB into the input tensor [1,3,size,size] f32."""
    across, down = sides(frame.shape[1], frame.shape[0], pre)
    rows = frame_matrix(down, pre.antialias)
    columns = frame_matrix(across, pre.antialias)
    canvas = np.full((3, pre.size, pre.size), float(pre.pad))
    canvas[
        :,
        down.offset : down.offset + down.content,
        across.offset : across.offset + across.content,
    ] = (
        rows @ frame.transpose(2, 0, 1).astype(np.float64) @ columns.T
    )
    return ((canvas - pre.mean) / pre.std)[None].astype(np.float32)
