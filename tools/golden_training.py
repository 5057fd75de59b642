#!/usr/bin/env python3
"""Writes the golden files of the training engine: PyTorch in float64, on the CPU.

    python -m venv VENV && VENV/bin/pip install -r tools/requirements-golden.txt
    VENV/bin/python tools/golden_training.py tests/data/training

Each file holds the cases of one group; tensor `CASE.NAME` is an input or a result of a case.
Inputs come from NumPy's PCG64 with the seeds below, gradients from autograd. The formulas are
written from methods.md, section by section; sizes are ragged, so that blocks have rests. A case
that needs a dropout mask has the one that the engine draws, from a Philox4x32-10 of its own.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

CODE = [2.0, 5.0, 10.0, 20.0, 40.0, 80.0]
PAPER = [sigma**2 for sigma in (2.0, 5.0, 10.0, 20.0, 40.0, 60.0)]


class Inputs:
    """Numbers by seed."""

    def __init__(self, seed):
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def normal(self, *shape, mean=0.0, deviation=1.0):
        return torch.from_numpy(self.generator.normal(mean, deviation, shape))

    def uniform(self, *shape, low=0.0, high=1.0):
        return torch.from_numpy(self.generator.uniform(low, high, shape))

    def labels(self, count, low, high):
        return torch.from_numpy(self.generator.integers(low, high, count))


class Group:
    """The tensors of one file."""

    def __init__(self):
        self.tensors = {}

    def put(self, case, **tensors):
        for name, tensor in tensors.items():
            tensor = torch.as_tensor(tensor).detach().clone().contiguous()
            self.tensors[f"{case}.{name}"] = tensor if tensor.dim() else tensor.reshape(1)

    def save(self, path):
        assert all(tensor.dtype in (torch.float64, torch.int64) for tensor in self.tensors.values())
        save_file(self.tensors, path)


def leaf(tensor):
    return tensor.clone().requires_grad_(True)


# Maximum mean discrepancy: methods.md 2.5 and 4.2.


def gram(x, y, variances):
    squares = ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)
    return sum(torch.exp(-squares / (2 * v)) for v in variances)


def mmd_square(g, x, variances, weights=None):
    a = torch.full((len(g),), 1 / len(g), dtype=torch.float64)
    w = torch.full((len(x),), 1 / len(x), dtype=torch.float64) if weights is None else weights
    w = w / w.sum()
    return (
        a @ gram(g, g, variances) @ a
        + w @ gram(x, x, variances) @ w
        - 2 * a @ gram(g, x, variances) @ w
    )


def root(square):
    return torch.sqrt(torch.clamp(square, min=1e-12))


def mmd_case(group, case, inputs, sizes, columns, variances, weighted):
    """`sizes`: generated and real rows of each group."""
    starts = np.cumsum([(0, 0), *sizes], axis=0)
    g = leaf(inputs.normal(int(starts[-1][0]), columns))
    x = inputs.normal(int(starts[-1][1]), columns, mean=0.8, deviation=1.3)
    weights = inputs.uniform(len(x), low=0.1) if weighted else None
    squares = []
    for (g0, x0), (g1, x1) in zip(starts, starts[1:]):
        part = None if weights is None else weights[x0:x1]
        squares.append(mmd_square(g[g0:g1], x[x0:x1], variances, part))
    squares = torch.stack(squares)
    values = root(squares)
    values.sum().backward()
    group.put(case, generated=g, real=x, starts=torch.from_numpy(starts))
    group.put(case, squares=squares, values=values, gradient=g.grad)
    if weights is not None:
        group.put(case, weights=weights)


def mmd():
    group, inputs = Group(), Inputs(1)
    for kernel, variances in (("code", CODE), ("paper", PAPER)):
        for n, m in ((1, 3), (3, 7), (7, 65), (65, 3)):
            mmd_case(group, f"{kernel}_{n}_{m}", inputs, [(n, m)], 5, variances, False)
        mmd_case(group, f"{kernel}_weighted", inputs, [(7, 65)], 5, variances, True)
        sizes = [(7, 3), (1, 7), (65, 1), (3, 65)]
        mmd_case(group, f"{kernel}_grouped", inputs, sizes, 4, variances, False)
        mmd_case(group, f"{kernel}_grouped_weighted", inputs, sizes, 4, variances, True)
    same = inputs.normal(7, 5)
    square = mmd_square(leaf(same), same, CODE)
    group.put("same", generated=same, real=same, square=square, value=root(square))
    return group


# Label-based contrastive loss: methods.md 5.2 to 5.5.


def contrastive(anchors, labels, keys, key_labels, settings, other=None, other_labels=None):
    """`settings`: temperature, whether the denominator has all keys, whether without itself."""
    temperature, all_keys, without_self = settings
    logits = anchors @ keys.T / temperature
    valid = (key_labels >= 0).expand(len(labels), -1)
    if without_self:
        valid = valid & ~torch.eye(len(labels), dtype=torch.bool)
    alike = labels[:, None] == key_labels[None, :]
    positive, negative = valid & alike, valid & ~alike
    if other is not None:
        logits = torch.cat([logits, anchors @ other.T / temperature], 1)
        same = labels[:, None] == other_labels[None, :]
        positive = torch.cat([positive, same], 1)
        negative = torch.cat([negative, torch.zeros_like(same)], 1)
    powers = torch.exp(logits)
    if all_keys:
        below = (powers * (positive | negative)).sum(1, keepdim=True).expand_as(powers)
    else:
        below = powers + (powers * negative).sum(1, keepdim=True)
    losses = torch.where(positive, torch.log(below) - logits, 0.0)
    counts = positive.sum(1)
    taking_part = (labels >= 0) & (counts > 0)
    means = losses.sum(1)[taking_part] / counts[taking_part]
    return means.mean()


def unit(u):
    return u / u.norm(dim=1, keepdim=True)


def contrastive_case(group, case, inputs, sizes, settings, classes, with_other):
    """One size: anchors are keys. Two: they are not."""
    raw = [leaf(inputs.normal(size, 4)) for size in sizes]
    names = [inputs.labels(size, -1, classes) for size in sizes]
    for labels in names:
        labels[0] = 0  # so that there is a positive pair
    features = [unit(u) for u in raw]
    for f in features:
        f.retain_grad()
    f_other = names_other = None
    if with_other:
        other = leaf(inputs.normal(9, 4))
        names_other = inputs.labels(9, -1, classes)
        f_other = unit(other)
    keys, key_names = (features[-1], names[-1])
    value = contrastive(
        features[0], names[0], keys, key_names, settings, f_other, names_other
    )
    value.backward()
    group.put(case, value=value, temperature=torch.tensor(settings[0], dtype=torch.float64))
    for name, u, f, labels in zip(("anchors", "keys"), raw, features, names):
        group.put(case, **{name: u, f"{name}_labels": labels})
        group.put(case, **{f"{name}_gradient": u.grad, f"{name}_unit_gradient": f.grad})
    if with_other:
        group.put(case, other=other, other_labels=names_other, other_gradient=other.grad)


def contrastives():
    group, inputs = Group(), Inputs(2)
    for form, all_keys in (("paper", True), ("code", False)):
        for n, m in ((3, 7), (7, 3), (65, 33)):
            settings = (0.3, all_keys, False)
            contrastive_case(group, f"{form}_{n}_{m}", inputs, [n, m], settings, 2, False)
        # The batch variant: the pixels of several pictures, at the paper's temperature.
        batch = (0.07, all_keys, False)
        contrastive_case(group, f"{form}_batch", inputs, [33, 33], batch, 5, False)
        contrastive_case(group, f"{form}_own", inputs, [33], (0.3, all_keys, False), 4, False)
        contrastive_case(group, f"{form}_cross", inputs, [33, 17], (0.3, all_keys, False), 3, True)
        contrastive_case(
            group, f"{form}_without_self", inputs, [17], (0.3, all_keys, True), 3, False
        )
    published(group, inputs)
    return group


def published(group, inputs):
    """The published code's whole loss: of a picture and of its distorted version."""
    raw = [leaf(inputs.normal(17, 4)) for _ in range(2)]
    labels = inputs.labels(17, -1, 3)
    settings = (0.07, False, False)
    value = sum(contrastive(unit(u), labels, unit(u), labels, settings) for u in raw)
    value.backward()
    group.put("published", value=value, labels=labels)
    for name, u in zip(("first", "second"), raw):
        group.put("published", **{name: u, f"{name}_gradient": u.grad})


