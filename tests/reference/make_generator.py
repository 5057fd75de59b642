#!/usr/bin/env python3
"""Reference classifier rows for new classes, computed with NumPy and SciPy only.

Nothing of zsseg is used here: this is the yardstick `tests/generator.rs` measures with.

    make_generator.py --out generator
    make_generator.py --row toy FITTED.f64

For each of SCENES, in float64 but where stated:

1. An integer random sequence gives a generator (W1, b1, W2, b2), embeddings of the old classes
   and of a new one, near the first of them, and standard deviations of the old classes'
   features. Their means are the generator's output for noise at its mean, their rows those of
   a linear discriminant.
2. Philox4x32-10, keyed by a 64-bit FNV-1a hash of seed and embedding, gives noise for the
   positives (stream 0) and Gaussian numbers for the negatives (stream 1 + class), by Box and
   Muller's method from the upper 24 bits of each word.
3. Samples are centred and divided by the old classes' joint mean and deviation, and rounded to
   bf16.
4. scipy.optimize.minimize (trust-exact, with the exact second derivative) finds the row v, c
   with the least
   `sum_i w_i log(1 + exp(-+(v z_i + c - t_i))) + l2/2 |v|^2`, where t_i is the logsumexp of the
   old logits of the rounded sample and z_i that sample. It must end at a gradient below 1e-7.

NAME.f64 holds the weights for features that are not scaled, the bias, and the least loss: D + 2
little-endian float64. With --row, such a file (its last number is ignored) is judged: its loss
on these samples relative to the least, and its cosine with the best row, without biases.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

SCENES = {
    "toy": dict(seed=1, dim=3, noise=5, hidden=7, channels=13, classes=2, relu=False,
                normal=True, positives=50, negatives=75, l2=1e-2, weight=2.0),
    "lite": dict(seed=2, dim=50, noise=50, hidden=128, channels=472, classes=11, relu=True,
                 normal=False, positives=512, negatives=2048, l2=0.1, weight=1.0),
    "ade": dict(seed=3, dim=50, noise=50, hidden=128, channels=256, classes=150, relu=False,
                normal=False, positives=1024, negatives=4096, l2=1e-3, weight=1.0),
}
SLOPE = 0.2


class Integers:
    """A linear congruential sequence as multiples of 1/1024 from -1 to 1."""

    def __init__(self, seed):
        self.state = seed

    def take(self, *shape):
        values = np.empty(int(np.prod(shape)))
        for i in range(len(values)):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            values[i] = (self.state >> 53) / 1024 - 1
        return values.reshape(shape)


def generate(model, embedding, noise):
    first, bias, second, output_bias = model
    tall = np.concatenate([np.tile(embedding, (len(noise), 1)), noise], 1) @ first.T + bias
    return np.where(tall < 0, SLOPE * tall, tall) @ second.T + output_bias


def make_scene(scene):
    integers = Integers(scene["seed"])
    dim, hidden, channels = scene["dim"], scene["hidden"], scene["channels"]
    model = (
        integers.take(hidden, dim + scene["noise"]) / 4,
        integers.take(hidden) / 64,
        integers.take(channels, hidden),
        integers.take(channels) / 2,
    )
    embeddings = integers.take(scene["classes"] + 1, dim)
    embeddings[-1] = (3 * embeddings[0] + embeddings[-1]) / 4
    deviation = 0.25 + (integers.take(scene["classes"], channels) + 1) / 4
    noise = np.full((1, scene["noise"]), 0.0 if scene["normal"] else 0.5)
    mean = np.concatenate([generate(model, a, noise) for a in embeddings[:-1]])
    mean = np.maximum(mean, 0) if scene["relu"] else mean
    mean = mean.astype("f4").astype("f8")
    variance = (deviation**2).mean(0)
    rows = (mean / variance / 32).astype("f4").astype("f8")
    biases = (-0.5 * (mean**2 / variance / 32).sum(1)).astype("f4").astype("f8")
    return model, embeddings[-1], mean, deviation, rows, biases


def key_of(embedding, seed=0):
    hash_value = 0xCBF29CE484222325
    for byte in np.uint64(seed).tobytes() + (embedding + 0.0).astype("<f4").tobytes():
        hash_value = (hash_value ^ byte) * 0x100000001B3 % 2**64
    return hash_value % 2**32, hash_value >> 32


def philox(counter, key):
    word = np.uint64(0xFFFFFFFF)
    a, b, c, d = (np.asarray(part, "u8") for part in counter)
    low, high = key
    for _ in range(10):
        left, right = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = (
            (right >> np.uint64(32)) ^ b ^ np.uint64(low), right & word,
            (left >> np.uint64(32)) ^ d ^ np.uint64(high), left & word,
        )
        low, high = (low + 0x9E3779B9) % 2**32, (high + 0xBB67AE85) % 2**32
    return np.stack(np.broadcast_arrays(a, b, c, d), -1)


def draws(key, samples, width, stream, normal):
    blocks = -(-width // 4)
    block, sample = np.meshgrid(np.arange(blocks), np.arange(samples))
    words = philox((block, sample, np.full_like(block, stream), np.zeros_like(block)), key)
    uniform = (words >> np.uint64(8)).astype("f8") / 2**24
    if normal:
        radius = np.sqrt(-2 * np.log(uniform[..., 0::2] + 2.0**-24))
        angle = 2 * np.pi * uniform[..., 1::2]
        uniform = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return uniform.reshape(samples, -1)[:, :width]


def round_bf16(values):
    bits = values.astype("f4").view("u4").astype("u8")
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return bits.astype("u4").view("f4").astype("f8")


def pose(scene):
    """Samples, signs, weights, logsumexp of the old logits, and the scales of the channels."""
    model, embedding, mean, deviation, rows, biases = make_scene(scene)
    key = key_of(embedding)
    noise = draws(key, scene["positives"], scene["noise"], 0, scene["normal"])
    positives = generate(model, embedding, noise)
    per_class = -(-scene["negatives"] // scene["classes"])
    negatives = np.concatenate([
        mean[c] + deviation[c] * draws(key, per_class, scene["channels"], 1 + c, True)
        for c in range(scene["classes"])
    ])
    samples = np.concatenate([positives, negatives])
    samples = np.maximum(samples, 0) if scene["relu"] else samples
    center = mean.mean(0)
    scale = np.sqrt((mean**2 + deviation**2).mean(0) - center**2)
    scale = np.maximum(scale, 0.01 * scale.mean())
    samples = round_bf16((samples - center) / scale)
    others = logsumexp((samples * scale + center) @ rows.T + biases, axis=1)
    sign = np.concatenate([np.ones(len(positives)), -np.ones(len(negatives))])
    total = scene["weight"] + scene["classes"]
    weights = np.where(
        sign > 0, scene["weight"] / total / len(positives), 1 / total / per_class
    )
    return samples, sign, weights, others, center, scale


def loss_of(point, problem, l2):
    samples, sign, weights, others, _, _ = problem
    lead = samples @ point[:-1] + point[-1] - others
    return weights @ np.logaddexp(0, -sign * lead) + l2 / 2 * point[:-1] @ point[:-1]


def solve(problem, l2):
    samples, sign, weights, others, _, _ = problem
    tall = np.concatenate([samples, np.ones((len(samples), 1))], 1)
    ridge = np.full(tall.shape[1], l2)
    ridge[-1] = 0

    def gradient(point):
        lead = tall @ point - others
        return tall.T @ (-sign * weights * expit(-sign * lead)) + ridge * point

    def second(point):
        right = expit(tall @ point - others)
        return (tall.T * (weights * right * (1 - right))) @ tall + np.diag(ridge)

    start = np.zeros(tall.shape[1])
    start[-1] = weights @ others
    found = minimize(
        loss_of, start, (problem, l2), "trust-exact", lambda p, *_: gradient(p),
        lambda p, *_: second(p), options={"gtol": 1e-7, "maxiter": 500},
    )
    assert np.linalg.norm(gradient(found.x)) < 1e-7, found.message
    return found.x, found.fun


def unscale(point, problem):
    _, _, _, _, center, scale = problem
    row = point[:-1] / scale
    return np.append(row, point[-1] - row @ center)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the reference rows")
    parser.add_argument("--row", nargs=2, metavar=("SCENE", "FILE"), help="row to judge")
    args = parser.parse_args()
    for name in SCENES if args.out else [args.row[0]]:
        scene = SCENES[name]
        problem = pose(scene)
        point, loss = solve(problem, scene["l2"])
        row = unscale(point, problem)
        print(f"{name}: loss {loss:.8f}, |w| {np.linalg.norm(row[:-1]):.5f}, bias {row[-1]:.5f}")
        if args.out:
            np.append(row, loss).astype("<f8").tofile(args.out / f"{name}.f64")
            continue
        fitted = np.fromfile(args.row[1], "<f8")[:-1]
        _, _, _, _, center, scale = problem
        scaled = np.append(fitted[:-1] * scale, fitted[-1] + fitted[:-1] @ center)
        excess = loss_of(scaled, problem, scene["l2"]) / loss - 1
        lengths = np.linalg.norm(fitted[:-1]) * np.linalg.norm(row[:-1])
        cosine = fitted[:-1] @ row[:-1] / lengths
        print(f"{name}: loss {excess:+.2e} relative to the least, cosine {cosine:.6f}")


if __name__ == "__main__":
    main()
