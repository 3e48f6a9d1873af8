"""Mini-batches of static shape that contain the neighbors of their anchors.

A random batch of 256 out of 60,000 points contains 0.4 % of a point's neighbors, and the neighbors found within it are not
those of the data. Here a batch consists of some anchors and all their neighbors, each point once. For uniformly drawn anchors
the gradient of `losses.lle_loss` is then an unbiased estimate of the gradient of the full cost. A batch depends only on the
number of the step and on the key, so a run resumes from its step counter, and several processes agree without communication.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import read_array, require_real
from .._core.checks import all_finite, check_count, check_key, warn_user
from .._core.points import as_points, working_dtype
from ..neighbors import Neighbors
from ..neighbors.graph import check_indices
from .records import RecordRows


class NeighborhoodBatch(NamedTuple):
    """Anchors, their neighbors, and the positions of both among the points of the batch.

    With ``y = model(batch.points)`` the outputs are ``y[batch.anchors]`` and ``y[batch.gather]``.

    Attributes:
        points: the points of the batch, each once, shape (p, d); anchors and neighbors in one array.
        indices: their rows in the data, shape (p,), for example to look up labels.
        valid: False where a row is padding, shape (p,).
        anchors: positions of the anchors among the points, shape (b,).
        gather: positions of their neighbors, shape (b, k).
        weights: of the neighbors, shape (b, k); 0 where masked.
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor counts, shape (b,): False for padding of the last batch of an epoch, and for anchors whose
            neighborhood does not fit into p points.
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
    """Batches of a data set with a graph, created by `neighborhood_batches`.

    ``len`` is the number of steps per epoch. Every epoch visits each point once as an anchor, in a new order.

    Attributes:
        x: the data, shape (n, d).
        neighbors: neighbors of all points.
        weights: of the neighbors, shape (n, k).
        batch_size: anchors per step, over all shards.
        max_points: points per batch.
        seed: words of the key.
        shard: index of this part of each step's anchors.
        num_shards: number of parts.
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

    def __iter__(self) -> Iterator[NeighborhoodBatch]:
        """Yield the batches of the first epoch; those of all epochs are given by `batch` and `start_at`."""
        return (self.batch(step) for step in range(len(self)))

    def __getitem__(self, step: int) -> NeighborhoodBatch:
        """Return the batch of a step of the first epoch, counted from its end if negative."""
        if not -len(self) <= operator.index(step) < len(self):
            raise IndexError(f"step = {step}, but an epoch has {len(self)} batches: use batch(step) for later epochs.")
        return self.batch(step % len(self))

    def batch(self, step: int) -> NeighborhoodBatch:
        """Return the batch of a step; steps are counted from 0 through all epochs."""
        step = check_count(step, "step", 0, None, "steps are counted from 0 through all epochs")
        rows, where = self._anchors(step)
        take = _take_on_device if isinstance(self.x, jax.Array) else _take_on_host
        graph = self.neighbors
        near, weights = take(graph.indices, rows), take(self.weights, rows)
        mask = jnp.ones(near.shape, bool) if graph.mask is None else take(graph.mask, rows)
        batch = _assemble(jnp.asarray(rows), jnp.asarray(where), near, weights, mask, self.max_points)
        points = take(self.x, batch.indices)
        if take is _take_on_host and not all_finite(points):
            bad = np.asarray(batch.indices)[~np.isfinite(np.asarray(points)).all(axis=1)]
            raise ValueError(f"Rows {sorted(set(bad.tolist()))[:8]} of the data contain NaN or infinity: remove them.")
        return batch._replace(points=points)

    def with_shard(self, shard: int, num_shards: int) -> "NeighborhoodBatches":
        """Return one part of the anchors of each step.

        Args:
            shard: index of the part, such as `jax.process_index()`.
            num_shards: number of parts.

        Returns:
            NeighborhoodBatches.

        Raises:
            ValueError: as for `neighborhood_batches`.
        """
        shard, num_shards = _check_shard(shard, num_shards, self.batch_size)
        n, k = self.x.shape[0], self.neighbors.indices.shape[1]
        before, most = (min(n, self.batch_size // parts * (k + 1)) for parts in (self.num_shards, num_shards))
        limit = most if self.max_points == before else min(most, self.max_points)
        return replace(self, shard=shard, num_shards=num_shards, max_points=limit)

    def start_at(self, step: int = 0) -> Iterator[tuple[int, NeighborhoodBatch]]:
        """Yield (step, batch) indefinitely, starting at a step, for example that of a checkpoint."""
        while True:
            yield step, self.batch(step)
            step += 1

    def with_graph(self, neighbors: Neighbors, weights: Any, *, max_points: int | None = None) -> "NeighborhoodBatches":
        """Return batches of the same anchors with another graph of the same points.

        Args:
            neighbors: neighbors of all points.
            weights: of the neighbors, shape (n, k).
            max_points: points per batch, as for `neighborhood_batches`.

        Returns:
            NeighborhoodBatches.

        Raises:
            ValueError: as for `neighborhood_batches`.
        """
        anchors = self.batch_size // self.num_shards
        neighbors, weights, points = _read_graph(self.x, neighbors, weights, anchors, max_points)
        return replace(self, neighbors=neighbors, weights=weights, max_points=points)

    def _anchors(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of a step's anchors, and False for those that fill up the last batch of an epoch."""
        n, (epoch, step) = self.x.shape[0], divmod(step, len(self))
        size = self.batch_size // self.num_shards
        positions = step * self.batch_size + self.shard * size + np.arange(size)
        return _order(self.seed, n, epoch)[positions % n], positions < n


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
    """Create mini-batches of anchors with all their neighbors.

    Args:
        x: the data, shape (n, d). A JAX array stays on its device. A NumPy array or memmap may be larger than the memory of the
            device: each batch reads only its own rows (neighbors and weights may then be memmaps as well). So do `RecordRows`,
            the records of a data source.
        neighbors: neighbors of all points, masked or not.
        weights: of the neighbors, shape (n, k).
        batch_size: anchors per step; all points if there are fewer.
        key: random key for the order of the anchors; the same key gives the same batches on every machine. None for key(0).
        max_points: points per batch. None for as many as any batch can need, min(n, b (k + 1)) with b anchors per shard. Smaller
            batches are faster to evaluate, but anchors that do not fit have `where` False: monitor the mean of `where`.
        shard: index of the part of each step's anchors to return, such as `jax.process_index()` or the index of the device.
        num_shards: number of parts.

    Returns:
        NeighborhoodBatches.

    Raises:
        ValueError: for a batch size that is not divisible by the number of shards, a graph or weights of other points, or NaN.

    Warns:
        JaxlleWarning: for a batch size larger than the number of points.

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
    # The rows of a memmap are read, and checked, batch by batch.
    if not isinstance(x, RecordRows):
        x = read_array(x, "x") if isinstance(x, np.ndarray) and x.dtype != object else as_points(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(
            f"Expected 2D array, got {x.ndim}D array instead: reshape x of shape {x.shape} to (points, features), at least (1, 1)"
        )
    require_real(x, "x")
    n = x.shape[0]
    batch_size = check_count(batch_size, "batch_size", 1, None, f"x has {n} points")
    if batch_size > n:
        warn_user(
            f"batch_size = {batch_size} is larger than the number of points: every batch consists of all {n}.",
        )
        batch_size = n
    shard, num_shards = _check_shard(shard, num_shards, batch_size)
    neighbors, weights, points = _read_graph(x, neighbors, weights, batch_size // num_shards, max_points)
    seed = tuple(np.asarray(jax.random.key_data(check_key(key))).ravel().tolist())
    return NeighborhoodBatches(x, neighbors, weights, batch_size, points, seed, shard, num_shards)


def _check_shard(shard: Any, num_shards: Any, batch_size: int) -> tuple[int, int]:
    """Validate the part of a step's anchors."""
    num_shards = check_count(num_shards, "num_shards", 1, batch_size, "each shard needs at least one anchor")
    shard = check_count(shard, "shard", 0, num_shards - 1, f"there are {num_shards} shards")
    if batch_size % num_shards:
        raise ValueError(
            f"batch_size = {batch_size} is not a multiple of num_shards = {num_shards}: all parts must have the same size."
        )
    return shard, num_shards


