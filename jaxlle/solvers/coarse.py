"""Landmarks as a coarse space: smooth vectors on all points, from values on few."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ..alignment import Alignment, PreparedAlignment
from ..alignment.operator import prepare_rows
from ..neighbors import knn
from ..neighbors.graph import require_distances
from ..weights import barycentric_weights
from .rows import Operator, Rows, product

Choice = Callable[[Float[Array, "n d"], int, Array], Int[Array, " l"]]
_COORDINATES, _SAMPLE = 48, 2_000
_SMOOTH_COORDINATES, _SMOOTH_STEPS = 24, 30
_BOTTOM_STEPS = 12
_BLOCK = 2**25
_PANEL = 256  # columns of the coarse operator made at a time


class Interpolation(NamedTuple):
    """Every point as an affine combination of landmarks: the sparse matrix P, all of its rows.

    Attributes:
        landmarks: which points they are, shape (l,).
        near: each point's nearest landmarks, as positions among the landmarks, shape (n, k).
        weights: of the combination, shape (n, k); a landmark is itself.
    """

    landmarks: Int[Array, " l"]
    near: Int[Array, "n k"]
    weights: Float[Array, "n k"]

    def rows(self, start: Int[Array, ""], count: int) -> Float[Array, "count l"]:
        """Return rows of P, dense; zero beyond the last point."""
        own = start + jnp.arange(count)
        ids = jnp.minimum(own, self.near.shape[0] - 1)
        weights = jnp.where((own < self.near.shape[0])[:, None], self.weights[ids], 0)
        dense = jnp.zeros((count, self.landmarks.shape[0]), weights.dtype)
        return dense.at[jnp.arange(count)[:, None], self.near[ids]].add(weights)

    def image(self, alignment: Alignment, start: Int[Array, ""], count: int) -> Float[Array, "count_r l"]:
        """Return the rows of B P that some points' blocks make, dense; zero beyond the last point."""
        n, r, _ = alignment.blocks.shape
        own = start + jnp.arange(count)
        ids = jnp.minimum(own, n - 1)
        blocks = jnp.where((own < n)[:, None, None], alignment.blocks[ids], 0)
        around = alignment.indices[ids]
        parts = blocks[:, :, :, None] * self.weights[around][:, None]  # count r m k
        place = jnp.broadcast_to(self.near[around][:, None], parts.shape).reshape(count * r, -1)
        dense = jnp.zeros((count * r, self.landmarks.shape[0]), parts.dtype)
        return dense.at[jnp.arange(count * r)[:, None], place].add(parts.reshape(count * r, -1))


