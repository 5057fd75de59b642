#!/usr/bin/env python3
"""Reference segmentation masks, computed with onnxruntime, NumPy and Pillow only.

Nothing of zsseg is used here: this is the yardstick its masks are compared with.

    make_reference.py --config voc11-lite0-zs.toml --model backbone.onnx \\
        --head head.safetensors --out MASKS PICTURE...

writes one 8-bit greyscale PNG per picture (pixel = label) and a SHA256SUMS into MASKS.
With

    --add cat --projection projection.safetensors --words words --gamma 2.19

a class is added behind those of the head, and the masks are called NAME_cat.png.

The pipeline, all of it in float64 except the network itself:

1. Pillow decodes the picture to 8-bit RGB.
2. Geometry. `stretch` fills the network's W x H. `letterbox` scales by
   min(W / w, H / h), the content side being max(1, floor(side * scale + 0.5)), and
   centres it with an offset of floor((net - content) / 2); around it lies `pad`, a value
   in 0..255 units. Content pixel i of m samples position (i + 0.5) * n / m - 0.5 of the
   frame's n with a triangle filter. With antialias and n > m its half-width is n / m,
   taps outside the frame are dropped and the rest renormalised (Pillow's convention, but
   with nothing rounded between the passes); otherwise there are two taps and the
   position is clamped to [0, n - 1].
3. Normalisation: (v * scale - mean) / std, then a cast to float32.
4. onnxruntime on the CPU, one thread. A linear head, if given, is applied in float64:
   logits = weight @ features + bias. An added class has the row M a (weights, then bias)
   of the projection M [D+1,E] and a, the mean of the vectors of its name's words brought
   to unit length; gamma is taken from the logits of the head's own classes.
5. Logits to frame. Frame pixel X lies at n = (X + 0.5) * content / frame - 0.5 + offset
   of the network's side, clamped to [0, net - 1], and at (n + 0.5) * grid / net - 0.5
   (align_corners false) or n * (grid - 1) / (net - 1) (true) of the logits' grid, clamped
   to [0, grid - 1]. Bilinear, then argmax; the lowest index wins a tie.
"""

import argparse
import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


