"""Supervised LLE: the neighbors depend on class labels or class probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .. import distances
from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_bytes, check_count, is_traced, warn_user
from .._core.labels import number_labels
from .._core.linear import matmul
from .._core.missing import read_host
from .._core.points import prepare_points, working_dtype
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..solvers import SolverLike
from .standard import lle

_UNLABELED = "use the label -1 for points without a label"


@dataclass(frozen=True)
class Shift:
    """Increase the distances between points of different classes: ``D + alpha max(D) Delta``.

    Delta is 0 within a class and 1 between classes (de Ridder and Duin 2002, supervised LLE; alpha = 1 is fully supervised,
    alpha between 0 and 1 semi-supervised). The equation was checked in public code after that paper. That code shifts squared
    distances, which gives the same order within a class and the same order between classes, but mixes the two differently at a
    given alpha. For class probabilities Delta is ``1 - p_i . p_j``, the probability that labels drawn from them differ, after
    probabilistic supervised LLE (Zhao and Zhang 2009), whose text was not available.

    Attributes:
        alpha: strength, in [0, 1].

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> distances, difference = jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0])
        >>> jaxlle.variants.Shift(0.5)(distances, difference, jnp.array(4.0), jnp.array(1.0))
        Array([1., 4.], dtype=float32)
    """

    alpha: float = 1.0

    def __call__(self, distance: Array, difference: Array, largest: Array, mean_square: Array) -> Array:
        """Return the modified distances from one point to all points."""
        return distance + self.alpha * largest * difference


@dataclass(frozen=True)
class Warp:
    """Bound the distances within a class by 1, and let those between classes grow exponentially (enhanced supervised LLE).

    The modified distance is ``sqrt(1 - exp(-D^2 / beta))`` within a class and ``sqrt(exp(D^2 / beta)) - alpha`` between classes
    (Zhang 2009, Pattern Recognition Letters 30:1208; the equation was checked in public code after that paper). That code sets
    beta to the mean distance, so that the result depends on the units of the data; with the mean squared distance it does not.
    With class probabilities, the two distances are averaged with the weights 1 - Delta and Delta (see `Shift`).

    Attributes:
        alpha: in [0, 1]; larger values allow neighbors from other classes where these are close.
        beta: in squared units of the data; None for the mean squared distance between two points.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> distances, difference = jnp.array([0.0, 0.0]), jnp.array([0.0, 1.0])
        >>> jaxlle.variants.Warp(alpha=0.5)(distances, difference, jnp.array(4.0), jnp.array(1.0))
        Array([0. , 0.5], dtype=float32)
    """

    alpha: float = 0.5
    beta: float | None = None

    def __call__(self, distance: Array, difference: Array, largest: Array, mean_square: Array) -> Array:
        """Return the modified distances from one point to all points."""
        beta = mean_square if self.beta is None else self.beta
        square = distance**2 / beta
        within = jnp.sqrt(-jnp.expm1(-square))
        # The cap keeps the exponential within the range of float32; distances beyond it become equal.
        across = jnp.exp(jnp.minimum(square / 2, 80)) - self.alpha
        return (1 - difference) * within + difference * across


Rule = Callable[[Array, Array, Array, Array], Array]


class Classes(NamedTuple):
    """Class probabilities of n points, and a mask of the labeled points."""

    probabilities: Float[Array, "n c"]
    known: Bool[Array, " n"]


def supervised_neighbors(
    x: Any, labels: Any, k: int, *, rule: Rule = Shift(), block_bytes: int = BLOCK_BYTES
) -> Neighbors:
    """Find the k nearest neighbors of every point by distances that depend on class labels.

    Args:
        x: points, shape (n, d), or a `Points` value.
        labels: one class label per point, of any type that NumPy can sort, shape (n,); -1 marks a point without a label, whose
            distances are changed as if all points were of its class. Or class probabilities, shape (n, c), with rows that sum
            to 1.
        k: neighbors per point.
        rule: `Shift`, `Warp`, or any function of (distances from one point, class differences in [0, 1], largest distance, mean
            squared distance) that returns modified distances.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Neighbors, nearest first; its distances are the modified distances. Barycentric weights do not depend on them, as they
        are computed from the coordinates.

    Raises:
        ValueError: for invalid points, or for labels that are missing or masked, of the wrong length, or not valid probabilities.

    Warns:
        JaxlleWarning: for classes with fewer than k + 1 members, whose neighborhoods contain members of other classes.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [2.0], [9.0]])
        >>> jaxlle.variants.supervised_neighbors(x, [0, 1, 0, 1], 1).indices[:, 0].tolist()
        [2, 3, 0, 1]
    """
    points = prepare_points(x)
    n, block_bytes = points.shape[0], check_bytes(block_bytes)
    check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points excluding the point itself")
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
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by supervised LLE, which is LLE with the neighbors of `supervised_neighbors`.

    With `Shift(1.0)` every neighborhood stays within its class, the graph has at least one component per class, and the first
    columns separate the classes. This is the purpose of the method; `DisconnectedGraphWarning` reports the components.
    `Shift(0.0)` is LLE (de Ridder and Duin 2002; Zhang 2009). Other variants accept `supervised_neighbors` as their graph.

    Args:
        x: points, shape (n, d), or a `Points` value.
        labels: as for `supervised_neighbors`.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point.
        rule: `Shift` (supervised, semi-supervised, probabilistic) or `Warp` (enhanced).
        reg: strength of the ridge, relative to the trace of the local Gram matrix.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `supervised_neighbors` and `lle`.

    Warns:
        JaxlleWarning: as `lle`, and for classes with fewer than k + 1 members.

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

    def distances_from(i: Array) -> Array:
        return unit * jax.vmap(partial(distances.euclidean, points[i]))(points)

    def nearest(i: Array) -> tuple[Array, Array]:
        same = matmul(classes.probabilities, classes.probabilities[i])
        difference = jnp.where(classes.known & classes.known[i], jnp.clip(1 - same, 0, 1), 0)
        modified = rule(distances_from(i), difference, largest, mean_square)
        negative, ids = lax.top_k(-jnp.where(jnp.arange(n) == i, jnp.inf, modified), k)
        return -negative, ids.astype(jnp.int32)

    cost = 3 * n * d * points.dtype.itemsize
    largest = map_rows(lambda i: distances_from(i).max(), jnp.arange(n), block_bytes, cost).max()
    mean_square = 2 * n / (n - 1) * unit**2 * jnp.var(points, axis=0).sum()
    return map_rows(nearest, jnp.arange(n), block_bytes, cost)


def read_labels(labels: Any) -> Any:
    """Return labels as an array; raise a ValueError that names the rows of masked or missing labels."""
    return labels if isinstance(labels, jax.Array) else read_host(labels, "labels", _UNLABELED)


def read_classes(labels: Any, n: int, k: int = 0) -> Classes:
    """Return the classes of n points from labels or class probabilities; warn of classes with at most k members."""
    values = read_labels(labels)
    if values.ndim not in (1, 2) or values.shape[0] != n:
        raise ValueError(
            f"labels has shape {tuple(values.shape)}, but it must hold one label, or one row of class probabilities, for "
            f"each of the {n} points."
        )
    if values.ndim == 2:
        return Classes(_probabilities(values), jnp.ones(n, bool))
    host = np.asarray(values)
    if host.dtype.kind == "f" and np.isnan(host).any():
        raise ValueError(f"labels has missing values (NaN): {_UNLABELED}.")
    names, members = number_labels(host)
    known = np.ones(n, bool) if host.dtype.kind not in "if" else host != -1
    _warn_small_classes(names, members[known], k)
    return Classes(jax.nn.one_hot(members, len(names)), jnp.asarray(known))


def _probabilities(values: Any) -> Float[Array, "n c"]:
    p = jnp.asarray(values, working_dtype(values))
    if not is_traced(p) and not bool(((p >= 0).all()) & (jnp.abs(p.sum(axis=1) - 1) < 1e-3).all()):
        raise ValueError("Class probabilities must be nonnegative and sum to 1 in every row.")
    return p


def _warn_small_classes(names: np.ndarray, members: np.ndarray, k: int) -> None:
    counts = np.bincount(members, minlength=len(names))
    small = [f"{name!s} ({count})" for name, count in zip(names, counts, strict=True) if 0 < count <= k]
    if small:
        warn_user(
            f"{len(small)} classes have no more than k = {k} members, so their neighborhoods contain members of other classes: "
            f"{', '.join(small[:8])}. Lower k.",
        )
