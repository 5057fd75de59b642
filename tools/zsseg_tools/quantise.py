"""Int8 form of the backbone: u8 activations, s8 weights per output channel, QDQ nodes.

Every convolution, with the ReLU6 behind it, and every addition is followed by exactly
one QuantizeLinear -> DequantizeLinear pair. Clip nodes stay in the graph, so removing
the pairs leaves a sound model with float activations and the same int8 weights.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from .efficientnet_lite import IMAGE_NAME, IR_VERSION


class _Inputs(CalibrationDataReader):
    """Feeds input tensors [1,3,h,w] to the calibrator."""

    def __init__(self, inputs: Iterable[np.ndarray]):
        self.inputs = iter(inputs)

    def get_next(self):
        tensor = next(self.inputs, None)
        return None if tensor is None else {IMAGE_NAME: tensor}


def quantise(
    model: onnx.ModelProto,
    inputs: Iterable[np.ndarray],
    method: CalibrationMethod = CalibrationMethod.MinMax,
    options: dict | None = None,
) -> onnx.ModelProto:
    """Quantises `model`, with activation ranges observed on `inputs`."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            _Inputs(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            extra_options=options,
        )
        quantised = onnx.load(target)
    _bypass_pairs(quantised, lambda producer, users: users == {"Clip"})
    quantised.ir_version = IR_VERSION
    onnx.checker.check_model(quantised, full_check=True)
    return quantised


def strip_activation_quantisation(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy of `model` whose activations are float; weights stay int8.

    Every QuantizeLinear -> DequantizeLinear pair is taken out. A DequantizeLinear that
    reads an initialiser (weight or bias) has no QuantizeLinear before it and stays.
    """
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    _bypass_pairs(stripped, lambda producer, users: True)
    onnx.checker.check_model(stripped, full_check=True)
    return stripped


def _bypass_pairs(model: onnx.ModelProto, wanted) -> None:
    """Takes out the activation pairs for which `wanted(producer, users)` holds.

    `producer` is the operator type before the pair (None: a graph input) and `users`
    the set of operator types behind it.
    """
    graph = model.graph
    producer = {output: node for node in graph.node for output in node.output}
    users = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    replacement = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        quantise_node = producer.get(node.input[0])
        if quantise_node is None:
            continue
        source = quantise_node.input[0]
        before = producer[source].op_type if source in producer else None
        if wanted(before, users.get(node.output[0], set())):
            replacement[node.output[0]] = source
    if any(output.name in replacement for output in graph.output):
        raise ValueError("a graph output comes straight from a DequantizeLinear")
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = replacement.get(name, name)
    _drop_unused(graph)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Removes nodes, initialisers and shape notes that no output depends on."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    initializers = [item for item in graph.initializer if item.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(initializers)
