#!/usr/bin/env python3
"""Trains the small network of firmware-examples/ and writes it as ONNX.

    python tools/train_tiny_model.py --data CAMVID --out DIR

CAMVID is a folder with `train/*.jpg`, `trainannot/*.png` and the same for `val` and
`test`: frames of 480 x 360 pixels and masks with CamVid's eleven classes, 11 = unlabelled. Into
DIR go

    tiny_road.onnx   the float network, from a picture to logits on a grid of stride 4
    scores.json      intersection over union on `val`, on the network's own input size
    dataset/         frames and masks with the classes of this network, as `zsseg eval` and
                     `zsseg quantize --calibration` read them

One core needs about 20 minutes. Packages: tools/requirements-tiny.txt, Python 3.11.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("other", "road", "pavement", "vehicle", "person")
VOID = 255
# CamVid's sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist,
# unlabelled.
FROM_CAMVID = np.array([0, 0, 0, 1, 2, 0, 0, 0, 3, 4, 4, VOID] + [VOID] * 244, np.uint8)

HEIGHT, WIDTH = 96, 128
# Frames are kept at twice the input's size, so that crops of half of them are still sharp.
KEPT = (2 * WIDTH, 2 * HEIGHT)
MEAN, STD = 127.0, 128.0

SEED = 1
SPLITS = ("train", "val", "test")
BATCH = 16
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.02


def conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> nn.Module:
    """Convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """MobileNetV2's block: wide, depthwise, narrow and linear."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        widen = [conv(inputs, wide)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen,
            conv(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class Join(nn.Module):
    """Coarse features, twice as large, beside finer ones."""

    def __init__(self, coarse: int, fine: int, outputs: int):
        super().__init__()
        self.mix = conv(coarse + fine, outputs)
        self.smooth = nn.Sequential(
            conv(outputs, outputs, 3, groups=outputs), conv(outputs, outputs)
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        larger = functional.interpolate(
            coarse, scale_factor=2.0, mode="bilinear", align_corners=False
        )
        return self.smooth(self.mix(torch.cat([larger, fine], 1)))


class TinyRoad(nn.Module):
    """Logits on a grid of stride 4. Stride 4 is narrow: there the maps decide the memory."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, 3, 2)
        self.stride4 = self.stage(16, 24, [1, 3])
        self.stride8 = self.stage(24, 40, [4, 4, 4])
        self.stride16 = self.stage(40, 64, [4, 4, 4, 4])
        self.join8 = Join(64, 40, 48)
        self.join4 = Join(48, 24, 32)
        self.classify = nn.Conv2d(32, len(CLASSES), 1)

    @staticmethod
    def stage(inputs: int, outputs: int, expansions: list[int]) -> nn.Sequential:
        """Blocks of which the first one halves the grid."""
        first, *others = expansions
        return nn.Sequential(
            InvertedResidual(inputs, outputs, 2, first),
            *[InvertedResidual(outputs, outputs, 1, expansion) for expansion in others],
        )

    def forward(self, image: Tensor) -> Tensor:
        at4 = self.stride4(self.stem(image))
        at8 = self.stride8(at4)
        at16 = self.stride16(at8)
        return self.classify(self.join4(self.join8(at16, at8), at4))


def load(root: Path, split: str, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Frames [n,3,h,w] and masks [n,h,w] of a split, both u8, at `size` (width, height)."""
    frames, masks = [], []
    for path in sorted((root / split).glob("*.jpg")):
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        with Image.open(root / f"{split}annot" / f"{path.stem}.png") as picture:
            labels = FROM_CAMVID[np.array(picture)]
        frames.append(np.array(small).transpose(2, 0, 1))
        masks.append(np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)))
    return torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(masks))


def normalise(frames: Tensor) -> Tensor:
    """What models/tiny-road/pack.toml says of the input."""
    return (frames.float() - MEAN) / STD


def augment(frames: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Random crops of half to all of a frame, mirrored or not, in other light."""
    count = len(frames)
    zoom = torch.empty(count).uniform_(0.5, 1.0)
    aspect = torch.empty(count).uniform_(0.85, 1.15)
    side = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = torch.empty(count, 2).uniform_(-1.0, 1.0) * (1.0 - zoom)[:, None]
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = zoom * aspect * side
    theta[:, 1, 1] = zoom / aspect
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [count, 3, HEIGHT, WIDTH], align_corners=False)
    images = functional.grid_sample(
        frames.float(), grid, padding_mode="border", align_corners=False
    )
    # Labels are moved by one, so that what lies outside a frame comes out as 0: void.
    moved = torch.where(masks == VOID, 0, masks + 1)[:, None].float()
    labels = functional.grid_sample(moved, grid, mode="nearest", align_corners=False)
    labels = labels[:, 0].long()
    labels = torch.where(labels == 0, VOID, labels - 1)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.7, 1.3)
    tint = torch.empty(count, 3, 1, 1).uniform_(-20.0, 20.0)
    light = torch.empty(count, 1, 1, 1).uniform_(-25.0, 25.0)
    images = ((images - MEAN) * contrast + MEAN + tint + light).clamp(0.0, 255.0)
    return normalise(images), labels


