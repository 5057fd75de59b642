"""Makes transformer_float.onnx, the float transformer of tests/quantize, and what ONNX Runtime gives
for image.input.

Run with onnx, numpy and onnxruntime installed: python make_transformer.py
Patches of 4 x 4 with a class token, two blocks of two heads. The first block is written as torch
does: LayerNormalization, MatMul and Add on three axes, one product for queries, keys and values. The
second as older files and optimisers do: the normalisation in its nodes, Gemm between reshapes,
LayerScale behind them. Some channels that normalisations give are 64 times as large as others.
"""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIDE, PATCH, CHANNELS, HEADS = 16, 4, 16, 2
GRID = SIDE // PATCH
TOKENS = GRID * GRID + 1
random = np.random.default_rng(5)
nodes, initializers = [], []


def constant(name, values):
    if all(one.name != name for one in initializers):
        initializers.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def add(operator, inputs, output, **attributes):
    nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
    return output


def shape(*sides):
    return constant("shape_" + "_".join(map(str, sides)), np.array(sides, np.int64))


def normal(deviation, *sides):
    return random.normal(0, deviation, sides).astype(np.float32)


def norm_constants(name):
    """Factors from 1/8 to 8, so that an 8-bit number has few steps for most channels."""
    scale = random.permutation(np.geomspace(1 / 8, 8, CHANNELS)).astype(np.float32)
    return scale, [constant(name + "_scale", scale), constant(name + "_shift", normal(0.1, CHANNELS) * scale)]


def weights(name, inputs, outputs, sizes):
    """Of a layer whose inputs have such sizes: each matters about as much as the others."""
    values = normal(1 / np.sqrt(inputs), inputs, outputs) / np.asarray(sizes, np.float32).reshape(-1, 1)
    return [constant(name + "_w", values), constant(name + "_b", normal(0.1, outputs))]