def _read_graph(
    x: Any, neighbors: Neighbors, weights: Any, anchors: int, max_points: int | None
) -> tuple[Neighbors, Any, int]:
    """Return a graph of the data and its weights, validated and where they are, and the number of points per batch."""
    n = x.shape[0]
    if not hasattr(neighbors, "indices"):
        raise TypeError(
            f"neighbors is of type {type(neighbors).__name__}, but must be a Neighbors value: pass jaxlle.knn(x, k), or "
            f"convert indices by jaxlle.neighbors.as_neighbors."
        )
    fields = zip(Neighbors._fields, neighbors, strict=True)
    arrays: list[Any] = [None if a is None else read_array(a, f"neighbors.{name}") for name, a in fields]
    neighbors = Neighbors(*arrays)
    weights = read_array(weights, "weights")
    check_indices(neighbors, n, n)
    for name, entries in (("neighbors.distances", neighbors.distances), ("weights", weights)):
        if entries is not None:
            require_real(entries, name)
    if neighbors.mask is not None and neighbors.mask.dtype != bool:
        raise ValueError(f"neighbors holds a mask of dtype {neighbors.mask.dtype}: it must be boolean.")
    if neighbors.distances is not None and not all_finite(neighbors.distances):
        raise ValueError("neighbors holds distances that are NaN or infinite: remove those points first.")
    k = neighbors.indices.shape[1]
    if weights.shape != (n, k) or not all_finite(weights):
        raise ValueError(f"weights must be finite numbers of shape {(n, k)}, one per neighbor, got {weights.shape}.")
    most = min(n, anchors * (k + 1))
    if max_points is None:
        return neighbors, weights, most
    points = check_count(max_points, "max_points", k + 1, None, f"an anchor and its {k} neighbors")
    return neighbors, weights, min(most, points)


