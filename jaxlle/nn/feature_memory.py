"""A memory of the features of a network, whose neighborhoods cover far more points than a batch."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import check_number, read_array, read_mask
from .._core.blocks import BLOCK_BYTES, map_blocks
from .._core.checks import check_bytes, check_count, is_traced
from .._core.linear import matmul
from ..losses import Reduction, lle_loss
from ..losses.reduce import at_least_float32, counted
from ..neighbors import Neighbors
from ..regularizers import Regularizer, as_regularizer, check_reg
from ..weights import barycentric_weights


class MemoryState(nnx.Variable):
    """Variables of a `FeatureMemory`: saved in checkpoints of training, and not in files of models."""


class MemoryNeighborhoods(NamedTuple):
    """Neighbors of b anchors in a memory, as `losses.lle_loss` takes them.

    Attributes:
        rows: numbers of the neighbors in the data, shape (b, k); -1 where there is none.
        features: their stored features, shape (b, k, width); 0 where there is no neighbor.
        weights: of the neighbors, shape (b, k).
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor has neighbors, shape (b,).
    """

    rows: Int[Array, "b k"]
    features: Float[Array, "b k width"]
    weights: Float[Array, "b k"]
    mask: Bool[Array, "b k"]
    where: Bool[Array, " b"]


class FeatureMemory(nnx.Module):
    """The latest features of the points that a network has seen, by their rows in the data, with the LLE loss over them.

    The neighbors of a point in feature space are hardly ever in the same batch. The memory stores the features of all points (or
    of the last `capacity`, in a queue), so that the neighbors are those among all stored points, without evaluating the network
    at them: the memory bank of Wu et al. (2018), and the queue of He et al. (2020). The loss is that of LLE over the memory,

    ``mean_i |z_i - sum_j w_ij f_j|^2``,

    with the stored features f_j, the neighbors of point i among them and the weights w that reconstruct point i from them. Only
    z_i has a derivative. A point is never its own neighbor: a row is stored once, and is left out of its own neighborhood. Since
    constant features have no loss, a guard against collapse is needed, such as `losses.variance_hinge`.

    Neighbors and weights come from the graph of the memory (`loss`), which is computed by `refresh`, or on the schedule
    `refresh_every`, when batches are stored; or from a search at every call (``search=True``), which a queue needs, because it
    does not contain most points when they are in a batch. All methods can be part of a compiled step, which updates the memory in
    place. A memory that is an attribute of the trained module is saved in its checkpoints.

    Attributes:
        features: stored features, shape (capacity, width).
        stored: the row of each of them, -1 for a free place, shape (capacity,).

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> from jaxlle.nn import FeatureMemory
        >>> z = jax.random.normal(jax.random.key(0), (50, 3))
        >>> memory = FeatureMemory(50, 3, k=8)
        >>> memory.store(jnp.arange(50), z)
        >>> memory.refresh()
        >>> neighbors = jaxlle.knn(z, 8)
        >>> whole = jaxlle.losses.lle_loss(z, z[neighbors.indices], jaxlle.barycentric_weights(z, neighbors))
        >>> bool(jnp.allclose(memory.loss(jnp.arange(50), z), whole))
        True
    """

    def __init__(
        self,
        points: int,
        width: int,
        *,
        k: int,
        capacity: int | None = None,
        momentum: Any = 0.0,
        refresh_every: int | None = None,
        reg: float | Regularizer = 1e-3,
        block_bytes: int = BLOCK_BYTES,
    ):
        """Create an empty memory.

        Args:
            points: number of points of the data, whose rows are 0 to points - 1.
            width: number of features.
            k: number of neighbors per point; fewer, where fewer are stored.
            capacity: number of features that are stored; the oldest are replaced. None for those of all points.
            momentum: weight of the stored features of a point when new ones are stored: an exponential moving average. 0 stores
                the new features.
            refresh_every: number of batches after whose storage the graph is computed anew; None for `refresh` only.
            reg: strength of the trace ridge of the weights, or an object of `jaxlle.regularizers`.
            block_bytes: memory limit of one block of the search, in bytes.

        Raises:
            ValueError: for a capacity larger than the number of points, k larger than the number of other stored points, or a
                momentum that is not in [0, 1).
        """
        self.points = check_count(points, "points", 2, None, "the number of points of the data")
        self.width = check_count(width, "width", 1, None, "the number of features")
        why = f"each of the {points} points is stored once; None stores all"
        self.capacity = points if capacity is None else check_count(capacity, "capacity", 2, points, why)
        self.k = check_count(k, "k", 1, self.capacity - 1, "there are that many other points in the memory")
        check_number(momentum, "momentum", "at least 0 and less than 1", lambda number: 0 <= number < 1)
        check_reg(reg, k, width)
        if refresh_every is not None:
            check_count(refresh_every, "refresh_every", 1, None, "a number of batches; None for no schedule")
        self.refresh_every, self.momentum, self.reg, self.block_bytes = (
            refresh_every,
            momentum,
            reg,
            check_bytes(block_bytes),
        )
        c = self.capacity
        self.features = MemoryState(jnp.zeros((c, width)))
        self.stored = MemoryState(jnp.full(c, -1, jnp.int32))
        self.places = MemoryState(jnp.full(points, -1, jnp.int32))
        self.batches = MemoryState(jnp.zeros((), jnp.int32))
        self.next = MemoryState(jnp.zeros((), jnp.int32))
        self.owners = MemoryState(jnp.full(c, -1, jnp.int32))
        self.near = MemoryState(jnp.full((c, k), -1, jnp.int32))
        self.weights = MemoryState(jnp.zeros((c, k)))

    def store(self, rows: Any, features: Any, *, where: Any = None) -> None:
        """Store the features of a batch, and compute the graph anew if it is due.

        A queue removes the oldest features if there is no free place. Of a row that occurs several times the last features are
        stored. Inside jit, rows out of range and features that are not finite are not stored.

        Args:
            rows: row of each point in the data, shape (b,).
            features: of the points, shape (b, width), not differentiated.
            where: True where a point is to be stored, shape (b,).

        Raises:
            ValueError: for arrays of other shapes, more points than the capacity, and outside jit for rows out of range and
                features that are not finite.
        """
        rows, features, where = self._read(rows, features, where)
        if len(rows) > self.capacity:
            raise ValueError(
                f"A batch of {len(rows)} points does not fit into a memory of {self.capacity}: increase the capacity."
            )
        self._set(_store(self._state(), rows, features, where, jnp.asarray(self.momentum)))
        if self.refresh_every is not None:
            due = self.batches[...] % self.refresh_every == 0
            self._set(lax.cond(due, self._refreshed, lambda state: state, self._state()))

    def refresh(self) -> None:
        """Compute neighbors and weights of all stored features from these."""
        self._set(self._refreshed(self._state()))

    def neighborhoods(self, rows: Any) -> MemoryNeighborhoods:
        """Return the neighbors of points in the graph, with the features that are stored now.

        Args:
            rows: row of each point in the data, shape (b,).

        Returns:
            MemoryNeighborhoods. `where` is False for a point that was not stored when the graph was computed, or is not stored
            any longer, or has a neighbor that is not.

        Raises:
            ValueError: for rows that are no integers of one dimension or, outside jit, out of range.
        """
        return _from_graph(self._state(), self._read_rows(rows))

    def search(self, rows: Any, features: Any) -> MemoryNeighborhoods:
        """Return the stored features nearest to given ones, each without those of its own row, and their weights.

        Args:
            rows: row of each point in the data, shape (b,).
            features: of the points, shape (b, width), not differentiated.

        Returns:
            MemoryNeighborhoods. `where` is False if no other point is stored.

        Raises:
            ValueError: for arrays of other shapes, and outside jit for rows out of range and features that are not finite.
        """
        rows, features, _ = self._read(rows, features, None)
        return _search(self._state(), rows, features, as_regularizer(self.reg), self.block_bytes)

    def loss(
        self, rows: Any, features: Any, *, search: bool = False, where: Any = None, reduction: Reduction = "mean"
    ) -> Float[Array, "*s"]:
        """Compute the cost of LLE for the features of a batch, with neighbors in the memory.

        With the features of all points stored and the graph computed from them this is `losses.lle_loss` over the whole data. It
        is 0 as long as no point of the batch has neighbors: monitor the mean of ``neighborhoods(rows).where``.

        Args:
            rows: row of each point in the data, shape (b,).
            features: of the points, shape (b, width), differentiable.
            search: whether to search for the neighbors of the features, instead of those in the graph.
            where: True where a point counts, shape (b,).
            reduction: "mean" or "sum" over the points that count and have neighbors, or "none".

        Returns:
            Scalar, or shape (b,) with reduction="none". Inside jit, NaN if a row is out of range.

        Raises:
            ValueError: as `search`.
        """
        rows, features, where = self._read(rows, features, where)
        near = self.search(rows, lax.stop_gradient(features)) if search else self.neighborhoods(rows)
        outside = (rows < 0) | (rows >= self.points)
        return lle_loss(
            jnp.where(outside[:, None], jnp.nan, features),
            near.features,
            near.weights,
            mask=near.mask,
            where=where & (near.where | outside),
            reduction=reduction,
        )

    def _read(self, rows: Any, features: Any, where: Any) -> tuple[Array, Array, Array]:
        """Validate the rows and features of a batch."""
        rows = self._read_rows(rows)
        (features,) = at_least_float32(features=features)
        if features.shape != (len(rows), self.width):
            raise ValueError(
                f"features has shape {features.shape}, but must have shape {(len(rows), self.width)}: the features of each of "
                f"the {len(rows)} rows."
            )
        where = jnp.ones(len(rows), bool) if where is None else read_mask(where, "where", rows.shape)
        counted(features, "features", where)
        return rows, features, where

    def _read_rows(self, rows: Any) -> Int[Array, " b"]:
        rows = read_array(rows, "rows", "leave those points out")
        if rows.ndim != 1 or np.dtype(rows.dtype).kind not in "iu" or not len(rows):
            raise ValueError(
                f"rows has shape {rows.shape} and dtype {rows.dtype}, but must be integers of shape (b,), at least one row."
            )
        if not is_traced(rows) and not 0 <= rows.min() <= rows.max() < self.points:
            raise ValueError(
                f"rows ranges from {rows.min()} to {rows.max()}, but the memory is for {self.points} points (0 to "
                f"{self.points - 1})."
            )
        return jnp.asarray(rows, jnp.int32)

    def _refreshed(self, state: "_State") -> "_State":
        return _refresh(state, as_regularizer(self.reg), self.block_bytes)

    def _state(self) -> "_State":
        return _State(*(getattr(self, name)[...] for name in _State._fields))

    def _set(self, state: "_State") -> None:
        for name, value in zip(_State._fields, state, strict=True):
            getattr(self, name)[...] = value


class _State(NamedTuple):
    """The arrays of a memory of c places, for n points."""

    features: Float[Array, "c width"]
    stored: Int[Array, " c"]  # the row in each place, or -1
    places: Int[Array, " n"]  # the place of each row, or -1
    batches: Int[Array, ""]  # stored so far
    next: Int[Array, ""]  # the place that a queue fills next
    owners: Int[Array, " c"]  # the row to which each line of the graph belongs, or -1
    near: Int[Array, "c k"]  # the rows of its neighbors, or -1
    weights: Float[Array, "c k"]


@jax.jit
def _store(
    state: _State, rows: Int[Array, " b"], new: Float[Array, "b width"], where: Bool[Array, " b"], momentum: Array
) -> _State:
    """Put features into the places of their rows or, in a queue, into the next places."""
    new, capacity, n = lax.stop_gradient(new), len(state.stored), len(state.places)
    keep = where & (rows >= 0) & (rows < n) & jnp.isfinite(new).all(axis=1)
    order = jnp.arange(len(rows))
    again = (rows[:, None] == rows) & keep & (order > order[:, None])
    keep = keep & ~again.any(axis=1)
    rows = jnp.where(keep, rows, n)  # out of range: neither read nor written
    old = state.places.at[rows].get(mode="fill", fill_value=-1)
    before = state.features[jnp.maximum(old, 0)]
    new = jnp.where((old >= 0)[:, None], momentum * before + (1 - momentum) * new, new).astype(before.dtype)
    stored = state.stored.at[jnp.where(old >= 0, old, capacity)].set(-1, mode="drop")
    to = rows if capacity == n else (state.next + jnp.cumsum(keep) - 1) % capacity
    to = jnp.where(keep, to, capacity).astype(jnp.int32)
    removed = stored.at[to].get(mode="fill", fill_value=-1)
    places = state.places.at[jnp.where(removed >= 0, removed, n)].set(-1, mode="drop")
    return state._replace(
        features=state.features.at[to].set(new, mode="drop"),
        stored=stored.at[to].set(rows, mode="drop"),
        places=places.at[rows].set(to, mode="drop"),
        batches=state.batches + 1,
        next=(state.next + keep.sum(dtype=jnp.int32)) % capacity,
    )


@partial(jax.jit, static_argnames=("block_bytes",))
def _search(
    state: _State, rows: Int[Array, " b"], queries: Float[Array, "b width"], reg: Regularizer, block_bytes: int
) -> MemoryNeighborhoods:
    """Return the k nearest stored features of each query, without its own row."""
    queries, taken = lax.stop_gradient(queries), state.stored >= 0
    known = jnp.where(taken[:, None], state.features, 0)
    center = known.sum(axis=0) / jnp.maximum(taken.sum(), 1)  # distances far from the origin would lose digits
    known = known - center
    norms = jnp.sum(known**2, axis=1)

    def nearest(block: tuple[Array, Array]) -> tuple[Array, Array]:
        own, q = block
        allowed = taken & (state.stored != own[:, None])
        _, at = lax.top_k(jnp.where(allowed, 2 * matmul(q, known.T) - norms, -jnp.inf), state.near.shape[1])
        # Without the barrier XLA does not recognize the selection, and sorts whole rows on a CPU.
        at = lax.optimization_barrier(at)
        return at, jnp.take_along_axis(allowed, at, axis=1)

    row_bytes = 3 * known.dtype.itemsize * len(known)
    at, mask = map_blocks(nearest, (rows, queries - center), block_bytes, row_bytes)
    graph = Neighbors(at.astype(jnp.int32), None, mask)
    weights = barycentric_weights(state.features, graph, query=queries, reg=reg, block_bytes=block_bytes)
    return MemoryNeighborhoods(
        jnp.where(mask, state.stored[at], -1), state.features[at], weights, mask, mask.any(axis=1)
    )


@partial(jax.jit, static_argnames=("block_bytes",))
def _refresh(state: _State, reg: Regularizer, block_bytes: int) -> _State:
    """Compute the graph of the stored features."""
    found = _search(state, state.stored, state.features, reg, block_bytes)
    owners = jnp.where(found.where, state.stored, -1)
    return state._replace(owners=owners, near=found.rows, weights=found.weights.astype(state.weights.dtype))


@jax.jit
def _from_graph(state: _State, rows: Int[Array, " b"]) -> MemoryNeighborhoods:
    """Return the neighbors of rows in the graph of the last refresh."""
    place = state.places.at[jnp.where(rows < 0, len(state.places), rows)].get(mode="fill", fill_value=-1)
    near, weights = state.near[place], state.weights[place]
    at = state.places[near]
    mask = near >= 0
    where = (place >= 0) & (state.owners[place] == rows) & mask.any(axis=1) & ~(mask & (at < 0)).any(axis=1)
    mask = mask & where[:, None]
    features = jnp.where(mask[:, :, None], state.features[at], 0)
    return MemoryNeighborhoods(jnp.where(mask, near, -1), features, jnp.where(mask, weights, 0), mask, where)