def heads(x, name):
    x = add("Reshape", [x, shape(1, TOKENS, HEADS, CHANNELS // HEADS)], name + "_split")
    return add("Transpose", [x], name + "_heads", perm=[0, 2, 1, 3])


def attention(name, query, key, value):
    query = add("Mul", [heads(query, name + "_q"), constant("factor", np.float32(8**-0.5))], name + "_q_scaled")
    key = add("Transpose", [heads(key, name + "_k")], name + "_k_turned", perm=[0, 1, 3, 2])
    scores = add("MatMul", [query, key], name + "_scores")
    shares = add("Softmax", [scores], name + "_softmax", axis=-1)
    mixed = add("MatMul", [shares, heads(value, name + "_v")], name + "_mixed")
    mixed = add("Transpose", [mixed], name + "_tokens", perm=[0, 2, 1, 3])
    return add("Reshape", [mixed, shape(1, TOKENS, CHANNELS)], name + "_context")


def gelu(x, name):
    inner = add("Div", [x, constant("root", np.float32(2**0.5))], name + "_div")
    inner = add("Add", [add("Erf", [inner], name + "_erf"), constant("one", np.float32(1))], name + "_plus")
    inner = add("Mul", [x, inner], name + "_times")
    return add("Mul", [inner, constant("half", np.float32(0.5))], name)


def linear(x, name, inputs, outputs, sizes=1):
    weight, bias = weights(name, inputs, outputs, np.broadcast_to(sizes, inputs))
    product = add("MatMul", [x, weight], name + "_product")
    nodes[-1].name = name
    return add("Add", [bias, product], name + "_sum")


def torch_block(x):
    scale, constants = norm_constants("a_norm1")
    y = add("LayerNormalization", [x, *constants], "a_norm1", axis=-1, epsilon=1e-6)
    y = linear(y, "a_qkv", CHANNELS, 3 * CHANNELS, scale)
    parts = ["a_query", "a_key", "a_value"]
    sides = constant("thirds", np.array([CHANNELS] * 3, np.int64))
    nodes.append(helper.make_node("Split", [y, sides], parts, "a_split", axis=2))
    y = linear(attention("a", *parts), "a_out", CHANNELS, CHANNELS)
    x = add("Add", [x, y], "a_residual1")
    scale, constants = norm_constants("a_norm2")
    y = add("LayerNormalization", [x, *constants], "a_norm2", axis=-1, epsilon=1e-6)
    y = gelu(linear(y, "a_fc1", CHANNELS, 2 * CHANNELS, scale), "a_gelu")
    return add("Add", [x, linear(y, "a_fc2", 2 * CHANNELS, CHANNELS)], "a_residual2")


def spelled_norm(x, name):
    scale, constants = norm_constants(name)
    mean = add("ReduceMean", [x], name + "_mean", axes=[-1])
    centred = add("Sub", [x, mean], name + "_centred")
    square = add("Pow", [centred, constant("two", np.float32(2))], name + "_square")
    variance = add("ReduceMean", [square], name + "_variance", axes=[-1])
    deviation = add("Add", [variance, constant("epsilon", np.float32(1e-6))], name + "_plus")
    deviation = add("Sqrt", [deviation], name + "_deviation")
    y = add("Div", [centred, deviation], name + "_div")
    y = add("Mul", [y, constants[0]], name + "_times")
    return scale, add("Add", [y, constants[1]], name)


def gemm(x, name, inputs, outputs, sizes=1):
    flat = add("Reshape", [x, shape(-1, inputs)], name + "_flat")
    add("Gemm", [flat, *weights(name, inputs, outputs, np.broadcast_to(sizes, inputs))], name)
    return add("Reshape", [name, shape(1, TOKENS, outputs)], name + "_sum")


def optimised_block(x):
    scale, y = spelled_norm(x, "b_norm1")
    parts = [gemm(y, "b_" + part, CHANNELS, CHANNELS, scale) for part in ("query", "key", "value")]
    y = gemm(attention("b", *parts), "b_out", CHANNELS, CHANNELS)
    layer_scale = constant("b_scale1", random.uniform(0.2, 2, CHANNELS).astype(np.float32))
    x = add("Add", [add("Mul", [y, layer_scale], "b_scaled1"), x], "b_residual1")
    scale, y = spelled_norm(x, "b_norm2")
    y = gemm(gelu(gemm(y, "b_fc1", CHANNELS, 2 * CHANNELS, scale), "b_gelu"), "b_fc2", 2 * CHANNELS, CHANNELS)
    layer_scale = constant("b_scale2", random.uniform(0.2, 2, CHANNELS).astype(np.float32))
    return add("Add", [add("Mul", [y, layer_scale], "b_scaled2"), x], "b_residual2")


def main():
    patches = ["image", constant("patch_w", normal(0.2, CHANNELS, 3, PATCH, PATCH))]
    x = add("Conv", patches, "patches", kernel_shape=[PATCH] * 2, strides=[PATCH] * 2)
    x = add("Reshape", [x, shape(1, CHANNELS, -1)], "rows")
    x = add("Transpose", [x], "cells", perm=[0, 2, 1])
    x = add("Concat", [constant("class", normal(1, 1, 1, CHANNELS)), x], "with_class", axis=1)
    x = add("Add", [x, constant("places", normal(0.5, 1, TOKENS, CHANNELS))], "embedded")
    x = optimised_block(torch_block(x))
    x = add("LayerNormalization", [x, *norm_constants("last")[1]], "last", axis=-1, epsilon=1e-6)
    ends = [constant(name, np.array([value], np.int64)) for name, value in [("from", 1), ("to", TOKENS), ("axis", 1)]]
    x = add("Transpose", [add("Slice", [x, *ends], "without_class")], "turned", perm=[0, 2, 1])
    add("Reshape", [x, shape(1, CHANNELS, GRID, GRID)], "tokens")
    graph = helper.make_graph(
        nodes,
        "transformer",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [1, CHANNELS, GRID, GRID])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    folder = os.path.dirname(os.path.abspath(__file__))
    onnx.save(model, os.path.join(folder, "transformer_float.onnx"))
    image = np.fromfile(os.path.join(folder, "image.input"), np.float32).reshape(1, 3, SIDE, SIDE)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    session.run(None, {"image": image})[0].tofile(os.path.join(folder, "transformer_float.expected"))


if __name__ == "__main__":
    main()
