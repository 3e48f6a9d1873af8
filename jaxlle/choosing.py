"""Choosing k and reg: one call embeds the data over a whole grid and measures every embedding."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from . import solvers
from ._core.blocks import BLOCK_BYTES, Progress, cache_budget, map_blocks, map_rows
from ._core.checks import all_finite, check_dim, is_traced
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
    """Measures of LLE's embeddings over values of k (rows) and reg (columns), on the host; lower is better for all three.

    Attributes:
        ks: neighbours a point, shape (a,).
        regs: strengths of the regularizer, shape (b,).
        residual_variance: of all distances, see `metrics.residual_variance`, shape (a, b).
        procrustes: of the neighbourhoods of k points, see `metrics.local_procrustes`, shape (a, b).
        preservation: of distances to the k neighbours, see `metrics.preservation_error`, shape (a, b).
        gap: of each embedding, see `Embedding`, shape (a, b).
        num_components: of each embedding, shape (a, b). With more than one the embedding only tells parts from each other.
    """

    ks: Int[np.ndarray, " a"]
    regs: Float[np.ndarray, " b"]
    residual_variance: Float[np.ndarray, "a b"]
    procrustes: Float[np.ndarray, "a b"]
    preservation: Float[np.ndarray, "a b"]
    gap: Float[np.ndarray, "a b"]
    num_components: Int[np.ndarray, "a b"]

    def best(self, criterion: str = "procrustes") -> tuple[int, float]:
        """Return the k and the reg of least `criterion`, a field's name, among the connected graphs.

        Raises:
            ValueError: for a criterion that is unknown or was not measured, or if no graph of the grid is connected.
        """
        check_criterion(criterion)
        if np.isnan(getattr(self, criterion)).all():
            raise ValueError(f"{criterion} was not measured: name it among the criteria of choose.")
        values = np.where(self.num_components == 1, getattr(self, criterion), np.inf)
        if not np.isfinite(values).any():
            raise ValueError(f"No graph is connected at k = {self.ks.tolist()}: try larger k.")
        row, column = np.unravel_index(values.argmin(), values.shape)
        return int(self.ks[row]), float(self.regs[column])

    def __str__(self) -> str:
        """Return the table, a line for each k and reg."""
        lines = ["     k        reg  residual variance  procrustes  preservation       gap  components"]
        for i, k in enumerate(self.ks):
            for j, reg in enumerate(self.regs):
                values = (f"{getattr(self, f)[i, j]:{w}.4g}" for f, w in _COLUMNS)
                lines.append(f"{k:6d}  {reg:9.3g}{''.join(values)}  {self.num_components[i, j]:10d}")
        return "\n".join(lines)


def check_criterion(criterion: str) -> None:
    """Raise for a criterion that is none."""
    if criterion not in CRITERIA:
        raise ValueError(f"criterion = {criterion!r} is not known: use {', '.join(map(repr, CRITERIA))}.")


_AUTO = (6, 8, 10, 12, 16, 20, 24, 32)  # numbers of neighbours that k="auto" compares
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
    """Embed the data by LLE for every k and reg of a grid, and measure how well each embedding keeps the geometry.

    Neighbours and local Gram matrices are computed once, for the largest k; smaller neighbourhoods are masks on them, so that
    weights and measures are compiled once and mapped over the grid.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the embedding.
        ks: numbers of neighbours, rising or not.
        regs: strengths of the regularizer.
        criteria: which of "residual_variance", "procrustes" and "preservation" to measure; the others are NaN. The first
            takes time n^2 for every embedding.
        key: seeds the solver's start; None: key(0).
        block_bytes: memory that one block of points may take.
        progress: called with (embeddings done, embeddings in all).

    Returns:
        Grid, whose `best()` is the choice. Warnings of single embeddings are not issued: their causes are in the table.

    Raises:
        ValueError: for bad points, k or reg, or an unknown criterion.
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
    weigh = partial(_weights, grams, regs=jnp.asarray(regs, grams.dtype), block_bytes=block_bytes)
    rows = []
    for k, weights in zip(ks, _one_ahead(map(weigh, ks)), strict=True):
        made = _embedded(neighbors, weights, regs, dim, key)
        measured = _measured(points.coordinates, neighbors, int(k), made, criteria, block_bytes)
        if dim > 2:  # then it calls LAPACK, which may hang beside other work: see `solve_positive`
            measured.block_until_ready()
        rows.append((made, measured))  # else it runs on beside the next embeddings
        if progress is not None:
            progress(len(rows) * len(regs), len(ks) * len(regs))
    table = np.full((len(CRITERIA), len(ks), len(regs)), np.nan)
    table[[CRITERIA.index(name) for name in criteria]] = np.stack([np.asarray(row) for _, row in rows], axis=1)
    gap, num_components = (
        np.array([[getattr(one, field) for one in made] for made, _ in rows]) for field in ("gap", "num_components")
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
    """Return the grid that k="auto" takes its best from: usual numbers of neighbours, judged within neighbourhoods alone."""
    points = prepare_points(x)
    n = points.shape[0]
    ks = [k for k in _AUTO if dim < k < n] or [min(dim + 1, n - 1)]
    return choose(
        points, dim, ks=ks, regs=[reg], criteria=("procrustes",), key=key, block_bytes=block_bytes, progress=progress
    )


def _one_ahead(results: Iterator[Array]) -> Iterator[Array]:
    """Yield results when the next one is already under way: the device works on it beside the solver on the host."""
    ready = next(results)
    for following in results:
        yield ready
        ready = following
    yield ready


def _check_grid(
    points: Points, dim: int, ks: Any, regs: Any, criteria: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[Criterion, ...]]:
    """Return the grid's sides, rising, and the criteria, or say what is wrong with them."""
    ks, regs = np.unique(np.asarray(ks)), np.unique(np.asarray(regs, np.float64))
    for name, values in (("ks", ks), ("regs", regs), ("criteria", criteria)):
        if len(values) == 0:
            raise ValueError(f"{name} is empty: a grid needs at least one.")
    for k in ks:
        check_dim(dim, k.item(), points.shape, points.metric)
        check_shapes(points, None, k.item())
    for reg in regs:
        check_reg(float(reg), int(ks.max()), points.shape[1])
    for criterion in criteria:
        check_criterion(criterion)
    return ks, regs, tuple(name for name in CRITERIA if name in criteria)


def _embedded(
    neighbors: Neighbors, weights: Float[Array, "b n w"], regs: np.ndarray, dim: int, key: Array | None
) -> list[Embedding]:
    """Embed with each of several weights of one graph; the solver that suits the first suits all."""
    near = Neighbors(neighbors.indices[:, : weights.shape[2]], None)
    if not all_finite(weights):  # of all at once; the one that is not says for which reg
        for pair in zip(weights, regs, strict=True):
            require_finite_weights(*pair)
    alignments = [weights_alignment(near, one) for one in weights]
    solver, options = solvers.choose(alignments[0]), EmbedOptions(key=key)
    return [solve(alignment, dim, solver, options, NO_HINTS) for alignment in alignments]


def _measured(
    points: Array,
    neighbors: Neighbors,
    k: int,
    made: list[Embedding],
    criteria: tuple[Criterion, ...],
    block_bytes: int,
) -> Float[Array, "m b"]:
    """Measure the embeddings at one k, each by every criterion."""
    ys, back, width = jnp.stack([one.points for one in made]), neighbors.indices[None], neighbors.indices.shape[1]
    if "preservation" in criteria:
        near = [knn(prepare_points(y), k, block_bytes=block_bytes).indices for y in ys]
        back = jnp.pad(jnp.stack(near), ((0, 0), (0, 0), (0, width - k)))
    around = Neighborhoods(neighbors.indices, back, jnp.arange(width) < k)
    return measure(points, ys, around, criteria, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _grams(points: Float[Array, "n d"], ids: Int[Array, "n k"], block_bytes: int) -> Float[Array, "n k k"]:
    n, k = ids.shape
    row = 2 * k * points.shape[1] * points.dtype.itemsize
    return map_rows(
        lambda pair: local_gram(points, points[pair[0]], pair[1])[0], (jnp.arange(n), ids), block_bytes, row
    )


def _weights(grams: Float[Array, "n w w"], k: Any, regs: Float[Array, " b"], block_bytes: int) -> Float[Array, "b n v"]:
    """Return the weights at one k, and zeros: a program for every eight k, for elimination costs k^3."""
    width = min(-(-int(k) // 8) * 8, grams.shape[1])
    return _masked_weights(grams[:, :width, :width], k, regs, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _masked_weights(
    grams: Float[Array, "n w w"], k: Any, regs: Float[Array, " b"], block_bytes: int
) -> Float[Array, "b n w"]:
    def block(grams: Array) -> Array:
        mask = jnp.broadcast_to(jnp.arange(grams.shape[1]) < k, grams.shape[:2])
        return jax.vmap(lambda reg: gram_weights(grams, mask, reg=reg), out_axes=1)(regs)

    # Every step of the elimination passes over all systems of a block: on a CPU they should stay in the cache.
    budget = cache_budget(block_bytes)
    row = 2 * len(regs) * grams[0].size * grams.dtype.itemsize
    return jnp.moveaxis(map_blocks(block, grams, budget, row), 1, 0)
