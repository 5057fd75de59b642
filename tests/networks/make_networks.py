"""Writes segmentation networks with random weights, in floats and in 8 bits, and what ONNX Runtime
computes of them, into a folder for tests/networks.rs: make_networks.py FOLDER

NAME.onnx, NAME.input (f32, channels last) and NAME.txt with one line per tensor that is to be
compared: its name, `f32` or `u8`, its sides channels last, and its first byte in NAME.data. Floats:
the output. 8 bits: the result of every quantisation; signed ones moved by 128.
"""

import logging
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from layers import Net
from networks import NETWORKS
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

SIDE = 128
CALIBRATION = 4


def picture(seed):
    """Smooth noise: a coarse grid of random colours, blended."""
    noise = np.random.default_rng(seed)
    grid = noise.uniform(-2, 2, (3, 9, 9))
    at = np.linspace(0, 8, SIDE)
    low = np.minimum(at.astype(int), 7)
    part = at - low
    rows = grid[:, low] * (1 - part)[None, :, None] + grid[:, low + 1] * part[None, :, None]
    whole = rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    return whole[None].astype(np.float32)


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.left = [{"image": picture(100 + seed)} for seed in range(CALIBRATION)]

    def get_next(self):
        return self.left.pop() if self.left else None


def session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # As the file says, node by node.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options)


def quantised(model, signed):
    with tempfile.TemporaryDirectory() as folder:
        source, target = [str(pathlib.Path(folder) / name) for name in ("f32.onnx", "int8.onnx")]
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            Pictures(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(target)
    for node in model.graph.node:
        node.name = ""
    return model


def channels_last(values):
    return np.ascontiguousarray(np.moveaxis(values, 1, -1) if values.ndim == 4 else values)


def write(folder, name, model, wanted):
    """Writes a model and the tensors called `wanted`."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in wanted)
    image = picture(1)
    values = dict(zip(wanted, session(asked).run(wanted, {"image": image})))
    lines, data = [], b""
    for tensor, array in values.items():
        if array.dtype == np.int8:
            array = (array.astype(np.int16) + 128).astype(np.uint8)
        kind = {"uint8": "u8", "float32": "f32"}[str(array.dtype)]
        array = channels_last(array)
        lines.append(f"{tensor} {kind} {','.join(map(str, array.shape))} {len(data)}\n")
        data += array.tobytes()
    onnx.save(model, folder / f"{name}.onnx")
    (folder / f"{name}.input").write_bytes(channels_last(image).tobytes())
    (folder / f"{name}.data").write_bytes(data)
    (folder / f"{name}.txt").write_text("".join(lines))


def quantised_tensors(model):
    """Every quantised activation, in the order of the graph."""
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return [node.output[0] for node in nodes if node.input[0] not in constants]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    for seed, (name, network) in enumerate(NETWORKS.items()):
        net = Net(seed, SIDE, fold=False)
        output = network(net)
        write(folder, f"{name}_f32", net.model(output), [output])
        net = Net(seed, SIDE, fold=True)
        output = network(net)
        model = quantised(net.model(output), signed=seed % 3 == 2)
        write(folder, f"{name}_int8", model, quantised_tensors(model) + [output])
        print(name, len(model.graph.node), "nodes in 8 bits")


main(pathlib.Path(sys.argv[1]))
