"""How good an embedding is: exact measures, in blocks, so that 50,000 points fit any machine."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from . import _inputs, distances
from ._search import BLOCK_BYTES, Progress
from .neighbors import knn, search

_DIRECT_MAX_FEATURES = 16


def trustworthiness(
    x: Any, y: Any, *, k: int = 5, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
) -> Float[Array, ""]:
    """Measure how far the embedding's neighbours are neighbours in the data, in [0, 1].

    ``1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in U_k(i)} (r(i, j) - k)`` with U_k(i) the points among the k nearest of i in
    the embedding but not in the data, and r(i, j) the rank of j by distance from i in the data (Venna and Kaski 2001).

    Args:
        x: the data, shape (n, d).
        y: the embedding, shape (n, c).
        k: neighbours considered, below n / 2.
        block_bytes: memory that one block of points may take.
        progress: called with (rows done, rows in all) after each block, outside jit.

    Returns:
        Scalar; 1 is best. Ties are ranked by index.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or k >= n / 2.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.trustworthiness(x, x))
        1.0
    """
    x, y = _inputs.as_points(x), _inputs.as_points(y, "y")
    _check_pair(x, y, k)
    return _rank_penalty(x, y, k, block_bytes, progress)


def continuity(
    x: Any, y: Any, *, k: int = 5, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
) -> Float[Array, ""]:
    """Measure how far the data's neighbours stay neighbours in the embedding, in [0, 1].

    Trustworthiness with data and embedding exchanged (Venna and Kaski 2001).

    Args:
        x: the data, shape (n, d).
        y: the embedding, shape (n, c).
        k: neighbours considered, below n / 2.
        block_bytes: memory that one block of points may take.
        progress: as for `trustworthiness`.

    Returns:
        Scalar; 1 is best.

    Raises:
        ValueError: as `trustworthiness`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.continuity(x, x))
        1.0
    """
    x, y = _inputs.as_points(x), _inputs.as_points(y, "y")
    _check_pair(x, y, k)
    return _rank_penalty(y, x, k, block_bytes, progress)


def label_accuracy(y: Any, labels: Any, *, k: int = 10) -> float:
    """Return the share of points whose label is the majority's among their k nearest other points.

    Args:
        y: points, shape (n, c).
        labels: one label a point, of any kind that NumPy can sort.
        k: neighbours that vote; among equal counts the smallest label wins.

    Returns:
        Leave-one-out accuracy in [0, 1].

    Raises:
        ValueError: for bad points, or labels that are not one a point.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.label_accuracy(jnp.array([[0.0], [1.0], [5.0], [6.0]]), ["a", "a", "b", "b"], k=1)
        1.0
    """
    y = _inputs.as_points(y, "y")
    names, classes = np.unique(np.asarray(labels), return_inverse=True)
    if classes.shape != (y.shape[0],):
        raise ValueError(f"labels has shape {np.shape(labels)}, but there must be one label for each of {y.shape[0]} points.")
    votes = classes[np.asarray(knn(y, k).indices)]
    counts = np.stack([(votes == c).sum(axis=1) for c in range(len(names))], axis=1)
    return float((counts.argmax(axis=1) == classes).mean())


class Procrustes(NamedTuple):
    """The similarity that carries one configuration onto another.

    Attributes:
        aligned: ``scale * a @ rotation + shift``, shape (n, c).
        rotation: orthogonal, shape (c, c); may reflect.
        scale: scalar.
        shift: shape (c,).
        disparity: ``|aligned - b|^2 / |b - mean(b)|^2``, in [0, 1].
    """

    aligned: Float[Array, "n c"]
    rotation: Float[Array, "c c"]
    scale: Float[Array, ""]
    shift: Float[Array, " c"]
    disparity: Float[Array, ""]


def procrustes(a: Float[Array, "n c"], b: Float[Array, "n c"]) -> Procrustes:
    """Find the rotation, reflection, scale and shift of a that bring it closest to b (Schoenemann 1966).

    Args:
        a: configuration to move, shape (n, c).
        b: configuration to reach, shape (n, c).

    Returns:
        Procrustes; its disparity is 0 for similar configurations.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> a = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
        >>> float(jaxlle.metrics.procrustes(a, 3 * a[:, ::-1] + 1).disparity) < 1e-6
        True
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"procrustes compares configurations of one shape (n, c), got {a.shape} and {b.shape}.")
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    from_a, to_b = a - mean_a, b - mean_b
    left, values, right = jnp.linalg.svd(_product(from_a.T, to_b), full_matrices=False)
    rotation = _product(left, right)
    scale = values.sum() / jnp.sum(from_a**2)
    shift = mean_b - scale * _product(mean_a, rotation)
    aligned = scale * _product(a, rotation) + shift
    return Procrustes(aligned, rotation, scale, shift, jnp.sum((aligned - b) ** 2) / jnp.sum(to_b**2))


