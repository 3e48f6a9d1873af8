"""Supervised LLE: labels, or class probabilities, say which points are fit to be neighbours."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .. import distances
from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_count, is_traced
from .._core.points import prepare_points, working_dtype
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..solvers import Solver
from ..warnings import JaxlleWarning
from .standard import lle


@dataclass(frozen=True)
class Shift:
    """Push points of other classes away: ``D + alpha max(D) Delta``.

    Delta is 0 within a class and 1 across (de Ridder and Duin 2002, supervised LLE; alpha = 1 is fully supervised, alpha
    between 0 and 1 semi-supervised; read in public code after that paper, which shifts squared distances: the order within a
    class and that across are the same, how the two mix at a given alpha is not). For class probabilities Delta is
    ``1 - p_i . p_j``, the probability that labels drawn from them differ, after probabilistic supervised LLE (Zhao and Zhang
    2009), which was not available.

    Attributes:
        alpha: strength, in [0, 1].
    """

    alpha: float = 1.0

    def __call__(self, distance: Array, difference: Array, largest: Array, mean_square: Array) -> Array:
        """Return the changed distances of one point to all."""
        return distance + self.alpha * largest * difference


@dataclass(frozen=True)
class Warp:
    """Bound distances within a class by 1 and let those across grow: enhanced supervised LLE (Zhang 2009).

    ``sqrt(1 - exp(-D^2 / beta))`` within a class and ``sqrt(exp(D^2 / beta)) - alpha`` across (Zhang 2009, Pattern Recognition
    Letters 30:1208; read in public code after that paper). That code takes the mean distance as beta, with which the answer
    changes with the units of the data; with the mean squared distance it does not. With class probabilities the two are mixed
    in the share of Delta.

    Attributes:
        alpha: lets points of different classes that lie close be neighbours: in [0, 1].
        beta: in squared units of the data; None for the mean squared distance of two points.
    """

    alpha: float = 0.5
    beta: float | None = None

    def __call__(self, distance: Array, difference: Array, largest: Array, mean_square: Array) -> Array:
        """Return the changed distances of one point to all."""
        beta = mean_square if self.beta is None else self.beta
        square = distance**2 / beta
        within = jnp.sqrt(-jnp.expm1(-square))
        across = jnp.exp(jnp.minimum(square / 2, 80)) - self.alpha  # order beyond e^80 is no longer told apart
        return (1 - difference) * within + difference * across


Rule = Callable[[Array, Array, Array, Array], Array]


class Classes(NamedTuple):
    """Class probabilities of n points, and which of them have a label at all."""

    probabilities: Float[Array, "n c"]
    known: Bool[Array, " n"]


def supervised_neighbors(
    x: Any, labels: Any, k: int, *, rule: Rule = Shift(), block_bytes: int = BLOCK_BYTES
) -> Neighbors:
    """Find the nearest neighbours by distances that labels have changed.

    Args:
        x: points, shape (n, d).
        labels: one a point, of any kind that NumPy can sort, shape (n,); -1 for a point without a label, which no rule
            tells from any other; or class probabilities, shape (n, c), rows summing to 1.
        k: neighbours a point.
        rule: `Shift` or `Warp`, or any function of (distances, differences of class, largest distance, mean squared distance).
        block_bytes: memory that one block of points may take.

    Returns:
        Neighbors, nearest first by the changed distances, which it holds. Weights are made of the coordinates, as ever.

    Raises:
        ValueError: for bad points, or labels that are missing, of the wrong length, or no probabilities.

    Warns:
        JaxlleWarning: for classes with fewer than k + 1 members: their neighbourhoods take in members of others.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [2.0], [9.0]])
        >>> jaxlle.variants.supervised_neighbors(x, [0, 1, 0, 1], 1).indices[:, 0].tolist()
        [2, 3, 0, 1]
    """
    points = prepare_points(x)
    n = points.shape[0]
    check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points less itself")
    classes = read_classes(labels, n, k)
    found = _nearest(points.coordinates, points.unit, classes, k, rule, block_bytes)
    return Neighbors(found[1], found[0])


def supervised_lle(
    x: Any,
    labels: Any,
    dim: int,
    *,
    k: int,
    rule: Rule = Shift(),
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by supervised LLE: LLE on neighbours that labels have chosen.

    With `Shift(1.0)` every neighbourhood keeps to its class, the graph falls into the classes, and the first columns tell them
    apart: that is the method's purpose, and `DisconnectedGraphWarning` says so. `Shift(0.0)` is plain LLE. Other variants take
    `supervised_neighbors` as their graph.

    Args:
        x: points, shape (n, d).
        labels: as for `supervised_neighbors`.
        dim: dimensions of the embedding, at most d.
        k: neighbours a point.
        rule: `Shift` (supervised, semi-supervised, probabilistic) or `Warp` (enhanced).
        reg: strength of the regularizer of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `supervised_neighbors` and `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.variants.supervised_lle(x, x[:, 0] > 0, 2, k=8, rule=jaxlle.variants.Shift(0.1)).points.shape
        (100, 2)
    """
    points = prepare_points(x)
    neighbors = supervised_neighbors(points, labels, k, rule=rule, block_bytes=options.block_bytes)
    return lle(points, dim, k=k, reg=reg, solver=solver, neighbors=neighbors, options=options)


