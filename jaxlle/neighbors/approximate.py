"""Approximate neighbors for data that are too large for an exact search, with their measured recall."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.arrays import check_number
from .._core.checks import check_count, check_key
from .._core.linear import matmul
from .._core.points import Points, prepare_points
from .exact import knn
from .graph import Neighbors, as_neighbors


class ApproximateNeighbors(NamedTuple):
    """An approximate neighbor graph and its recall.

    Attributes:
        neighbors: neighbors as returned by `knn`, in which some of the exact neighbors may be missing.
        recall: share of the exact neighbors that were found, measured on a sample of the points.
    """

    neighbors: Neighbors
    recall: float


def approximate_knn(
    x: Any, k: int, *, effort: float = 1.0, sample: int = 1000, key: Array | None = None
) -> ApproximateNeighbors:
    """Find most of the k nearest neighbors of every point in the Euclidean metric.

    On a TPU the search uses `lax.approx_min_k` (Chern et al. 2022); elsewhere it uses nearest-neighbor descent (Dong, Moses and
    Li 2011) from the package pynndescent, on the host. The recall ``|found & exact| / |exact|`` is measured on a sample of the
    points, whose exact neighbors are computed. Missing neighbors change the weights of a point: if the recall is below 0.99,
    compare with an exact search on a subset first. Not available inside jit.

    Args:
        x: points, shape (n, d), or a `Points` value.
        k: neighbors per point.
        effort: larger values find more neighbors in more time: factor on the length of the candidate lists of the descent. On a
            TPU it is the target recall, at most 0.99.
        sample: number of points on which the recall is measured.
        key: random key of the descent and the sample; None means key(0).

    Returns:
        ApproximateNeighbors.

    Raises:
        ModuleNotFoundError: if pynndescent is required but not installed: pip install 'jaxlle[approximate]'.
        ValueError: as for `knn`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (500, 30))
        >>> jaxlle.neighbors.approximate_knn(x, 10).recall > 0.9
        True
    """
    points = prepare_points(x)
    n = points.shape[0]
    k = check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points excluding the point itself")
    sample = check_count(sample, "sample", 1, None, "number of points on which the recall is measured")
    check_number(effort, "effort", "positive", lambda value: value > 0)
    key = check_key(key)
    on_tpu = all(device.platform == "tpu" for device in points.coordinates.devices())
    found = _on_tpu(points, k, effort) if on_tpu else _descent(points, k, effort, key)
    return ApproximateNeighbors(found, _recall(points, k, found.indices, min(sample, n), key))


def _descent(points: Points, k: int, effort: float, key: Array) -> Neighbors:
    try:
        from pynndescent import NNDescent
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Approximate neighbors on this device require pynndescent: pip install 'jaxlle[approximate]'."
        ) from error
    seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1] % 2**31)
    candidates = max(k, round(60 * effort))
    # One more than k, because a point is found among its own neighbors and then removed by its index.
    index: Any = NNDescent(
        np.asarray(points.coordinates), n_neighbors=k + 1, max_candidates=candidates, random_state=seed
    )
    ids, lengths = index.neighbor_graph
    return as_neighbors(ids, lengths * float(points.unit))


def _on_tpu(points: Points, k: int, effort: float) -> Neighbors:
    ids, squares = _approximate_rows(points.coordinates, k, min(effort, 0.99))
    return Neighbors(ids, jnp.sqrt(squares) * points.unit)


@partial(jax.jit, static_argnames=("k", "recall"))
def _approximate_rows(
    points: Float[Array, "n d"], k: int, recall: float
) -> tuple[Int[Array, "n k"], Float[Array, "n k"]]:
    norms = jnp.sum(points**2, axis=1)

    def one(i: Array) -> tuple[Array, Array]:
        squares = norms + norms[i] - 2 * matmul(points, points[i])
        squares = jnp.where(jnp.arange(len(norms)) == i, jnp.inf, jnp.maximum(squares, 0))
        squares, ids = lax.approx_min_k(squares, k, recall_target=recall)
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