@lru_cache(maxsize=2)
def _order(seed: tuple[int, ...], n: int, epoch: int) -> np.ndarray:
    """Return the order of an epoch; computed by NumPy, so that it is the same on every device and for every JAX version."""
    return np.random.default_rng([*seed, epoch]).permutation(n)


def _take_on_device(a: Any, rows: Any) -> Array:
    return jnp.asarray(a)[jnp.asarray(rows)]


def _take_on_host(a: Any, rows: Any) -> Array:
    rows = np.asarray(rows)
    order = np.argsort(rows, kind="stable")  # a memmap is read fastest in the order of the file
    taken = np.empty((len(rows), *a.shape[1:]), a.dtype)
    taken[order] = np.asarray(a[rows[order]])
    if taken.dtype.kind in "iu" and taken.size and not -(2**31) <= int(taken.min()) <= int(taken.max()) < 2**31:
        raise ValueError(
            "The data hold integers of more than 32 bits: subtract an offset, or convert them to floating point."
        )
    with np.errstate(over="ignore"):  # infinity is reported with its rows
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
    """List each point once, in the order of its first occurrence, and find the positions of anchors and neighbors."""
    own = rows[:, None].astype(near.dtype)
    entries = jnp.concatenate([own, jnp.where(mask, near, own)], axis=1)
    flat = entries.ravel()
    size = flat.shape[0]
    order = jnp.argsort(flat, stable=True)
    is_new = jnp.concatenate([jnp.ones(1, bool), flat[order][1:] != flat[order][:-1]])
    first = order[jax.lax.cummax(jnp.where(is_new, jnp.arange(size), 0))]  # of each sorted entry, its first occurrence
    is_first = jnp.zeros(size, bool).at[order].set(is_new)
    number = jnp.cumsum(is_first) - 1
    position = jnp.zeros(size, number.dtype).at[order].set(number[first]).reshape(entries.shape)
    fits = (position < max_points).all(axis=1)
    position = jnp.where(fits[:, None], position, 0).astype(jnp.int32)
    # Points beyond max_points are dropped; `fits` is False for the anchors that need them.
    slots = jnp.where(is_first, number, max_points)
    indices = jnp.full(max_points, flat[0]).at[slots].set(flat, mode="drop")
    valid = jnp.arange(max_points) < is_first.sum()
    mask = mask & fits[:, None]
    return NeighborhoodBatch(
        points=jnp.zeros((max_points, 0), weights.dtype),
        indices=indices,
        valid=valid,
        anchors=position[:, 0],
        gather=position[:, 1:],
        weights=jnp.where(mask, weights, 0),
        mask=mask,
        where=where & fits,
    )
