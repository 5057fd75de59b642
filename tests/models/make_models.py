"""Makes the tiny networks of tests/tract_models.rs and what onnxruntime computes with them.

Run with onnx, onnxruntime and numpy installed: python make_models.py
Every file is written next to this script. cases.txt has one line per case:
file, output's name, channels, height, width, tolerance.
"""

import os

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

HERE = os.path.dirname(os.path.abspath(__file__))
SIDE = 16
FLOAT_TOLERANCE = 1e-5

random = np.random.default_rng(7)


class Builder:
    """Collects the nodes and initialisers of a graph."""

    def __init__(self):
        self.nodes = []
        self.initializers = []

    def constant(self, name, values):
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, name, *shape):
        fan_in = max(1, int(np.prod(shape[1:])))
        values = random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        return self.constant(name, values)

    def add(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def conv(self, x, output, inputs, outputs, kernel, group=1):
        weights = self.weights(output + "_w", outputs, inputs // group, kernel, kernel)
        bias = self.weights(output + "_b", outputs)
        pads = [kernel // 2] * 4
        return self.add(
            "Conv", [x, weights, bias], output, kernel_shape=[kernel] * 2, pads=pads, group=group
        )

    def model(self, output, shape):
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def segmentation():
    """Every operator that a mobile segmentation network has, softmax included."""
    net = Builder()
    stem = net.add("Relu", [net.conv("image", "stem", 3, 8, 3)], "stem_relu")
    depthwise = net.conv(stem, "depthwise", 8, 8, 3, group=8)
    limits = [net.constant("zero", np.float32(0)), net.constant("six", np.float32(6))]
    clipped = net.add("Clip", [depthwise, *limits], "clip")
    residual = net.add("Add", [net.conv(clipped, "project", 8, 8, 1), stem], "residual")
    gate = net.add("HardSigmoid", [residual], "hard_gate", alpha=1 / 6, beta=0.5)
    swish = net.add("Mul", [residual, gate], "hard_swish")
    both = net.add("Concat", [swish, stem], "concat", axis=1)
    pooled = net.add("GlobalAveragePool", [both], "pooled")
    scale = net.add("Sigmoid", [net.conv(pooled, "squeeze", 16, 16, 1)], "sigmoid")
    scaled = net.add("Mul", [both, scale], "scaled")
    window = net.add("AveragePool", [scaled], "window", kernel_shape=[2, 2], strides=[2, 2])
    leaky = net.add("LeakyRelu", [window], "leaky", alpha=0.1)
    logits = net.conv(leaky, "logits", 16, 5, 1)
    net.add("Softmax", [logits], "probabilities", axis=1)
    return net.model("probabilities", ["batch", 5, SIDE // 2, SIDE // 2])


def classifier():
    """A matrix product with weights and bias at the end."""
    net = Builder()
    stem = net.add("Relu", [net.conv("image", "stem", 3, 8, 3)], "stem_relu")
    pooled = net.add("GlobalAveragePool", [stem], "pooled")
    flat = net.add("Flatten", [pooled], "flat")
    inputs = [flat, net.weights("gemm_w", 10, 8), net.weights("gemm_b", 10)]
    net.add("Gemm", inputs, "gemm", transB=1)
    shape = net.constant("shape", np.array([1, 10, 1, 1], np.int64))
    net.add("Reshape", ["gemm", shape], "scores")
    return net.model("scores", [1, 10, 1, 1])


def resizing():
    """Linear resizes in the three usual conventions, enlarging and reducing."""
    net = Builder()
    stem = net.conv("image", "stem", 3, 4, 3)
    for name, mode, height, width in (
        ("half_pixel", "half_pixel", 37, 32),
        ("corners", "align_corners", 11, 50),
        ("asymmetric", "asymmetric", 22, 20),
    ):
        sizes = net.constant(name + "_sizes", np.array([1, 4, height, width], np.int64))
        stem = net.add(
            "Resize",
            [stem, "", "", sizes],
            name,
            mode="linear",
            coordinate_transformation_mode=mode,
        )
    scales = net.constant("scales", np.array([1, 1, 1.5, 2], np.float32))
    net.add("Resize", [stem, "", scales], "resized", mode="linear")
    return net.model("resized", [1, 4, 33, 40])


def reordered(order):
    """Two quantised convolutions whose 64 channels in between come in an order.

    One in 64 sums of the second one is a tie, which the order of summation decides in floats.
    """
    generator = np.random.default_rng(3)
    stem = generator.integers(-127, 128, (64, 3, 3, 3)).astype(np.int8)[order]
    stem_b = generator.integers(-4000, 4000, 64).astype(np.int32)[order]
    project = generator.integers(-8, 9, (8, 64, 1, 1)).astype(np.int8)[:, order]
    project_b = generator.integers(-250, 250, 8).astype(np.int32)
    net = Builder()

    def dequantize(name, values, scale, zero_point):
        inputs = [values, net.constant(name + "_s", np.float32(scale))]
        return net.add("DequantizeLinear", [*inputs, net.constant(name + "_z", zero_point)], name)

    def quantize(x, name, scale, zero_point):
        inputs = [x, net.constant(name + "_qs", np.float32(scale))]
        inputs.append(net.constant(name + "_qz", zero_point))
        return dequantize(name, net.add("QuantizeLinear", inputs, name + "_q"), scale, zero_point)

    def conv(x, x_scale, name, weights, biases, **attributes):
        inputs = [
            x,
            dequantize(name + "_w", net.constant(name + "_wq", weights), 0.003, np.int8(0)),
            dequantize(
                name + "_b",
                net.constant(name + "_bq", biases),
                np.float32(x_scale) * np.float32(0.003),
                np.int32(0),
            ),
        ]
        return net.add("Conv", inputs, name, **attributes)

    x = quantize("image", "x", 0.02, np.uint8(128))
    x = conv(x, 0.02, "stem", stem, stem_b, pads=[1] * 4)
    x = quantize(x, "stem_quantized", 0.03, np.uint8(0))
    x = conv(x, 0.03, "project", project, project_b)
    quantize(x, "projected", np.float32(0.03) * np.float32(0.003) * 64, np.uint8(128))
    return net.model("projected", ["batch", 8, SIDE, SIDE])


class Pictures(CalibrationDataReader):
    def __init__(self, seed, count=16):
        generator = np.random.default_rng(seed)
        self.left = [
            {"image": generator.normal(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)}
            for _ in range(count)
        ]

    def get_next(self):
        return self.left.pop() if self.left else None


FORMS = {
    "qdq_u8": (QuantFormat.QDQ, QuantType.QUInt8),
    "qdq_s8": (QuantFormat.QDQ, QuantType.QInt8),
    "qop_u8": (QuantFormat.QOperator, QuantType.QUInt8),
    "qop_s8": (QuantFormat.QOperator, QuantType.QInt8),
}


def quantize(path, target, form):
    layout, activations = FORMS[form]
    # A network with residuals is what people quantise symmetric in i8, asymmetric in u8.
    quantize_static(
        path,
        target,
        Pictures(1),
        quant_format=layout,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"ActivationSymmetric": activations == QuantType.QInt8},
    )


def output_step(model):
    """Scale of the dequantisation that writes the output."""
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    last = [node for node in model.graph.node if node.op_type == "DequantizeLinear"][-1]
    return float(values[last.input[1]])


def expected(path, image, output=None):
    """Values of the output, or of a tensor inside the graph."""
    model = onnx.load(path)
    if output:
        del model.graph.output[:]
        model.graph.output.append(helper.make_empty_tensor_value_info(output))
    # With the default graph optimisations: quantised operators then run in integers.
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def emit(stem, path, image, tolerance, lines):
    values = expected(path, image)
    values.astype("<f4").tofile(os.path.join(HERE, stem + ".expected"))
    _, channels, height, width = values.shape
    name = onnx.load(path).graph.output[0].name
    lines.append(f"{stem} {name} {channels} {height} {width} {tolerance:.9g}")


def main():
    image = Pictures(2, 1).get_next()["image"]
    image.astype("<f4").tofile(os.path.join(HERE, "image.input"))
    lines = []
    for build in (segmentation, classifier, resizing):
        stem = build.__name__
        float_path = os.path.join(HERE, f"{stem}_float.onnx")
        onnx.save(build(), float_path)
        emit(f"{stem}_float", float_path, image, FLOAT_TOLERANCE, lines)
        for form in FORMS if build is not resizing else ():
            path = os.path.join(HERE, f"{stem}_{form}.onnx")
            quantize(float_path, path, form)
            emit(f"{stem}_{form}", path, image, output_step(onnx.load(path)), lines)
    # Beyond this tensor are operators that onnxruntime computes in another way.
    for form in ("qdq_u8", "qdq_s8"):
        path = os.path.join(HERE, f"segmentation_{form}.onnx")
        values = expected(path, image, "scaled_DequantizeLinear_Output")
        values.astype("<f4").tofile(os.path.join(HERE, f"scaled_{form}.expected"))
    for name, order in (("forth", np.arange(64)), ("back", np.arange(64)[::-1])):
        path = os.path.join(HERE, f"reordered_qdq_{name}.onnx")
        onnx.save(reordered(order), path)
        emit(f"reordered_qdq_{name}", path, image, 0, lines)
    with open(os.path.join(HERE, "cases.txt"), "w") as cases:
        cases.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