class Coarse(NamedTuple):
    """A coarse space and the inverse of M on it.

    Attributes:
        interpolation: P, or the rows of P for the points that are here.
        inverse: of P^T M P, with the constant lifted, shape (l, l).
        rows: which points are here.
    """

    interpolation: PreparedAlignment
    inverse: Float[Array, "l l"]
    rows: Rows

    def spread(self, z: Float[Array, "l c"]) -> Float[Array, "n c"]:
        """Return P z: values on the landmarks, interpolated to all points."""
        return self.interpolation.matvec(z)

    def gather(self, y: Float[Array, "n c"]) -> Float[Array, "l c"]:
        """Return P^T y."""
        return self.rows.total(self.interpolation.rmatvec(y))

    def correct(self, r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return P (P^T M P)^-1 P^T r, the solution of M z = r that the landmarks can represent."""
        return self.spread(product(self.inverse, self.gather(r)))

    def bottom(self, key: Array, columns: int) -> Float[Array, "n c"]:
        """Return nearly the bottom of M in the coarse space, by inverse iteration: the Locally Linear Landmarks embedding.

        Of few landmarks, all columns that there are beside the constant.
        """

        def step(_: Array, z: Float[Array, "l c"]) -> Float[Array, "l c"]:
            mass = self.gather(self.spread(z))
            return jnp.linalg.qr(product(self.inverse, mass - mass.mean(axis=0)))[0]

        size = self.inverse.shape[0]
        start = jax.random.normal(key, (size, min(columns, size - 1)), self.inverse.dtype)
        return self.spread(lax.fori_loop(0, _BOTTOM_STEPS, step, start))


def share_of(num_points: int, divisor: int) -> int:
    """Return how many landmarks there are if nobody says: a share of the points, between 200 and 1,000."""
    return max(200, min(1000, num_points // divisor))


def interpolate(
    points: Float[Array, "n d"], count: int, k: int, choice: Choice, key: Array, dtype: Any, rows: Rows
) -> Interpolation:
    """Choose landmarks and write every point by its nearest ones; the points' gradient stops here."""
    n = rows.num_points
    size = max(1, min(n, count))
    points = lax.stop_gradient(points)
    whole = rows.gathered(points)[:n]
    landmarks = choice(whole, size, key)
    near = knn(whole[landmarks], min(k, size), query=points)
    weights = barycentric_weights(whole[landmarks], near, query=points).astype(dtype)
    itself = require_distances(near)[:, :1] == 0
    weights = jnp.where(itself, jnp.arange(weights.shape[1]) == 0, weights).astype(dtype)
    weights = jnp.where(rows.real(len(weights))[:, None], weights / weights.sum(axis=1, keepdims=True), 0)
    return Interpolation(landmarks, rows.gathered(near.indices), rows.gathered(weights))


def coarse_space(
    operator: Operator,
    points: Float[Array, "n d"] | None,
    top: Float[Array, ""],
    key: Array,
    count: int | None,
    k: int,
    choice: Choice,
) -> Coarse:
    """Choose landmarks, write all points by them, and invert M on what they span."""
    rows, alignment = operator.rows, operator.prepared.alignment
    key_choice, key_points = jax.random.split(key)
    made = points is None
    near = smooth_coordinates(operator, top, key_points) if made else leading_directions(points, key_points, rows)
    count = share_of(rows.num_points, 30) if count is None else count
    whole = interpolate(near, count, k, choice, key_choice, alignment.blocks.dtype, rows)
    reduced = rows.total(_reduced(alignment, whole))
    # The constant is in the coarse space, where M is zero: lifted, it is out of the way of every centred vector.
    size = reduced.shape[0]
    scale = jnp.trace(reduced) / size
    lifted = reduced + scale / size + 4 * jnp.finfo(reduced.dtype).eps * scale * jnp.eye(size, dtype=reduced.dtype)
    inverse = jnp.linalg.inv(lifted)
    local = alignment.indices.shape[0]
    near, weights = (lax.dynamic_slice_in_dim(a, rows.here(local)[0], local) for a in whole[1:])
    return Coarse(prepare_rows(Alignment(near, weights[:, None, :]), size), (inverse + inverse.T) / 2, rows)


def random_landmarks(points: Float[Array, "n d"], count: int, key: Array) -> Int[Array, " l"]:
    """Choose landmarks at random: the default, as good as any on real data and free."""
    return jax.random.choice(key, points.shape[0], (count,), replace=False).astype(jnp.int32)


def farthest_landmarks(points: Float[Array, "n d"], count: int, key: Array) -> Int[Array, " l"]:
    """Choose landmarks one after the other, each farthest from those before: even cover, outliers first."""
    first = jax.random.randint(key, (), 0, points.shape[0], jnp.int32)

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        nearest, last = state
        nearest = jnp.minimum(nearest, jnp.sum((points - points[last]) ** 2, axis=1))
        return (nearest, jnp.argmax(nearest).astype(jnp.int32)), last

    start = jnp.full(points.shape[0], jnp.inf, points.dtype)
    return lax.scan(step, (start, first), None, length=count)[1]


def kmeans_landmarks(points: Float[Array, "n d"], count: int, key: Array) -> Int[Array, " l"]:
    """Choose the points nearest to the centres of a few steps of k-means (Lloyd 1982): cover by density."""
    n = points.shape[0]

    def step(_: Array, centers: Float[Array, "l d"]) -> Float[Array, "l d"]:
        label = knn(centers, 1, query=points).indices[:, 0]
        total = jnp.zeros_like(centers).at[label].add(points)
        members = jnp.zeros(count, points.dtype).at[label].add(1)
        return jnp.where(members[:, None] > 0, total / jnp.maximum(members, 1)[:, None], centers)

    start = random_landmarks(points, count, key)
    centers = lax.fori_loop(0, 4, step, points[start])
    chosen = knn(points, 1, query=centers).indices[:, 0]
    # Two centres may share their nearest point; a random landmark then stands in for the second.
    first = jnp.full(n, count).at[chosen].min(jnp.arange(count))
    taken = jnp.zeros(n, bool).at[chosen].set(True)
    spare = jnp.argsort(taken, stable=True)[:count].astype(jnp.int32)  # points not chosen come first
    return jnp.where(first[chosen] == jnp.arange(count), chosen, spare)


def leading_directions(points: Float[Array, "n d"], key: Array, rows: Rows) -> Float[Array, "n c"]:
    """Return the points in their leading directions: near and far among landmarks needs no more, and costs with d."""
    n, d = points.shape
    if d <= 2 * _COORDINATES:
        return points
    points = lax.stop_gradient(points)
    sample = points[:: -(-n // _SAMPLE)]
    guess = product(sample, jax.random.normal(key, (d, _COORDINATES), points.dtype))
    return product(points, jnp.linalg.qr(rows.inner(sample, guess))[0])


def smooth_coordinates(operator: Operator, top: Float[Array, ""], key: Array) -> Float[Array, "n c"]:
    """Return coordinates made by the operator itself, where there are no points: random vectors, smoothed."""
    rows = operator.rows
    y = rows.normal(key, operator.prepared.alignment.blocks[:, 0, 0], _SMOOTH_COORDINATES)
    y = lax.fori_loop(0, _SMOOTH_STEPS, lambda _, y: rows.centered(y - operator.gram(y) / top), y)
    return y / jnp.sqrt(rows.total(jnp.sum(y**2, axis=0)))


def block_rows(n: int, row_bytes: int) -> int:
    """Return how many dense rows a block holds."""
    return max(1, min(n, _BLOCK // row_bytes))


def _reduced(alignment: Alignment, by_landmarks: Interpolation) -> Float[Array, "l l"]:
    """Return P^T M P = (B P)^T (B P), from a block of the rows of B P at a time: its upper panels, mirrored."""
    n, r, _ = alignment.blocks.shape
    size, dtype = by_landmarks.landmarks.shape[0], alignment.blocks.dtype
    count = block_rows(n, r * size * dtype.itemsize)
    starts = range(0, size, _PANEL)

    def add(i: Array, total: Float[Array, "l l"]) -> Float[Array, "l l"]:
        dense = by_landmarks.image(alignment, i * count, count)
        for start, stop in zip(starts, (*starts[1:], size), strict=True):
            total = total.at[start:stop, start:].add(product(dense[:, start:stop].T, dense[:, start:]))
        return total

    upper = jnp.triu(lax.fori_loop(0, -(-n // count), add, jnp.zeros((size, size), dtype)))
    return upper + jnp.triu(upper, 1).T
