"""Shaham, Stanton, Li, Nadler, Basri and Kluger (2018), SpectralNet: spectral clustering using deep neural networks. ICLR.

DOI: 10.48550/arXiv.1801.01587. Figure 1, two moons: a network trained on the cost of the graph separates them, k-means does
not.

Claim: a network with orthonormal outputs, trained on the cost of the graph Laplacian, clusters like spectral clustering and
maps new points. On two moons k-means fails.

For comparison: the same network trained on the LLE cost in place of the graph Laplacian.

Found: the claim holds. The LLE cost does not separate the moons: it is nearly 0 for outputs that are linear along each of them.

Differs from the paper: its network orthonormalizes each batch by Cholesky factorization and is trained by alternating steps on
batches; the network here ends in `jaxlle.nn.OrthonormalHead` and is trained on all points at once, with a decreasing learning
rate. Affinities are equal for the k nearest neighbors. The paper reports no number for this data set. Accuracy is that of the
better assignment of the two clusters.

Run: jaxlle papers run shaham_2018 --full
"""

import warnings
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from sklearn.cluster import KMeans, SpectralClustering

import jaxlle
from jaxlle.losses import laplacian_loss, lle_loss
from jaxlle.nn import OrthonormalHead

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the paper shows a figure
SMALL = {"n": 300, "steps": 800, "seeds": 1}

KINDS = ("SpectralNet", "LLE network")


def main(
    n: int = 600,
    k: int = 10,
    noise: float = 0.05,
    width: int = 48,
    steps: int = 2000,
    seeds: int = 3,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Cluster several draws of the moons, and the same number of new points by the trained networks."""
    rows = []
    for seed in range(seeds):
        row, _ = _row(seed, n, k, noise, width, steps)
        rows.append(row)
        report(f"draw {seed + 1} of {seeds}", row)
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def draw(
    results: dict[str, float],
    figure: str,
    n: int = 600,
    k: int = 10,
    noise: float = 0.05,
    width: int = 48,
    steps: int = 2000,
) -> None:
    """Draw the clusters of the first draw by k-means on the points and on the outputs of both networks."""
    from matplotlib.figure import Figure

    _, (x, _, outputs) = _row(0, n, k, noise, width, steps)
    clusters = {"k-means": _clusters(x)} | {kind: _clusters(z) for kind, z in outputs.items()}
    picture = Figure(figsize=(9, 2.6), layout="constrained")
    for panel, (name, found) in zip(picture.subplots(1, 3), clusters.items(), strict=True):
        for cluster, color in enumerate(("#0072B2", "#D55E00")):
            panel.scatter(*np.asarray(x)[found == cluster].T, s=9, color=color, alpha=0.6, lw=0)
        panel.set(title=f"{name}: accuracy {results[f'{name}: accuracy']:.2f}", aspect="equal")
        panel.set_axis_off()
    picture.savefig(figure)


class Network(nnx.Module):
    """Three hidden layers and an orthonormal head."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        sizes = [2, width, width, width]
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])
        self.last = nnx.Linear(width, 1, rngs=rngs)
        self.head = OrthonormalHead(1, momentum=0.0)

    def __call__(self, x: Float[Array, "b 2"]) -> Float[Array, "b 1"]:
        """Return one white output, centered, so that it is not the constant eigenvector of the graph."""
        x = 3 * x  # so that the random first layer has kinks at the scale of the moons
        for layer in self.layers:
            x = nnx.leaky_relu(layer(x))
        return self.head(self.last(x))


def _row(
    seed: int, n: int, k: int, noise: float, width: int, steps: int
) -> tuple[dict[str, float], tuple[Array, Array, dict[str, Array]]]:
    """Return the accuracies on one draw, and its points and the outputs of the networks for the figure."""
    x, y = _moons(jax.random.key(2 * seed), n, noise)
    new, truth = _moons(jax.random.key(2 * seed + 1), n, noise)
    row = {"k-means: accuracy": _accuracy(_clusters(x), y)}
    spectral = SpectralClustering(2, affinity="nearest_neighbors", n_neighbors=k, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")  # because the moons are separate components
        row["spectral clustering: accuracy"] = _accuracy(spectral.fit_predict(np.asarray(x)), y)
    near = jaxlle.knn(x, k)
    weights = jaxlle.barycentric_weights(x, near)
    outputs = {}
    for kind in KINDS:
        network = Network(width, nnx.Rngs(seed))
        _train(network, x, near.indices, weights, kind == "LLE network", steps)
        network.eval()
        outputs[kind] = network(x)
        means: Any = _kmeans().fit(np.asarray(outputs[kind]))
        row[f"{kind}: accuracy"] = _accuracy(means.labels_, y)
        row[f"{kind}: accuracy on new points"] = _accuracy(means.predict(np.asarray(network(new))), truth)
    return row, (x, y, outputs)


def _train(network: Network, x: Array, near: Array, weights: Array, linear: bool, steps: int) -> None:
    """Train in place, on the LLE cost if `linear`, else on that of the graph Laplacian."""
    graph, parameters, rest = nnx.split(network, nnx.Param, ...)
    parameters, rest = _descend(graph, parameters, rest, x, near, weights, linear, steps)
    nnx.update(network, parameters, rest)


@partial(jax.jit, static_argnames=("graph", "linear", "steps"))
def _descend(
    graph: nnx.GraphDef,
    parameters: nnx.State,
    rest: nnx.State,
    x: Array,
    near: Array,
    weights: Array,
    linear: bool,
    steps: int,
) -> tuple[Any, Any]:
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps))

    def loss(parameters: nnx.State, rest: nnx.State) -> tuple[Array, Any]:
        network = nnx.merge(graph, parameters, rest, copy=True)  # the call updates its running averages
        z = network(x)
        cost = lle_loss(z, z[near], weights) if linear else laplacian_loss(z, z[near])
        return cost, nnx.split(network, nnx.Param, ...)[2]

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        parameters, rest, state = carry
        gradient, rest = jax.grad(loss, has_aux=True)(parameters, rest)
        change, state = optimizer.update(gradient, state)
        return (optax.apply_updates(parameters, change), rest, state), None

    (parameters, rest, _), _ = jax.lax.scan(step, (parameters, rest, optimizer.init(parameters)), length=steps)
    return parameters, rest


def _moons(key: Array, n: int, noise: float) -> tuple[Float[Array, "n 2"], Array]:
    """Return points of two interleaved half circles, and the index of the half circle of each point."""
    place, shake = jax.random.split(key)
    y = jnp.arange(n) % 2
    angle = jnp.pi * jax.random.uniform(place, (n,))
    upper, lower = [jnp.cos(angle), jnp.sin(angle)], [1 - jnp.cos(angle), 0.5 - jnp.sin(angle)]
    x = jnp.where(y[:, None] == 0, jnp.stack(upper, axis=1), jnp.stack(lower, axis=1))
    return x + noise * jax.random.normal(shake, (n, 2)), y


def _clusters(x: Array) -> np.ndarray:
    return _kmeans().fit_predict(np.asarray(x))


def _kmeans() -> KMeans:
    return KMeans(2, n_init=10, random_state=0)  # pyright: ignore[reportArgumentType]


def _accuracy(clusters: np.ndarray, y: Array) -> float:
    share = float(np.mean(clusters == np.asarray(y)))
    return max(share, 1 - share)
