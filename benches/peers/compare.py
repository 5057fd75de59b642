"""Peers on the benchmark networks: milliseconds per frame, one thread, network input to mask.

    python benches/peers/make_models.py DIR --pictures PICTURES
    python benches/peers/convert_models.py DIR      # optional: TFLite and ncnn forms
    taskset -c 1 python benches/peers/compare.py --models DIR [--rounds 3] [--only lraspp_512 ...]

Every (peer, model, variant) lives in a process of its own, so that load time and peak memory are
its own; the rounds go round the processes of one model, so that a busy moment of the machine hits
all of them. A number is the process's CPU time (time.process_time), least of the iterations of a
round, median over the rounds. Columns per peer:

    mask     network, upsampling and argmax to a uint8 mask: the fastest of the forms that the peer
             offers (ArgMax in its own graph, or outside it by a blocked running maximum in numpy;
             for int8 the last Resize in integers or in floats), named in the table
    logits   the network cut before the last Resize; somebody else's tail is to be added

A network without a mask (the ViT, a backbone) has its own time in the mask column.

zsseg is one of the peers (`cargo build --release --bins --lib --examples` first): NAME_logits.onnx and
NAME_qdq_logits.onnx are packed into bundles and run through the C API in Python, from an RGB frame to the mask, so its
column has the conversion of the picture too, which the others get for nothing. Its tail alone (the same logits to labels)
is added to the peers' logits column: what they would take with it.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RELEASE = Path(__file__).resolve().parents[2] / "target" / "release"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# name: (module, environment, {float form: file suffix}, {int8 form: file suffix}); a form named
# "logits" is the cut one, the others are candidates for the mask column
ONNX_FLOAT = {"mask:graph": "_mask.onnx", "mask:outside": ".onnx", "logits": "_logits.onnx"}
ONNX_INT8 = {
    "mask:int8 resize": "_qdq_mask.onnx",
    "mask:float resize": "_qdq_maskf.onnx",
    "mask:outside": "_qdq.onnx",
    "logits": "_qdq_logits.onnx",
}
TFLITE = {
    "mask:graph": "_mask_{}.tflite",
    "mask:outside": "_{}.tflite",
    "logits": "_logits_{}.tflite",
}
PEERS = {
    "onnxruntime": ("onnxruntime", {}, ONNX_FLOAT, ONNX_INT8),
    "openvino": ("openvino", {"HINT": "f32"}, ONNX_FLOAT, ONNX_INT8),
    "openvino-bf16": ("openvino", {"HINT": "bf16"}, ONNX_FLOAT, ONNX_INT8),
    "openvino-noamx": (
        "openvino",
        {"HINT": "f32", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
        {},
        ONNX_INT8,
    ),
    "litert": (
        "ai_edge_litert",
        {},
        {k: v.format("float32") for k, v in TFLITE.items()},
        {k: v.format("integer_quant") for k, v in TFLITE.items()},
    ),
    "ncnn": ("ncnn", {}, {"mask:outside": ".ncnn.param", "logits": "_logits.ncnn.param"}, {}),
    "zsseg": ("c_api", {}, {"mask:bundle": ".zsb"}, {"mask:bundle": "_qdq.zsb"}),
    "opencv": (
        "cv2",
        {},
        {"mask:outside": ".onnx", "logits": "_logits.onnx"},
        {"mask:outside": "_qdq.onnx", "logits": "_qdq_logits.onnx"},
    ),
}


def argmax(logits):
    """uint8 labels of f32 [C,H,W] or [H,W,C] logits, by blocks of rows that stay in the cache."""
    import numpy as np

    if logits.shape[-1] < 64 < logits.shape[0]:
        return np.argmax(logits, -1).astype(np.uint8)
    classes, height, width = logits.shape
    labels = np.zeros((height, width), np.uint8)
    for top in range(0, height, 16):
        block = logits[:, top : top + 16]
        best, label = block[0].copy(), labels[top : top + 16]
        for index in range(1, classes):
            better = block[index] > best
            np.maximum(best, block[index], out=best)
            np.maximum(label, better.view(np.uint8) * np.uint8(index), out=label)
    return labels


def open_onnxruntime(path, data):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    outputs = [session.get_outputs()[-1 if len(session.get_outputs()) > 1 else 0].name]
    return lambda: session.run(outputs, {name: data})[0]


def open_openvino(path, data):
    import openvino

    core = openvino.Core()
    core.set_property(
        "CPU",
        {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": os.environ["HINT"],
        },
    )
    request = core.compile_model(path, "CPU").create_infer_request()
    request.set_input_tensor(openvino.Tensor(data, shared_memory=True))

    def run():
        request.infer()
        return request.get_output_tensor(len(request.model_outputs) - 1).data

    return run


def open_litert(path, data):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    if list(source["shape"]) != list(data.shape):
        data = np.ascontiguousarray(data.transpose(0, 2, 3, 1))
    target = interpreter.get_output_details()[0]["index"]

    def run():
        interpreter.set_tensor(source["index"], data)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def open_ncnn(path, data):
    import ncnn
    import numpy as np

    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(path) or net.load_model(path.replace(".param", ".bin")):
        raise RuntimeError("ncnn cannot load it")
    source = np.ascontiguousarray(data[0])

    def run():
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(source))
            return np.array(extractor.extract("out0")[1])[None]

    return run


def open_opencv(path, data):
    import cv2

    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(path)

    def run():
        net.setInput(data)
        return net.forward()

    return run


def rgb_frame(data):
    """The picture that the network's input was made of, u8 [height, width, 3]."""
    import numpy as np

    last = data.shape[3] == 3
    pixels = data[0] if last else data[0].transpose(1, 2, 0)
    mean, std = (0.5, 0.5) if last else (MEAN, STD)
    pixels = (pixels * np.float32(std) + np.float32(mean)) * 255
    return np.ascontiguousarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def open_zsseg(path, frame):
    import numpy as np
    from c_api import Segmenter

    segmenter = Segmenter(Path(path).read_bytes(), frame.shape[1], frame.shape[0])

    def run():
        return segmenter.segment(frame)

    def tail():
        return segmenter.segment_features(logits, channels_last=True)

    logits = np.load(Path(path).with_suffix(".logits.npy"))
    run.tail = tail
    return run