@partial(jax.jit, static_argnames=("k", "rule", "block_bytes"))
def _nearest(
    points: Float[Array, "n d"], unit: Any, classes: Classes, k: int, rule: Rule, block_bytes: int
) -> tuple[Array, Array]:
    n, d = points.shape

    def row(i: Array) -> Array:
        return unit * jax.vmap(partial(distances.euclidean, points[i]))(points)

    def nearest(i: Array) -> tuple[Array, Array]:
        same = jnp.dot(classes.probabilities, classes.probabilities[i], precision=lax.Precision.HIGHEST)
        difference = jnp.where(classes.known & classes.known[i], jnp.clip(1 - same, 0, 1), 0)
        changed = rule(row(i), difference, largest, mean_square)
        far, ids = lax.top_k(-jnp.where(jnp.arange(n) == i, jnp.inf, changed), k)
        return -far, ids.astype(jnp.int32)

    cost = 3 * n * d * points.dtype.itemsize
    largest = map_rows(lambda i: row(i).max(), jnp.arange(n), block_bytes, cost).max()
    mean_square = 2 * n / (n - 1) * unit**2 * jnp.var(points, axis=0).sum()
    return map_rows(nearest, jnp.arange(n), block_bytes, cost)


def read_classes(labels: Any, n: int, k: int = 0) -> Classes:
    """Return the classes of n points from labels or class probabilities; warn of classes of no more than k members."""
    values = labels if isinstance(labels, jax.Array) else np.asarray(labels)
    if values.ndim not in (1, 2) or values.shape[0] != n:
        raise ValueError(
            f"labels has shape {tuple(values.shape)}, but there must be one label, or one row of class probabilities, for "
            f"each of {n} points."
        )
    if values.ndim == 2:
        return Classes(_probabilities(values), jnp.ones(n, bool))
    host = np.asarray(values)
    if any(v is None or v != v for v in host.tolist()):
        raise ValueError("labels has missing values: give points without a label the label -1.")
    names, members = np.unique(host, return_inverse=True)
    known = np.ones(n, bool) if host.dtype.kind not in "if" else host != -1
    _tell_small(names, members[known], k)
    return Classes(jax.nn.one_hot(members, len(names)), jnp.asarray(known))


def _probabilities(values: Any) -> Float[Array, "n c"]:
    p = jnp.asarray(values, working_dtype(values))
    if not is_traced(p) and not bool(((p >= 0).all()) & (jnp.abs(p.sum(axis=1) - 1) < 1e-3).all()):
        raise ValueError("Class probabilities must be at least 0 and sum to 1 in every row.")
    return p


def _tell_small(names: np.ndarray, members: np.ndarray, k: int) -> None:
    counts = np.bincount(members, minlength=len(names))
    small = [f"{name!s} ({count})" for name, count in zip(names, counts, strict=True) if 0 < count <= k]
    if small:
        warnings.warn(
            f"{len(small)} classes have no more than k = {k} members, so their neighbourhoods take in members of others: "
            f"{', '.join(small[:8])}. Lower k.",
            JaxlleWarning,
            stacklevel=4,
        )
