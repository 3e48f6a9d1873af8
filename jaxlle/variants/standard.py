"""Locally linear embedding (Roweis and Saul 2000): one weight vector per point, so that B = I - W."""

from functools import partial
from typing import Any

from .. import distances
from .._core.blocks import BLOCK_BYTES
from ..alignment import Alignment, weights_alignment
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..regularizers import RegularizerLike
from ..solvers import SolverLike
from ..weights import barycentric_weights
from ._pipeline import choose_k, find_neighbors, prepare_any, run_pipeline


def lle_alignment(
    x: Any,
    *,
    k: int,
    reg: RegularizerLike = 1e-3,
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment B = I - W of locally linear embedding from the neighbors and their barycentric weights.

    The weights of point i minimize ``|x_i - sum_j w_ij x_j|^2`` subject to ``sum_j w_ij = 1``, with a ridge (Roweis and Saul
    2000, Science 290:2323, equation 1). The metric determines the neighbors only; the weights are computed from the
    coordinates. With metric="precomputed" there are no coordinates, and the weights are computed from the distances
    (`distance_weights`).

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value. A sparse matrix of
            SciPy is not made dense: its neighbors and weights are computed by blocks, outside jit.
        k: neighbors per point.
        reg: strength of the ridge, relative to the trace of the local Gram matrix, or an object of `jaxlle.regularizers`.
        metric: as for `knn`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k, and a mask is respected.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Alignment with r = 1 and m = k + 1.

    Raises:
        ValueError: for invalid points, k or reg (see `knn` and `barycentric_weights`), or if all points are equal.

    Warns:
        DuplicateWarning: if a point has at least k exact copies.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.lle_alignment(x, k=8).blocks.shape
        (100, 1, 9)
    """
    points = prepare_any(x, metric)
    neighbors = find_neighbors(points, k, neighbors, block_bytes)
    weights = barycentric_weights(points, neighbors, reg=reg, block_bytes=block_bytes)
    return weights_alignment(neighbors, weights)


def lle(
    x: Any,
    dim: int,
    *,
    k: int | str | None = None,
    reg: RegularizerLike = 1e-3,
    solver: SolverLike = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by locally linear embedding.

    Every point is approximated by an affine combination of its k nearest neighbors with weights w_ij, and the embedding Y
    minimizes ``sum_i |y_i - sum_j w_ij y_j|^2`` over centered Y with orthonormal columns (Roweis and Saul 2000, Science
    290:2323). Supports jit, and vmap over data sets, reg and keys; there
    solver="auto" selects `DenseQR` or `Landmark`.

    The data may exceed the memory: of memory maps, such as ``numpy.load("x.npy", mmap_mode="r")``, of more than 16 MiB in float32
    or float64 the neighbors (see `knn`; or pass a graph) and the weights are computed in parts, without a copy. The memory of
    the solver depends on n only, and can exceed that of the data: `Landmark` takes about 3 kB per point in float32. It then
    places its landmarks by smooth vectors of the graph, as `embed` does without points, so that the embedding agrees with that
    of an array to the tolerance of the solver.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value. A sparse matrix of
            SciPy is not made dense: its neighbors and weights are computed by blocks, outside jit.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point, at least dim; by default 12, or n - 1 if that is less. "auto" selects the number between 6 and 32
            whose embedding has the smallest Procrustes statistic of its neighborhoods (see `choose`); it computes up to eight
            embeddings, outside jit.
        reg: strength of the ridge, relative to the trace of the local Gram matrix, or an object of `jaxlle.regularizers`.
        solver: an object of `jaxlle.solvers`, or "auto", which chooses by size and device.
        metric: "euclidean", "cosine", "manhattan", "chebyshev", "precomputed", or a JAX function of two vectors.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        options: scaling, disconnected graphs, duplicates, random key and memory limit; see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: for invalid points, dim > d, k out of range, an invalid reg, or if all points are equal.
        DisconnectedGraphError: a ValueError, if the graph is disconnected and options.disconnected is "error".
        TypeError: inside jit, for k="auto" and options.dedupe.

    Warns:
        DuplicateWarning, DisconnectedGraphWarning, GapWarning, ConvergenceWarning, PrecisionWarning: outside jit, see
            `jaxlle.warnings`; inside jit, read the fields of the `Embedding`.
        JaxlleWarning: the base class of these, if k < dim.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.lle(x, 2, k=8).points.shape
        (100, 2)
    """
    k = choose_k(k, x, dim, reg, metric, neighbors, options)
    return run_pipeline(partial(lle_alignment, reg=reg), x, dim, k, metric, solver, options, neighbors)
