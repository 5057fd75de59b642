"""EfficientNet-Lite0 as an ONNX graph, built straight from its checkpoint.

Batch normalisation is folded into the convolutions and every "same" padding is written
out (TensorFlow puts the odd pixel of a stride-2 convolution at the bottom and right),
so that the graph holds nothing but Conv, Clip (ReLU6), Add, Resize and Concat.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
BATCH_NORM_EPSILON = 1e-3
# Kernel size, stride, expansion, output channels of every block of EfficientNet-Lite0.
BLOCKS = [
    *[(3, 1, 1, 16)],
    *[(3, 2, 6, 24), (3, 1, 6, 24)],
    *[(5, 2, 6, 40), (5, 1, 6, 40)],
    *[(3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)],
    *[(5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)],
    *[(5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192)],
    *[(3, 1, 6, 320)],
]
# The last block of each stride that is tapped: stride -> (block, channels).
TAPS = {8: (4, 40), 16: (10, 112), 32: (15, 320)}
FEATURE_STRIDE = 8
FEATURE_CHANNELS = sum(channels for _, channels in TAPS.values())
IMAGE_NAME = "image"
FEATURES_NAME = "features"


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Returns the zero rows TensorFlow puts before and after a side of `size` pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class _Builder:
    """Collects the nodes and initialisers of one graph."""

    def __init__(self, state: dict[str, np.ndarray], size: int):
        self.state, self.size = state, size
        self.nodes, self.initializers = [], []
        self.relu6_bounds = [
            self.constant("relu6_min", np.float32(0.0)),
            self.constant("relu6_max", np.float32(6.0)),
        ]

    def constant(self, name: str, value) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=output, **attributes)
        )
        return output

    def folded(self, conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns weight and bias of `conv` with the batch norm after it folded in."""
        gamma, beta, mean, variance = (
            self.state[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        weight = self.state[f"{conv}.weight"] * gain[:, None, None, None]
        bias = beta - mean * gain
        return weight.astype(np.float32), bias.astype(np.float32)

    def conv(self, source: str, conv: str, norm: str, output: str, stride=1) -> str:
        """Appends a convolution on a square input of side `self.size`."""
        weight, bias = self.folded(conv, norm)
        depthwise = weight.shape[1] == 1
        kernel = weight.shape[2]
        before, after = same_padding(self.size, kernel, stride)
        self.size = -(-self.size // stride)
        inputs = [
            source,
            self.constant(f"{output}/weight", weight),
            self.constant(f"{output}/bias", bias),
        ]
        return self.node(
            "Conv",
            inputs,
            output,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=len(weight) if depthwise else 1,
        )

    def relu6(self, source: str) -> str:
        return self.node("Clip", [source, *self.relu6_bounds], f"{source}/relu6")

    def block(self, source: str, index: int) -> str:
        """Appends inverted-residual block `index`."""
        _, stride, expansion, channels = BLOCKS[index]
        prefix, name = f"_blocks.{index}", f"block{index}"
        before = 32 if index == 0 else BLOCKS[index - 1][3]
        x = source
        if expansion != 1:
            x = self.conv(
                x, f"{prefix}._expand_conv", f"{prefix}._bn0", f"{name}/expand"
            )
            x = self.relu6(x)
        depthwise = f"{prefix}._depthwise_conv"
        x = self.conv(x, depthwise, f"{prefix}._bn1", f"{name}/depthwise", stride)
        x = self.relu6(x)
        x = self.conv(x, f"{prefix}._project_conv", f"{prefix}._bn2", f"{name}/project")
        if stride == 1 and channels == before:
            x = self.node("Add", [x, source], f"{name}/add")
        return x

    def backbone(self) -> dict[int, str]:
        """Appends stem and blocks; returns the tensor name of every block's output."""
        x = self.conv(IMAGE_NAME, "_conv_stem", "_bn0", "stem", stride=2)
        x = self.relu6(x)
        outputs = {}
        for index in range(len(BLOCKS)):
            x = outputs[index] = self.block(x, index)
        return outputs

    def model(self, output: str, shape: list[int], image_size: int) -> onnx.ModelProto:
        def value(name, dims):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)

        graph = helper.make_graph(
            self.nodes,
            "efficientnet_lite0",
            [value(IMAGE_NAME, [1, 3, image_size, image_size])],
            [value(output, shape)],
            self.initializers,
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], producer_name="zsseg")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model


def feature_model(state: dict[str, np.ndarray], size: int) -> onnx.ModelProto:
    """Builds the backbone: image [1,3,size,size] -> features [1,472,size/8,size/8].

    The coarser taps reach the stride-8 grid by half-pixel bilinear Resize.
    """
    builder = _Builder(state, size)
    outputs = builder.backbone()
    grid = size // FEATURE_STRIDE
    parts = []
    for stride, (index, _) in TAPS.items():
        tap = outputs[index]
        if stride != FEATURE_STRIDE:
            factor = stride / FEATURE_STRIDE
            scales = np.array([1, 1, factor, factor], np.float32)
            scales = builder.constant(f"tap{stride}/scales", scales)
            tap = builder.node(
                "Resize",
                [tap, "", scales],
                f"tap{stride}/resize",
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
        parts.append(tap)
    builder.node("Concat", parts, FEATURES_NAME, axis=1)
    return builder.model(FEATURES_NAME, [1, FEATURE_CHANNELS, grid, grid], size)


def classifier_model(state: dict[str, np.ndarray], size: int) -> onnx.ModelProto:
    """Builds the whole ImageNet classifier: image [1,3,size,size] -> logits [1,1000].

    Not shipped: it proves that checkpoint, padding and normalisation are read rightly.
    """
    builder = _Builder(state, size)
    x = builder.backbone()[len(BLOCKS) - 1]
    x = builder.relu6(builder.conv(x, "_conv_head", "_bn1", "head"))
    x = builder.node("GlobalAveragePool", [x], "pooled")
    x = builder.node("Flatten", [x], "pooled/flat")
    weight = builder.constant("fc/weight", state["_fc.weight"])
    bias = builder.constant("fc/bias", state["_fc.bias"])
    builder.node("Gemm", [x, weight, bias], "logits", transB=1)
    return builder.model("logits", [1, 1000], size)