def class_weights(masks: Tensor) -> Tensor:
    """Rare classes count more: the inverse square root of their share of the pixels."""
    counts = torch.bincount(masks.flatten().long(), minlength=256)[: len(CLASSES)].double()
    weights = (counts / counts.sum()).rsqrt()
    return (weights / weights.mean()).float()


def enlarged(logits: Tensor) -> Tensor:
    """Logits at the input's size, as the segmenter upsamples them."""
    return functional.interpolate(
        logits, size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False
    )


def train(net: TinyRoad, frames: Tensor, masks: Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * (len(frames) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1
    )
    weights = class_weights(masks)
    start = time.monotonic()
    net.train()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(frames))[: len(frames) // BATCH * BATCH]
        for batch in order.split(BATCH):
            images, labels = augment(frames[batch], masks[batch])
            loss = functional.cross_entropy(
                enlarged(net(images)), labels, weights, ignore_index=VOID
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * BATCH / len(order)
        print(f"epoch {epoch + 1:3} loss {total:.4f} {time.monotonic() - start:5.0f} s", flush=True)


def scores(net: TinyRoad, frames: Tensor, masks: Tensor) -> dict:
    """Intersection over union of each class, and their mean."""
    net.eval()
    count = len(CLASSES)
    confusion = torch.zeros(count, count, dtype=torch.long)
    with torch.no_grad():
        for images, labels in zip(frames.split(BATCH), masks.split(BATCH)):
            found = enlarged(net(normalise(images))).argmax(1)
            known = labels != VOID
            pairs = labels[known].long() * count + found[known]
            confusion += torch.bincount(pairs, minlength=count * count).reshape(count, count)
    right = confusion.diag()
    each = right / (confusion.sum(0) + confusion.sum(1) - right)
    iou = {name: round(value, 4) for name, value in zip(CLASSES, each.tolist())}
    return {
        "mean_iou": round(each.mean().item(), 4),
        "pixel_accuracy": round((right.sum() / confusion.sum()).item(), 4),
        "iou": iou,
    }


def export(net: TinyRoad, path: Path) -> None:
    net.eval()
    torch.onnx.export(
        net,
        (torch.zeros(1, 3, HEIGHT, WIDTH),),
        str(path),
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamo=False,
    )


def write_dataset(root: Path, out: Path) -> None:
    """The frames beside masks with this network's classes, and the lists of both splits."""
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for split in SPLITS:
        names = []
        for path in sorted((root / split).glob("*.jpg")):
            names.append(path.stem)
            (out / "images" / path.name).write_bytes(path.read_bytes())
            with Image.open(root / f"{split}annot" / f"{path.stem}.png") as picture:
                labels = FROM_CAMVID[np.array(picture)]
            Image.fromarray(labels).save(out / "masks" / f"{path.stem}.png")
        (out / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=450)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    write_dataset(args.data, args.out / "dataset")
    net = TinyRoad()
    print(f"{sum(p.numel() for p in net.parameters())} parameters", flush=True)
    train(net, *load(args.data, "train", KEPT), args.epochs)
    found = scores(net, *load(args.data, "val", (WIDTH, HEIGHT)))
    print(json.dumps(found, indent=4))
    (args.out / "scores.json").write_text(json.dumps(found, indent=4) + "\n")
    export(net, args.out / "tiny_road.onnx")


if __name__ == "__main__":
    main()
