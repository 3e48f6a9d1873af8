"""The coarse space of landmarks: smooth vectors on all points, interpolated from values on few."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.arrays import move_floats
from .._core.blocks import BLOCK_BYTES
from .._core.calls import explain_calls
from .._core.checks import check_count, check_key
from .._core.linear import matmul
from .._core.points import as_points
from ..alignment import Alignment, PreparedAlignment
from ..alignment.operator import prepare_rows
from ..distances import euclidean
from ..neighbors import Neighbors, knn
from ..neighbors.blockwise import nearest_fixed
from ..regularizers import TraceRidge
from ..weights.barycentric import solve_points
from .rows import Operator, Rows

Choice = Callable[[Float[Array, "n d"], int, Array], Int[Array, " l"]]
_LEADING, _SAMPLE = 48, 2_000  # leading coordinates, and the points from which their directions are estimated
_SMOOTH_COORDINATES, _SMOOTH_STEPS = 24, 30
_INVERSE_STEPS = 12
_REG = 1e-3  # ridge of the interpolation
_BLOCK_BYTES = 2**25
_PANEL = 256  # columns of the coarse operator computed at a time


class Interpolation(NamedTuple):
    """All points as affine combinations of landmarks: the sparse matrix P, shape (n, l).

    Attributes:
        landmarks: indices of the landmarks among the points, shape (l,).
        nearest: the nearest landmarks of each point, as indices into `landmarks`, shape (n, k).
        weights: of the combinations, shape (n, k); a landmark has weight 1 on itself.
    """

    landmarks: Int[Array, " l"]
    nearest: Int[Array, "n k"]
    weights: Float[Array, "n k"]

    def rows(self, start: Int[Array, ""], count: int) -> Float[Array, "count l"]:
        """Return `count` rows of P as a dense matrix, zero beyond the last point."""
        own = start + jnp.arange(count)
        ids = jnp.minimum(own, self.nearest.shape[0] - 1)
        weights = jnp.where((own < self.nearest.shape[0])[:, None], self.weights[ids], 0)
        dense = jnp.zeros((count, self.landmarks.shape[0]), weights.dtype)
        return dense.at[jnp.arange(count)[:, None], self.nearest[ids]].add(weights)

    def image(self, alignment: Alignment, start: Int[Array, ""], count: int) -> Float[Array, "count_r l"]:
        """Return the rows of B P of `count` points as a dense matrix, zero beyond the last point."""
        n, r, _ = alignment.blocks.shape
        own = start + jnp.arange(count)
        ids = jnp.minimum(own, n - 1)
        blocks = jnp.where((own < n)[:, None, None], alignment.blocks[ids], 0)
        around = alignment.indices[ids]
        parts = blocks[:, :, :, None] * self.weights[around][:, None]  # count r m k
        place = jnp.broadcast_to(self.nearest[around][:, None], parts.shape).reshape(count * r, -1)
        dense = jnp.zeros((count * r, self.landmarks.shape[0]), parts.dtype)
        return dense.at[jnp.arange(count * r)[:, None], place].add(parts.reshape(count * r, -1))


class CoarseSpace(NamedTuple):
    """A coarse space and the inverse of M on it.

    Attributes:
        interpolation: the rows of P of the points of this device.
        inverse: inverse of P^T M P, in which the constant has a positive eigenvalue, shape (l, l).
        rows: the points of this device.
    """

    interpolation: PreparedAlignment
    inverse: Float[Array, "l l"]
    rows: Rows

    def prolong(self, z: Float[Array, "l c"]) -> Float[Array, "n c"]:
        """Return P z: interpolate values on the landmarks to all points."""
        return self.interpolation.matvec(z)

    def restrict(self, y: Float[Array, "n c"]) -> Float[Array, "l c"]:
        """Return P^T y."""
        return self.rows.all_sum(self.interpolation.rmatvec(y))

    def correct(self, r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return P (P^T M P)^-1 P^T r, the Galerkin solution of M z = r in the coarse space."""
        return self.prolong(matmul(self.inverse, self.restrict(r)))

    def bottom_vectors(self, key: Array, columns: int) -> Float[Array, "n c"]:
        """Approximate the bottom vectors of M in the coarse space by inverse iteration: the Locally Linear Landmarks embedding.

        The result has at most one column less than there are landmarks.
        """

        def step(_: Array, z: Float[Array, "l c"]) -> Float[Array, "l c"]:
            mass = self.restrict(self.prolong(z))
            return jnp.linalg.qr(matmul(self.inverse, mass - mass.mean(axis=0)))[0]

        size = self.inverse.shape[0]
        start = jax.random.normal(key, (size, min(columns, size - 1)), self.inverse.dtype)
        return self.prolong(lax.fori_loop(0, _INVERSE_STEPS, step, start))