def peak_memory():
    """Peak resident MB. Not getrusage: its figure survives fork and exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def work(peer, path, form):
    """One (peer, model, variant): loads, then serves rounds until its input ends."""
    import numpy as np

    module = PEERS[peer][0]
    importlib.import_module(module if module != "ai_edge_litert" else "ai_edge_litert.interpreter")
    folder, stem = Path(path).parent, Path(path).name
    side = next(part for part in stem.replace(".", "_").split("_") if part.isdigit())
    channels_last = folder / f"picture_{side}_nhwc.npy"
    data = np.load(channels_last if stem.startswith("voc") else folder / f"picture_{side}.npy")
    if peer == "zsseg":
        sys.modules["c_api"].library()
        data = rgb_frame(data)
    before = peak_memory()
    opener = globals()["open_" + peer.split("-")[0]]
    started, clock = time.process_time(), time.perf_counter()
    run = opener(path, data)
    load = (time.process_time() - started) * 1e3
    outside = form == "mask:outside"

    def frame():
        result = run()
        if outside and result.ndim == 4:
            result = argmax(result[0])
        return result

    result = frame()
    first = (time.process_time() - started) * 1e3
    print(
        json.dumps(
            {
                "load": load,
                "ready": first,
                "wall": (time.perf_counter() - clock) * 1e3,
                "shape": list(result.shape),
                "type": str(result.dtype),
            }
        ),
        flush=True,
    )
    for line in sys.stdin:
        times = []
        end = time.perf_counter() + float(line)
        while len(times) < 3 or time.perf_counter() < end:
            started = time.process_time()
            frame()
            times.append(time.process_time() - started)
        reply = {"ms": min(times) * 1e3, "peak": peak_memory(), "before": before}
        if hasattr(run, "tail"):
            tails = []
            for _ in range(10):
                started = time.process_time()
                run.tail()
                tails.append(time.process_time() - started)
            reply["tail"] = min(tails) * 1e3
        print(json.dumps(reply), flush=True)


class Worker:
    def __init__(self, peer, path, form):
        self.peer, self.form, self.samples, self.error = peer, form, [], None
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), **PEERS[peer][1]}
        command = [sys.executable, __file__, "--worker", peer, str(path), form]
        if peer == "zsseg" and path.suffix == ".onnx":
            command = network_command(path)
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.opened = self.read()

    def read(self):
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        text = self.process.stderr.read().strip().splitlines()
        self.error = text[-1][:150] if text else f"exit status {self.process.wait()}"
        return None

    def round(self, seconds):
        if self.error is None:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
            if (reply := self.read()) is not None:
                self.samples.append(reply["ms"])
                self.opened.update(reply)

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    @property
    def ms(self):
        return statistics.median(self.samples)


def ends(path):
    """Name and shape of a network's input and of its output."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {item.name for item in graph.initializer}
    values = [next(v for v in graph.input if v.name not in constants), graph.output[0]]
    return [(v.name, [d.dim_value for d in v.type.tensor_type.shape.dim]) for v in values]


