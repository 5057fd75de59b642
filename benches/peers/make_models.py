"""Writes the networks of the peer benchmark into a folder. Nothing is downloaded.

    python benches/peers/make_models.py OUT [--pictures DIR] [--only lraspp_512 ...]

The weights are random: Kaiming, a fixed seed, batch-norm statistics recalibrated on the pictures
(folder of JPEG or PNG files; without one, on smooth noise), and a last layer scaled to zero mean
and unit variance per class so that the masks have regions of every class. Speed can be measured
on them, accuracy cannot. For each network NAME the folder gets:

    NAME.onnx               float, picture [1,3,S,S] to logits [1,21,S,S]
    NAME_logits.onnx        float, cut before the last Resize
    NAME_mask.onnx          float, with ArgMax and Cast to uint8 behind the last Resize
    NAME_qdq.onnx           the same three in int8: QDQ, u8 activations (min-max over 16 pictures),
    NAME_qdq_logits.onnx    per-channel s8 weights, by onnxruntime.quantization. The logits of the
    NAME_qdq_mask.onnx      cut one are floats behind a DequantizeLinear; here the Resize is
    NAME_qdq_maskf.onnx     quantised, in the last one it runs on floats
    picture_S.npy           one normalised picture, f32 [1,3,S,S]; calibration_S.npy the 16

The ViT has no mask: NAME.onnx and NAME_qdq.onnx only, tokens [1,197,384].
Other float models (say the shared DeepLabv3 with VOC weights) get the same files with
--quantise PATH ...; one with channels last gets pictures in -1..1 (picture_S_nhwc.npy).
"""

import argparse
import copy
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import torch
import torch.nn.functional as F
import torchvision
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from torch import nn

warnings.filterwarnings("ignore")
CLASSES = 21
OPSET = 17
MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)


