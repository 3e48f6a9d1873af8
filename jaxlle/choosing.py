"""Selection of k and reg: embed the data for every pair of a grid, and measure every embedding."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from . import solvers
from ._core.arrays import move_floats, require_real
from ._core.blocks import BLOCK_BYTES, Progress, cache_budget, map_blocks, map_rows
from ._core.calls import explain_calls
from ._core.checks import all_finite, check_dim, is_traced
from ._core.missing import read_host
from ._core.points import Points, check_spread, prepare_points
from .alignment import weights_alignment
from .embedding import Embedding, EmbedOptions
from .embedding.embed import solve
from .metrics.geometry import CRITERIA, Criterion, Neighborhoods, measure
from .neighbors import Neighbors, knn
from .neighbors.exact import check_shapes
from .solvers.spectrum import NO_HINTS
from .weights import gram_weights
from .weights.gram import check_reg, local_gram, require_finite_weights

__all__ = ["Grid", "choose"]


class Grid(NamedTuple):
    """Quality measures of LLE embeddings over values of k (rows) and reg (columns), on the host; lower is better for all three.

    Attributes:
        ks: numbers of neighbors per point, ascending, shape (a,).
        regs: strengths of the regularizer, ascending, shape (b,).
        residual_variance: residual variance of all distances, see `metrics.residual_variance`, shape (a, b).
        procrustes: Procrustes statistic of the neighborhoods of k points, see `metrics.local_procrustes`, shape (a, b).
        preservation: error of the distances to the k neighbors, `metrics.preservation_error` with scale="fitted", shape (a, b).
        gap: gap of each embedding, see `Embedding`, shape (a, b).
        num_components: number of components of each embedding, see `Embedding`, shape (a, b). With more than one, the first
            columns of the embedding only separate the components.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> grid = jaxlle.choose(x, 2, ks=[6, 12], criteria=["procrustes"])
        >>> grid.best()[0] in grid.ks
        True
    """

    ks: Int[np.ndarray, " a"]
    regs: Float[np.ndarray, " b"]
    residual_variance: Float[np.ndarray, "a b"]
    procrustes: Float[np.ndarray, "a b"]
    preservation: Float[np.ndarray, "a b"]
    gap: Float[np.ndarray, "a b"]
    num_components: Int[np.ndarray, "a b"]

    def best(self, criterion: str = "procrustes") -> tuple[int, float]:
        """Return the k and the reg with the lowest value of a criterion, among the connected graphs.

        Args:
            criterion: "residual_variance", "procrustes" or "preservation".

        Returns:
            The pair (k, reg).

        Raises:
            ValueError: if the criterion is unknown or was not measured, or no graph of the grid is connected.

        Example:
            >>> import jax, jaxlle
            >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
            >>> k, reg = jaxlle.choose(x, 2, ks=[6, 12], criteria=["procrustes"]).best("procrustes")
            >>> jaxlle.lle(x, 2, k=k, reg=reg).points.shape
            (200, 2)
        """
        check_criterion(criterion)
        if np.isnan(getattr(self, criterion)).all():
            raise ValueError(f"{criterion} was not measured: add it to the criteria of choose.")
        values = np.where(self.num_components == 1, getattr(self, criterion), np.inf)
        if not np.isfinite(values).any():
            raise ValueError(f"No graph is connected for k = {self.ks.tolist()}: use a larger k.")
        row, column = np.unravel_index(values.argmin(), values.shape)
        return int(self.ks[row]), float(self.regs[column])

    def __str__(self) -> str:
        """Return the table, with one line per pair of k and reg."""
        lines = ["     k        reg  residual variance  procrustes  preservation       gap  components"]
        for i, k in enumerate(self.ks):
            for j, reg in enumerate(self.regs):
                values = (f"{getattr(self, f)[i, j]:{w}.4g}" for f, w in _COLUMNS)
                lines.append(f"{k:6d}  {reg:9.3g}{''.join(values)}  {self.num_components[i, j]:10d}")
        return "\n".join(lines)


def check_criterion(criterion: str) -> None:
    """Raise if the criterion is unknown."""
    if criterion not in CRITERIA:
        raise ValueError(f"criterion = {criterion!r} is not known: use {', '.join(map(repr, CRITERIA))}.")


def edges_of_grid(grid: Grid, criterion: str) -> list[tuple[str, int | float, str]]:
    """Return which of the best k and reg are at an end of the grid, beyond which there may be better values.

    A k is at the lower end only if it is the least of the grid, not if the graphs of smaller ones are disconnected.

    Returns:
        The name, the value, and "larger" or "smaller" for each.
    """
    found = []
    for name, value, values in zip(("k", "reg"), grid.best(criterion), (grid.ks, grid.regs), strict=True):
        if len(values) > 1 and value in (values[0], values[-1]):
            found.append((name, value, "smaller" if value == values[0] else "larger"))
    return found


_AUTO = (6, 8, 10, 12, 16, 20, 24, 32)  # numbers of neighbors that k="auto" compares
_COLUMNS = (("residual_variance", 19), ("procrustes", 12), ("preservation", 14), ("gap", 10))


def choose(
    x: Any,
    dim: int,
    *,
    ks: Any,
    regs: Any = (1e-3,),
    criteria: Sequence[str] = CRITERIA,
    key: Array | None = None,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Grid:
    """Embed the data by LLE for every k and reg of a grid, and measure how well each embedding preserves the geometry.

    Each embedding minimizes ``|(I - W) Y|^2`` (Roweis and Saul 2000), with the weights W of its k and reg. Neighbors and
    local Gram matrices are computed once, for the largest k; smaller neighborhoods are masks on them, so that few programs
    are compiled.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the embedding, at most d.
        ks: numbers of neighbors per point, in any order.
        regs: strengths of the ridge, in any order.
        criteria: which of "residual_variance", "procrustes" and "preservation" to measure; the others are NaN. The time of
            "residual_variance" grows as n^2 for every embedding.
        key: seed of the start of the solver, a `jax.random.key`. None: key(0).
        block_bytes: memory limit of one block of points, in bytes.
        progress: function that is called with the number of completed embeddings and the total number.

    Returns:
        Grid; its method `best` returns the selected k and reg. Warnings about single embeddings are not issued, because `gap`
        and `num_components` are in the table.

    Raises:
        ValueError: if x is not an array of finite numbers or all points are equal, if dim, a k or a reg is out of range, if a
            criterion is unknown, or if ks, regs or criteria is empty.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> jaxlle.choose(x, 2, ks=[6, 12], regs=[1e-3, 1e-2]).procrustes.shape
        (2, 2)
    """
    if is_traced(x):
        raise TypeError("choose embeds on the host and cannot be traced: call it outside jit.")
    points = prepare_points(x)
    ks, regs, criteria = _check_grid(points, dim, ks, regs, criteria)
    check_spread(points)
    neighbors = knn(points, int(ks.max()), block_bytes=block_bytes)
    grams = _grams(points.coordinates, neighbors.indices, block_bytes)
    weights_of = partial(_weights, grams, regs=move_floats(regs, "regs").astype(grams.dtype), block_bytes=block_bytes)
    rows = []
    for k, weights in zip(ks, _prefetch(map(weights_of, ks)), strict=True):
        embeddings = _embed_each(neighbors, weights, regs, dim, key)
        measures = _measure_each(points.coordinates, neighbors, int(k), embeddings, criteria, block_bytes)
        # For dim > 2 the measures call LAPACK, which may hang if other work runs at the same time: see `solve_positive`.
        # For dim <= 2 they are computed at the same time as the next embeddings.
        if dim > 2:
            measures.block_until_ready()
        rows.append((embeddings, measures))
        if progress is not None:
            progress(len(rows) * len(regs), len(ks) * len(regs))
    table = np.full((len(CRITERIA), len(ks), len(regs)), np.nan)
    table[[CRITERIA.index(name) for name in criteria]] = np.stack([np.asarray(row) for _, row in rows], axis=1)
    gap, num_components = (
        np.array([[getattr(embedding, field) for embedding in embeddings] for embeddings, _ in rows])
        for field in ("gap", "num_components")
    )
    return Grid(ks, regs, **dict(zip(CRITERIA, table, strict=True)), gap=gap, num_components=num_components)


def auto_grid(
    x: Any,
    dim: int,
    *,
    reg: float = 1e-3,
    key: Array | None = None,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Grid:
    """Return the grid from which k="auto" is selected: usual numbers of neighbors, compared by `metrics.local_procrustes`."""
    points = prepare_points(x)
    n = points.shape[0]
    ks = [k for k in _AUTO if dim < k < n] or [min(dim + 1, n - 1)]
    return choose(
        points, dim, ks=ks, regs=[reg], criteria=("procrustes",), key=key, block_bytes=block_bytes, progress=progress
    )


def _prefetch(results: Iterator[Array]) -> Iterator[Array]:
    """Yield results while the next one is being computed, so that the device and the solver on the host work at the same time."""
    current = next(results)
    for following in results:
        yield current
        current = following
    yield current


def _check_grid(
    points: Points, dim: int, ks: Any, regs: Any, criteria: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[Criterion, ...]]:
    """Validate the grid; return its values in ascending order, and the criteria."""
    ks, regs = np.atleast_1d(read_host(ks, "ks")), np.atleast_1d(read_host(regs, "regs"))
    require_real(ks, "ks")
    require_real(regs, "regs")
    if ks.ndim > 1 or regs.ndim > 1:
        raise ValueError(f"ks has shape {ks.shape} and regs {regs.shape}: give each as one list of numbers.")
    ks, regs = np.unique(ks), np.unique(regs.astype(np.float64))
    for name, values in (("ks", ks), ("regs", regs), ("criteria", criteria)):
        if len(values) == 0:
            raise ValueError(f"{name} is empty: a grid needs at least one value.")
    for k in ks:
        check_dim(dim, k.item(), points.shape, points.metric)
        check_shapes(points, None, k.item())
    for reg in regs:
        check_reg(float(reg), int(ks.max()), points.shape[1])
    for criterion in criteria:
        check_criterion(criterion)
    return ks, regs, tuple(name for name in CRITERIA if name in criteria)


def _embed_each(
    neighbors: Neighbors, weights: Float[Array, "b n w"], regs: np.ndarray, dim: int, key: Array | None
) -> list[Embedding]:
    """Embed with each of several weights of one graph, by the solver that is selected for the first."""
    nearest = Neighbors(neighbors.indices[:, : weights.shape[2]], None)
    if not all_finite(weights):  # checked together; the error names the reg
        for pair in zip(weights, regs, strict=True):
            require_finite_weights(*pair)
    alignments = [weights_alignment(nearest, matrix) for matrix in weights]
    solver, options = solvers.choose(alignments[0]), EmbedOptions(key=key)
    return [solve(alignment, dim, solver, options, NO_HINTS) for alignment in alignments]


def _measure_each(
    points: Array,
    neighbors: Neighbors,
    k: int,
    embeddings: list[Embedding],
    criteria: tuple[Criterion, ...],
    block_bytes: int,
) -> Float[Array, "m b"]:
    """Measure the embeddings with one k by every criterion."""
    positions = jnp.stack([embedding.points for embedding in embeddings])
    nearest_in_embeddings, width = neighbors.indices[None], neighbors.indices.shape[1]
    if "preservation" in criteria:
        nearest = [knn(prepare_points(each), k, block_bytes=block_bytes).indices for each in positions]
        nearest_in_embeddings = jnp.pad(jnp.stack(nearest), ((0, 0), (0, 0), (0, width - k)))
    neighborhoods = Neighborhoods(neighbors.indices, nearest_in_embeddings, jnp.arange(width) < k)
    return measure(points, positions, neighborhoods, criteria, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _grams(points: Float[Array, "n d"], ids: Int[Array, "n k"], block_bytes: int) -> Float[Array, "n k k"]:
    """Return the local Gram matrices."""
    n, k = ids.shape
    row = 2 * k * points.shape[1] * points.dtype.itemsize
    return map_rows(
        lambda pair: local_gram(points, points[pair[0]], pair[1])[0], (jnp.arange(n), ids), block_bytes, row
    )


def _weights(grams: Float[Array, "n w w"], k: Any, regs: Float[Array, " b"], block_bytes: int) -> Float[Array, "b n v"]:
    """Return the weights for one k, padded with zeros to a multiple of eight neighbors.

    Fewer programs are compiled than for every k, and the time of elimination, which grows as k^3, is not that of the largest k.
    """
    width = min(-(-int(k) // 8) * 8, grams.shape[1])
    return _masked_weights(grams[:, :width, :width], k, regs, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _masked_weights(
    grams: Float[Array, "n w w"], k: Any, regs: Float[Array, " b"], block_bytes: int
) -> Float[Array, "b n w"]:
    """Return the weights of the first k neighbors, for every reg."""

    def block(grams: Array) -> Array:
        mask = jnp.broadcast_to(jnp.arange(grams.shape[1]) < k, grams.shape[:2])
        return jax.vmap(lambda reg: gram_weights(grams, mask, reg=reg), out_axes=1)(regs)

    # Every step of the elimination reads all systems of a block: on a CPU they should stay in the cache.
    budget = cache_budget(block_bytes)
    row = 2 * len(regs) * grams[0].size * grams.dtype.itemsize
    return jnp.moveaxis(map_blocks(block, grams, budget, row), 1, 0)


explain_calls(__name__)
