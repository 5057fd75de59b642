"""Rounds int8 weights for the outputs they give rather than one by one.

Rounding each weight to nearest is poor where a kernel's weights cancel, as in the
high-pass kernels of the first depthwise layer: the rounding errors add up, multiplied by
the input's mean. Here the integer weights of every output channel minimise the variance
of the output error, delta H delta^T with H the covariance of the input patches, by
coordinate descent from plain rounding; the mean of the error goes into the bias.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .efficientnet_lite import IMAGE_NAME
from .session import open_session

SWEEPS = 4
PATCHES_PER_PICTURE = 512
_DAMPING = 1e-4


class _Moments:
    """First and second moments of the patches [groups,K] that a convolution reads."""

    def __init__(self, conv: onnx.NodeProto, weight: np.ndarray):
        attributes = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
        self.groups = attributes["group"]
        self.kernel = weight.shape[2]
        self.stride = attributes["strides"][0]
        self.pads = attributes["pads"]
        size = weight[0].size
        self.count = 0
        self.first = np.zeros((self.groups, size))
        self.second = np.zeros((self.groups, size, size))

    def add(self, source: np.ndarray, rng: np.random.Generator) -> None:
        """Takes in random patches of the input `source` [C,h,w]."""
        top, left, bottom, right = self.pads
        padded = np.pad(source, ((0, 0), (top, bottom), (left, right)))
        window = (self.kernel, self.kernel)
        view = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(1, 2))
        view = view[:, :: self.stride, :: self.stride]
        rows = rng.integers(view.shape[1], size=PATCHES_PER_PICTURE)
        columns = rng.integers(view.shape[2], size=PATCHES_PER_PICTURE)
        patches = view[:, rows, columns].astype(np.float64)  # [C, patches, k, k]
        patches = patches.transpose(0, 2, 3, 1).reshape(self.groups, -1, len(rows))
        self.count += len(rows)
        self.first += patches.sum(axis=2)
        self.second += patches @ patches.transpose(0, 2, 1)

    def mean_and_covariance(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mean [groups,K] and the covariance [groups,K,K]."""
        mean = self.first / self.count
        covariance = self.second / self.count - mean[:, :, None] * mean[:, None, :]
        return mean, covariance


def collect_moments(
    model: onnx.ModelProto, inputs: Iterable[np.ndarray]
) -> dict[str, _Moments]:
    """Runs the float model on `inputs`; returns the moments by convolution name."""
    weights = {item.name: item for item in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    moments = {
        conv.name: _Moments(conv, numpy_helper.to_array(weights[conv.input[1]]))
        for conv in convs
    }
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[:]
    names = list(dict.fromkeys(conv.input[0] for conv in convs))
    names.remove(IMAGE_NAME)
    for name in names:
        observed.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = open_session(observed.SerializeToString())
    rng = np.random.default_rng(0)
    for tensor in inputs:
        values = dict(zip(names, session.run(names, {IMAGE_NAME: tensor})))
        values[IMAGE_NAME] = tensor
        for conv in convs:
            moments[conv.name].add(values[conv.input[0]][0], rng)
    return moments


def round_to_output(
    weight: np.ndarray, scale: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """Returns integers [g,o,K], -127..127, for weights [g,o,K] of scale [g,o,1].

    `covariance` is [g,K,K].
    """
    diagonal = np.einsum("gkk->gk", covariance)
    floor = _DAMPING * diagonal.mean(axis=1) + 1e-12
    covariance = covariance + floor[:, None, None] * np.eye(covariance.shape[1])
    rounded = np.clip(np.round(weight / scale), -127, 127)
    slope = (rounded * scale - weight) @ covariance
    for _ in range(SWEEPS):
        for k in range(weight.shape[2]):
            curvature = covariance[:, None, k, k] * scale[:, :, 0]
            wanted = rounded[:, :, k] - np.round(slope[:, :, k] / curvature)
            step = np.clip(wanted, -127, 127) - rounded[:, :, k]
            rounded[:, :, k] += step
            slope += (step * scale[:, :, 0])[:, :, None] * covariance[:, None, k, :]
    return rounded


def refine(
    quantised: onnx.ModelProto, model: onnx.ModelProto, moments: dict[str, _Moments]
) -> None:
    """Replaces the integer weights and biases in `quantised`, made from `model`."""
    exact = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    stored = {i.name: i for i in quantised.graph.initializer}
    producer = {node.output[0]: node for node in quantised.graph.node}
    float_convs = {n.name: n for n in model.graph.node if n.op_type == "Conv"}

    def value(name):
        return numpy_helper.to_array(stored[name]).astype(np.float64)

    def store(name, array):
        dtype = numpy_helper.to_array(stored[name]).dtype
        stored[name].CopyFrom(numpy_helper.from_array(array.astype(dtype), name))

    for conv in quantised.graph.node:
        if conv.op_type != "Conv":
            continue
        source = float_convs[conv.name]
        weight, bias = exact[source.input[1]], exact[source.input[2]]
        weight_node, bias_node = producer[conv.input[1]], producer[conv.input[2]]
        mean, covariance = moments[conv.name].mean_and_covariance()
        groups = len(mean)
        grouped = weight.reshape(groups, -1, mean.shape[1]).astype(np.float64)
        scale = value(weight_node.input[1]).reshape(groups, -1, 1)
        rounded = round_to_output(grouped, scale, covariance)
        store(weight_node.input[0], rounded.reshape(weight.shape))
        shift = (rounded * scale - grouped) @ mean[:, :, None]
        corrected = (bias - shift.ravel()) / value(bias_node.input[1])
        store(bias_node.input[0], np.round(corrected))
