"""Choosing k and reg: one call embeds the data over a whole grid and measures every embedding."""

import warnings
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from . import _inputs, distances
from ._blocks import map_blocks, map_rows
from ._search import BLOCK_BYTES
from ._warnings import JaxlleWarning
from .embedding import embed
from .neighbors import Neighbors, find, known_distances
from .variants.standard import check_dim, check_spread, weights_alignment
from .weights import check_reg, gram_weights, local_gram


class Grid(NamedTuple):
    """Measures of LLE's embeddings over values of k (rows) and reg (columns), on the host; lower is better for all three.

    Attributes:
        ks: neighbours a point, shape (a,).
        regs: strengths of the regularizer, shape (b,).
        residual_variance: ``1 - r^2`` with r the correlation of all distances in the data and in the embedding (Kouropteva, Okun
            and Pietikainen 2002), shape (a, b). Distances across a fold count, so it suits gently bent data.
        procrustes: mean over the neighbourhoods of what a similarity does not explain, ``1 - (sum of singular values of
            X_i^T Y_i)^2 / (|X_i|^2 |Y_i|^2)`` with both centred (Goldberg and Ritov 2009), shape (a, b).
        preservation: preservation neighbourhood error (Alvarez-Meza et al. 2011): the mean squared change of the distances to
            the neighbours in the data and to those in the embedding, which is scaled to fit, relative to the mean squared
            distance to the neighbours in the data, shape (a, b).
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
            ValueError: for an unknown criterion, or if no graph of the grid is connected.
        """
        if criterion not in ("residual_variance", "procrustes", "preservation"):
            raise ValueError(
                f"criterion = {criterion!r} is not known: use 'residual_variance', 'procrustes' or 'preservation'."
            )
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


_COLUMNS = (("residual_variance", 19), ("procrustes", 12), ("preservation", 14), ("gap", 10))


def choose(
    x: Any, dim: int, *, ks: Any, regs: Any = (1e-3,), key: Array | None = None, block_bytes: int = BLOCK_BYTES
) -> Grid:
    """Embed the data by LLE for every k and reg of a grid, and measure how well each embedding keeps the geometry.

    Neighbours and local Gram matrices are computed once, for the largest k; smaller neighbourhoods are masks on them.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the embedding.
        ks: numbers of neighbours, rising or not.
        regs: strengths of the regularizer.
        key: seeds the solver's start; None: key(0).
        block_bytes: memory that one block of points may take.

    Returns:
        Grid, whose `best()` is the choice. Warnings of single embeddings are not issued: their causes are in the table.

    Raises:
        ValueError: for bad points, k or reg.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> jaxlle.choose(x, 2, ks=[6, 12], regs=[1e-3, 1e-2]).procrustes.shape
        (2, 2)
    """
    if _inputs.is_traced(x):
        raise TypeError("choose embeds on the host and cannot be traced: call it outside jit.")
    x = _inputs.as_points(x)
    ks, regs = np.unique(np.asarray(ks)), np.unique(np.asarray(regs, np.float64))
    for k in ks:
        check_dim(dim, int(k), x.shape, "euclidean")
    for reg in regs:
        check_reg(float(reg), lambda *_: jnp.zeros(()), int(ks.max()), x.shape[1])
    standard = _inputs.standardize(x)
    check_spread(standard.points)
    neighbors, _, _ = find(x, int(ks.max()), block_bytes=block_bytes, standard=standard)
    grams = _grams(standard.points, neighbors.indices, block_bytes)
    rows = [_row(standard.points, neighbors, grams, dim, int(k), regs, key, block_bytes) for k in ks]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Grid(ks, regs, *columns)


def _row(
    points: Array,
    neighbors: Neighbors,
    grams: Array,
    dim: int,
    k: int,
    regs: np.ndarray,
    key: Array | None,
    block_bytes: int,
) -> list[np.ndarray]:
    """Return the measures at one k: a list over the measures, each over regs."""
    near = Neighbors(neighbors.indices[:, :k], known_distances(neighbors)[:, :k])
    many = _weights(grams, k, jnp.asarray(regs, points.dtype))
    out = []
    for weights in many:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JaxlleWarning)
            made = embed(weights_alignment(near, weights[:, :k]), dim, key=key)
            back, _, _ = find(made.points, k, block_bytes=block_bytes)
        measures = _measures(points, made.points, near, back, block_bytes)
        out.append([*map(float, measures), float(made.gap), int(made.num_components)])
    return [np.array(column) for column in zip(*out, strict=True)]


