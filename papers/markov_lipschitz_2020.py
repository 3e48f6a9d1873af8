"""Li, Zang and Wu (2020), Markov-Lipschitz deep learning. arXiv 2006.08256.

DOI: 10.48550/arXiv.2006.08256. The table for the Swiss roll of 800 points in the README of its code: averages over ten seeds.

Claim: the solvers of this library reproduce the rows of LLE, MLLE, HLLE and LTSA, and an encoder trained with its losses
improves on ML-Enc, the best row of the table.

Found: all numbers of the four rows agree within 1 %, except K-max, which depends on the worst of 800 points and on the last
digits of the eigensolver (372 instead of 452 for LLE). The encoder unrolls 10 of 10 samples, as ML-Enc does, with K-max 1.10
(ML-Enc: 2.14), RRE 0.00032 (0.00041) and LGD 0.0032 (0.0039); trustworthiness and continuity are equal. L-KL, 0.0184 in both
cases, and K-min, 1.002 (1.00), are not better. The same cost minimized without a network (the row "ball") gives K-max 1.06 and
RRE 0.00030.

Differs from the paper: it does not define success. The bound used here, an affine residual to (arc length, height) below 0.002,
was selected to reproduce the published counts; they are the same for bounds from 0.0014 to 0.0027, and up to 0.09 only that of
MLLE changes, to 7 instead of 6. k is not stated; 10 reproduces the numbers. The HLLE row of the paper is scikit-learn's
"hessian", which is LTSA for this k (see papers/scikit_learn_digits.py), and both rows exclude each point from its own
neighborhood; the row "hessian" is the method of Donoho and Grimes. The averages hide two cases: in four of the ten samples some
neighborhoods connect two layers of the roll, and there all methods on the graph of k nearest neighbors fail or nearly fail. LGD
and K depend on the scale of the output, for which unit columns are not meaningful. L-KL is 0.0184 for the true parameters, as
in the row of ML-Enc: a smaller value is not better.

The row "ball" is LTSA without neighbors at distances above 0.23, the radius that the losses of ML-Enc use too, followed by the
linear map that preserves the distances of neighbors (`isometric_map`). The row "encoder" is a network trained on the same
graph: 3-200-2 with tanh, a random initial hidden layer, an output layer that minimizes the cost of LTSA over its hidden
features exactly (`linear_projection`), and then 120 steps of L-BFGS for all weights on `isometry_loss` + 10 `alignment_loss`,
full batch, ten seeds in one vmapped scan. It is not the network of the paper: that network, 3-100-100-100-3-2 with LeakyReLU
0.1, trained from random weights by `alignment_loss` + `log_det_penalty` and then `isometry_loss`, unrolled 2 of 4 samples in
2,000 steps in a trial that is not part of this file (the authors use 10,000 steps).

Run: jaxlle papers run markov_lipschitz_2020 --full
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from sklearn.datasets import make_swiss_roll

import jaxlle
from jaxlle import losses, metrics

from ._report import Report

PUBLISHED = {
    "lle.success": (0, "S"),
    "lle.l-kl": (0.1775, "S"),
    "lle.rre": (0.014249, "S"),
    "lle.trust": (0.9753, "S"),
    "lle.cont": (0.9895, "S"),
    "lle.lgd": (0.04671, "S"),
    "lle.k-min": (6.17, "S"),
    "lle.k-max": (451.58, "S"),
    "mlle.success": (6, "S"),
    "mlle.l-kl": (0.1251, "S"),
    "mlle.rre": (0.030702, "S"),
    "mlle.trust": (0.9455, "S"),
    "mlle.cont": (0.9844, "S"),
    "mlle.lgd": (0.04534, "S"),
    "mlle.k-min": (7.37, "S"),
    "mlle.k-max": (238.74, "S"),
    "hlle.success": (6, "S"),
    "hlle.l-kl": (0.1297, "S"),
    "hlle.rre": (0.034619, "S"),
    "hlle.trust": (0.9388, "S"),
    "hlle.cont": (0.9859, "S"),
    "hlle.lgd": (0.04542, "S"),
    "hlle.k-min": (7.44, "S"),
    "hlle.k-max": (218.38, "S"),
    "ltsa.success": (6, "S"),
    "ltsa.l-kl": (0.1296, "S"),
    "ltsa.rre": (0.034933, "S"),
    "ltsa.trust": (0.9385, "S"),
    "ltsa.cont": (0.9859, "S"),
    "ltsa.lgd": (0.04542, "S"),
    "ltsa.k-min": (7.44, "S"),
    "ltsa.k-max": (215.93, "S"),
    # The row of ML-Enc, with which the encoder is compared.
    "encoder.success": (10, "S"),
    "encoder.l-kl": (0.0184, "S"),
    "encoder.rre": (0.000414, "S"),
    "encoder.trust": (0.9999, "S"),
    "encoder.cont": (0.9985, "S"),
    "encoder.lgd": (0.00385, "S"),
    "encoder.k-min": (1.00, "S"),
    "encoder.k-max": (2.14, "S"),
}
SMALL = {"seeds": 1, "steps": 20}

UNIT = np.sqrt(2 / 3)  # the table divides distances by the square root of the dimension: K is 1 at this scale


def main(
    n: int = 800,
    k: int = 10,
    radius: float = 0.23,
    seeds: int = 10,
    width: int = 200,
    steps: int = 120,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Compute every row of the table in float64; the network is trained in float32."""
    results: dict[str, float] = {}
    rolls = [_roll(seed, n) for seed in range(seeds)]

    def row(name: str, embeddings: list[np.ndarray]) -> None:
        with jax.enable_x64(True):
            rows = [measures(roll.points, y, roll.parameters) for roll, y in zip(rolls, embeddings, strict=True)]
        found = {f"{name}.{measure}": float(np.mean([r[measure] for r in rows])) for measure in rows[0]}
        found[f"{name}.success"] *= seeds
        results.update(found)
        report(name, found)

    row("truth", [roll.parameters * UNIT for roll in rolls])
    for name, variant in VARIANTS.items():
        with jax.enable_x64(True):
            row(name, [np.asarray(variant(roll.points, 2, k=k).points) for roll in rolls])
    with jax.enable_x64(True):
        row("ball", [_in_a_ball(roll.points, k, radius) for roll in rolls])
    row("encoder", list(_encoders(rolls, k, radius, width, steps)))
    return results


