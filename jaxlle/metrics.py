"""How good an embedding is: exact measures, in blocks, so that 50,000 points fit any machine."""

from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from . import _inputs, distances
from ._fidelity import local_procrustes as local_procrustes
from ._fidelity import preservation_error as preservation_error
from ._fidelity import residual_variance as residual_variance
from ._preservation import RankErrors as RankErrors
from ._preservation import density_divergence as density_divergence
from ._preservation import relative_rank_errors as relative_rank_errors
from ._search import BLOCK_BYTES, Progress
from .embedding import places
from .neighbors import knn, search

_DIRECT_MAX_FEATURES = 16


def trustworthiness(
    x: Any, y: Any, *, k: int = 5, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
) -> Float[Array, ""]:
    """Measure how far the embedding's neighbours are neighbours in the data, in [0, 1].

    ``1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in U_k(i)} (r(i, j) - k)`` with U_k(i) the points among the k
    nearest of i in the embedding but not in the data, and r(i, j) the rank of j by distance from i in the
    data (Venna and Kaski 2001).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: neighbours considered, below n / 2.
        block_bytes: memory that one block of points may take.
        progress: called with (rows done, rows in all) after each block, outside jit.

    Returns:
        Scalar; 1 is best. Ties are ranked by index. Inside jit, data of more than 16 features is ranked by
        products in its own dtype, whose rounding may exchange nearly equal distances.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or k >= n / 2.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.trustworthiness(x, x))
        1.0
    """
    x, y = _inputs.as_points(x), _inputs.as_points(places(y), "y")
    _check_pair(x, y, k)
    return _rank_penalty(x, y, k, block_bytes, progress)


