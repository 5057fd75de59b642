"""TFLite and ncnn forms of the benchmark networks (optional, see compare.py).

    python benches/peers/convert_models.py DIR tflite|ncnn [--only lraspp_512 ...]

tflite needs an environment of its own (Python 3.11: onnx2tf 1.29.24 and tensorflow-cpu 2.19.1, which want an
older numpy; requirements-tflite.txt), ncnn needs pnnx. Writes NAME_float32.tflite and
NAME_integer_quant.tflite (per-channel, float input and output, calibrated on the folder's
pictures), NAME.ncnn.param and .bin, each also for NAME_logits and (tflite) NAME_mask.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ["lraspp_512", "dlv3_mnv3_512", "dlv3p_mnv2_513", "dlv3_r50_513"]


def tflite(source: Path, stem: str, side: int, out: Path, count: int) -> None:
    import numpy as np
    import tensorflow as tf

    data = np.load(out / f"calibration_{side}.npy")[:count].transpose(0, 2, 3, 1)
    with tempfile.TemporaryDirectory() as folder:
        # onnx2tf wants this file in its folder, else it tries to download it; it uses it for
        # its own checks of single operators only
        small = np.resize(data[:, :128, :128], (20, 128, 128, 3)).astype(np.float32)
        np.save(Path(folder) / "calibration_image_sample_data_20x128x128x3_float32.npy", small)
        command = [
            sys.executable,
            "-m",
            "onnx2tf",
            "-i",
            source.resolve(),
            "-o",
            folder,
            "-osd",
            "-n",
            "-nuo",
        ]
        done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
        made = Path(folder) / f"{source.stem}_float32.tflite"
        if not made.exists():
            print(f"{source.name}: not converted\n{(done.stdout + done.stderr)[-1500:]}")
            return
        shutil.copy(made, out / f"{stem}_float32.tflite")
        # not by onnx2tf -oiqt, which calibrates four forms, each with slow reference kernels
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([picture[None]] for picture in data)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        (out / f"{stem}_integer_quant.tflite").write_bytes(converter.convert())


def ncnn(source: Path, stem: str, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / f"{stem}.onnx"
        shutil.copy(source, local)
        import pnnx

        done = subprocess.run(
            [pnnx.EXEC_PATH, local, "fp16=0"], cwd=folder, capture_output=True, text=True
        )
        plain = stem.replace(".", "_")
        for suffix in ("param", "bin"):
            made = Path(folder) / f"{plain}.ncnn.{suffix}"
            if made.exists():
                shutil.copy(made, out / f"{stem}.ncnn.{suffix}")
            else:
                print(f"{source.name}: no {suffix}\n{(done.stdout + done.stderr)[-1500:]}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path)
    parser.add_argument("form", choices=["tflite", "ncnn"])
    parser.add_argument("--only", nargs="*", default=NAMES)
    parser.add_argument("--calibration", type=int, default=16, help="pictures (slow in tflite)")
    parser.add_argument("--forms", nargs="*", default=["", "_logits", "_mask"])
    options = parser.parse_args()
    for name in options.only:
        side = int(name.rsplit("_", 1)[1])
        for suffix in options.forms:
            if options.form == "ncnn" and suffix == "_mask":
                continue
            stem = name + suffix
            source = options.models / f"{stem}.onnx"
            if not source.exists():
                continue
            if options.form == "tflite":
                tflite(source, stem, side, options.models, options.calibration)
            else:
                ncnn(source, stem, options.models)
            print(stem, "done", flush=True)


if __name__ == "__main__":
    main()
