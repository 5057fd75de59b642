"""Steps of training: zsseg's engine and PyTorch, same sizes, same number of threads or same GPU.

    cargo build --release --example bench_training
    python benches/compare_training.py [THREADS] [ROUNDS]

    cargo build --release --features train-cuda --example bench_training
    python benches/compare_training.py cuda [ROUNDS]

Needs tools/requirements-golden.txt (on a GPU, a PyTorch built for it). Prints milliseconds of the
fastest round and how many times PyTorch's time zsseg takes; on a GPU beside what
`torch.compile` makes of the same code, and the share of the H100's arithmetic floor that
zsseg's losses of pairs reach (derived from data sheets, for products in 3xTF32). PyTorch's
losses are written as one would without a kernel of one's own; the gradient of a contrastive
loss is by anchors and keys, as zsseg's. Where they are installed (pip install geomloss
pytorch-metric-learning), so are the times of geomloss for discrepancies and of
pytorch-metric-learning for the contrastive loss of the paper's form, once they gave the same loss.
ZSSEG_BENCH names the program where it was built elsewhere.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

try:
    from geomloss import SamplesLoss
except ImportError:
    SamplesLoss = None
try:
    from pytorch_metric_learning.losses import SupConLoss
except ImportError:
    SupConLoss = None

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("ZSSEG_BENCH", ROOT / "target/release/examples/bench_training")
DEVICE = "cuda" if sys.argv[1:2] == ["cuda"] else "cpu"
# Floating-point operations per second of an H100 in 3xTF32: a third of dense TF32.
FLOOR_RATE = 494.7e12 / 3
VARIANCES = [2.0, 5.0, 10.0, 20.0, 40.0, 80.0]
TEMPERATURE = 0.07
MISSING = "not installed"


def gram(x, y):
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2 * x @ y.T
    return sum(torch.exp(squares * (-0.5 / v)) for v in VARIANCES)


def discrepancy(g, x):
    square = gram(g, g).mean() + gram(x, x).mean() - 2 * gram(g, x).mean()
    return square.clamp(min=1e-12).sqrt()


def geomloss_discrepancy(g, x):
    # A loss of geomloss is half a squared discrepancy, for a Gaussian of this deviation.
    losses = [SamplesLoss("gaussian", blur=v**0.5)(g, x) for v in VARIANCES]
    return (2 * sum(losses)).clamp(min=1e-12).sqrt()


def contrastive(a, b, labels, all_keys):
    logits = a @ b.T / TEMPERATURE
    alike = labels[:, None] == labels[None, :]
    if all_keys:
        losses = torch.logsumexp(logits, 1, keepdim=True) - logits
    else:
        negatives = torch.logsumexp(logits.masked_fill(alike, -torch.inf), 1, keepdim=True)
        losses = F.softplus(negatives - logits)
    return ((losses * alike).sum(1) / alike.sum(1)).mean()


def metric_learning(a, b, labels):
    return SupConLoss(temperature=TEMPERATURE)(a, labels, ref_emb=b, ref_labels=labels)


def library(is_there, function, reference, *leaves):
    """Returns a library's loss with its gradient, to be timed; it is the same loss."""
    if not is_there:
        return MISSING

    def check_and_prepare():
        found, wanted = function().item(), reference().item()
        if abs(found - wanted) > 1e-3 * abs(wanted):
            raise RuntimeError(f"a loss of {found} instead of {wanted}")
        return gradients(function, *leaves)

    return check_and_prepare


def gradients(function, *leaves):
    def run():
        for leaf in leaves:
            leaf.grad = None
        function().backward()

    return run


def normal(*shape):
    return torch.randn(*shape, device=DEVICE)


def cases():
    x, w = normal(128, 600), normal(600, 256)
    yield "product 128x600x256", lambda: x @ w, {}
    real = normal(128, 472)
    yield discrepancies(128, 472, real)
    yield "generator step", generator(real), {}
    yield "classifier step", classifier(), {}
    if DEVICE == "cuda":
        for rows in (128, 1024, 4225, 16900):
            yield discrepancies(rows, 256, normal(rows, 256))
        yield from contrasts((65 * 65, 10_000), 256)
    yield from contrasts((32 * 32, 65 * 65), 128)
    yield from resizing("logits", 64, 512, 13)
    yield from resizing("features", 32, 64, 128)


def discrepancies(rows, columns, x):
    g = normal(rows, columns).requires_grad_()
    loss = lambda: discrepancy(g, x)
    theirs = library(SamplesLoss, lambda: geomloss_discrepancy(g, x), loss, g)
    return f"mmd {rows} and {rows} of {columns}", gradients(loss, g), {"geomloss": theirs}


