"""The steps that all variants share: validation, duplicates, alignment, embedding."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import distances
from .._core.checks import check_dim, check_spread, is_traced
from .._core.points import Standardized, as_points, standardize, varying, working_dtype
from ..alignment import Alignment
from ..choosing import auto_grid
from ..embedding import Embedding, embed
from ..embedding.embed import Disconnected, Scaling
from ..neighbors import Neighbors
from ..neighbors.exact import find
from ..neighbors.graph import check_indices, warn_of_duplicates
from ..regularizers import Regularizer
from ..solvers import Solver
from ..weights import distance_weights
from ..weights.barycentric import standard_weights
from ..weights.frames import FromDistances, FromPoints, Source
from ..weights.gram import check_reg


def prepare(
    x: Any, k: int, metric: distances.Metric, neighbors: Neighbors | None, block_bytes: int
) -> tuple[Standardized, Any, Neighbors]:
    """Standardise points that have passed the door, once for all stages, and find their neighbours.

    Returns:
        The standardised points; x without the columns that add nothing to a difference; the neighbours.
    """
    if metric in ("euclidean", "manhattan", "chebyshev"):
        x = varying(x)
    standard = standardize(x)
    check_spread(standard.points)
    if neighbors is None:
        neighbors, _, _ = find(x, k, metric=metric, block_bytes=block_bytes, standard=standard)
        warn_of_duplicates(neighbors)
    return standard, x, neighbors


def prepared_weights(
    standard: Standardized,
    x: Any,
    neighbors: Neighbors,
    reg: Any,
    regularizer: Regularizer,
    metric: distances.Metric,
    block_bytes: int,
) -> Float[Array, "n k"]:
    """Compute the weights of prepared points: from coordinates, or from distances if there is nothing else."""
    if metric == distances.PRECOMPUTED:
        return distance_weights(x, neighbors, reg=reg, regularizer=regularizer, block_bytes=block_bytes)
    check_reg(reg, regularizer, neighbors.indices.shape[1], x.shape[1])
    check_indices(neighbors, x.shape[0], x)
    return standard_weights(standard, standard.points, neighbors, reg, regularizer, block_bytes)


def number_of_neighbors(
    k: int | str,
    x: Any,
    dim: int,
    reg: Any,
    metric: distances.Metric,
    neighbors: Neighbors | None,
    key: Array | None,
    block_bytes: int,
) -> int:
    """Return k, chosen if it is left to us."""
    if not isinstance(k, str):
        return k
    if k != "auto":
        raise ValueError(f"k (n_neighbors) = {k!r} is not known: give a whole number, or 'auto'.")
    if neighbors is not None:
        return neighbors.indices.shape[1]
    if is_traced(x, reg):
        raise TypeError("k = 'auto' compares embeddings on the host: choose k outside jit, by jaxlle.choose.")
    if metric != "euclidean":
        raise ValueError(f"k = 'auto' compares Euclidean neighbourhoods: give a number with metric = {metric!r}.")
    return auto_grid(x, dim, reg=float(reg), key=key, block_bytes=block_bytes).best()[0]


class Finish(NamedTuple):
    """What the stages in a row do after the alignment, and with copies before it: see `lle`."""

    solver: Solver | Literal["auto"]
    scaling: Scaling
    disconnected: Disconnected
    dedupe: bool
    key: Array | None


def run_pipeline(
    align: Callable[[Any], Alignment], x: Any, dim: int, k: int, metric: distances.Metric, finish: Finish
) -> Embedding:
    """Run the stages of any variant: the door, the alignment of what has passed it, the embedding."""
    x = as_points(x)
    dim = check_dim(dim, k, x.shape, metric)
    copies = None
    if finish.dedupe:
        x, copies = _distinct(x, metric)
    solver, scaling, disconnected, _, key = finish
    points = None if metric == distances.PRECOMPUTED else x
    out = embed(align(x), dim, solver=solver, scaling=scaling, disconnected=disconnected, key=key, points=points)
    return out if copies is None else _copied(out, copies)


def _distinct(x: Any, metric: distances.Metric) -> tuple[Any, np.ndarray]:
    if is_traced(x):
        raise TypeError("dedupe=True changes the number of points, which jit cannot: dedupe before, outside jit.")
    if metric == distances.PRECOMPUTED:
        raise ValueError(
            "dedupe=True needs points: with precomputed distances drop the copies' rows and columns first."
        )
    _, first, copies = np.unique(np.asarray(x), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # keep the order in which the points came
    return x[first[order]], np.argsort(order)[copies.ravel()]


def _copied(out: Embedding, copies: np.ndarray) -> Embedding:
    place = np.full(int(copies.max()) + 1, -1)
    place[np.asarray(out.rows)] = np.arange(len(out.rows))
    rows = np.flatnonzero(place[copies] >= 0)
    fields = {"points": out.points[place[copies[rows]]], "rows": jnp.asarray(rows, jnp.int32)}
    return Embedding(**{**out.__dict__, **fields})


def find_source(
    x: Any, k: int, metric: distances.Metric, neighbors: Neighbors | None, block_bytes: int
) -> tuple[Source, Neighbors]:
    """Return the source of patches of points that have passed the door, and their neighbourhoods."""
    standard, x, neighbors = prepare(x, k, metric, neighbors, block_bytes)
    check_indices(neighbors, x.shape[0], x)
    if metric == distances.PRECOMPUTED:
        return FromDistances(jnp.asarray(x, working_dtype(x))), neighbors
    return FromPoints(standard.points), neighbors
