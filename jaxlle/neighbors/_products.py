"""Nearest neighbors by matrix products, whose rounding error has an a priori bound, and a check of each row by this bound."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES, cache_budget, map_blocks, map_rows, whole_groups
from .._core.linear import matmul
from ._selection import TOP_MAX_COUNT, largest

_DIRECT_MAX_FEATURES = 16  # up to here differences cost no more than products, and are exact
SPARE, _MIN_SPARE = 4, 2  # candidates beyond k whose distances are computed; with one, many rows would be uncertain


class Prepared(NamedTuple):
    """Points, and rows whose products bound their distances from below."""

    points: Float[Array, "n d"]
    factor: Float[Array, "n m"]  # in float32; empty if the metric or the dimension does not allow products
    squares: Float[Array, " n"]  # squared norms


def uses_products(metric: Callable, d: int) -> bool:
    """Return whether points with d features are searched by products."""
    return metric is distances.euclidean and d > _DIRECT_MAX_FEATURES


def spare_for_kernel(k: int) -> int:
    """Return a number of spare candidates such that top-k, for them, k neighbors and the point itself, fits its GPU kernel."""
    spare = min(SPARE, TOP_MAX_COUNT - k - 1)
    return spare if spare >= _MIN_SPARE else SPARE


def prepare(points: Float[Array, "n d"], metric: Callable) -> Prepared:
    """Return points with their factor, which is the points themselves if they are float32."""
    if not uses_products(metric, points.shape[1]):
        return Prepared(points, *_without_factor(points))
    # Not in one program, which would return copies of the points. Nor are the norms in the program of the products: XLA's CPU
    # compiler (jaxlib 0.10) would fuse the sum, which doubles their time.
    single = points if points.dtype == np.float32 else _to_single(points)
    return Prepared(points, single, _squared_norms(single))


@jax.jit
def _without_factor(points: Float[Array, "n d"]) -> tuple[Float[Array, "0 d"], Float[Array, " 0"]]:
    return points[:0], points[:0, 0]


@jax.jit
def _to_single(points: Float[Array, "n d"]) -> Float[Array, "n d"]:
    return points.astype(np.float32)


@jax.jit
def _squared_norms(x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the squared norms of the rows; the squares of the entries are never in memory all at once."""

    def by_blocks(x: Float[Array, "n d"]) -> Float[Array, " n"]:
        return map_blocks(
            lambda rows: _row_sums(rows**2), x, cache_budget(BLOCK_BYTES), 2 * x.shape[1] * x.dtype.itemsize
        )

    return lax.platform_dependent(x, cpu=by_blocks, default=lambda x: jnp.sum(x**2, axis=1))


def by_products(
    prepared: Prepared, queries: Prepared, own: Int[Array, " b"], k: int, spare: int
) -> tuple[Int[Array, "b k"], Float[Array, "b k"], Bool[Array, " b"]]:
    """Return indices, distances, and whether each row is certain: every other point is farther, by the bound of its product."""
    indices, dist, bound = nearest_candidates(prepared, queries, own, k + 1 + spare)  # the query may be among them
    return indices[:, :k], dist[:, :k], dist[:, k - 1] ** 2 < bound


def nearest_candidates(
    prepared: Prepared,
    queries: Prepared,
    own: Int[Array, " b"],
    count: int,
    padding: Bool[Array, " n"] | None = None,
) -> tuple[Int[Array, "b c"], Float[Array, "b c"], Float[Array, " b"]]:
    """Return at most `count` candidates, by distance and then by index, and a bound of the others.

    Returns:
        Indices, distances (infinite to the query itself and to padding), and a lower bound of the squared distances to all other
        points: infinite if there are none, and negative if the squares of any distances are so small that they lose digits.
    """
    n, m = prepared.points.shape[0], prepared.factor.shape[1]
    # In float32, |q|^2 + |x|^2 - 2 q.x has an error of at most 2 gamma (|q|^2 + |x|^2), whatever the order of the sums and
    # including the cast (Higham 2002, section 3.1); reducing the squares by it gives a lower bound. Its negative half
    # without |q|^2 gives the same ranks and saves one pass.
    shrunk = 1 - (m + 8) * np.finfo(np.float32).eps
    product = matmul(queries.factor, prepared.factor.T)
    squares = prepared.squares if padding is None else jnp.where(padding, jnp.inf, prepared.squares)
    order, candidates = largest(product - shrunk / 2 * squares, min(n, count))
    bound = jnp.where(count >= n, jnp.inf, shrunk * queries.squares - 2 * order[:, -1])
    others = candidates != own[:, None]
    others = others if padding is None else others & ~padding[candidates]
    dist, inaccurate = _measure(prepared.points, queries.points, candidates, others)
    dist = jnp.where(others, dist, jnp.inf)
    dist, candidates = lax.sort((dist, candidates), num_keys=2)
    return candidates, dist, jnp.where(inaccurate, -jnp.inf, bound)


def _measure(
    points: Float[Array, "n d"], queries: Float[Array, "b d"], candidates: Int[Array, "b c"], others: Bool[Array, "b c"]
) -> tuple[Float[Array, "b c"], Bool[Array, " b"]]:
    """Return Euclidean distances to candidates, and whether the squares of any of `others` are so small that they lose digits.

    On a CPU the blocks fit in the cache.
    """
    d, dtype = points.shape[1], points.dtype
    row = 2 * candidates.shape[1] * d
    groups = whole_groups(cache_budget(BLOCK_BYTES).rows(row * dtype.itemsize, len(queries)), len(queries))

    def one(pair: tuple[Array, Array]) -> Array:
        q, ids = pair
        return _row_sums((points[ids] - q) ** 2)

    squares = map_rows(one, (queries, candidates), groups, 1)
    small = (squares < jnp.finfo(dtype).tiny * 1e8) & others

    def differs(some: Bool[Array, "b c"]) -> Bool[Array, " b"]:
        def one(pair: tuple[Array, Array]) -> Array:
            q, ids = pair
            return (points[ids] != q).any(axis=1)

        return (map_rows(one, (queries, candidates), cache_budget(BLOCK_BYTES), row) & some).any(axis=1)

    # Such small squares are usually those of duplicates, which are accurate.
    inaccurate = lax.cond(small.any(), differs, lambda some: some.any(axis=1), small)
    return jnp.sqrt(squares), inaccurate


def _row_sums(a: Float[Array, "... d"]) -> Float[Array, "..."]:
    # A product with ones is six times as fast as a reduction on a CPU.
    return matmul(a, jnp.ones(a.shape[-1], a.dtype))