def network_command(path):
    """The program that runs a network without a mask."""
    import numpy as np

    (source, shape), (target, output) = ends(path)
    side = shape[2]
    picture = path.parent / f"picture_{side}.f32"
    pixels = np.load(path.parent / f"picture_{side}.npy")[0].transpose(1, 2, 0)
    np.ascontiguousarray(pixels, "<f4").tofile(picture)
    tokens = len(output) == 3
    grid = [output[2], 1, output[1]] if tokens else output[1:]
    layout = "hwc" if tokens else "chw"
    program = RELEASE / "examples" / "bench_network"
    return [str(part) for part in (program, path, picture, source, side, target, *grid, layout)]


def pack(models, name):
    """The bundle NAME.zsb of NAME_logits.onnx, and the logits that its tail is timed on."""
    import numpy as np
    import onnxruntime

    network, bundle = models / f"{name}_logits.onnx", models / f"{name}.zsb"
    if bundle.exists() or not network.exists():
        return
    (source, shape), (target, output) = ends(network)
    last = shape[3] == 3
    mean, std = ([0.5] * 3, [0.5] * 3) if last else (MEAN, STD)
    names = ", ".join(f'"class {index}"' for index in range(output[1]))
    text = f"""name = "{name}"
license = "unknown"
[input]
name = "{source}"
width = {shape[2]}
height = {shape[2]}
layout = "{'hwc' if last else 'chw'}"
[preprocess]
fit = "stretch"
antialias = false
order = "rgb"
scale = {1 / 255!r}
mean = {list(mean)}
std = {list(std)}
[output]
name = "{target}"
align_corners = false
[head]
kind = "logits"
[classes]
names = [{names}]
"""
    config = models / f"{name}.pack.toml"
    config.write_text(text)
    command = [RELEASE / "zsseg", "pack", "--onnx", network, "--config", config, "-o", bundle]
    subprocess.run(command, check=True)
    picture = models / f"picture_{shape[2]}{'_nhwc' if last else ''}.npy"
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    logits = session.run(None, {source: np.load(picture)})[0]
    logits = np.ascontiguousarray(logits.transpose(0, 2, 3, 1))
    np.save(bundle.with_suffix(".logits.npy"), logits)


