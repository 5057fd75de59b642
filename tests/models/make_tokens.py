"""Makes tokens_float.onnx, the network of tests/train_export.rs whose tensors are tokens.

Run with onnx and numpy installed: python make_tokens.py
It cuts a picture of 8 rows and 24 columns into patches of 4 x 4 and gives a token per patch: alone
("cells"), after a class token ("with_class"), after a class token and four registers
("with_registers") and after two tokens ("with_two"), all [1, tokens, 5]. "map" is [1, 5, 2, 6].
"""

import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 5
PATCH = 4
GRID = [2, 6]


def main():
    random = np.random.default_rng(11)
    initializers, nodes = [], []

    def constant(name, values):
        initializers.append(numpy_helper.from_array(values, name))
        return name

    def add(operator, inputs, output, **attributes):
        nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    weights = random.normal(0, 0.1, (CHANNELS, 3, PATCH, PATCH)).astype(np.float32)
    patches = ["image", constant("weights", weights)]
    add("Conv", patches, "map", kernel_shape=[PATCH] * 2, strides=[PATCH] * 2)
    shape = constant("shape", np.array([1, CHANNELS, GRID[0] * GRID[1]], np.int64))
    add("Reshape", ["map", shape], "row")
    add("Transpose", ["row"], "cells", perm=[0, 2, 1])
    for name, count in (("with_class", 1), ("with_two", 2), ("with_registers", 5)):
        before = random.normal(0, 1, (1, count, CHANNELS)).astype(np.float32)
        add("Concat", [constant(name + "_before", before), "cells"], name, axis=1)
    height, width = (PATCH * side for side in GRID)
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, height, width])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", CHANNELS, *GRID])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    folder = os.path.dirname(os.path.abspath(__file__))
    onnx.save(model, os.path.join(folder, "tokens_float.onnx"))


if __name__ == "__main__":
    main()