@partial(jax.jit, static_argnames=("block_bytes",))
def _grams(points: Float[Array, "n d"], ids: Int[Array, "n k"], block_bytes: int) -> Float[Array, "n k k"]:
    n, k = ids.shape
    row = 2 * k * points.shape[1] * points.dtype.itemsize
    return map_rows(
        lambda pair: local_gram(points, points[pair[0]], pair[1])[0], (jnp.arange(n), ids), block_bytes, row
    )


@jax.jit
def _weights(grams: Float[Array, "n k k"], k: Any, regs: Float[Array, " b"]) -> Float[Array, "b n k"]:
    mask = jnp.broadcast_to(jnp.arange(grams.shape[1]) < k, grams.shape[:2])
    return jax.vmap(lambda reg: gram_weights(grams, mask, reg=reg))(regs)


@partial(jax.jit, static_argnames=("block_bytes",))
def _measures(
    x: Float[Array, "n d"], y: Float[Array, "n c"], near: Neighbors, back: Neighbors, block_bytes: int
) -> tuple[Array, Array, Array]:
    procrustes = map_rows(
        partial(_unexplained, x, y), near.indices, block_bytes, 8 * near.indices.shape[1] * x.shape[1]
    )
    x_near, y_near = _reach(x, near.indices), _reach(y, near.indices)
    x_back, y_back = _reach(x, back.indices), _reach(y, back.indices)
    scale = jnp.sum(x_near * y_near) / jnp.sum(y_near**2)
    change = jnp.mean((x_near - scale * y_near) ** 2) + jnp.mean((x_back - scale * y_back) ** 2)
    return _residual_variance(x, y, block_bytes), procrustes.mean(), change / 2 / jnp.mean(x_near**2)


def _reach(points: Array, ids: Array) -> Float[Array, "n k"]:
    return jax.vmap(lambda a, i: jax.vmap(partial(distances.euclidean, a))(points[i]))(points, ids)


def _unexplained(x: Array, y: Array, ids: Int[Array, " k"]) -> Float[Array, ""]:
    a, b = (p[ids] - p[ids].mean(axis=0) for p in (x, y))
    cross = jnp.dot(b.T, a, precision=lax.Precision.HIGHEST)
    total = jnp.sum(jnp.linalg.svd(cross, compute_uv=False))
    sizes = jnp.sum(a**2) * jnp.sum(b**2)
    return jnp.where(sizes > 0, jnp.maximum(1 - total**2 / jnp.where(sizes > 0, sizes, 1), 0), 1)


def _residual_variance(x: Array, y: Array, block_bytes: int) -> Float[Array, ""]:
    n = x.shape[0]
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    share = jnp.full(n, 1 / (n - 1), x.dtype)  # the distances of points from themselves, 0, are none of the n (n - 1)

    def moments(rows: tuple[Array, Array]) -> Array:
        a, b = (_distances(part, whole) for part, whole in zip(rows, (x, y), strict=True))
        # Products with a vector: XLA's reductions of rows are far slower on a CPU.
        return jnp.stack([jnp.dot(p, share, precision=lax.Precision.HIGHEST) for p in (a, b, a * b)], axis=1)

    a, b, ab = map_blocks(moments, (x, y), block_bytes, 8 * n * x.dtype.itemsize).mean(axis=0)
    aa, bb = (2 * jnp.sum(p**2) / (n - 1) for p in (x, y))
    return 1 - (ab - a * b) ** 2 / ((aa - a**2) * (bb - b**2))


def _distances(a: Float[Array, "b d"], points: Float[Array, "n d"]) -> Float[Array, "b n"]:
    """Return distances by a product: its rounding is nothing to a correlation over all pairs."""
    product = jnp.dot(a, points.T, precision=lax.Precision.HIGHEST)
    square = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(points**2, axis=1)[None, :] - 2 * product
    return jnp.sqrt(jnp.maximum(square, 0))