# Other losses and layers.


def losses():
    group, inputs = Group(), Inputs(3)
    for rows, classes in ((1, 3), (7, 13), (65, 4)):
        logits = leaf(inputs.normal(rows, classes, deviation=3.0))
        labels = inputs.labels(rows, 0, classes)
        labels[1::3] = -1
        weights = inputs.uniform(classes, low=0.1, high=5.0)
        for name, by_class in (("plain", None), ("weighted", weights)):
            logits.grad = None
            value = F.cross_entropy(logits, labels, weight=by_class, ignore_index=-1)
            value.backward()
            group.put(f"entropy_{rows}", labels=labels, logits=logits, weights=weights)
            group.put(f"entropy_{rows}", **{name: value, f"{name}_gradient": logits.grad})
        each = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
        group.put(f"entropy_{rows}", rows=each)
        divergences(group, inputs, rows, classes)
        balanced(group, inputs, rows, classes)
        normalised(group, inputs, rows, classes)
    return group


def divergences(group, inputs, rows, classes):
    """Methods.md 8: KL(teacher || student), the mean over rows, and the squared error."""
    teacher = inputs.normal(rows, classes, deviation=2.0)
    student = leaf(inputs.normal(rows, classes, deviation=2.0))
    weights = inputs.uniform(rows, low=0.1)
    case = f"divergence_{rows}"
    group.put(case, teacher=teacher, student=student, weights=weights)
    each = F.kl_div(
        F.log_softmax(student, 1), F.log_softmax(teacher, 1), reduction="none", log_target=True
    ).sum(1)
    values = {
        "plain": each.mean(),
        "weighted": (each * weights).sum() / weights.sum(),
        "squared": F.mse_loss(student, teacher),
    }
    for name, value in values.items():
        (gradient,) = torch.autograd.grad(value, student, retain_graph=True)
        group.put(case, **{name: value, f"{name}_gradient": gradient})


