"""The out-of-sample map as a function of independent rows, without the blocks and loops that bound its memory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .. import distances
from .._core.checks import check_features
from .._core.linear import matmul
from .._core.points import Points, prepare_points
from .._core.sparse import is_sparse
from ..regularizers import as_regularizer
from ..weights.gram import solve_given
from .maps import OutOfSampleMap

_DIRECT_MAX_FEATURES = 16  # with more, candidates are selected by a product


def row_function(known: OutOfSampleMap, features: int) -> Callable[[Array], Array]:
    """Return a function of arrays of shape (q, features) that computes `known` and can be traced with a symbolic q.

    Raises:
        ValueError: if the points are sparse, the metric is "precomputed", or the points have another number of features.
    """
    if is_sparse(known.points) or known.metric == distances.PRECOMPUTED:
        given = "sparse points" if is_sparse(known.points) else "precomputed distances"
        raise ValueError(f"A map of {given} cannot be exported to ONNX: only a map of dense points can be.")
    points = prepare_points(known.points, metric=known.metric)
    check_features(np.empty((0, features), np.float32), points.shape[1], "The exported map", "the points of the map")
    ridge, values = as_regularizer(known.reg), jnp.asarray(known.embedding)
    # In two parts, so that a center with more digits than the dtype holds does not shift the new points.
    exact = np.asarray(points.center, np.float64)
    center = exact.astype(points.dtype)
    remainder = (exact - center).astype(points.dtype)
    # Unit vectors are rounded differently here and in the data; all other coordinates are computed exactly.
    equal = 8 * jnp.finfo(points.dtype).eps if points.metric is distances.cosine else 0

    def embed(x_new: Float[Array, "q d"]) -> Float[Array, "q c"]:
        coordinates = ((x_new - center) - remainder) / points.unit
        nearest, ids = _nearest(points, x_new, coordinates, known.k)
        differences = points.coordinates[ids] - coordinates[:, None]
        largest = jnp.max(jnp.abs(differences), axis=(1, 2))
        scaled = differences / jnp.where(largest > 0, largest, 1)[:, None, None]
        gram = jnp.einsum("qkd,qjd->qkj", scaled, scaled, precision=lax.Precision.HIGHEST)
        size = jnp.max(jnp.sum(scaled**2, axis=2), axis=1)
        gram = gram / jnp.where(size > 0, size, 1)[:, None, None]
        extents = jnp.where(size > 0, jnp.sqrt(size) * largest, 1)
        ones = jnp.ones(ids.shape, gram.dtype)
        weights = solve_given(gram, ones, ones > 0, ridge, points.unit * extents, solve=_solve)
        first = jnp.arange(known.k) == 0
        weights = jnp.where((nearest[:, 0] <= equal)[:, None], first.astype(gram.dtype), weights)
        return jnp.einsum("qk,qkc->qc", weights.astype(values.dtype), values[ids], precision=lax.Precision.HIGHEST)

    return embed


def _nearest(
    points: Points, x_new: Float[Array, "q d"], coordinates: Float[Array, "q d"], k: int
) -> tuple[Float[Array, "q k"], Array]:
    """Return the distances and indices of the k nearest points of each row."""
    measure: Any = points.metric
    bank, query = points.coordinates, coordinates
    if measure is distances.cosine:
        bank, query = _unit_rows(jnp.asarray(points.values, points.dtype)), _unit_rows(x_new)
    elif measure not in (distances.euclidean, distances.manhattan, distances.chebyshev):
        bank, query = jnp.asarray(points.values, points.dtype), x_new.astype(points.dtype)
    if measure in (distances.euclidean, distances.cosine):
        measure = _length  # without the scaling that prevents overflow, because the coordinates are scaled
    n, d = bank.shape
    if measure is _length and d > _DIRECT_MAX_FEATURES and n > 2 * k + _DIRECT_MAX_FEATURES:
        scores = 2 * matmul(query, bank.T) - jnp.sum(bank**2, axis=1)  # |q|^2 minus the squared distances
        _, candidates = lax.top_k(scores, 2 * k + _DIRECT_MAX_FEATURES)
        found = jax.vmap(lambda q, near: jax.vmap(lambda p: measure(q, p))(near))(query, bank[candidates])
        negative, position = lax.top_k(-found, k)
        return -negative, jnp.take_along_axis(candidates, position, axis=1)
    found = jax.vmap(lambda q: jax.vmap(lambda p: measure(q, p))(bank))(query)
    negative, ids = lax.top_k(-found, k)
    return -negative, ids


def _length(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum((a - b) ** 2))


def _unit_rows(x: Float[Array, "q d"]) -> Float[Array, "q d"]:
    x = x / jnp.max(jnp.abs(x), axis=1, keepdims=True)
    return x / jnp.sqrt(jnp.sum(x**2, axis=1, keepdims=True))


def _solve(system: Float[Array, "q k k"], target: Float[Array, "q k"]) -> Float[Array, "q k"]:
    """Solve positive definite systems by elimination above and below each pivot, written out for every pivot."""
    k = target.shape[1]
    number = np.arange(k)[:, None]
    rows = jnp.concatenate([system, target[:, :, None]], axis=2)
    for j in range(k):
        pivot = rows[:, j : j + 1] / rows[:, j : j + 1, j : j + 1]
        rows = jnp.where(number == j, pivot, rows - rows[:, :, j : j + 1] * pivot)
    return rows[:, :, k]
