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


def logits_matrix(side: Side, grid: int) -> np.ndarray:
    """Returns the [frame, grid] float64 matrix from the logits' grid to the frame.

    The grid's cells span the network's side, with half-pixel centres.
    """
    at = (np.arange(side.frame) + 0.5) * side.content / side.frame - 0.5 + side.offset
    cell = (np.clip(at, 0, side.net - 1) + 0.5) * grid / side.net - 0.5
    return _triangle(np.clip(cell, 0, grid - 1), grid, 1.0)


def cell_matrix(side: Side, grid: int) -> np.ndarray:
    """Returns the [grid, frame] float64 matrix that averages frame pixels per cell.

    It weighs pixels as `logits_matrix` spreads them; the rows of cells that lie partly
    outside the frame sum to less than one.
    """
    cell = side.net / grid
    at = (np.arange(grid) + 0.5) * cell - side.offset
    ratio = side.frame / side.content
    width = cell * ratio
    return _triangle(at * ratio - 0.5, side.frame, width) / width


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


def resample_logits(logits: np.ndarray, width: int, height: int, pre: Preprocess):
    """Resamples logits [C,h,w] to the frame, [C,height,width] f32."""
    across, down = sides(width, height, pre)
    rows = logits_matrix(down, logits.shape[1]).astype(np.float32)
    columns = logits_matrix(across, logits.shape[2]).astype(np.float32)
    return rows @ logits.astype(np.float32) @ columns.T


def soft_labels(mask: np.ndarray, classes: int, grid: int, pre: Preprocess):
    """Returns how much of each cell each class covers, [classes,grid,grid] f32.

    Mask values beyond the classes count for none.
    """
    across, down = sides(mask.shape[1], mask.shape[0], pre)
    rows = cell_matrix(down, grid).astype(np.float32)
    columns = cell_matrix(across, grid).astype(np.float32)
    one_hot = mask[None] == np.arange(classes, dtype=mask.dtype)[:, None, None]
    return rows @ one_hot.astype(np.float32) @ columns.T