def measure(models, name, kind, peers, options):
    """All peers on one model; rows of the table."""
    workers = []
    has_mask = (models / f"{name}_logits.onnx").exists()
    if "zsseg" in peers and has_mask:
        pack(models, name if kind == "f32" else f"{name}_qdq")
    for peer in peers:
        for form, suffix in PEERS[peer][2 if kind == "f32" else 3].items():
            path = models / (name + suffix)
            if peer == "zsseg" and not has_mask:
                path = path.with_suffix(".onnx")
            if path.exists() and (
                form != "mask:outside" or not options.quick or "mask:graph" not in PEERS[peer][2]
            ):
                if not has_mask:
                    form = "mask:network only"
                workers.append(Worker(peer, path, form))
    tails = []
    for _ in range(options.rounds):
        for worker in workers:
            worker.round(options.seconds)
            if worker.opened and "tail" in worker.opened:
                tails.append(worker.opened["tail"])
    for worker in workers:
        worker.close()
        if worker.error:
            print(f"  {name} {kind} {worker.peer} {worker.form}: {worker.error}", file=sys.stderr)
    rows = []
    for peer in peers:
        good = [w for w in workers if w.peer == peer and w.samples]
        if not good:
            continue
        masks = [w for w in good if w.form.startswith("mask")]
        cuts = [w for w in good if w.form == "logits"]
        best = min(masks, key=lambda w: w.ms, default=None)
        chosen = best or cuts[0]
        rows.append(
            {
                "model": name,
                "kind": kind,
                "peer": peer,
                "mask": best.ms if best else None,
                "form": best.form.partition(":")[2] if best else "",
                "logits": cuts[0].ms if cuts else None,
                "tail": cuts[0].ms + statistics.median(tails) if cuts and tails else None,
                "our tail": statistics.median(tails) if tails else None,
                "load": chosen.opened["load"],
                "ready": chosen.opened["ready"],
                "peak": chosen.opened.get("peak"),
                "before": chosen.opened.get("before"),
                "all": {w.form: round(w.ms, 2) for w in good},
            }
        )
    return rows


def show_ratio(rows):
    """Our time against the fastest peer's: as it comes, and with our tail behind its network."""
    ours = next((row for row in rows if row["peer"] == "zsseg"), None)
    peers = [row for row in rows if row["peer"] != "zsseg"]
    if ours is None or not peers:
        return
    parts = []
    for column, text in (("mask", "its own tail"), ("tail", "our tail")):
        timed = [row for row in peers if row[column] is not None]
        if timed:
            best = min(timed, key=lambda row: row[column])
            parts.append(f"{ours['mask'] / best[column]:.2f} of {best['peer']} with {text}")
    print(f"  {ours['model']} {ours['kind']}: zsseg takes {', '.join(parts)}", flush=True)


def show(rows):
    def cell(value, digits=1):
        return "-" if value is None else f"{value:.{digits}f}"

    print(
        f"{'model':16} {'kind':5} {'peer':15} {'mask ms':>8} {'logits ms':>9} {'+our tail':>9}"
        f" {'load ms':>8} {'1st frame':>9} {'peak MB':>8} {'python MB':>9}  form"
    )
    for row in rows:
        print(
            f"{row['model']:16} {row['kind']:5} {row['peer']:15} {cell(row['mask']):>8}"
            f" {cell(row['logits']):>9} {cell(row['tail']):>9} {cell(row['load'], 0):>8}"
            f" {cell(row['ready'], 0):>9} {cell(row['peak'], 0):>8} {cell(row['before'], 0):>9}"
            f"  {row['form']}",
            flush=True,
        )


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        work(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="per process and round")
    parser.add_argument("--only", nargs="*", help="models")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--kinds", nargs="*", choices=["f32", "int8"], default=["f32", "int8"])
    parser.add_argument("--quick", action="store_true", help="no argmax outside where not needed")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    peers = []
    for peer in options.peers:
        if importlib.util.find_spec(PEERS[peer][0]):
            peers.append(peer)
        else:
            print(f"{peer}: skipped, no module {PEERS[peer][0]}", file=sys.stderr)
    suffixes = ("_mask", "_logits", "_qdq", "_maskf")
    names = sorted(p.stem for p in options.models.glob("*.onnx") if not p.stem.endswith(suffixes))
    rows = []
    for name in options.only or names:
        for kind in options.kinds:
            new = measure(options.models, name, kind, peers, options)
            show(new)
            show_ratio(new)
            rows += new
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