def continuity(
    x: Any, y: Any, *, k: int = 5, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
) -> Float[Array, ""]:
    """Measure how far the data's neighbours stay neighbours in the embedding, in [0, 1].

    Trustworthiness with data and embedding exchanged (Venna and Kaski 2001).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
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
    x, y = _inputs.as_points(x), _inputs.as_points(places(y), "y")
    _check_pair(x, y, k)
    return _rank_penalty(y, x, k, block_bytes, progress)


def label_accuracy(y: Any, labels: Any, *, k: int = 10) -> float:
    """Return the share of points whose label is the majority's among their k nearest other points.

    Args:
        y: points, an Embedding or shape (n, c).
        labels: one label a point, of any kind that NumPy can sort.
        k: neighbours that vote; among equal counts the smallest label wins.

    Returns:
        Leave-one-out accuracy in [0, 1].

    Raises:
        ValueError: for bad points, or labels that are not one a point.
        TypeError: inside jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.label_accuracy(jnp.array([[0.0], [1.0], [5.0], [6.0]]), ["a", "a", "b", "b"], k=1)
        1.0
    """
    if _inputs.is_traced(y, labels):
        raise TypeError("label_accuracy sorts labels of any kind on the host: call it outside jit.")
    y = _inputs.as_points(places(y), "y")
    _, classes = np.unique(np.asarray(labels), return_inverse=True)
    if classes.shape != (y.shape[0],):
        raise ValueError(f"labels has shape {np.shape(labels)}, but there must be one for each of {y.shape[0]} points.")
    votes = np.sort(classes[np.asarray(knn(y, k).indices)], axis=1)
    counts = np.stack([(votes == votes[:, [j]]).sum(axis=1) for j in range(votes.shape[1])], axis=1)
    chosen = votes[np.arange(len(votes)), counts.argmax(axis=1)]
    return float((chosen == classes).mean())


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


def procrustes(a: Any, b: Any) -> Procrustes:
    """Find the rotation, reflection, scale and shift of a that bring it closest to b (Schoenemann 1966).

    Args:
        a: configuration to move, shape (n, c).
        b: configuration to reach, shape (n, c).

    Returns:
        Procrustes; its disparity is 0 for similar configurations. Differentiable, also where the rotation's
        singular values are equal, as they are between embeddings of orthonormal columns.

    Raises:
        ValueError: for configurations that are not finite, of unequal shapes, or single places.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> a = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
        >>> float(jaxlle.metrics.procrustes(a, 3 * a[:, ::-1] + 1).disparity) < 1e-6
        True
    """
    a, b = _inputs.as_points(places(a), "a"), _inputs.as_points(places(b), "b")
    _check_shapes(a, b, "procrustes compares configurations")
    near_a, near_b = _inputs.standardize(a), _inputs.standardize(b)  # right at any scale and offset
    mean_a, mean_b = near_a.points.mean(axis=0), near_b.points.mean(axis=0)
    from_a, to_b = near_a.points - mean_a, near_b.points - mean_b
    size_a, size_b = jnp.sum(from_a**2), jnp.sum(to_b**2)
    if not _inputs.is_traced(size_a, size_b) and not bool((size_a > 0) & (size_b > 0)):
        raise ValueError("All points of a configuration are equal: procrustes has no scale to match.")
    cross = _product(from_a.T, to_b)
    rotation = _polar(cross)
    ratio = jnp.sum(cross * rotation) / size_a
    moved = ratio * _product(from_a, rotation)
    scale = ratio * (near_b.unit / near_a.unit)
    reached = near_b.center + near_b.unit * mean_b
    shift = reached - scale * _product(near_a.center + near_a.unit * mean_a, rotation)
    aligned = near_b.unit * moved + reached
    return Procrustes(aligned, rotation, scale, shift, jnp.sum((moved - to_b) ** 2) / size_b)


@jax.custom_jvp
def _polar(matrix: Float[Array, "c c"]) -> Float[Array, "c c"]:
    """Return the orthogonal factor U V^T of U S V^T."""
    left, _, right = jnp.linalg.svd(matrix)
    return _product(left, right)


@_polar.defjvp
def _polar_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # U and V alone have no derivative where singular values are equal; their product has: with K = U^T dM V,
    # d(U V^T) = U (K - K^T) / (s_i + s_j) V^T.
    left, s, right = jnp.linalg.svd(primals[0])
    inner = _product(_product(left.T, tangents[0]), right.T)
    sums = s[:, None] + s[None, :]
    turn = jnp.where(sums > 0, (inner - inner.T) / jnp.where(sums > 0, sums, 1), 0)
    return _product(left, right), _product(_product(left, turn), right)


def subspace_angle(a: Any, b: Any) -> Float[Array, ""]:
    """Return the largest principal angle between the spans of two sets of columns, in radians.

    The way to compare embeddings: columns may rotate among each other where singular values are close.
    Accurate for small and for large angles (Bjoerck and Golub 1973).

    Args:
        a: columns, linearly independent, shape (n, c).
        b: columns, linearly independent, shape (n, c).

    Raises:
        ValueError: for columns that are not finite numbers, or of unequal shapes.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.subspace_angle(jnp.array([[1.0], [0.0]]), jnp.array([[1.0], [1.0]])).round(4)
        Array(0.7854, dtype=float32)
    """
    a, b = _inputs.as_points(places(a), "a"), _inputs.as_points(places(b), "b")
    _check_shapes(a, b, "subspace_angle compares columns")
    qa, qb = (jnp.linalg.qr(jnp.asarray(c, _inputs.working_dtype(c)))[0] for c in (a, b))
    inside = _product(qb.T, qa)
    sine = jnp.linalg.svd(qa - _product(qb, inside), compute_uv=False)[0]
    return jnp.arctan2(sine, jnp.linalg.svd(inside, compute_uv=False)[-1])


def affine_residual(truth: Any, y: Any) -> Float[Array, ""]:
    """Measure what no affine map of the embedding explains of the true coordinates, in [0, 1].

    ``mean_c min_{a, b} ||t_c - (Y a + b 1)||^2 / ||t_c - mean(t_c)||^2`` over the true coordinates t_c: each counts the
    same, whatever its unit. 0 where the embedding is the truth up to an affine map, which is all that LLE promises.

    Args:
        truth: true coordinates, shape (n, p).
        y: the embedding, an Embedding or shape (n, c); n > c.

    Returns:
        Scalar. Columns of y that depend on others, to their dtype's rounding, are left out of the map.

    Raises:
        ValueError: for arrays that are not finite, unequal numbers of rows, or a true coordinate that is constant.

    Example:
        >>> import jax, jaxlle
        >>> roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 400)
        >>> bool(jaxlle.metrics.affine_residual(roll.parameters, roll.parameters @ jax.numpy.ones((2, 2)) + 3) < 0.6)
        True
    """
    truth, y = _inputs.as_points(truth, "truth"), _inputs.as_points(places(y), "y")
    if len(truth) != len(y):
        raise ValueError(f"affine_residual compares rows of the same points: truth has {len(truth)}, y has {len(y)}.")
    truth, y = _scaled_columns(truth), _scaled_columns(y)
    total = jnp.sum(truth**2, axis=0)
    if not _inputs.is_traced(total) and not bool((total > 0).all()):
        raise ValueError("A true coordinate is constant: nothing of it can be explained. Drop that column.")
    coefficients = jnp.linalg.lstsq(y, truth)[0]
    left = truth - _product(y, coefficients)
    return jnp.mean(jnp.sum(left**2, axis=0) / total)


def _scaled_columns(x: Any) -> Float[Array, "n c"]:
    """Return the columns centred and of a largest entry 1; a constant column as 0."""
    points = _inputs.standardize(x).points
    points = points - points.mean(axis=0)
    largest = jnp.abs(points).max(axis=0)
    return points / jnp.where(largest > 0, largest, 1)


def _check_shapes(a: Any, b: Any, what: str) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{what} of one shape (n, c), got {a.shape} and {b.shape}.")


def _check_pair(x: Any, y: Any, k: int) -> None:
    n = x.shape[0]
    if y.shape[0] != n:
        raise ValueError(f"x has {n} rows and y has {y.shape[0]}: they must be the same points.")
    why = f"less than n_samples / 2 = {n / 2}, where the measure is defined"
    _inputs.check_count(k, "k (n_neighbors)", 1, (n - 1) // 2, why)


def _rank_penalty(base: Any, other: Any, k: int, block_bytes: int, progress: Progress | None) -> Float[Array, ""]:
    """Return 1 minus the normalised sum of the ranks in `base`, beyond k, of the k nearest in `other`."""
    points, others = _inputs.standardize(base).points, _inputs.standardize(other).points
    near = search(others, None, k, distances.euclidean, block_bytes=block_bytes).indices
    n, d = points.shape
    if _inputs.is_traced(points, near):
        rows = _block_rows(points, block_bytes)
        mean = lax.map(
            lambda start: _excess(points, near, start, rows).astype(points.dtype).mean(axis=0), jnp.arange(0, n, rows)
        )
        return 1 - 2 * mean.ravel()[:n].mean() / (2 * n - 3 * k - 1)
    total = 0  # a Python integer: the sum passes 2^31 at 50,000 points
    # Distances by products lose digits that float32 cannot spare: rounding would rank distant tight clusters.
    with jax.enable_x64(True) if d > _DIRECT_MAX_FEATURES else nullcontext():
        wide = points if d <= _DIRECT_MAX_FEATURES else points.astype(np.float64)
        rows = _block_rows(wide, block_bytes)
        for start in range(0, n, rows):
            total += int(np.asarray(_excess(wide, near, start, rows))[:, : n - start].sum(dtype=np.int64))
            if progress is not None:
                progress(min(start + rows, n), n)
    return jnp.asarray(1 - 2 * total / (n * k * (2 * n - 3 * k - 1)), points.dtype)


def _block_rows(points: Float[Array, "n d"], block_bytes: int) -> int:
    n, d = points.shape
    row = (3 * n + (n * d if d <= _DIRECT_MAX_FEATURES else 0)) * points.dtype.itemsize
    return int(max(1, min(n, block_bytes // row)))


@partial(jax.jit, static_argnames=("rows",))
def _excess(points: Float[Array, "n d"], near: Int[Array, "n k"], start: Any, rows: int) -> Int[Array, "k b"]:
    """Return the ranks beyond k, 0 within, of the listed neighbours of some points; past the end the last point's."""
    ids = jnp.minimum(start + jnp.arange(rows, dtype=jnp.int32), points.shape[0] - 1)
    return _beyond(points, ids, near[ids])