def default_num_landmarks(num_points: int, divisor: int) -> int:
    """Return the default number of landmarks: a fraction of the points, between 200 and 1,000."""
    return max(200, min(1000, num_points // divisor))


def interpolate(
    points: Float[Array, "n d"], count: int, k: int, choice: Choice, key: Array, dtype: Any, rows: Rows
) -> Interpolation:
    """Choose landmarks and interpolate every point from its nearest landmarks, without derivative."""
    n = rows.num_points
    size = max(1, min(n, count))
    points = lax.stop_gradient(points)
    # A choice that does not read the points, as the default, does not gather them: XLA removes what is not used.
    landmarks = choice(rows.all_gather(points)[:n], size, key)
    # Centered, because distances and Gram matrices of points far from the origin lose digits.
    own = rows.take(points, landmarks)
    center = own.mean(axis=0)
    own, points = own - center, points - center
    nearest, distances = nearest_fixed(own, points, None, min(k, size), euclidean, BLOCK_BYTES)
    weights = solve_points(own, points, Neighbors(nearest, None), TraceRidge(_REG), 1.0).astype(dtype)
    itself = distances[:, :1] == 0
    weights = jnp.where(itself, jnp.arange(weights.shape[1]) == 0, weights).astype(dtype)
    weights = jnp.where(rows.is_point(len(weights))[:, None], weights / weights.sum(axis=1, keepdims=True), 0)
    return Interpolation(landmarks, rows.all_gather(nearest), rows.all_gather(weights))


def coarse_space(
    operator: Operator,
    points: Float[Array, "n d"] | None,
    top: Float[Array, ""],
    key: Array,
    count: int | None,
    k: int,
    choice: Choice,
) -> CoarseSpace:
    """Choose landmarks, interpolate all points from them, and invert M on the coarse space."""
    rows, alignment = operator.rows, operator.prepared.alignment
    key_choice, key_points = jax.random.split(key)
    if points is None:
        coordinates = smooth_coordinates(operator, top, key_points)
    else:
        coordinates = leading_coordinates(points, key_points, rows)
    count = default_num_landmarks(rows.num_points, 30) if count is None else count
    whole = interpolate(coordinates, count, k, choice, key_choice, alignment.blocks.dtype, rows)
    reduced = rows.all_sum(_coarse_operator(alignment, whole))
    # The coarse space contains the constant, on which M is zero. A positive eigenvalue there makes the matrix regular and does
    # not affect centered vectors.
    size = reduced.shape[0]
    scale = jnp.trace(reduced) / size
    lifted = reduced + scale / size + 4 * jnp.finfo(reduced.dtype).eps * scale * jnp.eye(size, dtype=reduced.dtype)
    inverse = jnp.linalg.inv(lifted)
    local = alignment.indices.shape[0]
    nearest, weights = (lax.dynamic_slice_in_dim(a, rows.offset_and_total(local)[0], local) for a in whole[1:])
    return CoarseSpace(prepare_rows(Alignment(nearest, weights[:, None, :]), size), (inverse + inverse.T) / 2, rows)


def random_landmarks(points: Any, count: int, key: Array) -> Int[Array, " l"]:
    """Choose landmarks uniformly at random. This is the default: it costs nothing and is as good as the others on real data.

    Args:
        points: shape (n, d).
        count: number of landmarks.
        key: seed of the random numbers.

    Returns:
        Row numbers of the landmarks, shape (count,).

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> jaxlle.solvers.random_landmarks(x, 10, jax.random.key(1)).shape
        (10,)
    """
    points, count, key = _check_choice(points, count, key)
    return jax.random.choice(key, points.shape[0], (count,), replace=False).astype(jnp.int32)


def farthest_landmarks(points: Any, count: int, key: Array) -> Int[Array, " l"]:
    """Choose landmarks by farthest-point sampling, which covers the data evenly and selects outliers first.

    Args:
        points: shape (n, d).
        count: number of landmarks.
        key: selects the first landmark; each following one is the point farthest from those before it.

    Returns:
        Row numbers of the landmarks, shape (count,).

    Example:
        >>> import jax, jaxlle
        >>> x = jax.numpy.array([[0.0], [1.0], [2.0], [9.0]])
        >>> 3 in jaxlle.solvers.farthest_landmarks(x, 2, jax.random.key(0))
        True
    """
    points, count, key = _check_choice(points, count, key)
    first = jax.random.randint(key, (), 0, points.shape[0], jnp.int32)

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        nearest, last = state
        nearest = jnp.minimum(nearest, jnp.sum((points - points[last]) ** 2, axis=1))
        return (nearest, jnp.argmax(nearest).astype(jnp.int32)), last

    start = jnp.full(points.shape[0], jnp.inf, points.dtype)
    return lax.scan(step, (start, first), None, length=count)[1]


def kmeans_landmarks(points: Any, count: int, key: Array) -> Int[Array, " l"]:
    """Choose the points nearest to the centers of a few steps of k-means (Lloyd 1982), which follow the density of the data.

    Args:
        points: shape (n, d).
        count: number of landmarks.
        key: selects the points at which the centers start.

    Returns:
        Row numbers of the landmarks, shape (count,).

    Example:
        >>> import jax, jaxlle
        >>> x = jax.numpy.array([[0.0], [1.0], [2.0], [9.0]])
        >>> int(jaxlle.solvers.kmeans_landmarks(x, 1, jax.random.key(0))[0])  # nearest to the mean, which is 3
        2
    """
    points, count, key = _check_choice(points, count, key)
    n = points.shape[0]

    def step(_: Array, centers: Float[Array, "l d"]) -> Float[Array, "l d"]:
        label = knn(centers, 1, query=points).indices[:, 0]
        total = jnp.zeros_like(centers).at[label].add(points)
        members = jnp.zeros(count, points.dtype).at[label].add(1)
        return jnp.where(members[:, None] > 0, total / jnp.maximum(members, 1)[:, None], centers)

    start = random_landmarks(points, count, key)
    centers = lax.fori_loop(0, 4, step, points[start])
    chosen = knn(points, 1, query=centers).indices[:, 0]
    # Two centers may have the same nearest point. A point that was not chosen then replaces the second.
    first = jnp.full(n, count).at[chosen].min(jnp.arange(count))
    taken = jnp.zeros(n, bool).at[chosen].set(True)
    spare = jnp.argsort(taken, stable=True)[:count].astype(jnp.int32)  # points that were not chosen come first
    return jnp.where(first[chosen] == jnp.arange(count), chosen, spare)


def _check_choice(points: Any, count: int, key: Any) -> tuple[Float[Array, "n d"], int, Array]:
    """Validate the arguments of a choice of landmarks."""
    points = move_floats(as_points(points, "points"), "points")
    n = points.shape[0]
    return points, check_count(count, "count", 1, n, f"at most the number of points, {n}"), check_key(key)


def leading_coordinates(points: Float[Array, "n d"], key: Array, rows: Rows) -> Float[Array, "n c"]:
    """Return the coordinates of the points along their leading directions, which suffice to find near landmarks at a low cost."""
    n, d = points.shape
    if d <= 2 * _LEADING:
        return points
    points = lax.stop_gradient(points)
    sample = points[:: -(-n // _SAMPLE)]
    guess = matmul(sample, jax.random.normal(key, (d, _LEADING), points.dtype))
    return matmul(points, jnp.linalg.qr(rows.inner(sample, guess))[0])


def smooth_coordinates(operator: Operator, top: Float[Array, ""], key: Array) -> Float[Array, "n c"]:
    """Return smoothed random vectors, as coordinates of the points of an alignment without data."""
    rows = operator.rows
    y = rows.random_normal(key, operator.prepared.alignment.blocks[:, 0, 0], _SMOOTH_COORDINATES)
    y = lax.fori_loop(0, _SMOOTH_STEPS, lambda _, y: rows.centered(y - operator.gram(y) / top), y)
    return y / jnp.sqrt(rows.all_sum(jnp.sum(y**2, axis=0)))


def rows_per_block(n: int, row_bytes: int) -> int:
    """Return the number of dense rows in a block."""
    return max(1, min(n, _BLOCK_BYTES // row_bytes))


def _coarse_operator(alignment: Alignment, interpolation: Interpolation) -> Float[Array, "l l"]:
    """Return P^T M P = (B P)^T (B P), computed from blocks of rows of B P: the upper panels, mirrored."""
    n, r, _ = alignment.blocks.shape
    size, dtype = interpolation.landmarks.shape[0], alignment.blocks.dtype
    count = rows_per_block(n, r * size * dtype.itemsize)
    starts = range(0, size, _PANEL)

    def add(i: Array, total: Float[Array, "l l"]) -> Float[Array, "l l"]:
        dense = interpolation.image(alignment, i * count, count)
        for start, stop in zip(starts, (*starts[1:], size), strict=True):
            total = total.at[start:stop, start:].add(matmul(dense[:, start:stop].T, dense[:, start:]))
        return total

    upper = jnp.triu(lax.fori_loop(0, -(-n // count), add, jnp.zeros((size, size), dtype)))
    return upper + jnp.triu(upper, 1).T


# Here, because `Landmark` has one of them as a default, which has to be the public function.
explain_calls(__name__, ("farthest_landmarks", "kmeans_landmarks", "random_landmarks"))