def contrasts(sizes, columns):
    for name, all_keys in (("paper", True), ("code", False)):
        for pixels in sizes:
            a, b = (F.normalize(normal(pixels, columns)).requires_grad_() for _ in range(2))
            labels = torch.arange(pixels, device=DEVICE) // 50 % 13
            # Bound now: the loop goes on before the case runs.
            loss = lambda a=a, b=b, labels=labels, all_keys=all_keys: contrastive(
                a, b, labels, all_keys
            )
            others = {}
            if all_keys:
                theirs = lambda a=a, b=b, labels=labels: metric_learning(a, b, labels)
                others["metric learning"] = library(SupConLoss, theirs, loss, a, b)
            yield f"contrastive {name} {pixels} of {columns}", gradients(loss, a, b), others


def generator(real):
    a = normal(1, 300).expand(128, -1)
    layers = torch.nn.Sequential(
        torch.nn.Linear(600, 256),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(256, 472),
    ).to(DEVICE)
    adam = torch.optim.Adam(layers.parameters(), lr=2e-4)

    def step():
        adam.zero_grad()
        discrepancy(layers(torch.cat([a, torch.rand(128, 300, device=DEVICE)], 1)), real).backward()
        adam.step()

    return step


def classifier():
    x, labels = normal(4096, 472), torch.arange(4096, device=DEVICE) * 7 % 13
    layer = torch.nn.Linear(472, 13).to(DEVICE)
    adam = torch.optim.Adam(layer.parameters(), lr=2e-4)

    def step():
        adam.zero_grad()
        F.cross_entropy(layer(x), labels).backward()
        adam.step()

    return step


def resizing(name, start, end, channels):
    layout = torch.channels_last
    x = normal(1, channels, start, start).to(memory_format=layout).requires_grad_()
    dy = normal(1, channels, end, end).to(memory_format=layout)
    forward = lambda: F.interpolate(x, (end, end), mode="bilinear", align_corners=False)
    y = forward()
    yield f"resize {name}", lambda: forward().detach(), {}
    backward = lambda: torch.autograd.grad(y, x, dy, retain_graph=True)
    yield f"resize {name} backward", backward, {}


def fastest(run, rounds):
    def whole():
        run()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    whole()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        whole()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def tried(make, rounds):
    """Returns the time; none where there is not enough memory, or the code cannot be compiled."""
    try:
        return fastest(make(), rounds)
    except (RuntimeError, ImportError, torch.OutOfMemoryError) as error:
        print(f"not timed: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        return None


def of_libraries(others, rounds, digits):
    """Returns a cell for each library: a time, why there is none, or nothing."""

    def cell(other):
        if other is None or other == MISSING:
            return other or ""
        found = tried(other, rounds)
        return "failed" if found is None else shown(found, digits=digits)

    return [cell(others.get(name)) for name in ("metric learning", "geomloss")]


def floor_ms(name):
    """Returns the least milliseconds of the products of a loss of pairs with its gradient."""
    words = name.split()
    if words[0] == "mmd":
        rows, columns = int(words[1]), int(words[-1])
        # Gram and pull of generated rows over both sets, Gram of half the real pairs.
        return 9 * rows * rows * columns / FLOOR_RATE * 1e3
    if words[0] == "contrastive":
        pixels, columns = int(words[2]), int(words[-1])
        # Two Grams; the pulls on anchors and on keys.
        return 8 * pixels * pixels * columns / FLOOR_RATE * 1e3
    return None


def shown(value, divisor=1.0, digits=3):
    return "" if value is None or divisor is None else f"{value / divisor:.{digits}f}"


def on_cpu(ours, threads, rounds):
    print(f"| {threads} thread(s) | zsseg, ms | PyTorch {torch.__version__}, ms | ratio ", end="")
    print("| pytorch-metric-learning, ms | geomloss, ms |")
    print("|---|---|---|---|---|---|")
    for name, run, others in cases():
        theirs = fastest(run, rounds)
        cells = [f"{ours[name]:.2f}", f"{theirs:.2f}", f"{ours[name] / theirs:.2f}"]
        print(f"| {name} | {' | '.join([*cells, *of_libraries(others, rounds, 2)])} |")


def on_gpu(ours, rounds):
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    print("| | zsseg, ms | eager, ms | compiled, ms | zsseg by eager | floor, ms ", end="")
    print("| share of it | pytorch-metric-learning, ms | geomloss, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, run, others in cases():
        eager, floor = tried(lambda: run, rounds), floor_ms(name)
        compiled = tried(lambda: torch.compile(run), rounds)
        cells = [shown(ours[name]), shown(eager), shown(compiled), shown(ours[name], eager)]
        share = "" if floor is None else f"{floor / ours[name]:.0%}"
        cells += [shown(floor), share, *of_libraries(others, rounds, 3)]
        print(f"| {name} | {' | '.join(cells)} |")


def main():
    device, rounds = (sys.argv[1:] + ["1", "15"][len(sys.argv) - 1 :])[:2]
    command = [PROGRAM, device, rounds]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ours = {name: float(ms) for name, ms in (line.split("\t") for line in output.splitlines())}
    if DEVICE == "cuda":
        on_gpu(ours, int(rounds))
    else:
        torch.set_num_threads(int(device))
        on_cpu(ours, int(device), int(rounds))


if __name__ == "__main__":
    main()
