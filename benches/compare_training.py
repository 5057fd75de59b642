"""Steps of training: zsseg's CPU engine and PyTorch, same sizes, same number of threads.

    cargo build --release --example bench_training
    python benches/compare_training.py [THREADS] [ROUNDS]

Needs tools/requirements-golden.txt. Prints milliseconds of the fastest round and how many times
PyTorch's time zsseg takes. PyTorch's losses are written as one would without a kernel of one's
own; the gradient of a contrastive loss is by anchors and keys, as zsseg's.
"""

import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target" / "release" / "examples" / "bench_training"
VARIANCES = [2.0, 5.0, 10.0, 20.0, 40.0, 80.0]


def gram(x, y):
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2 * x @ y.T
    return sum(torch.exp(squares * (-0.5 / v)) for v in VARIANCES)


def discrepancy(g, x):
    square = gram(g, g).mean() + gram(x, x).mean() - 2 * gram(g, x).mean()
    return square.clamp(min=1e-12).sqrt()


def contrastive(a, b, labels, all_keys):
    logits = a @ b.T / 0.07
    alike = labels[:, None] == labels[None, :]
    if all_keys:
        losses = torch.logsumexp(logits, 1, keepdim=True) - logits
    else:
        negatives = torch.logsumexp(logits.masked_fill(alike, -torch.inf), 1, keepdim=True)
        losses = F.softplus(negatives - logits)
    return ((losses * alike).sum(1) / alike.sum(1)).mean()


def gradients(function, *leaves):
    def run():
        for leaf in leaves:
            leaf.grad = None
        function().backward()

    return run


def normal(*shape):
    return torch.randn(*shape)


def cases():
    x, w = normal(128, 600), normal(600, 256)
    yield "product 128x600x256", lambda: x @ w
    g, real = normal(128, 472).requires_grad_(), normal(128, 472)
    yield "mmd 128 and 128 of 472", gradients(lambda: discrepancy(g, real), g)
    yield "generator step", generator(real)
    yield "classifier step", classifier()
    for name, all_keys in (("paper", True), ("code", False)):
        for pixels in (32 * 32, 65 * 65):
            a, b = (F.normalize(normal(pixels, 128)).requires_grad_() for _ in range(2))
            labels = torch.arange(pixels) // 50 % 13
            # Bound now: the loop goes on before the case runs.
            loss = lambda a=a, b=b, labels=labels, all_keys=all_keys: contrastive(
                a, b, labels, all_keys
            )
            yield f"contrastive {name} {pixels} of 128", gradients(loss, a, b)
    yield from resizing("logits", 64, 512, 13)
    yield from resizing("features", 32, 64, 128)


def generator(real):
    a = normal(1, 300).expand(128, -1)
    layers = torch.nn.Sequential(
        torch.nn.Linear(600, 256),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(256, 472),
    )
    adam = torch.optim.Adam(layers.parameters(), lr=2e-4)

    def step():
        adam.zero_grad()
        discrepancy(layers(torch.cat([a, torch.rand(128, 300)], 1)), real).backward()
        adam.step()

    return step


def classifier():
    x, labels = normal(4096, 472), torch.arange(4096) * 7 % 13
    layer = torch.nn.Linear(472, 13)
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
    yield f"resize {name}", lambda: forward().detach()
    yield f"resize {name} backward", lambda: torch.autograd.grad(y, x, dy, retain_graph=True)


def fastest(run, rounds):
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main():
    threads, rounds = (sys.argv[1:] + ["1", "15"][len(sys.argv) - 1 :])[:2]
    torch.set_num_threads(int(threads))
    output = subprocess.run(
        [PROGRAM, threads, rounds], check=True, capture_output=True, text=True
    ).stdout
    ours = {name: float(ms) for name, ms in (line.split("\t") for line in output.splitlines())}
    print(f"| {threads} thread(s) | zsseg, ms | PyTorch {torch.__version__}, ms | ratio |")
    print("|---|---|---|---|")
    for name, run in cases():
        theirs = fastest(run, int(rounds))
        print(f"| {name} | {ours[name]:.2f} | {theirs:.2f} | {ours[name] / theirs:.2f} |")


if __name__ == "__main__":
    main()
