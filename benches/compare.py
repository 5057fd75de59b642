"""Whole frame to mask: zsseg, raw tract and ONNX Runtime, one thread, same model and picture.

    python benches/compare.py models/voc11-lite0-zs-onnx.zsb tests/data/chelsea.png

Needs benches/requirements.txt and a release build (`cargo build --release --bins --examples`).
Each engine runs in a process of its own; the rounds alternate, so that a busy moment of the
machine hits all of them. zsseg runs twice: the network compiled to a plan (`zsseg compile`) and
the bundle as it is, on the tract engine. Every engine letterboxes the picture, runs the network and the
classifier, resizes the logits, takes the argmax and brings the mask back to the picture's size.
zsseg does the last three in one step; the others get a graph with Resize and ArgMax behind the
classifier, as their users would export it.

A second table compares the tail alone (logits to labels) in one process: zsseg through its C API
against a graph of Resize and ArgMax. A third one adds a large classifier before it: 150 classes on
128x128 cells of the bundle's own features for the picture (as many channels as it has), with
8-bit weights, against MatMul, Resize and ArgMax in floats.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from c_api import RELEASE, Segmenter
from PIL import Image

SIDE = 512
PAD = 127


def extract(bundle: Path, section: str, target: Path) -> None:
    """Writes one section of a bundle to a file."""
    command = [RELEASE / "zsseg", "inspect", bundle, "--extract", section, target]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def whole_graph(bundle: Path, folder: Path) -> Path:
    """The bundle's network with its classifier, a Resize to the input's size and an ArgMax."""
    for section in ("BACKBONE_ONNX", "HEAD_WEIGHTS", "HEAD_BIAS"):
        extract(bundle, section, folder / section)
    model = onnx.load(folder / "BACKBONE_ONNX")
    bias = np.fromfile(folder / "HEAD_BIAS", "<f4")
    weights = np.fromfile(folder / "HEAD_WEIGHTS", "<f4").reshape(len(bias), -1, 1, 1)
    sizes = np.array([1, len(bias), SIDE, SIDE], np.int64)
    constants = {"head_w": weights, "head_b": bias, "full_size": sizes}
    graph = model.graph
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    features = graph.output[0].name
    graph.node.extend(
        [
            helper.make_node("Conv", [features, "head_w", "head_b"], ["logits"]),
            resize_node("logits", "full_size", "upsampled"),
            helper.make_node("ArgMax", ["upsampled"], ["labels"], axis=1, keepdims=0),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("labels", TensorProto.INT64, [1, SIDE, SIDE]))
    path = folder / "whole.onnx"
    onnx.save(model, path)
    return path


def resize_node(source: str, sizes: str, target: str) -> onnx.NodeProto:
    """Bilinear Resize with align_corners = false."""
    return helper.make_node(
        "Resize",
        [source, "", "", sizes],
        [target],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )


def session(model) -> onnxruntime.InferenceSession:
    """One thread, everything else as ONNX Runtime sets it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_onnxruntime(graph: str, picture: str, frames: int) -> None:
    """The usual Python around ONNX Runtime; prints one JSON object."""
    net = session(graph)
    frame = Image.open(picture).convert("RGB")
    times_ms = []
    for turn in range(frames + 2):
        start = time.perf_counter()
        scale = SIDE / max(frame.size)
        width, height = (max(1, min(SIDE, int(side * scale + 0.5))) for side in frame.size)
        left, top = (SIDE - width) // 2, (SIDE - height) // 2
        canvas = Image.new("RGB", (SIDE, SIDE), (PAD, PAD, PAD))
        canvas.paste(frame.resize((width, height), Image.BILINEAR), (left, top))
        values = (np.asarray(canvas, np.float32) - 127) / 128
        values = np.ascontiguousarray(values.transpose(2, 0, 1)[None])
        labels = net.run(None, {net.get_inputs()[0].name: values})[0][0].astype(np.uint8)
        labels = Image.fromarray(labels[top : top + height, left : left + width])
        mask = np.asarray(labels.resize(frame.size, Image.NEAREST))
        assert mask.shape == (frame.height, frame.width)
        if turn >= 2:
            times_ms.append((time.perf_counter() - start) * 1e3)
    print(json.dumps({"times_ms": times_ms, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """Highest resident memory of this process."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


def run_json(command: list) -> dict:
    """Runs a command that prints JSON, on one core where that can be said."""
    command = [str(part) for part in command]
    if Path("/usr/bin/taskset").exists():
        command = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def compare_frames(bundle: Path, picture: Path, frames: int, rounds: int) -> None:
    """Prints the table of whole frames."""
    with tempfile.TemporaryDirectory() as folder:
        graph = whole_graph(bundle, Path(folder))
        raw_tract = RELEASE / "examples" / "raw_tract"
        compiled = Path(folder) / "compiled.zsb"
        subprocess.run([RELEASE / "zsseg", "compile", bundle, "-o", compiled], check=True)
        bench = lambda path: [
            *(RELEASE / "zsseg", "bench", path, picture, "--json", "--frames", frames)
        ]
        commands = {
            "zsseg": bench(compiled),
            "zsseg, tract engine": bench(bundle),
            "raw tract": [raw_tract, graph, picture, frames],
            "ONNX Runtime": [sys.executable, __file__, "--worker", graph, picture, frames],
        }
        results = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                results[name].append(run_json(command))
    medians = {}
    for name, runs in results.items():
        measured = [median_and_peak(run) for run in runs]
        medians[name] = (min(m for m, _ in measured), max(p for _, p in measured))
    base = medians["zsseg"][0]
    print(f"\n{picture.name}, best of {rounds} rounds' medians of {frames} frames, one thread\n")
    print("| engine | ms per frame | time relative to zsseg | peak memory of the process |")
    print("|---|---|---|---|")
    for name, (time_ms, peak) in medians.items():
        print(f"| {name} | {time_ms:.1f} | {time_ms / base:.2f} | {peak / 2**20:.0f} MiB |")


def median_and_peak(run: dict) -> tuple[float, int]:
    """Of `zsseg bench --json`, or of what the two other programs print."""
    if "stages" in run:
        return run["stages"]["total"]["median"], run["peak_process_bytes"]
    return statistics.median(run["times_ms"]), run["peak_bytes"]


def tail_graph(classes: int, grid: int, frame: int) -> bytes:
    """A graph of Resize and ArgMax."""
    sizes = numpy_helper.from_array(np.array([1, classes, frame, frame], np.int64), "sizes")
    nodes = [
        resize_node("logits", "sizes", "upsampled"),
        helper.make_node("ArgMax", ["upsampled"], ["labels"], axis=1, keepdims=0),
    ]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes, grid, grid])
    labels = helper.make_tensor_value_info("labels", TensorProto.INT64, [1, frame, frame])
    graph = helper.make_graph(nodes, "tail", [logits], [labels], [sizes])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def tail_of(
    folder: Path, sizes: tuple[int, int, int], classifier: np.ndarray | None = None
) -> Segmenter:
    """A tail for (classes, grid, frame), with 8-bit weights if there is a classifier."""
    path = folder / "tail.zsb"
    tool = RELEASE / "examples" / "write_external_bundle"
    command = [tool, path, *map(str, sizes)]
    if classifier is not None:
        classifier.astype("<f4").tofile(folder / "classifier")
        command += [folder / "classifier", "i8"]
    subprocess.run(command, check=True)
    return Segmenter(path.read_bytes(), sizes[2], sizes[2])


def measure(rounds: int, ours, theirs) -> tuple[float, float, float]:
    """Medians of both, in milliseconds, and how many labels are equal, in percent."""
    times = ([], [])
    for _ in range(rounds):
        start = time.perf_counter()
        first = ours()
        middle = time.perf_counter()
        second = theirs()
        times[0].append((middle - start) * 1e3)
        times[1].append((time.perf_counter() - middle) * 1e3)
    equal = 100 * float((first == second).mean())
    return statistics.median(times[0]), statistics.median(times[1]), equal


def print_row(name: str, frame: int, tail: Segmenter, measured: tuple[float, float, float]) -> None:
    ours, theirs, equal = measured
    print(
        f"| {name} | {frame}x{frame} | {ours:.2f} | {theirs:.1f} | {theirs / ours:.1f} "
        f"| {equal:.3f} % | {tail.arena_bytes / 1024:.0f} KiB |"
    )


def compare_tails(rounds: int) -> None:
    """Prints the table of tails. Logits are noise: no class can be left out anywhere."""
    print("\nLogits on the grid to labels at full size, one thread, one process\n")
    print("| logits | labels | zsseg ms | ONNX Runtime ms | ratio | equal labels | zsseg arena |")
    print("|---|---|---|---|---|---|---|")
    generator = np.random.default_rng(0)
    for classes, grid, frame in [(21, 33, 513), (21, 65, 513), (21, 129, 513), (150, 128, 512)]:
        with tempfile.TemporaryDirectory() as folder:
            tail = tail_of(Path(folder), (classes, grid, frame))
        net = session(tail_graph(classes, grid, frame))
        logits = generator.normal(size=(1, classes, grid, grid)).astype(np.float32)
        theirs = lambda: net.run(None, {"logits": logits})[0][0]
        measured = measure(rounds, lambda: tail.segment_features(logits), theirs)
        print_row(f"{classes} x {grid}x{grid}", frame, tail, measured)


def features_of(bundle: Path, picture: Path, grid: int) -> np.ndarray:
    """The network's features for the picture, resampled to grid x grid."""
    with tempfile.TemporaryDirectory() as folder:
        extract(bundle, "BACKBONE_ONNX", Path(folder) / "net.onnx")
        net = session((Path(folder) / "net.onnx").read_bytes())
    pixels = Image.open(picture).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    image = (np.asarray(pixels, np.float32).transpose(2, 0, 1)[None] - 127) / 128
    features = net.run(None, {net.get_inputs()[0].name: image})[0]
    planes = [Image.fromarray(plane) for plane in features[0]]
    resized = [np.asarray(p.resize((grid, grid), Image.Resampling.BILINEAR)) for p in planes]
    return np.ascontiguousarray(np.stack(resized)[None], np.float32)


def matmul_graph(weights: np.ndarray, grid: int, frame: int | None) -> bytes:
    """MatMul, then Resize and ArgMax if a frame's side is given."""
    classes, channels = weights.shape
    constants = {
        "weights": weights,
        "cells": np.array([1, channels, grid * grid], np.int64),
        "map": np.array([1, classes, grid, grid], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["features", "cells"], ["flat"]),
        helper.make_node("MatMul", ["weights", "flat"], ["products"]),
        helper.make_node("Reshape", ["products", "map"], ["logits"]),
    ]
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    if frame:
        constants["sizes"] = np.array([1, classes, frame, frame], np.int64)
        nodes += [
            resize_node("logits", "sizes", "upsampled"),
            helper.make_node("ArgMax", ["upsampled"], ["labels"], axis=1, keepdims=0),
        ]
        result = helper.make_tensor_value_info("labels", TensorProto.INT64, [1, frame, frame])
    shape = [1, channels, grid, grid]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)
    initializers = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "matmul", [features], [result], initializers)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def compare_classifiers(bundle: Path, picture: Path, rounds: int) -> None:
    """Prints the table of a large classifier: alone, its upsampling, and both."""
    classes, grid, frame = 150, 128, 512
    features = features_of(bundle, picture, grid)
    channels = features.shape[1]
    # Rows like those of a trained classifier: cells of the picture itself, their mean taken off.
    cells = features.reshape(channels, -1)
    chosen = np.random.default_rng(0).choice(cells.shape[1], classes, replace=False)
    weights = np.ascontiguousarray((cells[:, chosen] - cells.mean(1, keepdims=True)).T)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    whole = session(matmul_graph(weights, grid, frame))
    matmul = session(matmul_graph(weights, grid, None))
    logits = matmul.run(None, {"features": features})[0]
    net = session(tail_graph(classes, grid, frame))
    with tempfile.TemporaryDirectory() as folder:
        ours_whole = tail_of(Path(folder), (classes, grid, frame), weights)
        ours_tail = tail_of(Path(folder), (classes, grid, frame))
    both = measure(
        rounds,
        lambda: ours_whole.segment_features(features),
        lambda: whole.run(None, {"features": features})[0][0],
    )
    upsampling = measure(
        rounds,
        lambda: ours_tail.segment_features(logits),
        lambda: net.run(None, {"logits": logits})[0][0],
    )
    start = time.perf_counter()
    for _ in range(rounds):
        matmul.run(None, {"features": features})
    product = (time.perf_counter() - start) * 1e3 / rounds
    print(f"\n{classes} classes x {channels} channels on {grid}x{grid} cells, 8-bit weights\n")
    print("| what | labels | zsseg ms | ONNX Runtime ms | ratio | equal labels | zsseg arena |")
    print("|---|---|---|---|---|---|---|")
    print_row("classifier, upsampling and argmax", frame, ours_whole, both)
    print_row("upsampling and argmax of the same logits", frame, ours_tail, upsampling)
    ours = both[0] - upsampling[0]
    print(
        f"| classifier (difference; MatMul alone) | | {ours:.2f} | {product:.1f} | {product / ours:.1f} | | |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("frames", type=int, nargs="?", default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        run_onnxruntime(str(arguments.bundle), str(arguments.picture), arguments.frames)
        return
    compare_frames(arguments.bundle, arguments.picture, arguments.frames, arguments.rounds)
    compare_tails(rounds=30)
    compare_classifiers(arguments.bundle, arguments.picture, rounds=30)


if __name__ == "__main__":
    main()
