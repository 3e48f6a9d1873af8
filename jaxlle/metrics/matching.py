"""How well the points of two sets in one space are matched with their partners."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.arrays import pairs_or_rows
from .._core.blocks import BLOCK_BYTES, map_blocks
from .._core.checks import check_bytes, check_count, embedding_points, is_traced
from .._core.points import Points, as_points, prepare_points
from ._ranks import exact_distances, row_blocks, row_bytes, squared_distances


def matching_accuracy(
    a: Any, b: Any, *, k: int = 10, pairs: Any = None, block_bytes: int = BLOCK_BYTES
) -> Float[Array, ""]:
    """Return the share of points that have their partner among the k nearest points of the other set.

    The mean over both directions: partners of the points of a among those of b, and the reverse. It is the recall at k of
    cross-modal retrieval, and for k = 1 the accuracy of matching by the nearest point. A partner counts if fewer than k other
    points of its set are closer.

    Args:
        a: points of one set, an Embedding or shape (n, c), in a space that both sets share, such as of
            `jaxlle.semisupervised.align`.
        b: points of the other set, an Embedding or shape (m, c).
        k: number of nearest points, at most the number of points of either set.
        pairs: the partners to look for, row numbers in a and in b, shape (p, 2); None if row i of a belongs to row i of b.
        block_bytes: memory that one block of points may take.

    Returns:
        Scalar in [0, 1]; 1 is best.

    Raises:
        ValueError: if a or b is not an array of finite numbers, they differ in their columns, or without pairs in their rows,
            or pairs or k are out of range.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> a, b = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([[0.1], [2.5], [1.8]])
        >>> round(float(jaxlle.metrics.matching_accuracy(a, b, k=1)), 3)
        0.667
    """
    points, partners, sizes = _prepare(a, b, pairs)
    k = check_count(k, "k (n_neighbors)", 1, min(sizes), "the number of points of the smaller set")
    closer = _count_closer(points, partners, sizes[0], check_bytes(block_bytes))
    return jnp.mean(jnp.asarray(closer < k, points.dtype))


def foscttm(a: Any, b: Any, *, pairs: Any = None, block_bytes: int = BLOCK_BYTES) -> Float[Array, ""]:
    """Return the fraction of samples closer than the true match, averaged over the points of both sets.

    For each point, the number of points of the other set that are closer than its partner, divided by the number of points of
    that set other than the partner (Liu, Huang, Singh, Vert and Noble 2019, Jointly embedding multiple single-cell omics
    measurements, WABI, doi:10.4230/LIPIcs.WABI.2019.10; cited from memory). Random positions give 1/2 on average.

    Args:
        a: as for `matching_accuracy`.
        b: as for `matching_accuracy`.
        pairs: as for `matching_accuracy`.
        block_bytes: as for `matching_accuracy`.

    Returns:
        Scalar in [0, 1]; 0 is best. Points at the same distance as the partner do not count as closer.

    Raises:
        ValueError: as `matching_accuracy`; also for a set of one point.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> a, b = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([[0.1], [2.5], [1.8]])
        >>> jaxlle.metrics.foscttm(a, b)
        Array(0.25, dtype=float32)
    """
    points, partners, sizes = _prepare(a, b, pairs)
    check_count(min(sizes), "the number of points of each set", 2, None, "there must be others than the partner")
    closer = _count_closer(points, partners, sizes[0], check_bytes(block_bytes))
    half = partners.shape[0] // 2
    return (jnp.mean(closer[:half] / (sizes[1] - 1)) + jnp.mean(closer[half:] / (sizes[0] - 1))).astype(
        points.dtype
    ) / 2


def _prepare(a: Any, b: Any, pairs: Any) -> tuple[Points, Int[np.ndarray, "p 2"], tuple[int, int]]:
    """Return the points of both sets together, the pairs in both directions in joint numbers, and the sizes of the sets."""
    first, second = (as_points(embedding_points(y), name) for y, name in ((a, "a"), (b, "b")))
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"a has {first.shape[1]} columns, but b has {second.shape[1]}: both must be points of one space."
        )
    n = first.shape[0]
    sizes = n, second.shape[0]
    forward = pairs_or_rows(pairs, sizes) + np.array([0, n])
    host = isinstance(first, np.ndarray) and isinstance(second, np.ndarray)
    joint = np.concatenate([first, second]) if host else jnp.concatenate([first, second])
    return prepare_points(joint), np.concatenate([forward, forward[:, ::-1]]), sizes


def _count_closer(points: Points, partners: np.ndarray, split: int, block_bytes: int) -> Int[Any, " p"]:
    """Return for each pair the number of points in the set of the second that are closer to the first than it."""
    if is_traced(points.coordinates):
        x = points.coordinates

        def closer(rows: Int[Array, "b 2"]) -> Int[Array, " b"]:
            return _closer(x, rows, split)

        return map_blocks(closer, jnp.asarray(partners), block_bytes, row_bytes(3, x))
    with exact_distances(points.coordinates) as (x,):
        counts = [
            np.asarray(_closer(x, partners[places], split))[valid]
            for places, valid in row_blocks(len(partners), block_bytes, row_bytes(3, x))
        ]
    return np.concatenate(counts)


@jax.jit
def _closer(points: Float[Array, "n d"], rows: Int[Array, "b 2"], split: int | Array) -> Int[Array, " b"]:
    squares = squared_distances(points, rows[:, 0])
    limit = jnp.take_along_axis(squares, rows[:, 1:], axis=1)
    same = (jnp.arange(points.shape[0]) < split) == (rows[:, 1:] < split)
    return ((squares < limit) & same).sum(axis=1, dtype=jnp.int32)