VARIANTS: dict[str, Callable[..., jaxlle.Embedding]] = {
    "lle": jaxlle.lle,
    "mlle": jaxlle.modified_lle,
    "hlle": partial(jaxlle.ltsa, include_self=False),
    "ltsa": partial(jaxlle.ltsa, include_self=False),
    "hessian": jaxlle.hessian_lle,
}


class Roll(NamedTuple):
    """A sample with its arc length and height, in the units of the paper (1/20 of those of the roll)."""

    points: np.ndarray
    parameters: np.ndarray


def _roll(seed: int, n: int) -> Roll:
    x, t = make_swiss_roll(n, random_state=seed)
    arc = (t * np.sqrt(1 + t**2) + np.arcsinh(t)) / 2
    return Roll(x / 20, np.stack([arc, x[:, 1]], axis=1) / 20)


def measures(x: np.ndarray, y: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the metrics of the table as its utils.py defines them: means over k = 10, 20 and k = 4, ..., 9."""
    y = np.asarray(y, np.float64)
    near = np.asarray(jaxlle.knn(x, 9).indices)
    old, new = (np.linalg.norm(a[:, None] - a[near], axis=2) / np.sqrt(a.shape[1]) for a in (x, y))
    ratio = new[:, :5] / old[:, :5]
    lipschitz = np.maximum(ratio.max(axis=1), 1 / ratio.min(axis=1))
    return {
        "success": float(metrics.affine_residual(truth, y) < 0.002),
        "l-kl": metrics.density_divergence(x, y, sigma=0.01),
        "rre": float(np.mean([metrics.relative_rank_errors(x, y, k=k) for k in (10, 20)])),
        "trust": float(np.mean([metrics.trustworthiness(x, y, k=k) for k in (10, 20)])),
        "cont": float(np.mean([metrics.continuity(x, y, k=k) for k in (10, 20)])),
        "lgd": float(np.mean([np.sqrt(np.mean((old - new)[:, :k] ** 2)) for k in range(4, 10)])),
        "k-min": float(lipschitz.min()),
        "k-max": float(lipschitz.max()),
    }


def _ball(x: np.ndarray, k: int, radius: float) -> jaxlle.Neighbors:
    """Return the k nearest neighbors within the radius, with distances in the scale of the table."""
    found = jaxlle.knn(x, k)
    assert found.distances is not None
    return found._replace(mask=found.distances <= radius, distances=found.distances * UNIT)


def _in_a_ball(x: np.ndarray, k: int, radius: float) -> np.ndarray:
    neighbors = _ball(x, k, radius)
    y = jaxlle.ltsa(x, 2, k=k, neighbors=neighbors).points
    return np.asarray(y @ jaxlle.embedding.isometric_map(y, neighbors))


class Layers(NamedTuple):
    """Parameters of the encoder, tanh(x hidden + shift) output + offset."""

    hidden: Array
    shift: Array
    output: Array
    offset: Array


def encode(layers: Layers, x: Array) -> Array:
    """Map points of shape (n, 3) to the plane."""
    return jnp.tanh(x @ layers.hidden + layers.shift) @ layers.output + layers.offset


def _start(key: Array, x: np.ndarray, alignment: jaxlle.Alignment, neighbors: jaxlle.Neighbors, width: int) -> Layers:
    """Return a random hidden layer, and the output layer that minimizes the alignment cost and preserves distances."""
    weights, shifts = jax.random.split(key)
    hidden = jax.random.normal(weights, (3, width)) / np.std(x)
    shift = jax.random.normal(shifts, (width,))
    features = jnp.tanh(x @ hidden + shift)
    best = jaxlle.variants.linear_projection(alignment, features, 2)
    output = best.matrix / best.unit
    output = output @ jaxlle.embedding.isometric_map(features @ output, neighbors)
    return Layers(hidden, shift, output, -features.mean(axis=0) @ output)


def _encoders(rolls: list[Roll], k: int, radius: float, width: int, steps: int) -> np.ndarray:
    """Train one encoder per sample, all in one scan, and return its embedding of the sample."""
    points = [roll.points.astype(np.float32) for roll in rolls]
    graphs = [_ball(x, k, radius) for x in points]
    alignments = [jaxlle.ltsa_alignment(x, 2, k=k, neighbors=g) for x, g in zip(points, graphs, strict=True)]
    keys = jax.random.split(jax.random.key(0), len(points))
    starts = [_start(*each, width) for each in zip(keys, points, alignments, graphs, strict=True)]
    optimizer = optax.lbfgs()

    def train(layers: Layers, x: Array, neighbors: jaxlle.Neighbors, alignment: jaxlle.Alignment) -> Array:
        assert neighbors.distances is not None
        distances = neighbors.distances

        def loss(layers: Layers) -> Array:
            y = encode(layers, x)
            kept = losses.isometry_loss(y, y[neighbors.indices], distances, mask=neighbors.mask)
            return kept + 10 * losses.alignment_loss(y[alignment.indices], alignment.blocks)

        def step(state: tuple, _: None) -> tuple[tuple, None]:
            layers, memory = state
            value, slope = optax.value_and_grad_from_state(loss)(layers, state=memory)
            updates, memory = optimizer.update(slope, memory, layers, value=value, grad=slope, value_fn=loss)
            return (optax.apply_updates(layers, updates), memory), None

        (layers, _), _ = jax.lax.scan(step, (layers, optimizer.init(layers)), length=steps)
        return encode(layers, x)

    stacked = (jax.tree.map(lambda *a: jnp.stack(a), *parts) for parts in (starts, points, graphs, alignments))
    return np.asarray(jax.jit(jax.vmap(train))(*stacked))


def draw(
    results: dict[str, float], figure: str, n: int = 800, k: int = 10, radius: float = 0.23, seeds: int = 10
) -> None:
    """Draw the embeddings of an easy and of a difficult sample, colored by arc length; the network is not trained again."""
    from matplotlib.figure import Figure

    rolls = [_roll(seed, n) for seed in sorted({0, min(2, seeds - 1)})]
    shown = {"true parameters": [roll.parameters for roll in rolls]}
    titles = {"lle": "LLE", "mlle": "modified LLE", "ltsa": "LTSA", "hessian": "Hessian LLE"}
    with jax.enable_x64(True):
        for name, title in titles.items():
            shown[title] = [np.asarray(VARIANTS[name](roll.points, 2, k=k).points) for roll in rolls]
        shown["isometric LTSA"] = [_in_a_ball(roll.points, k, radius) for roll in rolls]
    picture = Figure(figsize=(1.6 * len(shown), 1.75 * len(rolls)), layout="constrained")
    axes = picture.subplots(len(rolls), len(shown), squeeze=False)
    for place, (title, embeddings) in enumerate(shown.items()):
        axes[0, place].set(title=title)
        for ax, y, roll in zip(axes[:, place], embeddings, rolls, strict=True):
            ax.scatter(*y.T, c=roll.parameters[:, 0], s=4, alpha=0.7, lw=0)
            ax.set_axis_off()
    picture.savefig(figure)
