"""Types of the extension module."""

from __future__ import annotations

import os
from typing import Any, Literal, Protocol, Sequence, Union, final

import numpy as np
import numpy.typing as npt

__version__: str
UNLABELED_U8: int
UNLABELED_U16: int

_PixelFormat = Literal[
    "rgb8", "bgr8", "rgba8", "bgra8", "gray8", "nv12", "nv21", "i420", "yuyv", "uyvy"
]

class _DLPack(Protocol):
    def __dlpack__(self) -> Any: ...

class _ArrayInterface(Protocol):
    @property
    def __array_interface__(self) -> dict[str, Any]: ...

_Plane = Union[npt.NDArray[np.uint8], _DLPack, _ArrayInterface]
_Frame = Union[_Plane, Sequence[_Plane]]
"""An array of uint8 in the order of its format, or one per plane.

RGB and BGR: (rows, columns, 3); with alpha: 4; gray: (rows, columns); YUYV and UYVY:
(rows, columns, 2); NV12, NV21, I420: (rows * 3 / 2, columns), or a tuple of planes. Rows may have
padding; the pixels of a row lie side by side. Nothing is copied.
"""
_Labels = Union[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]

class ZssegError(Exception):
    """A call that the library refused, or that failed."""

    status: str
    """The reason, such as "FrameSize"."""
    code: int
    """Its number, the same as in C."""

@final
class Class:
    """A class of a segmenter: what it was when it was asked for."""

    @property
    def label(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def color(self) -> tuple[int, int, int]: ...
    @property
    def seen(self) -> bool: ...
    @property
    def background(self) -> bool: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def bias(self) -> float: ...
    @property
    def prior(self) -> float: ...
    @property
    def origin(self) -> Literal["bundle", "row", "embedding", "word", "generator"]: ...

@final
class Mask:
    """A mask: arrays of the frame's size. `numpy.asarray(mask)` and DLPack give the labels."""

    @property
    def labels(self) -> _Labels: ...
    @property
    def confidence(self) -> npt.NDArray[np.uint8] | None: ...
    @property
    def margin(self) -> npt.NDArray[np.uint8] | None: ...
    @property
    def unknown(self) -> npt.NDArray[np.uint8] | None: ...
    def __array__(self, *arguments: Any, **named: Any) -> npt.NDArray[Any]: ...
    def __dlpack__(self, **named: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

@final
class Work:
    """A frame at work. Its arrays must not change until it is done."""

    def step(self, pieces: int = 1) -> bool:
        """Carries the frame on by at most so many pieces; True when its mask is complete."""

    @property
    def mask(self) -> Mask: ...

@final
class Segmenter:
    """Segments frames with one model, in memory that was set aside when it was made.

    `bundle` is a path or the bundle's bytes. Frames may be up to `max_width` x `max_height`, and
    `extra_classes` classes may be added. Frames are worked on by `threads` threads,
    the calling one among them; the masks are the same. Calls from several threads wait for one
    another; other threads of the interpreter go on meanwhile.
    """

    def __new__(
        cls,
        bundle: str | os.PathLike[str] | bytes,
        *,
        max_width: int = 1920,
        max_height: int = 1080,
        extra_classes: int = 16,
        threads: int = 1,
        generator: bool = False,
        smoothing: bool = False,
        fusion: bool = False,
    ) -> Segmenter: ...
    def segment(
        self,
        frame: _Frame,
        format: _PixelFormat = "rgb8",
        *,
        out: _Labels | None = None,
        confidence: bool = False,
        margin: bool = False,
        unknown: bool = False,
        matrix: Literal["bt601", "bt709"] = "bt601",
        range: Literal["limited", "full"] = "limited",
    ) -> Mask:
        """Segments a frame. With `out`, labels are written there, and it is `mask.labels`."""

    def begin(
        self,
        frame: _Frame,
        format: _PixelFormat = "rgb8",
        *,
        out: _Labels | None = None,
        confidence: bool = False,
        margin: bool = False,
        unknown: bool = False,
        matrix: Literal["bt601", "bt709"] = "bt601",
        range: Literal["limited", "full"] = "limited",
    ) -> Work:
        """Begins a frame that is segmented in slices; one that was at work is given up."""

    def segment_features(
        self,
        features: npt.NDArray[np.float32],
        width: int,
        height: int,
        *,
        out: _Labels | None = None,
        confidence: bool = False,
        margin: bool = False,
        unknown: bool = False,
    ) -> Mask:
        """Segments a frame whose features another engine computed, in `feature_layout`."""

    def features(self) -> npt.NDArray[np.float32]:
        """The network's output for the latest frame, a copy."""

    def add_class(
        self,
        name: str,
        *,
        word: str | None = None,
        embedding: npt.NDArray[np.float32] | None = None,
        row: npt.NDArray[np.float32] | None = None,
        row_bias: float = 0.0,
        generate: bool = False,
        label: int | None = None,
        color: Sequence[int] | None = None,
        seen: bool = False,
        bias: float = 0.0,
    ) -> int:
        """Adds a class; its label.

        By the words of its name, by other words, by an embedding, or by a row of weights;
        `generate` fits the row to features that the bundle's generator makes. Nothing changes
        when it fails.
        """

    def replace_class(
        self,
        which: int | str,
        *,
        word: str | None = None,
        embedding: npt.NDArray[np.float32] | None = None,
        row: npt.NDArray[np.float32] | None = None,
        row_bias: float = 0.0,
        generate: bool = False,
    ) -> None: ...
    def remove_class(self, which: int | str) -> None: ...
    def rename_class(self, which: int | str, name: str) -> None: ...
    def enable_class(self, which: int | str, enabled: bool) -> None: ...
    def set_class_bias(self, which: int | str, bias: float) -> None: ...
    def set_class_prior(self, which: int | str, prior: float) -> None: ...
    @property
    def classes(self) -> list[Class]: ...
    def set_decision(
        self,
        *,
        unseen_bias: float | None = None,
        on: Literal["logits", "probabilities"] | None = None,
        min_confidence: float | None = None,
        min_margin: float | None = None,
        max_unknown: float | None = None,
        energy_reference: float | None = None,
    ) -> None:
        """Changes how pixels are decided; what is not given stays."""

    def set_smoothing(self, weight: float, cut: float = 1.0) -> None: ...
    def forget(self) -> None: ...
    def set_fusion(self, rule: str | None, segments: int = 5) -> None:
        """Moves masks towards spectral segments: "select", "vote", "soft" or None."""

    @property
    def model_name(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def input_size(self) -> tuple[int, int]: ...
    @property
    def feature_layout(self) -> Literal["hwc", "chw"]: ...