def subspace_angle(a: Float[Array, "n c"], b: Float[Array, "n c"]) -> Float[Array, ""]:
    """Return the largest principal angle between the spans of two sets of columns, in radians.

    The way to compare embeddings: columns may rotate among each other where singular values are close. Accurate for
    small and for large angles (Bjoerck and Golub 1973).

    Args:
        a: columns, shape (n, c).
        b: columns, shape (n, c).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.subspace_angle(jnp.array([[1.0], [0.0]]), jnp.array([[1.0], [1.0]])).round(4)
        Array(0.7854, dtype=float32)
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"subspace_angle compares columns of one shape (n, c), got {a.shape} and {b.shape}.")
    qa, qb = jnp.linalg.qr(a)[0], jnp.linalg.qr(b)[0]
    inside = _product(qb.T, qa)
    sine = jnp.linalg.svd(qa - _product(qb, inside), compute_uv=False)[0]
    return jnp.arctan2(sine, jnp.linalg.svd(inside, compute_uv=False)[-1])


def _check_pair(x: Any, y: Any, k: int) -> None:
    n = x.shape[0]
    if y.shape[0] != n:
        raise ValueError(f"x has {n} rows and y has {y.shape[0]}: they must be the same points.")
    _inputs.check_count(k, "k (n_neighbors)", 1, (n - 1) // 2, f"less than n_samples / 2 = {n / 2}, where the measure is defined")


def _rank_penalty(base: Any, other: Any, k: int, block_bytes: int, progress: Progress | None) -> Float[Array, ""]:
    """Return 1 minus the normalised sum of the ranks in `base`, beyond k, of the k nearest in `other`."""
    points = _inputs.standardize(base).points
    near = search(_inputs.standardize(other).points, None, k, distances.euclidean, block_bytes=block_bytes).indices
    n, d = points.shape
    row = (3 * n + (n * d if d <= _DIRECT_MAX_FEATURES else 0)) * points.dtype.itemsize
    rows = int(max(1, min(n, block_bytes // row)))
    starts = range(0, n, rows)
    if _inputs.is_traced(points, near):
        excess = lax.map(lambda start: _excess(points, near, start, rows), jnp.asarray(list(starts)))
        total = jnp.sum(excess.ravel()[:n].astype(points.dtype) / k / n)
        return 1 - 2 * total / (2 * n - 3 * k - 1)
    total = 0  # a Python integer: the sum passes 2^31 at 50,000 points
    for start in starts:
        total += int(np.asarray(_excess(points, near, start, rows), np.int64)[: n - start].sum())
        if progress is not None:
            progress(min(start + rows, n), n)
    return jnp.asarray(1 - 2 * total / (n * k * (2 * n - 3 * k - 1)), points.dtype)


@partial(jax.jit, static_argnames=("rows",))
def _excess(points: Float[Array, "n d"], near: Int[Array, "n k"], start: Any, rows: int) -> Int[Array, " b"]:
    """Return, for some points, the sum over their listed neighbours of the rank beyond k; 0 past the end."""
    n, d = points.shape
    k = near.shape[1]
    ids = jnp.minimum(start + jnp.arange(rows, dtype=jnp.int32), n - 1)
    if d <= _DIRECT_MAX_FEATURES:
        dist = jnp.sum((points[ids][:, None, :] - points[None, :, :]) ** 2, axis=2)
    else:
        squares = jnp.sum(points**2, axis=1)
        dist = squares[ids][:, None] + squares[None, :] - 2 * _product(points[ids], points.T)
    columns = jnp.arange(n, dtype=jnp.int32)[None, :]
    dist = jnp.where(columns == ids[:, None], jnp.inf, dist)
    named = near[ids].T
    reach = jnp.take_along_axis(dist, near[ids], axis=1).T

    def excess(pair: tuple[Array, Array]) -> Int[Array, " b"]:
        name, far = pair  # the j-th neighbour of each point, and how far it is
        # A point at the same distance is closer if its index is lower: `d <= far` is `d < nextafter(far)`.
        limit = jnp.where(columns < name[:, None], jnp.nextafter(far, jnp.inf)[:, None], far[:, None])
        # Counted by a product with ones, exact below 2^24 points: XLA's reductions of rows are several times slower.
        closer = jnp.dot((dist < limit).astype(dist.dtype), jnp.ones(n, dist.dtype), precision=lax.Precision.HIGHEST)
        return jnp.maximum(closer.astype(jnp.int32) + 1 - k, 0)

    return lax.map(excess, (named, reach)).sum(axis=0, dtype=jnp.int32)


def _product(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)