def balanced(group, inputs, rows, columns):
    """Methods.md 6.7: class-balanced binary cross-entropy, the mean over all pixels."""
    logits = leaf(inputs.normal(rows, columns, deviation=2.0))
    # The first three are one of each; 2 counts as neither.
    targets = inputs.labels(rows * columns, 0, 3).reshape(rows, columns)
    targets.view(-1)[:3] = torch.tensor([0, 1, 2])
    positives, negatives = (targets == 1).sum().item(), (targets == 0).sum().item()
    both = positives + negatives
    weights = torch.zeros(rows, columns, dtype=torch.float64)
    weights[targets == 1] = negatives / both
    weights[targets == 0] = positives / both
    wanted = (targets == 1).double()
    value = F.binary_cross_entropy_with_logits(logits, wanted, weight=weights, reduction="mean")
    value.backward()
    group.put(f"balanced_{rows}", logits=logits, targets=targets, value=value, gradient=logits.grad)


def normalised(group, inputs, rows, columns):
    x = leaf(inputs.normal(rows, columns))
    dy = inputs.normal(rows, columns)
    y = F.normalize(x, dim=1)
    y.backward(dy)
    group.put(f"normalised_{rows}", x=x, dy=dy, y=y, dx=x.grad)


def resizing():
    group, inputs = Group(), Inputs(4)
    sizes = (
        ((1, 1), (3, 4)),
        ((3, 5), (7, 7)),
        ((7, 4), (3, 1)),
        ((4, 1), (1, 6)),
        ((5, 3), (5, 3)),
        ((4, 3), (13, 6)),
        ((9, 11), (4, 5)),
    )
    for index, (start, end) in enumerate(sizes):
        for align_corners in (False, True):
            x = leaf(inputs.normal(2, 2, *start))
            dy = inputs.normal(2, 2, *end)
            y = F.interpolate(x, end, mode="bilinear", align_corners=align_corners)
            y.backward(dy)
            rows = {"x": x, "y": y, "dy": dy, "dx": x.grad}
            # Rows of pixels: picture after picture, channels last.
            rows = {name: t.permute(0, 2, 3, 1).reshape(-1, 2) for name, t in rows.items()}
            case = f"{index}_{'corners' if align_corners else 'centres'}"
            group.put(case, sizes=torch.tensor([*start, *end]), **rows)
    return group


# Optimisers.


