"""ZS3Net's generator of features (Bucher et al., NeurIPS 2019), in NumPy.

`x = W2 leaky(W1 [a; z] + b1) + b2` for an embedding a and uniform noise z, trained per
class to have the distribution of its real features (MMD with Gaussian kernels).
"""

from dataclasses import dataclass

import numpy as np

BANDWIDTHS = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
# Mean squared distance that two features get, so that the bandwidths fit.
SQUARED_DISTANCE = 20.0


@dataclass(frozen=True)
class GeneratorSettings:
    """The network, and Adam on one class per step. ZS3Net's dropout is left out."""

    noise: int = 50
    hidden: int = 128
    slope: float = 0.2
    batch: int = 128
    steps: int = 3000
    rate: float = 1e-3
    seed: int = 5


def squared_mmd(fake: np.ndarray, real: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns MMD^2 (diagonals included) and its gradient by `fake` [N,D]."""
    both = np.concatenate([fake, real])
    squares = np.square(both).sum(axis=1)
    distance = squares[:, None] + squares - 2.0 * both @ both.T
    distance = np.maximum(distance, 0.0)
    count = len(fake)
    sign = np.concatenate(
        [np.full(count, 1 / count), np.full(len(real), -1 / len(real))]
    )
    kernels = [np.exp(distance / (-2.0 * width)) for width in BANDWIDTHS]
    value = float(sum(sign @ kernel @ sign for kernel in kernels))
    slope = sum(kernel / width for kernel, width in zip(kernels, BANDWIDTHS))
    pull = sign[:count, None] * slope[:count] * sign
    gradient = -2.0 * (pull.sum(axis=1)[:, None] * fake - pull @ both)
    return value, gradient


def start(embedding: int, channels: int, settings: GeneratorSettings, rng) -> dict:
    """Returns the first parameters: Xavier-uniform weights, biases 0.01."""

    def weights(rows, columns):
        bound = np.sqrt(6.0 / (rows + columns))
        return rng.uniform(-bound, bound, (rows, columns))

    return {
        "w1": weights(settings.hidden, embedding + settings.noise),
        "b1": np.full(settings.hidden, 0.01),
        "w2": weights(channels, settings.hidden),
        "b2": np.full(channels, 0.01),
    }


def generate(parameters: dict, embedding: np.ndarray, noise: np.ndarray, slope: float):
    """Returns features [N,D], hidden values before the slope [N,H] and inputs."""
    inputs = np.concatenate([np.tile(embedding, (len(noise), 1)), noise], axis=1)
    before = inputs @ parameters["w1"].T + parameters["b1"]
    hidden = np.where(before > 0, before, slope * before)
    return hidden @ parameters["w2"].T + parameters["b2"], before, inputs


def loss(parameters: dict, embedding, noise, real, slope: float) -> tuple[float, dict]:
    """Returns the MMD and its gradient by every parameter."""
    fake, before, inputs = generate(parameters, embedding, noise, slope)
    square, by_fake = squared_mmd(fake, real)
    value = np.sqrt(max(square, 1e-12))
    by_fake /= 2.0 * value
    hidden = np.where(before > 0, before, slope * before)
    by_before = by_fake @ parameters["w2"] * np.where(before > 0, 1.0, slope)
    gradient = {
        "w1": by_before.T @ inputs,
        "b1": by_before.sum(axis=0),
        "w2": by_fake.T @ hidden,
        "b2": by_fake.sum(axis=0),
    }
    return value, gradient


def train(features, cover, embeddings, settings: GeneratorSettings) -> dict:
    """Returns w1, b1, w2, b2 (f32) of a generator of raw features.

    `features` [N,D], `cover` [N,C], `embeddings` [C,E]; cells that a class covers by more
    than half are its samples. Learns on standardised features; folds the scale in after.
    """
    rng = np.random.default_rng(settings.seed)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    scale = deviation / np.sqrt(SQUARED_DISTANCE / (2 * features.shape[1]))
    members = [np.flatnonzero(column > 0.5) for column in cover.T]
    parameters = start(embeddings.shape[1], features.shape[1], settings, rng)
    first = {name: np.zeros_like(value) for name, value in parameters.items()}
    second = {name: np.zeros_like(value) for name, value in parameters.items()}
    for step in range(1, settings.steps + 1):
        label = int(rng.integers(len(members)))
        drawn = features[rng.choice(members[label], settings.batch)]
        noise = rng.uniform(0.0, 1.0, (settings.batch, settings.noise))
        real = (drawn - mean) / scale
        _, gradient = loss(parameters, embeddings[label], noise, real, settings.slope)
        for name, value in gradient.items():
            first[name] += 0.1 * (value - first[name])
            second[name] += 0.001 * (np.square(value) - second[name])
            by = first[name] / (1 - 0.9**step)
            by /= np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            parameters[name] -= settings.rate * by
    parameters["w2"] *= scale[:, None]
    parameters["b2"] = parameters["b2"] * scale + mean
    return {name: value.astype(np.float32) for name, value in parameters.items()}
