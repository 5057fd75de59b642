"""Layers of segmentation networks as ONNX nodes, with random weights."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Net:
    """A graph being written. Tensors are named by their node; channels are kept beside."""

    def __init__(self, seed, side, fold):
        self.noise = np.random.default_rng(seed)
        self.fold = fold
        self.side = side
        self.nodes, self.constants, self.channels = [], [], {"image": 3}

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator, inputs, channels=None, **attributes):
        """A node without a name, so that every reader of the file calls it by its output."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        self.channels[output] = channels or self.channels.get(inputs[0])
        return output

    def activated(self, x, act):
        if act is None:
            return x
        if act == "relu6":
            limits = [self.constant(np.float32(0)), self.constant(np.float32(6))]
            return self.add("Clip", [x, *limits])
        if act == "hard_swish":
            gate = self.add("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
            return self.add("Mul", [x, gate])
        if act == "prelu":
            slopes = self.noise.uniform(0.05, 0.4, (self.channels[x], 1, 1)).astype(np.float32)
            return self.add("PRelu", [x, self.constant(slopes)])
        return self.add(act, [x])

    def norm(self, channels):
        """Scale, shift, mean and variance of a batch norm that keeps values in range."""
        uniform = lambda low, high: self.noise.uniform(low, high, channels).astype(np.float32)
        return uniform(0.8, 1.2), uniform(-0.2, 0.2), uniform(-0.1, 0.1), uniform(0.8, 1.2)

    def filtered(self, operator, x, weights, channels, axis, act, bn, attributes):
        """A convolution of either kind, its batch norm, its activation."""
        bias = []
        if bn:
            scale, shift, mean, variance = self.norm(channels)
        if bn and self.fold:
            factor = scale / np.sqrt(variance + 1e-5)
            shape = [1] * 4
            shape[axis] = -1
            weights = weights * factor.reshape(shape)
            bias = [self.constant((shift - mean * factor).astype(np.float32))]
        if not bn:
            bias = [self.constant(self.noise.uniform(-0.1, 0.1, channels).astype(np.float32))]
        inputs = [x, self.constant(weights.astype(np.float32)), *bias]
        x = self.add(operator, inputs, channels, **attributes)
        if bn and not self.fold:
            numbers = [self.constant(values) for values in (scale, shift, mean, variance)]
            x = self.add("BatchNormalization", [x, *numbers], channels)
        return self.activated(x, act)

    def conv(self, x, channels, k=1, s=1, d=1, g=1, act="Relu", bn=True):
        inner = self.channels[x] // g
        gain = 2 if act in ("Relu", "relu6", "prelu", "hard_swish") else 1
        weights = self.noise.normal(0, np.sqrt(gain / (inner * k * k)), (channels, inner, k, k))
        pad = (k - 1) // 2 * d
        attributes = dict(kernel_shape=[k, k], strides=[s, s], dilations=[d, d], group=g, pads=[pad] * 4)
        return self.filtered("Conv", x, weights, channels, 0, act, bn, attributes)

    def depthwise(self, x, k=3, s=1, d=1, act="Relu"):
        return self.conv(x, self.channels[x], k, s, d, self.channels[x], act)

    def separable(self, x, channels, s=1, d=1):
        return self.conv(self.depthwise(x, 3, s, d), channels)

    def up(self, x, channels, k=2, s=2, pad=0, act="Relu"):
        """A transposed convolution."""
        inner = self.channels[x]
        deviation = np.sqrt(2 * s * s / (inner * k * k))
        weights = self.noise.normal(0, deviation, (inner, channels, k, k))
        attributes = dict(kernel_shape=[k, k], strides=[s, s], pads=[pad] * 4)
        return self.filtered("ConvTranspose", x, weights, channels, 1, act, True, attributes)

    def sum(self, a, b):
        return self.add("Add", [a, b])

    def concat(self, *parts):
        return self.add("Concat", list(parts), sum(self.channels[part] for part in parts), axis=1)

    def resize(self, x, side, mode="linear", coordinates="half_pixel"):
        sizes = self.constant(np.array([1, self.channels[x], side, side], np.int64))
        more = {"nearest_mode": "floor"} if mode == "nearest" else {}
        return self.add(
            "Resize", [x, "", "", sizes], mode=mode, coordinate_transformation_mode=coordinates, **more
        )

    def mean(self, x):
        return self.add("GlobalAveragePool", [x])

    def gate(self, x, reduction=4, act="hard"):
        """Squeeze and excite."""
        y = self.conv(self.mean(x), max(8, self.channels[x] // reduction), bn=False)
        y = self.conv(y, self.channels[x], act=None, bn=False)
        y = self.add("HardSigmoid", [y], alpha=1 / 6, beta=0.5) if act == "hard" else self.add("Sigmoid", [y])
        return self.add("Mul", [x, y])

    def inverted(self, x, channels, k=3, s=1, d=1, expanded=None, gated=False, act="relu6"):
        expanded = expanded or 6 * self.channels[x]
        y = x if expanded == self.channels[x] else self.conv(x, expanded, act=act)
        y = self.depthwise(y, k, s, d, act)
        y = self.gate(y) if gated else y
        y = self.conv(y, channels, act=None)
        return self.sum(x, y) if s == 1 and channels == self.channels[x] else y

    def matmul(self, x, channels):
        inner = self.channels[x]
        weights = self.noise.normal(0, 1 / np.sqrt(inner), (inner, channels)).astype(np.float32)
        bias = self.noise.uniform(-0.1, 0.1, channels).astype(np.float32)
        y = self.add("MatMul", [x, self.constant(weights)], channels)
        return self.add("Add", [y, self.constant(bias)], channels)

    def layer_norm(self, x):
        scale, shift, _, _ = self.norm(self.channels[x])
        inputs = [x, self.constant(scale), self.constant(shift)]
        return self.add("LayerNormalization", inputs, axis=-1, epsilon=1e-6)

    def model(self, output):
        shape = [1, 3, self.side, self.side]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