def pictures(folder: Path | None, side: int, count: int) -> np.ndarray:
    """`count` normalised pictures, f32 [count,3,side,side]."""
    if folder is None:
        noise = np.random.default_rng(7).normal(size=(count, 3, 9, 9)).astype(np.float32)
        smooth = F.interpolate(torch.from_numpy(noise), (side, side), mode="bicubic")
        return smooth.numpy()
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(files) < count:
        sys.exit(f"{folder}: {len(files)} pictures, {count} wanted")
    result = []
    for path in files[:: len(files) // count][:count]:
        image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        result.append((np.asarray(image, np.float32).transpose(2, 0, 1) / 255 - MEAN) / STD)
    return np.stack(result).astype(np.float32)


class Torchvision(nn.Module):
    """A torchvision segmentation network that can stop before its last Resize."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.backbone, self.classifier = net.backbone, net.classifier

    def forward(self, x):
        features = self.backbone(x)
        return self.classifier(features["out"] if len(features) == 1 else features)


class SeparableConv(nn.Sequential):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class DeepLabPlus(nn.Module):
    """DeepLabv3+ on MobileNetV2, output stride 16, rates 6/12/18, separable decoder."""

    def __init__(self):
        super().__init__()
        trunk = torchvision.models.mobilenet_v2(weights=None).features[:18]
        for index in range(14, 18):
            for conv in (m for m in trunk[index].modules() if isinstance(m, nn.Conv2d)):
                if conv.kernel_size == (3, 3):
                    conv.stride = (1, 1)
                    if index > 14:
                        conv.dilation = conv.padding = (2, 2)
        self.low, self.high = trunk[:4], trunk[4:]
        self.aspp = torchvision.models.segmentation.deeplabv3.ASPP(320, [6, 12, 18])
        self.reduce = nn.Sequential(nn.Conv2d(24, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU())
        self.decoder = nn.Sequential(SeparableConv(304, 256), SeparableConv(256, 256))
        self.last = nn.Conv2d(256, CLASSES, 1)

    def forward(self, x):
        low = self.low(x)
        high = self.aspp(self.high(low))
        high = F.interpolate(high, low.shape[-2:], mode="bilinear", align_corners=False)
        return self.last(self.decoder(torch.cat([high, self.reduce(low)], 1)))


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        import timm
        from timm.layers import set_fused_attn

        set_fused_attn(False)
        self.net = timm.create_model("vit_small_patch16_224", pretrained=False)

    def forward(self, x):
        return self.net.forward_features(x)


class Upsampled(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x):
        size = x.shape[-2:]
        return F.interpolate(self.net(x), size, mode="bilinear", align_corners=False)


SEGMENTATION = torchvision.models.segmentation
NETWORKS = {
    "lraspp_512": (
        512,
        lambda: Torchvision(
            SEGMENTATION.lraspp_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=CLASSES
            )
        ),
    ),
    "dlv3_mnv3_512": (
        512,
        lambda: Torchvision(
            SEGMENTATION.deeplabv3_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=CLASSES
            )
        ),
    ),
    "dlv3p_mnv2_513": (513, DeepLabPlus),
    "vits16_224": (224, Vit),
    "dlv3_r50_513": (
        513,
        lambda: Torchvision(
            SEGMENTATION.deeplabv3_resnet50(
                weights=None, weights_backbone=None, num_classes=CLASSES
            )
        ),
    ),
}


def build(name: str, folder: Path | None) -> nn.Module:
    side, make = NETWORKS[name]
    torch.manual_seed(1)
    net = make()
    if name.startswith("vit"):
        return net.eval()
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for norm in norms:
        nn.init.ones_(norm.weight)
        nn.init.normal_(norm.bias, 0.0, 0.1)
        norm.momentum = 1.0
    batch = torch.from_numpy(pictures(folder, side, 4))
    with torch.no_grad():
        net.eval()
        for norm in norms:
            norm.train()
        logits = net(batch)
        net.eval()
        logits = net(batch)
        std, mean = torch.std_mean(logits, (0, 2, 3))
        lasts = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.out_channels == CLASSES]
        for last in lasts:
            last.weight /= std.reshape(-1, 1, 1, 1)
        lasts[0].bias -= mean / std
    return net


def export(net: nn.Module, side: int, path: Path, output: str) -> None:
    with torch.no_grad():
        torch.onnx.export(
            copy.deepcopy(net),
            (torch.zeros(1, 3, side, side),),
            str(path),
            opset_version=OPSET,
            input_names=["image"],
            output_names=[output],
            dynamo=False,
        )
    model, good = onnxsim.simplify(onnx.load(path))
    assert good, path
    onnx.save(model, path)


def shape_of(value: onnx.ValueInfoProto) -> list[int]:
    return [d.dim_value for d in value.type.tensor_type.shape.dim]


def with_argmax(source: Path, target: Path) -> None:
    """Appends ArgMax over the classes and a Cast to uint8."""
    model = onnx.load(source)
    graph = model.graph
    shape = shape_of(graph.output[0])
    axis = 1 if shape[1] == CLASSES else 3
    shape.pop(axis)
    graph.node.extend(
        [
            helper.make_node("ArgMax", [graph.output[0].name], ["labels64"], axis=axis, keepdims=0),
            helper.make_node("Cast", ["labels64"], ["mask"], to=TensorProto.UINT8),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("mask", TensorProto.UINT8, shape))
    onnx.save(model, target)


def last_resize(graph: onnx.GraphProto) -> onnx.NodeProto | None:
    """The Resize at the end of the graph, if only layout and scale changes follow it."""
    makers = {o: n for n in graph.node for o in n.output}
    node = makers[graph.output[0].name]
    while node.op_type in ("Transpose", "QuantizeLinear", "DequantizeLinear"):
        node = makers[node.input[0]]
    return node if node.op_type == "Resize" else None


def cut_and_float_tail(source: Path, cut: Path, float_tail: Path) -> None:
    """Cuts a model before the last Resize; and a copy whose last Resize runs on floats."""
    model = onnx.load(source)
    graph = model.graph
    makers = {o: n for n in graph.node for o in n.output}
    node = last_resize(graph)
    logits = node.input[0]
    after = next((n for n in reversed(graph.node) if n.op_type == "Transpose"), None)
    if after is not None and list(graph.node).index(after) < list(graph.node).index(node):
        after = None
    full = shape_of(graph.output[0])
    final = graph.output[0].name
    shapes = onnx.shape_inference.infer_shapes(model).graph.value_info
    low = next(shape_of(v) for v in shapes if v.name == logits)
    index = list(graph.node).index(node)

    def prune(kept, output, shape, path):
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        live, alive = {output}, []
        for item in reversed(kept):
            if live & set(item.output):
                alive.append(item)
                live |= set(item.input)
        del copied.graph.node[:]
        copied.graph.node.extend(reversed(alive))
        constants = [i for i in model.graph.initializer if i.name in live]
        del copied.graph.initializer[:]
        copied.graph.initializer.extend(constants)
        del copied.graph.output[:]
        del copied.graph.value_info[:]
        copied.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
        onnx.checker.check_model(copied, full_check=True)
        onnx.save(copied, path)

    before = list(graph.node)[:index]
    makers[logits].output[0] = node.input[0] = "logits"
    prune(before, "logits", low, cut)
    resize = copy.deepcopy(node)
    tail = [resize]
    if after is not None:
        tail.append(copy.deepcopy(after))
        after = tail[-1]
        resize.output[0] = after.input[0] = "resized"
    tail[-1].output[0] = final
    prune([*before, *tail], final, full, float_tail)


class Reader(CalibrationDataReader):
    def __init__(self, name: str, data: np.ndarray):
        self.items = iter([{name: picture[None]} for picture in data])

    def get_next(self):
        return next(self.items, None)


def quantise(source: Path, target: Path, data: np.ndarray) -> None:
    name = onnx.load(source, load_external_data=False).graph.input[0].name
    with tempfile.TemporaryDirectory() as temporary:
        prepared = Path(temporary) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Reader(name, data),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--quantise", nargs="*", type=Path, default=[])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    out = options.out
    out.mkdir(parents=True, exist_ok=True)

    def save_picture(side: int) -> None:
        data = pictures(options.pictures, side, 16)
        np.save(out / f"calibration_{side}.npy", data)
        np.save(out / f"picture_{side}.npy", data[2:3])

    for name in options.only:
        side = NETWORKS[name][0]
        save_picture(side)
        net = build(name, options.pictures)
        data = pictures(options.pictures, side, 16)
        whole, whole_q = out / f"{name}.onnx", out / f"{name}_qdq.onnx"
        if name.startswith("vit"):
            export(net, side, whole, "tokens")
            quantise(whole, whole_q, data)
        else:
            export(net, side, out / f"{name}_logits.onnx", "logits")
            export(Upsampled(net), side, whole, "out")
            with_argmax(whole, out / f"{name}_mask.onnx")
            quantise(whole, whole_q, data)
            float_tail = out / f"{name}_float_tail.onnx"
            cut_and_float_tail(whole_q, out / f"{name}_qdq_logits.onnx", float_tail)
            with_argmax(whole_q, out / f"{name}_qdq_mask.onnx")
            with_argmax(float_tail, out / f"{name}_qdq_maskf.onnx")
            float_tail.unlink()
        print(name, "done", flush=True)
    for path in options.quantise:
        model = onnx.load(path)
        side = shape_of(model.graph.input[0])[2]
        channels_last = shape_of(model.graph.input[0])[3] == 3
        save_picture(side)
        data = pictures(options.pictures, side, 16)
        if channels_last:
            data = np.ascontiguousarray(((data * STD + MEAN) * 2 - 1).transpose(0, 2, 3, 1))
            np.save(out / f"picture_{side}_nhwc.npy", data[2:3])
        whole, whole_q = out / path.name, out / f"{path.stem}_qdq.onnx"
        if path.resolve() != whole.resolve():
            onnx.save(model, whole)
        quantise(whole, whole_q, data)
        if last_resize(model.graph) is not None:
            float_tail = out / "float_tail.onnx"
            for this in (whole, whole_q):
                cut_and_float_tail(this, out / f"{this.stem}_logits.onnx", float_tail)
                with_argmax(this, out / f"{this.stem}_mask.onnx")
            with_argmax(float_tail, out / f"{whole_q.stem}_maskf.onnx")
            float_tail.unlink()
        print(path.stem, "done", flush=True)


if __name__ == "__main__":
    main()