def _beyond(points: Float[Array, "n d"], ids: Int[Array, " b"], near: Int[Array, "b k"]) -> Int[Array, "k b"]:
    (n, d), k = points.shape, near.shape[1]
    if d <= _DIRECT_MAX_FEATURES:
        dist = jnp.sum((points[ids][:, None, :] - points[None, :, :]) ** 2, axis=2)
    else:
        squares = jnp.sum(points**2, axis=1)
        dist = squares[ids][:, None] + squares[None, :] - 2 * _product(points[ids], points.T)
    columns = jnp.arange(n, dtype=jnp.int32)[None, :]
    dist = jnp.where(columns == ids[:, None], jnp.inf, dist)
    reach = jnp.take_along_axis(dist, near, axis=1).T

    def excess(pair: tuple[Array, Array]) -> Int[Array, " b"]:
        name, far = pair  # the j-th neighbour of each point, and how far it is
        # A point at the same distance is closer if its index is lower: `d <= far` is `d < nextafter(far)`.
        # What comes after 0 is denormal, and may be flushed to 0.
        above = jnp.maximum(jnp.nextafter(far, jnp.inf), jnp.finfo(far.dtype).tiny)
        limit = jnp.where(columns < name[:, None], above[:, None], far[:, None])
        # Counted by a product with ones, exact below 2^24 points: XLA's reductions of rows are far slower.
        closer = _product((dist < limit).astype(dist.dtype), jnp.ones(n, dist.dtype))
        return jnp.maximum(closer.astype(jnp.int32) + 1 - k, 0)

    return lax.map(excess, (near.T, reach))  # not summed: 100,000 points' sums may pass 2^31


def _product(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)
