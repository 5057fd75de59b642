"""Makes tiny_rgb.onnx, the network of tests/cli.rs and tests/pack.rs.

Run with onnx and numpy installed: python make_tiny.py
It takes an 8x8 picture and gives, per 2x2 pixels, how red, green and blue they are: as
features ("pooled"), as logits ("logits", channels first) and as "pixels" (channels last).
"""

import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 8
CELLS = SIDE // 2


def main():
    sharpness = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1) * 10
    nodes = [
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "sharpness"], ["logits"], kernel_shape=[1, 1]),
        helper.make_node("Transpose", ["logits"], ["pixels"], perm=[0, 2, 3, 1]),
    ]

    def tensor(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "tiny_rgb",
        [tensor("image", 1, 3, SIDE, SIDE)],
        [tensor("logits", 1, 3, CELLS, CELLS), tensor("pixels", 1, CELLS, CELLS, 3)],
        [numpy_helper.from_array(sharpness, "sharpness")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    folder = os.path.dirname(os.path.abspath(__file__))
    onnx.save(model, os.path.join(folder, "tiny_rgb.onnx"))


if __name__ == "__main__":
    main()