@dataclass(frozen=True)
class Config:
    """What a model expects and returns; the fields of a configuration file.

    `width` and `height` are the network's input in pixels. `scale`, `mean` and `std`
    give (v * scale - mean) / std for v in 0..255. `output` names the tensor to read; it
    may lie inside the graph. `layout` is "NCHW" or "NHWC".
    """

    width: int
    height: int
    output: str
    geometry: str = "stretch"
    antialias: bool = True
    pad: float = 0.0
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    input_layout: str = "NCHW"
    output_layout: str = "NCHW"
    align_corners: bool = False

    @staticmethod
    def load(path: Path) -> "Config":
        return Config(**tomllib.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Side:
    """One axis of the geometry, in pixels: `frame` shown as `content` of `net`."""

    frame: int
    net: int
    content: int
    offset: int


def sides(config: Config, frame_width: int, frame_height: int) -> tuple[Side, Side]:
    """Returns the horizontal and the vertical axis for a frame."""
    pairs = [(frame_width, config.width), (frame_height, config.height)]
    if config.geometry == "stretch":
        return tuple(Side(frame, net, net, 0) for frame, net in pairs)
    if config.geometry != "letterbox":
        raise ValueError(f"unknown geometry {config.geometry!r}")
    scale = min(net / frame for frame, net in pairs)
    result = []
    for frame, net in pairs:
        content = max(1, int(np.floor(frame * scale + 0.5)))
        result.append(Side(frame, net, content, (net - content) // 2))
    return tuple(result)


def linear_taps(positions: np.ndarray, count: int) -> np.ndarray:
    """Returns the [len(positions), count] matrix of linear interpolation.

    Positions are clamped to [0, count - 1].
    """
    positions = np.clip(positions, 0.0, count - 1.0)
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, count - 1)
    fraction = positions - low
    matrix = np.zeros((len(positions), count))
    rows = np.arange(len(positions))
    np.add.at(matrix, (rows, low), 1.0 - fraction)
    np.add.at(matrix, (rows, high), fraction)
    return matrix


def frame_taps(side: Side, antialias: bool) -> np.ndarray:
    """Returns the [content, frame] matrix that resamples the frame to the content."""
    ratio = side.frame / side.content
    centres = (np.arange(side.content) + 0.5) * ratio - 0.5
    if not antialias or ratio <= 1.0:
        return linear_taps(centres, side.frame)
    distance = np.abs(np.arange(side.frame)[None, :] - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / ratio)
    return weights / weights.sum(axis=1, keepdims=True)


def grid_taps(side: Side, grid: int, align_corners: bool) -> np.ndarray:
    """Returns the [frame, grid] matrix that reads the logits' grid at frame pixels."""
    centres = np.arange(side.frame) + 0.5
    at = centres * side.content / side.frame - 0.5 + side.offset
    at = np.clip(at, 0.0, side.net - 1.0)
    if align_corners:
        cells = at * (grid - 1) / (side.net - 1)
    else:
        cells = (at + 0.5) * grid / side.net - 0.5
    return linear_taps(cells, grid)


def network_input(frame: np.ndarray, config: Config) -> np.ndarray:
    """Turns an RGB frame [h,w,3] u8 into the input tensor, [1,...] f32."""
    height, width = frame.shape[:2]
    across, down = sides(config, width, height)
    columns = frame_taps(across, config.antialias)
    rows = frame_taps(down, config.antialias)
    planes = []
    for channel in range(3):
        plane = np.full((down.net, across.net), float(config.pad))
        content = rows @ frame[:, :, channel].astype(np.float64) @ columns.T
        plane[
            down.offset : down.offset + down.content,
            across.offset : across.offset + across.content,
        ] = content
        plane = (plane * config.scale - config.mean[channel]) / config.std[channel]
        planes.append(plane)
    axis = {"NCHW": 0, "NHWC": -1}[config.input_layout]
    return np.stack(planes, axis=axis)[None].astype(np.float32)


def label_map(
    logits: np.ndarray, frame_width: int, frame_height: int, config: Config
) -> np.ndarray:
    """Turns logits [C,h,w] into the frame's labels [frame_height,frame_width] u8."""
    across, down = sides(config, frame_width, frame_height)
    rows = grid_taps(down, logits.shape[1], config.align_corners)
    columns = grid_taps(across, logits.shape[2], config.align_corners)
    scores = rows @ logits.astype(np.float64) @ columns.T
    return scores.argmax(axis=0).astype(np.uint8)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads the f32 tensors of a safetensors file."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {entry['dtype']}, expected F32")
        first, last = entry["data_offsets"]
        values = np.frombuffer(data[start + first : start + last], "<f4")
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def open_session(path: Path, output: str) -> onnxruntime.InferenceSession:
    """Opens a model so that tensor `output` can be read, even one inside the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    if output in [value.name for value in session.get_outputs()]:
        return session
    import onnx  # needed by no other step

    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )


def embedding(name: str, table: Path) -> np.ndarray:
    """Returns the unit-length embedding of a name by TABLE.npy and TABLE.txt."""
    words = table.with_suffix(".txt").read_text(encoding="utf-8").split("\n")
    vectors = np.load(table.with_suffix(".npy"))
    rows = [words.index(word) for word in name.split()]
    mean = vectors[rows].astype(np.float64).mean(axis=0)
    return mean / np.linalg.norm(mean)


class Reference:
    """A model with its configuration: frames in, labels out."""

    def __init__(self, config: Config, model: Path, head: Path | None = None):
        self.config = config
        self.session = open_session(model, config.output)
        self.head = None
        if head:
            tensors = read_safetensors(head).items()
            self.head = {name: value.astype(np.float64) for name, value in tensors}

    def add_class(self, projection, vector: np.ndarray, gamma: float) -> None:
        """Adds the row `projection @ vector`; takes gamma from the others' logits."""
        row = projection.astype(np.float64) @ vector
        self.head["weight"] = np.vstack([self.head["weight"], row[:-1]])
        self.head["bias"] = np.append(self.head["bias"] - gamma, row[-1])

    def logits(self, frame: np.ndarray) -> np.ndarray:
        """Returns the logits [C,h,w] of an RGB frame [h,w,3] u8."""
        name = self.session.get_inputs()[0].name
        tensor = network_input(frame, self.config)
        output = self.session.run([self.config.output], {name: tensor})[0][0]
        if self.config.output_layout == "NHWC":
            output = output.transpose(2, 0, 1)
        if self.head is None:
            return output
        logits = np.tensordot(self.head["weight"], output, axes=1)
        return logits + self.head["bias"][:, None, None]

    def labels(self, frame: np.ndarray) -> np.ndarray:
        """Returns the labels [h,w] u8 of an RGB frame [h,w,3] u8."""
        height, width = frame.shape[:2]
        return label_map(self.logits(frame), width, height, self.config)


def read_frame(path: Path) -> np.ndarray:
    """Decodes a picture to RGB [h,w,3] u8."""
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def write_masks(
    reference: Reference, pictures: list[Path], out: Path, ending: str
) -> None:
    """Writes a mask per picture, named like it, and SHA256SUMS over all of `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for path in pictures:
        labels = reference.labels(read_frame(path))
        Image.fromarray(labels).save(out / f"{path.stem}{ending}.png", optimize=True)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(out.glob("*.png"))
    ]
    (out / "SHA256SUMS").write_text("".join(sums), encoding="ascii")


def listed_pictures(listing: Path, folder: Path, suffix: str, count: int) -> list[Path]:
    """Returns the first `count` pictures named, without suffix, in a list file."""
    names = listing.read_text(encoding="utf-8").split()[:count]
    return [folder / f"{name}{suffix}" for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--config", type=Path, required=True, help="TOML file")
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    parser.add_argument("--head", type=Path, help="safetensors: weight [C,D], bias [C]")
    parser.add_argument("--out", type=Path, required=True, help="folder for the masks")
    parser.add_argument("--list", type=Path, help="text file of picture names")
    parser.add_argument("--folder", type=Path, help="folder of the listed pictures")
    parser.add_argument("--suffix", default=".jpg", help="suffix of listed pictures")
    parser.add_argument("--first", type=int, default=20, help="how many of the list")
    parser.add_argument("--add", help="name of a class to add, in words of the table")
    parser.add_argument("--projection", type=Path, help="projection [D+1,E]")
    parser.add_argument("--words", type=Path, help="TABLE.npy, TABLE.txt")
    parser.add_argument("--gamma", type=float, default=0.0, help="handicap, with --add")
    parser.add_argument("pictures", type=Path, nargs="*")
    args = parser.parse_args()
    if (args.list is None) != (args.folder is None):
        parser.error("--list and --folder go together")
    if args.add and not (args.head and args.projection and args.words):
        parser.error("--add needs --head, --projection and --words")
    pictures = list(args.pictures)
    if args.list:
        pictures += listed_pictures(args.list, args.folder, args.suffix, args.first)
    reference = Reference(Config.load(args.config), args.model, args.head)
    if args.add:
        matrix = read_safetensors(args.projection)["projection"]
        reference.add_class(matrix, embedding(args.add, args.words), args.gamma)
    ending = "_" + args.add.replace(" ", "_") if args.add else ""
    write_masks(reference, pictures, args.out, ending)


if __name__ == "__main__":
    main()
