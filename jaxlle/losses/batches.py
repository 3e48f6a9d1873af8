"""Batches that carry their neighbourhoods, in static shapes.

A random batch of 256 out of 60,000 points holds 0.4 % of a point's neighbours, and neighbours found inside it are not those
of the data. Here a batch is some anchors with all their neighbours, each point once: uniform anchors with all their
neighbours make the gradient of `losses.lle_loss` an unbiased estimate of the full cost's. A batch is a function of the
step's number and the key alone, so a run resumes from its step counter, and several processes agree without speaking.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.checks import all_finite, check_count
from .._core.points import as_points, working_dtype
from ..neighbors import Neighbors
from ..neighbors.graph import check_indices


class NeighborhoodBatch(NamedTuple):
    """Anchors, their neighbours, and where each is found among the batch's points.

    With ``y = model(batch.points)`` the outputs are ``y[batch.anchors]`` and ``y[batch.gather]``.

    Attributes:
        points: each point of the batch once, shape (p, d); anchors and neighbours mixed.
        indices: their rows in the data, shape (p,), to look up labels with.
        valid: False where a point only fills up the shape, shape (p,).
        anchors: places of the anchors among the points, shape (b,).
        gather: places of their neighbours, shape (b, k).
        weights: of the neighbours, shape (b, k); 0 where masked.
        mask: True where a neighbour exists, shape (b, k).
        where: True where an anchor counts, shape (b,): not the ones that fill up an epoch's last batch, nor any whose
            neighbourhood did not fit into p points.
    """

    points: Float[Array, "p d"]
    indices: Int[Array, " p"]
    valid: Bool[Array, " p"]
    anchors: Int[Array, " b"]
    gather: Int[Array, "b k"]
    weights: Float[Array, "b k"]
    mask: Bool[Array, "b k"]
    where: Bool[Array, " b"]


@dataclass(frozen=True, eq=False)
class NeighborhoodBatches:
    """Batches of a data set with a graph; made by `neighborhood_batches`.

    ``len`` is the number of steps an epoch; every epoch visits each point once as an anchor, in its own order.

    Attributes:
        x: the data, shape (n, d).
        neighbors: of all points.
        weights: of the neighbours, shape (n, k).
        batch_size: anchors a step, on all shards together.
        max_points: points a batch.
        seed: words of the key.
        shard: which part of each step's anchors this is.
        num_shards: how many parts there are.
    """

    x: Any
    neighbors: Neighbors
    weights: Any
    batch_size: int
    max_points: int
    seed: tuple[int, ...]
    shard: int
    num_shards: int

    def __len__(self) -> int:
        return -(-self.x.shape[0] // self.batch_size)

    def batch(self, step: int) -> NeighborhoodBatch:
        """Return the batch of a step, counted from 0 through all epochs."""
        step = check_count(step, "step", 0, None, "steps are counted from 0 through all epochs")
        rows, where = self._anchors(step)
        take = _on_device if isinstance(self.x, jax.Array) else _on_host
        graph = self.neighbors
        near, weights = take(graph.indices, rows), take(self.weights, rows)
        mask = jnp.ones(near.shape, bool) if graph.mask is None else take(graph.mask, rows)
        batch = _assemble(jnp.asarray(rows), jnp.asarray(where), near, weights, mask, self.max_points)
        points = take(self.x, batch.indices)
        if take is _on_host and not all_finite(points):
            bad = np.asarray(batch.indices)[~np.isfinite(np.asarray(points)).all(axis=1)]
            raise ValueError(
                f"Rows {sorted(set(bad.tolist()))[:8]} of the data contain NaN or infinity: remove them first."
            )
        return batch._replace(points=points)

    def start_at(self, step: int = 0) -> Iterator[tuple[int, NeighborhoodBatch]]:
        """Yield (step, batch) without end, from a step on: 0, or the one that a checkpoint names."""
        while True:
            yield step, self.batch(step)
            step += 1

    def _anchors(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        n, epoch, place = self.x.shape[0], step // len(self), step % len(self)
        order = _order(self.seed, n, epoch)
        size = self.batch_size // self.num_shards
        places = place * self.batch_size + self.shard * size + np.arange(size)
        return order[places % n], places < n


def neighborhood_batches(
    x: Any,
    neighbors: Neighbors,
    weights: Any,
    *,
    batch_size: int,
    key: Array | None = None,
    max_points: int | None = None,
    shard: int = 0,
    num_shards: int = 1,
) -> NeighborhoodBatches:
    """Make batches of anchors with all their neighbours.

    Args:
        x: the data, shape (n, d): a JAX array stays on its device; of a NumPy array or memmap, which may be larger than the
            memory, each batch reads its own rows (neighbours and weights may then be memmaps too).
        neighbors: of all points; a mask is honoured.
        weights: of the neighbours, shape (n, k).
        batch_size: anchors a step.
        key: decides the order; the same key gives the same batches anywhere. None: key(0).
        max_points: points a batch may hold. None: as many as any batch could need, min(n, b (k + 1)), b anchors a shard. Fewer
            cost less to compute; anchors that then do not fit have `where` False, so look at its mean.
        shard: which part of each step's anchors to make: `jax.process_index()`, or the device's number.
        num_shards: number of parts.

    Returns:
        NeighborhoodBatches.

    Raises:
        ValueError: for a batch larger than the data or not divisible by the shards, a graph or weights that are not those
            of the data, or NaN.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> neighbors = jaxlle.knn(x, 5)
        >>> weights = jaxlle.barycentric_weights(x, neighbors)
        >>> batches = jaxlle.neighborhood_batches(x, neighbors, weights, batch_size=16)
        >>> batch = batches.batch(0)
        >>> y = 2 * batch.points
        >>> float(jaxlle.losses.lle_loss(y[batch.anchors], y[batch.gather], batch.weights, where=batch.where)) < 2
        True
    """
    x = x if isinstance(x, np.ndarray) else as_points(x)
    if x.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {x.ndim}D array instead: reshape x of shape {x.shape} to (points, features)."
        )
    n, k = x.shape[0], neighbors.indices.shape[1]
    batch_size = check_count(batch_size, "batch_size", 1, n, f"x has {n} points")
    num_shards = check_count(num_shards, "num_shards", 1, batch_size, "each shard needs an anchor")
    shard = check_count(shard, "shard", 0, num_shards - 1, f"there are {num_shards} shards")
    if batch_size % num_shards:
        raise ValueError(
            f"batch_size = {batch_size} is not a multiple of num_shards = {num_shards}: the parts must be equal."
        )
    check_indices(neighbors, n, x)
    if weights.shape != (n, k) or not all_finite(weights):
        raise ValueError(
            f"weights must be finite numbers of shape {(n, k)}, one for each neighbour, got {weights.shape}."
        )
    most = min(n, batch_size // num_shards * (k + 1))
    points = most if max_points is None else min(most, max_points)
    points = check_count(points, "max_points", k + 1, None, f"an anchor and its {k} neighbours")
    key = jax.random.key(0) if key is None else key
    seed = tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())
    return NeighborhoodBatches(x, neighbors, weights, batch_size, points, seed, shard, num_shards)


@lru_cache(maxsize=2)
def _order(seed: tuple[int, ...], n: int, epoch: int) -> np.ndarray:
    """Return the order of an epoch; from NumPy, so that it is the same on every device and JAX version."""
    return np.random.default_rng([*seed, epoch]).permutation(n)


def _on_device(a: Any, rows: Any) -> Array:
    return jnp.asarray(a)[jnp.asarray(rows)]


def _on_host(a: Any, rows: Any) -> Array:
    rows = np.asarray(rows)
    order = np.argsort(rows, kind="stable")  # a memmap reads fastest in its own order
    taken = np.empty((len(rows), *a.shape[1:]), a.dtype)
    taken[order] = np.asarray(a[rows[order]])
    return jnp.asarray(taken, working_dtype(taken) if taken.dtype.kind == "f" else None)


@partial(jax.jit, static_argnames=("max_points",))
def _assemble(
    rows: Int[Array, " b"],
    where: Bool[Array, " b"],
    near: Int[Array, "b k"],
    weights: Float[Array, "b k"],
    mask: Bool[Array, "b k"],
    max_points: int,
) -> NeighborhoodBatch:
    """List each point once, in the order of its first mention, and find everyone's place in the list."""
    own = rows[:, None].astype(near.dtype)
    mentioned = jnp.concatenate([own, jnp.where(mask, near, own)], axis=1)
    flat = mentioned.ravel()
    size = flat.shape[0]
    order = jnp.argsort(flat, stable=True)
    is_new = jnp.concatenate([jnp.ones(1, bool), flat[order][1:] != flat[order][:-1]])
    first = order[jax.lax.cummax(jnp.where(is_new, jnp.arange(size), 0))]  # the first mention, entry by sorted entry
    is_first = jnp.zeros(size, bool).at[order].set(is_new)
    number = jnp.cumsum(is_first) - 1
    place = jnp.zeros(size, number.dtype).at[order].set(number[first]).reshape(mentioned.shape)
    fits = (place < max_points).all(axis=1)
    place = jnp.where(fits[:, None], place, 0).astype(jnp.int32)
    # Anchors that do not fit leave their points unmentioned; places beyond the end are dropped.
    slots = jnp.where(is_first, number, max_points)
    indices = jnp.full(max_points, flat[0]).at[slots].set(flat, mode="drop")
    valid = jnp.arange(max_points) < is_first.sum()
    mask = mask & fits[:, None]
    return NeighborhoodBatch(
        points=jnp.zeros((max_points, 0), weights.dtype),
        indices=indices,
        valid=valid,
        anchors=place[:, 0],
        gather=place[:, 1:],
        weights=jnp.where(mask, weights, 0),
        mask=mask,
        where=where & fits,
    )