def optimisers():
    group, inputs = Group(), Inputs(5)
    start = inputs.normal(7, 3)
    gradients = inputs.normal(10, 7, 3)
    # Of very different sizes, where epsilon counts and where it does not.
    sizes = np.logspace(-8, 2, 10)[inputs.generator.permutation(10)]
    gradients *= torch.from_numpy(sizes)[:, None, None]
    group.put("given", start=start, gradients=gradients)
    poly = lambda step: (1 - step / 10) ** 0.9
    runs = {
        "adam": lambda p: (torch.optim.Adam(p, lr=2e-4), None),
        "adam_betas": lambda p: (torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.99), eps=1e-4), None),
        "sgd": lambda p: (torch.optim.SGD(p, lr=0.1), None),
        "sgd_poly": lambda p: (torch.optim.SGD(p, lr=0.07, momentum=0.9, weight_decay=5e-4), poly),
    }
    for name, make in runs.items():
        p = leaf(start)
        optimiser, rate = make([p])
        schedule = rate and torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        after = []
        for gradient in gradients:
            p.grad = gradient.clone()
            optimiser.step()
            if schedule:
                schedule.step()
            after.append(p.detach().clone())
        group.put(name, after=torch.stack(after))
    return group


# The generator's step: methods.md 2.4 and 2.5.


def philox(counter, key):
    """Philox4x32-10 (Salmon and others, 2011)."""
    (a, b, c, d), (low, high) = counter, key
    for _ in range(10):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (
            (right >> 32) ^ b ^ low,
            right & 0xFFFFFFFF,
            (left >> 32) ^ d ^ high,
            left & 0xFFFFFFFF,
        )
        low, high = (low + 0x9E3779B9) & 0xFFFFFFFF, (high + 0xBB67AE85) & 0xFFFFFFFF
    return a, b, c, d


def engine_uniform(rows, columns, seed, step, stream):
    """The engine's uniform numbers: its key is the FNV-1a hash of the seed's bytes."""
    key = 0xCBF29CE484222325
    for byte in seed.to_bytes(8, "little"):
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    key = (key & 0xFFFFFFFF, key >> 32)
    blocks = range((rows * columns + 3) // 4)
    words = [word for block in blocks for word in philox((block, step, stream, 0), key)]
    numbers = np.array([(word >> 8) * 2.0**-24 for word in words[: rows * columns]])
    return torch.from_numpy(numbers).reshape(rows, columns)


def generator_case(group, case, inputs, dropout, variances):
    batch, real_rows, embedding, noise, hidden, channels, steps = 33, 7, 5, 6, 9, 4, 5
    seed = 20
    a = inputs.normal(1, embedding)
    real = inputs.normal(steps, real_rows, channels, mean=1.0)
    parameters = {
        "w1": leaf(inputs.normal(embedding + noise, hidden, deviation=0.4)),
        "b1": leaf(torch.full((1, hidden), 0.01, dtype=torch.float64)),
        "w2": leaf(inputs.normal(hidden, channels, deviation=0.4)),
        "b2": leaf(torch.full((1, channels), 0.01, dtype=torch.float64)),
    }
    group.put(case, embedding=a, real=real, dropout=torch.tensor(dropout, dtype=torch.float64))
    group.put(case, **parameters)
    adam = torch.optim.Adam(parameters.values(), lr=2e-3)
    values = []
    for step in range(steps):
        z = engine_uniform(batch, noise, seed, step, 0)
        mask = (engine_uniform(batch, hidden, seed, step, 1) >= dropout) / (1 - dropout)
        x = torch.cat([a.expand(batch, -1), z], 1)
        h = F.leaky_relu(x @ parameters["w1"] + parameters["b1"], 0.2) * mask
        y = h @ parameters["w2"] + parameters["b2"]
        value = root(mmd_square(y, real[step], variances))
        adam.zero_grad()
        value.backward()
        if step == 0:
            group.put(case, **{f"{name}_gradient": p.grad for name, p in parameters.items()})
            group.put(case, noise=z, mask=mask.double())
        adam.step()
        if step in (0, steps - 1):
            after = {f"{name}_after_{step + 1}": p for name, p in parameters.items()}
            group.put(case, **after)
        values.append(value.detach())
    group.put(case, values=torch.stack(values))


def generators():
    group, inputs = Group(), Inputs(6)
    generator_case(group, "plain", inputs, 0.0, CODE)
    generator_case(group, "dropout", inputs, 0.5, CODE)
    generator_case(group, "paper", inputs, 0.5, PAPER)
    return group


GROUPS = {
    "mmd": mmd,
    "contrastive": contrastives,
    "losses": losses,
    "resize": resizing,
    "optimisers": optimisers,
    "generator": generators,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, make in GROUPS.items():
        make().save(arguments.out / f"{name}.safetensors")


if __name__ == "__main__":
    main()
