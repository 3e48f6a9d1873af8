"""Embeddings computed from landmarks: approximate, with a small dense problem and an extension to new points at low cost."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, Float, Int, Real

from .._core.checks import check_count, check_dim, is_traced
from .._core.linear import matmul
from .._core.points import prepare_points
from ..alignment import Alignment
from ..alignment.operator import prepare_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..extension import transform
from ..solvers import DenseQR, Hints, Spectrum, random_landmarks
from ..solvers.coarse import Choice, Interpolation, default_num_landmarks, interpolate, rows_per_block
from ..solvers.dense import bottom_vectors
from ..solvers.rows import Rows
from ..solvers.spectrum import NO_HINTS
from ._pipeline import prepare, reject_largest, require_euclidean
from .standard import lle, lle_alignment


class LandmarkEmbedding(NamedTuple):
    """An embedding that was computed from landmarks.

    New points are embedded from their nearest landmarks:
    ``jaxlle.transform(x_new, x[out.landmarks], out.embedding.points[out.landmarks], k=8)``.

    Attributes:
        embedding: embedding of all points. For `landmark_embed` its residuals are those of the full problem, and measure the
            distance from the exact embedding.
        landmarks: indices of the landmarks among the points, shape (l,).
    """

    embedding: Embedding
    landmarks: Int[Array, " l"]


def landmark_embed(
    alignment: Alignment,
    dim: int,
    *,
    points: Float[Any, "n d"],
    num_landmarks: int | None = None,
    landmark_neighbors: int = 8,
    choice: Choice = random_landmarks,
    options: EmbedOptions = DEFAULTS,
) -> LandmarkEmbedding:
    """Embed the points of an alignment by locally linear landmarks (Vladymyrov and Carreira-Perpinan 2013, ECML PKDD).

    Every point is an affine combination of its nearest landmarks, ``Y = P Z``, with weights P computed as in LLE. The cost
    ``|B P Z|^2`` is minimized over Z subject to ``Z^T P^T P Z = I`` (equations 3 to 5 of the paper), a dense problem of the
    size of the number of landmarks. The result is exact if every point is a landmark. For the exact embedding at any number
    of landmarks use the solver `Landmark`, which starts from this one.

    Args:
        alignment: alignment of the n points, of any variant.
        dim: number of columns.
        points: the data of the alignment, shape (n, d), or a `Points` value.
        num_landmarks: number of landmarks, at least dim + 2; the error decreases with it. None: a tenth of the points,
            between 200 and 1,000.
        landmark_neighbors: number of landmarks from which each point is interpolated, at least dim + 1.
        choice: `solvers.random_landmarks`, `farthest_landmarks`, `kmeans_landmarks`, or a function with the same signature.
        options: scaling, disconnected graphs, random key of the landmarks, and memory limit; see `EmbedOptions`. `dedupe`, and
            `disconnected="largest"` are not available.

    Returns:
        LandmarkEmbedding.

    Raises:
        ValueError: if there are fewer points than landmarks, num_landmarks or landmark_neighbors is too small for dim, the
            alignment is malformed, or options.dedupe is True.
        TypeError: under grad. The implicit derivative of `jaxlle.derivatives` holds for exact embeddings, such as those of
            `solvers.Landmark`.

    Warns:
        DisconnectedGraphWarning, GapWarning: as `embed`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (300, 3))
        >>> out = jaxlle.variants.landmark_embed(jaxlle.lle_alignment(x, k=8), 2, points=x, num_landmarks=50)
        >>> out.embedding.points.shape, out.landmarks.shape
        ((300, 2), (50,))
    """
    reject_largest(options)
    key = options.random_key
    alignment = prepare_alignment(alignment)
    check_count(dim, "dim (n_components)", 1, alignment.shape[1] - 1, "less than the number of points")
    alignment, n = _without_derivative(alignment), alignment.shape[1]
    if num_landmarks is None:
        num_landmarks = default_num_landmarks(n, 10)
    else:
        num_landmarks = check_count(
            num_landmarks, "num_landmarks", dim + 2, n, f"at least dim + 2, and at most the {n} points"
        )
    landmark_neighbors = check_count(landmark_neighbors, "landmark_neighbors", dim + 1, None, "at least dim + 1")
    coordinates = prepare_points(points).coordinates
    if coordinates.shape[0] != n:
        raise ValueError(f"points has {coordinates.shape[0]} rows, but the alignment has {n} points: pass their data.")
    interpolation = _interpolate(
        coordinates, num_landmarks, landmark_neighbors, choice, key, alignment.blocks.dtype, Rows(n)
    )
    solver = LandmarkSubspace(interpolation)
    return LandmarkEmbedding(embed(alignment, dim, solver=solver, options=options), interpolation.landmarks)


def landmark_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    num_landmarks: int | None = None,
    landmark_neighbors: int = 8,
    choice: Choice = random_landmarks,
    options: EmbedOptions = DEFAULTS,
) -> LandmarkEmbedding:
    """Embed points by LLE with locally linear landmarks (Vladymyrov and Carreira-Perpinan 2013, ECML PKDD).

    Minimizes ``|(I - W) P Z|^2`` over the positions Z of the landmarks: see `landmark_embed`. For a given graph use
    ``landmark_embed(lle_alignment(x, k=k, neighbors=graph), dim, points=x)``.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point.
        reg: strength of the ridge of the weights, as for `lle`.
        num_landmarks: as for `landmark_embed`.
        landmark_neighbors: as for `landmark_embed`.
        choice: as for `landmark_embed`.
        options: as for `landmark_embed`.

    Returns:
        LandmarkEmbedding.

    Raises:
        ValueError: as `lle` and `landmark_embed`.
        TypeError: under grad.

    Warns:
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 600).points
        >>> out = jaxlle.variants.landmark_lle(x, 2, k=10, num_landmarks=200)
        >>> new = jaxlle.transform(x[:3] + 0.01, x[out.landmarks], out.embedding.points[out.landmarks], k=8)
        >>> new.shape
        (3, 2)
    """
    points = prepare(x)
    dim = check_dim(dim, k, points.shape, points.metric)
    return landmark_embed(
        lle_alignment(points, k=k, reg=reg, block_bytes=options.block_bytes),
        dim,
        points=points,
        num_landmarks=num_landmarks,
        landmark_neighbors=landmark_neighbors,
        choice=choice,
        options=options,
    )


def nystrom_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    num_landmarks: int,
    choice: Choice = random_landmarks,
    options: EmbedOptions = DEFAULTS,
) -> LandmarkEmbedding:
    """Embed landmarks by LLE among themselves, and all other points by the Nystrom formula (Bengio et al. 2004, NIPS 16).

    The eigenvectors of LLE extend to new points through its data-dependent kernel. In the limit of a large shift of the
    kernel the formula is ``y(x) = sum_j w_j(x) y_j`` with barycentric weights on the landmarks (section 3.4 of the paper). No
    graph of all points is needed: the time grows with the product of the numbers of landmarks and points. Whether this
    function or `landmark_lle`, which uses the graph of all points, is closer to the exact embedding depends on the data. On
    images with few landmarks both are inaccurate: with 1,000 landmarks of 5,000 digits the cosines of the angles to the exact
    embedding are 0.97 and 0.74 for this function, and 0.83 and 0.58 for `landmark_lle`.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the embedding, at most d.
        k: neighbors, among the landmarks, of each landmark and of each other point.
        reg: strength of the ridge of the weights, as for `lle`.
        num_landmarks: number of landmarks, more than k.
        choice: as for `landmark_embed`.
        options: scaling, disconnected graphs, duplicates among the landmarks, random key of the landmarks, and memory limit;
            see `EmbedOptions`. `disconnected="largest"` is not available.

    Returns:
        LandmarkEmbedding. Residuals, singular values and gap are those of the embedding of the landmarks. With scaling="unit"
        the columns have norm sqrt(l / n) on the landmarks, so that their scale is about that of an embedding of all points.

    Raises:
        ValueError: as `lle`; also if there are fewer points than landmarks.

    Warns:
        JaxlleWarning: as `lle`, about the landmarks.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 600).points
        >>> jaxlle.variants.nystrom_lle(x, 2, k=10, num_landmarks=200).embedding.points.shape
        (600, 2)
    """
    reject_largest(options)
    points = prepare_points(x)
    require_euclidean(points)
    x, n = points.values, points.shape[0]
    k = check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points, excluding the point itself")
    num_landmarks = check_count(num_landmarks, "num_landmarks", k + 1, n, f"more than k, and at most the {n} points")
    landmarks = choice(points.coordinates, num_landmarks, options.random_key)
    on_host = isinstance(x, np.ndarray) and not is_traced(landmarks)
    # Indexing on the host keeps the float64 digits of a NumPy array.
    chosen = x[np.asarray(landmarks)] if on_host else jnp.asarray(x)[landmarks]
    inner = lle(chosen, dim, k=k, reg=reg, options=options)
    scale = (num_landmarks / n) ** 0.5 if options.scaling == "unit" else 1.0
    placed = inner.points * scale
    y = transform(x, chosen, placed, k=k, reg=reg, block_bytes=options.block_bytes)
    y = y.at[landmarks].set(placed)  # the same values, but landmarks move with their embedding and not by the formula
    return LandmarkEmbedding(replace(inner, points=y, rows=jnp.arange(n, dtype=jnp.int32)), landmarks)


@jax.custom_jvp
def _without_derivative(alignment: Alignment) -> Alignment:
    return alignment


@_without_derivative.defjvp
def _raise_no_derivative(primals: Any, tangents: Any) -> Any:
    raise TypeError(
        "Landmark embeddings have no derivative: use embed or lle with solver=jaxlle.solvers.Landmark(), or apply "
        "jax.lax.stop_gradient to the points."
    )


class LandmarkSubspace(NamedTuple):
    """Solver that restricts the vectors to the span of an interpolation from landmarks."""

    interpolation: Interpolation

    def __call__(self, alignment: Alignment, count: int, key: Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values within the span, with their vectors on all points."""
        size = self.interpolation.landmarks.shape[0]
        return _solve(alignment, self.interpolation, min(count, size - 1), key)


