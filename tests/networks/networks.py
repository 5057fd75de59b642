"""Segmentation networks, of their published structure; some are narrower, to be quick."""

import numpy as np

CLASSES = 19


def mobilenet_v3(net, width=1.0):
    """The first features at 1/8 and the last at 1/16, whose last blocks are dilated."""
    wide = lambda channels: max(8, int(channels * width + 4) // 8 * 8)
    x = net.conv("image", 16, 3, 2, act="hard_swish")
    blocks = [
        (3, 16, 16, False, "Relu", 1, 1),
        (3, 64, 24, False, "Relu", 2, 1),
        (3, 72, 24, False, "Relu", 1, 1),
        (5, 72, 40, True, "Relu", 2, 1),
        (5, 120, 40, True, "Relu", 1, 1),
        (5, 120, 40, True, "Relu", 1, 1),
        (3, 240, 80, False, "hard_swish", 2, 1),
        (3, 200, 80, False, "hard_swish", 1, 1),
        (3, 184, 80, False, "hard_swish", 1, 1),
        (3, 184, 80, False, "hard_swish", 1, 1),
        (3, 480, 112, True, "hard_swish", 1, 1),
        (3, 672, 112, True, "hard_swish", 1, 1),
        (5, 672, 160, True, "hard_swish", 1, 2),
        (5, 960, 160, True, "hard_swish", 1, 2),
        (5, 960, 160, True, "hard_swish", 1, 2),
    ]
    low = None
    for index, (k, expanded, channels, gated, act, s, d) in enumerate(blocks):
        if index == 6:
            low = x
        expanded = net.channels[x] if index == 0 else wide(expanded)
        x = net.inverted(x, wide(channels), k, s, d, expanded, gated, act)
    return low, net.conv(x, wide(960), act="hard_swish")


def aspp(net, x, side, rates, channels=64):
    """Atrous convolutions of several rates and the mean of all pixels, side by side."""
    parts = [net.conv(x, channels)]
    parts += [net.conv(x, channels, 3, d=rate) for rate in rates]
    parts.append(net.resize(net.conv(net.mean(x), channels), side))
    return net.conv(net.concat(*parts), channels)


def classifier(net, x):
    return net.conv(x, CLASSES, act=None, bn=False)


def lraspp(net):
    low, high = mobilenet_v3(net)
    gate = net.add("Sigmoid", [net.conv(net.mean(high), 128, act=None, bn=False)])
    x = net.add("Mul", [net.conv(high, 128), gate])
    x = net.resize(x, net.side // 8)
    return net.sum(classifier(net, low), classifier(net, x))


def deeplab_mobilenet_v3(net):
    _, x = mobilenet_v3(net, 0.5)
    x = aspp(net, x, net.side // 16, [12, 24, 36])
    return classifier(net, net.conv(x, 64, 3))


def resnet50(net, width=16):
    """1/8 of the picture's side, the last two stages dilated."""
    x = net.conv("image", width, 7, 2)
    x = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, (count, s, d) in enumerate([(3, 1, 1), (4, 2, 1), (6, 1, 2), (3, 1, 4)]):
        inner = width << stage
        for block in range(count):
            stride = s if block == 0 else 1
            y = net.conv(net.conv(x, inner), inner, 3, stride, d)
            y = net.conv(y, 4 * inner, act=None)
            short = net.conv(x, 4 * inner, 1, stride, act=None) if block == 0 else x
            x = net.add("Relu", [net.sum(short, y)])
    return x


def deeplab_resnet50(net):
    x = aspp(net, resnet50(net), net.side // 8, [12, 24, 36])
    return classifier(net, net.conv(x, 64, 3))


def deeplab_plus_mobilenet_v2(net):
    x = net.conv("image", 32, 3, 2, act="relu6")
    x = net.inverted(x, 16, expanded=32)
    low = None
    stages = [(24, 2, 2, 1), (32, 3, 2, 1), (64, 4, 2, 1), (96, 3, 1, 1), (160, 3, 1, 2)]
    for channels, count, s, d in stages:
        for block in range(count):
            x = net.inverted(x, channels, s=s if block == 0 else 1, d=d)
        low = low or x
    x = aspp(net, x, net.side // 16, [6, 12, 18])
    x = net.concat(net.resize(x, net.side // 4, coordinates="align_corners"), net.conv(low, 48))
    return classifier(net, net.separable(net.separable(x, 64), 64))


def unet(net, width=16):
    skips, x = [], "image"
    for level in range(4):
        x = net.conv(net.conv(x, width << level, 3), width << level, 3)
        skips.append(x)
        x = net.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.conv(x, width << 4, 3)
    for level in reversed(range(4)):
        kernel = {"k": 4, "pad": 1} if level == 1 else {"k": 2}
        act = None if level == 0 else "Relu"
        x = net.concat(skips[level], net.up(x, width << level, act=act, **kernel))
        x = net.conv(x, width << level, 3)
    return classifier(net, x)


def fast_scnn(net):
    x = net.conv("image", 32, 3, 2)
    high = x = net.separable(net.separable(x, 48, 2), 64, 2)
    for channels, count, s in [(64, 3, 2), (96, 3, 2), (128, 3, 1)]:
        for block in range(count):
            x = net.inverted(x, channels, s=s if block == 0 else 1, act="Relu")
    side, parts = net.side // 32, [x]
    for bins in (1, 2, side):
        pooled = net.add("AveragePool", [x], kernel_shape=[side // bins] * 2, strides=[side // bins] * 2)
        parts.append(net.resize(net.conv(pooled, 32), side, coordinates="align_corners"))
    x = net.resize(net.conv(net.concat(*parts), 128), net.side // 8)
    x = net.conv(net.depthwise(x), 128, act=None, bn=False)
    x = net.add("Relu", [net.sum(x, net.conv(high, 128, act=None, bn=False))])
    return classifier(net, net.separable(x, 128))


def bisenet(net, width=16):
    spatial = "image"
    for channels in (32, 32, 64):
        spatial = net.conv(spatial, channels, 3, 2)
    x = net.conv("image", width, 7, 2)
    x = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    levels = []
    for stage in range(4):
        s, channels = (1 if stage == 0 else 2), width << stage
        short = net.conv(x, channels, 1, s, act=None)
        x = net.add("Relu", [net.sum(short, net.conv(net.conv(x, channels, 3, s), channels, 3, act=None))])
        levels.append(x)

    def refined(x):
        x = net.conv(x, 64, 3)
        gate = net.add("Sigmoid", [net.conv(net.mean(x), 64, act=None)])
        return net.add("Mul", [x, gate])

    tail = net.resize(net.conv(net.mean(levels[3]), 64), net.side // 32, "nearest", "asymmetric")
    last = net.resize(net.sum(refined(levels[3]), tail), net.side // 16, "nearest", "asymmetric")
    context = net.resize(net.sum(refined(levels[2]), net.conv(last, 64, 3)), net.side // 8)
    x = net.conv(net.concat(spatial, net.conv(context, 64, 3)), 128)
    return classifier(net, net.sum(x, net.gate(x, act="Sigmoid")))


def espnet(net):
    def esp(x, channels, s=1):
        """Grouped reduction, depthwise convolutions of rising rates, summed one into the next."""
        y = net.conv(x, channels // 4, g=1 if net.channels[x] % 4 else 4, act="prelu")
        branches = [net.depthwise(y, 3, s, rate, None) for rate in (1, 2, 3, 4)]
        for index in range(1, 4):
            branches[index] = net.sum(branches[index], branches[index - 1])
        y = net.activated(net.concat(*branches), "prelu")
        y = net.conv(y, channels, g=4, act=None)
        if s == 1 and net.channels[x] == channels:
            return net.activated(net.sum(x, y), "prelu")
        pooled = net.add(
            "AveragePool", [x], kernel_shape=[3, 3], strides=[s, s], pads=[1] * 4, count_include_pad=1
        )
        return net.activated(net.concat(pooled, y), "prelu")

    first = net.conv("image", 16, 3, 2, act="prelu")
    second = esp(first, 48, 2)
    second = esp(second, 64)
    third = esp(esp(second, 64, 2), 128)
    x = net.up(net.conv(third, 32, act="prelu"), 32, act="prelu")
    x = net.conv(net.concat(x, net.conv(second, 32, act="prelu")), 32, 3, act="prelu")
    x = net.up(x, 16, k=4, pad=1, act="prelu")
    return classifier(net, net.concat(x, first))


def vit(net, width=384, heads=6, depth=4):
    patch = 16
    tokens = (net.side // patch) ** 2
    weights = net.noise.normal(0, 1 / np.sqrt(3 * patch * patch), (width, 3, patch, patch))
    inputs = ["image", net.constant(weights.astype(np.float32))]
    x = net.add("Conv", inputs, width, kernel_shape=[patch] * 2, strides=[patch] * 2)
    reshape = lambda x, *sides: net.add("Reshape", [x, net.constant(np.array(sides, np.int64))])
    x = net.add("Transpose", [reshape(x, 1, width, tokens)], perm=[0, 2, 1])
    places = net.noise.normal(0, 0.2, (1, tokens, width)).astype(np.float32)
    x = net.add("Add", [x, net.constant(places)])
    factor = net.constant(np.float32((width // heads) ** -0.5))
    for _ in range(depth):
        y = net.layer_norm(x)
        split = lambda: reshape(net.matmul(y, width), 1, tokens, heads, width // heads)
        query, key, value = split(), split(), split()
        query, value = [net.add("Transpose", [part], perm=[0, 2, 1, 3]) for part in (query, value)]
        key = net.add("Transpose", [key], perm=[0, 2, 3, 1])
        scores = net.add("Mul", [net.add("MatMul", [query, key]), factor])
        y = net.add("MatMul", [net.add("Softmax", [scores], axis=-1), value])
        y = reshape(net.add("Transpose", [y], perm=[0, 2, 1, 3]), 1, tokens, width)
        x = net.sum(x, net.matmul(y, width))
        y = net.matmul(net.layer_norm(x), 4 * width)
        half = net.add("Erf", [net.add("Mul", [y, net.constant(np.float32(0.5**0.5))])])
        half = net.add("Mul", [y, net.add("Add", [half, net.constant(np.float32(1))])])
        y = net.add("Mul", [half, net.constant(np.float32(0.5))])
        x = net.sum(x, net.matmul(y, width))
    return net.matmul(net.layer_norm(x), CLASSES)


NETWORKS = {
    "lraspp_mobilenet_v3": lraspp,
    "deeplab_v3_mobilenet_v3": deeplab_mobilenet_v3,
    "deeplab_v3_resnet50": deeplab_resnet50,
    "deeplab_v3_plus_mobilenet_v2": deeplab_plus_mobilenet_v2,
    "unet": unet,
    "fast_scnn": fast_scnn,
    "bisenet": bisenet,
    "espnet": espnet,
    "vit_s16": vit,
}
