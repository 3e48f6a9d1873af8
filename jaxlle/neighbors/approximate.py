"""Approximate neighbors for data on which an exact search is too expensive, with their measured recall."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.checks import check_count
from .._core.linear import matmul
from .._core.points import Points, prepare_points
from .exact import knn
from .graph import Neighbors, as_neighbors


class ApproximateNeighbors(NamedTuple):
    """An approximate neighbor graph and its recall.

    Attributes:
        neighbors: as of `knn`, with some neighbours missed.
        recall: share of the exact neighbours that were found, measured on a sample of the points.
    """

    neighbors: Neighbors
    recall: float


def approximate_knn(
    x: Any, k: int, *, effort: float = 1.0, sample: int = 1000, key: Array | None = None
) -> ApproximateNeighbors:
    """Find most of the k nearest neighbours of every point in the Euclidean metric.

    On a TPU by `lax.approx_min_k` (Chern et al. 2022), elsewhere by nearest-neighbour descent (Dong et al. 2011) in the
    package pynndescent, on the host. The recall is measured against exact neighbours of a sample, not assumed. A point's
    missed neighbours change its weights; below a recall of 0.99 compare with an exact run on a subset first.

    Args:
        x: points, shape (n, d).
        k: number of neighbours.
        effort: more finds more, in more time: the length of descent's candidate lists, relative to its default. On a TPU
            the recall aimed at, if below 1, else 0.99.
        sample: number of points that the recall is measured on.
        key: seeds descent and sample; None: key(0).

    Returns:
        ApproximateNeighbors.

    Raises:
        ModuleNotFoundError: without pynndescent, where it is needed: pip install 'jaxlle[approximate]'.
        ValueError: as `knn`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (500, 30))
        >>> jaxlle.neighbors.approximate_knn(x, 10).recall > 0.9
        True
    """
    points = prepare_points(x)
    n = points.shape[0]
    k = check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points excluding the point itself")
    key = jax.random.key(0) if key is None else key
    on_tpu = jax.default_backend() == "tpu"
    found = _on_tpu(points, k, effort) if on_tpu else _descent(points, k, effort, key)
    return ApproximateNeighbors(found, _recall(points, k, found.indices, min(sample, n), key))


def _descent(points: Points, k: int, effort: float, key: Array) -> Neighbors:
    try:
        from pynndescent import NNDescent
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Approximate neighbors on this device need pynndescent: pip install 'jaxlle[approximate]'."
        ) from error
    seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1] % 2**31)
    candidates = max(k, round(60 * effort))
    # One more than k: a point is found among its own neighbors, and removed by its index.
    index: Any = NNDescent(
        np.asarray(points.coordinates), n_neighbors=k + 1, max_candidates=candidates, random_state=seed
    )
    ids, far = index.neighbor_graph
    return as_neighbors(ids, far * float(points.unit))


def _on_tpu(points: Points, k: int, effort: float) -> Neighbors:
    ids, squares = _approximate_rows(points.coordinates, k, min(effort, 0.99))
    return Neighbors(ids, jnp.sqrt(squares) * points.unit)


@partial(jax.jit, static_argnames=("k", "recall"))
def _approximate_rows(
    points: Float[Array, "n d"], k: int, recall: float
) -> tuple[Int[Array, "n k"], Float[Array, "n k"]]:
    norms = jnp.sum(points**2, axis=1)

    def one(i: Array) -> tuple[Array, Array]:
        far = norms + norms[i] - 2 * matmul(points, points[i])
        far = jnp.where(jnp.arange(len(norms)) == i, jnp.inf, jnp.maximum(far, 0))
        squares, ids = lax.approx_min_k(far, k, recall_target=recall)
        return ids, squares

    return lax.map(one, jnp.arange(len(norms), dtype=jnp.int32), batch_size=256)


def _recall(points: Points, k: int, indices: Int[Array, "n k"], sample: int, key: Array) -> float:
    rows = np.asarray(jax.random.choice(key, points.shape[0], (sample,), replace=False))
    exact = np.asarray(knn(points, k + 1, query=points.values[rows]).indices)  # the query itself is among them
    found = np.asarray(indices)[rows]
    own = exact == rows[:, None]
    own[~own.any(axis=1), -1] = True
    exact = exact[~own].reshape(sample, k)
    return float((exact[:, :, None] == found[:, None, :]).any(axis=2).mean())