_interpolate = jax.jit(interpolate, static_argnames=("count", "k", "choice", "dtype", "rows"))


@partial(jax.jit, static_argnames="count")
def _solve(alignment: Alignment, interpolation: Interpolation, count: int, key: Array) -> Spectrum:
    """Return the bottom singular vectors of B in the span of the columns of P, as vectors on all points."""
    n, r, _ = alignment.blocks.shape
    size, dtype = interpolation.landmarks.shape[0], alignment.blocks.dtype
    rows = rows_per_block(n, r * size * dtype.itemsize)

    def add_image(i: Array, triangle: Float[Array, "l l"]) -> Float[Array, "l l"]:
        # QR of B P: the Gram matrix of B P would lose half of the digits.
        return jnp.linalg.qr(jnp.concatenate([triangle, interpolation.image(alignment, i * rows, rows)]), mode="r")

    def add_mass(i: Array, total: Float[Array, "l l"]) -> Float[Array, "l l"]:
        dense = interpolation.rows(i * rows, rows)
        return total + matmul(dense.T, dense)

    blocks = -(-n // rows)
    triangle = lax.fori_loop(0, blocks, add_image, jnp.zeros((size, size), dtype))
    total = lax.fori_loop(0, blocks, add_mass, jnp.zeros((size, size), dtype))
    lower = jnp.linalg.cholesky(total)  # well conditioned: the rows of P of the landmarks are the identity
    whitened = solve_triangular(lower, triangle.T, lower=True).T
    null = matmul(lower.T, jnp.ones(size, dtype)) / jnp.sqrt(jnp.asarray(n, dtype))
    rounding = jnp.finfo(dtype).eps * alignment.norm_bound()
    spectrum = bottom_vectors(whitened, null / jnp.linalg.norm(null), rounding, count, key, DenseQR())
    z = solve_triangular(lower.T, spectrum.vectors, lower=False)
    y = jnp.sum(interpolation.weights[:, :, None] * z[interpolation.nearest], axis=1)
    return spectrum._replace(vectors=y)
