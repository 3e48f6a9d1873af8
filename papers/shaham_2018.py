"""Shaham, Stanton, Li, Nadler, Basri and Kluger (2018), SpectralNet: spectral clustering using deep neural networks. ICLR.

DOI: 10.48550/arXiv.1801.01587. Figure 1, two moons: what k-means cannot part, a network trained on the graph's cost does.

Claim: a network with orthonormal outputs, trained on the graph's cost, clusters as spectral clustering does and maps new points.
On two moons k-means fails.

Ours beside it: the same network trained on the cost of LLE in place of the graph Laplacian's.

Found: it holds. The cost of LLE does not part the moons: it is as good as 0 for outputs that are linear along each of them.

Differs from the paper: its network orthonormalises each batch by Cholesky and is trained by alternating steps on batches; ours
ends in `jaxlle.nn.OrthonormalHead`, trained on all points at once, with a decaying rate. Affinities are equal over the k
nearest neighbours. The paper reports no number for its toy data. Accuracy is over the better matching of two clusters.

Run: jaxlle papers run shaham_2018 --full
"""

import warnings
from collections.abc import Callable
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
from jaxlle.losses import lle_loss, pull_loss
from jaxlle.nn import OrthonormalHead

PUBLISHED: dict[str, tuple[float, str]] = {}  # a picture
HEADLINE = (
    "k-means: accuracy",
    "spectral clustering: accuracy",
    "SpectralNet: accuracy",
    "SpectralNet: accuracy on new points",
    "LLE network: accuracy",
)
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
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Cluster several draws of the moons, and as many new points by the trained networks."""
    rows = []
    for seed in range(seeds):
        row, picture = _row(seed, n, k, noise, width, steps)
        rows.append(row)
        report(f"draw {seed + 1} of {seeds}", row)
        if figure is not None and seed == 0:
            draw(*picture, figure)
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def draw(x: Array, y: Array, outputs: dict[str, Array], figure: str) -> None:
    """Draw the moons with the clusters of k-means, and the outputs of both networks along the first of them."""
    import matplotlib.pyplot as plt

    picture, planes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    planes[0].scatter(*x.T, c=_clusters(x), s=5, cmap="coolwarm")
    planes[0].set_title("k-means on the points")
    for plane, (kind, z) in zip(planes[1:], outputs.items(), strict=True):
        plane.scatter(*x.T, c=_clusters(z), s=5, cmap="coolwarm")
        plane.set_title(f"k-means on the outputs: {kind}")
    for plane in planes:
        plane.set(xticks=[], yticks=[])
    picture.savefig(figure, dpi=100)
    plt.close(picture)


class Network(nnx.Module):
    """Three hidden layers and an orthonormal head."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        sizes = [2, width, width, width]
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])
        self.last = nnx.Linear(width, 1, rngs=rngs)
        self.head = OrthonormalHead(1, momentum=0.0)

    def __call__(self, x: Float[Array, "b 2"]) -> Float[Array, "b 1"]:
        """Return one white output: the constant, the graph's first eigenvector, is none of them."""
        x = 3 * x  # bends of the moons' width are then within the layers' reach
        for layer in self.layers:
            x = nnx.leaky_relu(layer(x))
        return self.head(self.last(x))


def _row(
    seed: int, n: int, k: int, noise: float, width: int, steps: int
) -> tuple[dict[str, float], tuple[Array, Array, dict[str, Array]]]:
    """Return the accuracies on one draw, and what its picture needs."""
    x, y = _moons(jax.random.key(2 * seed), n, noise)
    new, truth = _moons(jax.random.key(2 * seed + 1), n, noise)
    row = {"k-means: accuracy": _accuracy(_clusters(x), y)}
    spectral = SpectralClustering(2, affinity="nearest_neighbors", n_neighbors=k, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")  # the moons apart: all the better
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
    """Train in place; linear: on the cost of LLE, else on the graph's."""
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
        network = nnx.merge(graph, parameters, rest, copy=True)  # its running averages are written to
        z = network(x)
        cost = lle_loss(z, z[near], weights) if linear else pull_loss(z, z[near])
        return cost, nnx.split(network, nnx.Param, ...)[2]

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        parameters, rest, state = carry
        gradient, rest = jax.grad(loss, has_aux=True)(parameters, rest)
        change, state = optimizer.update(gradient, state)
        return (optax.apply_updates(parameters, change), rest, state), None

    (parameters, rest, _), _ = jax.lax.scan(step, (parameters, rest, optimizer.init(parameters)), length=steps)
    return parameters, rest


def _moons(key: Array, n: int, noise: float) -> tuple[Float[Array, "n 2"], Array]:
    """Return two half circles, each in the other's mouth, and which of them a point is on."""
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
