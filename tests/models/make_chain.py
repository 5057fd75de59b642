"""Makes chain_float.onnx, the float network of tests/quantize.

Run with onnx and numpy installed: python make_chain.py
Batch norms to be folded, a chain of convolutions whose channels differ much in size, a
residual sum, hard-swish in one node, squeeze and excite, a concatenation, a resize, a node
that no integers can do (Softplus), and labels behind the logits.
"""

import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 16
random = np.random.default_rng(11)
nodes, initializers = [], []


def constant(name, values):
    initializers.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def add(operator, inputs, output, **attributes):
    nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
    return output


def conv(x, output, inputs, outputs, kernel, group=1, bias=True, stride=1):
    shape = (outputs, inputs // group, kernel, kernel)
    deviation = (2 / np.prod(shape[1:])) ** 0.5
    weights = random.normal(0, deviation, shape).astype(np.float32)
    names = [x, constant(output + "_w", weights)]
    if bias:
        names.append(constant(output + "_b", random.normal(0, 0.1, outputs).astype(np.float32)))
    return add(
        "Conv",
        names,
        output,
        kernel_shape=[kernel] * 2,
        pads=[kernel // 2] * 4,
        group=group,
        strides=[stride] * 2,
    )


def norm(x, output, channels, spread):
    """A batch norm that gives its channels sizes from 1 / spread to spread."""
    sizes = np.geomspace(1 / spread, spread, channels).astype(np.float32)
    values = [
        ("scale", sizes),
        ("shift", random.normal(0, 0.1, channels).astype(np.float32) * sizes),
        ("mean", random.normal(0, 0.2, channels).astype(np.float32)),
        ("variance", random.uniform(0.5, 2, channels).astype(np.float32)),
    ]
    names = [constant(f"{output}_{name}", value) for name, value in values]
    return add("BatchNormalization", [x, *names], output)


def main():
    stem = conv("image", "stem", 3, 8, 3, bias=False)
    stem = add("Relu", [norm(stem, "stem_norm", 8, 8.0)], "stem_relu")
    deep = norm(conv(stem, "depthwise", 8, 8, 3, group=8), "depthwise_norm", 8, 1.0)
    limits = [constant("zero", np.float32(0)), constant("six", np.float32(6))]
    deep = add("Clip", [deep, *limits], "depthwise_relu6")
    low = conv(deep, "project", 8, 8, 1)
    wide = add("HardSwish", [conv(low, "expand", 8, 16, 1)], "swish")
    pooled = add("GlobalAveragePool", [wide], "pooled")
    gate = add("HardSigmoid", [conv(pooled, "squeeze", 16, 16, 1)], "gate", alpha=1 / 6)
    wide = add("Mul", [wide, gate], "excited")
    total = add("Add", [conv(wide, "narrow", 16, 8, 1), low], "residual")
    half = add("Relu", [conv(total, "half", 8, 8, 3, stride=2)], "half_relu")
    soft = add("Softplus", [half], "soft")
    scales = constant("scales", np.array([1, 1, 2, 2], np.float32))
    large = add("Resize", [soft, "", scales], "large", mode="linear")
    both = add("Concat", [large, total], "both", axis=1)
    conv(both, "logits", 16, 5, 1)
    add("ArgMax", ["logits"], "labels", axis=1)
    shape = [1, 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5, SIDE, SIDE]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, [1, 1, SIDE, SIDE]),
        ],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(os.path.dirname(os.path.abspath(__file__)), "chain_float.onnx"))


main()
