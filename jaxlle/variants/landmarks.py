"""Embeddings that are solved on landmarks only: fast, approximate, and with a cheap map for new points."""

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
from ..alignment.operator import check_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..extension import transform
from ..solvers import DenseQR, Hints, Spectrum, random_landmarks
from ..solvers.coarse import Choice, Interpolation, default_num_landmarks, interpolate, rows_per_block
from ..solvers.dense import bottom_vectors
from ..solvers.rows import Rows
from ..solvers.spectrum import NO_HINTS
from ._pipeline import prepare
from .standard import lle, lle_alignment


class LandmarkEmbedding(NamedTuple):
    """An embedding that its landmarks carry.

    New points are embedded by their nearest landmarks alone:
    ``jaxlle.transform(x_new, x[out.landmarks], out.embedding.points[out.landmarks], k=8)``.

    Attributes:
        embedding: of all points. Its residuals are those of the full problem: how far it is from exact.
        landmarks: which points the landmarks are, shape (l,).
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
    """Embed by the bottom of an alignment among the vectors that a few landmarks span (Locally Linear Landmarks).

    Every point is an affine combination of its nearest landmarks, Y = P Z with weights P found as in LLE, and
    ``|B P Z|^2`` is minimised over Z with ``Z^T P^T P Z = I``: a dense problem as small as the landmarks are few
    (Vladymyrov and Carreira-Perpinan 2013, equations 3 to 5). Exact for as many landmarks as points. For the exact
    embedding of all points use the solver `Landmark`, which starts from this one.

    Args:
        alignment: of any variant.
        dim: number of columns.
        points: the data that the alignment is of, shape (n, d).
        num_landmarks: how many; the error falls as they grow. None: a tenth of the points, between 200 and 1,000.
        landmark_neighbors: landmarks that a point is written by, more than dim.
        choice: `solvers.random_landmarks`, `farthest_landmarks`, `kmeans_landmarks` or your own.
        options: scaling, disconnected graphs, the random key that chooses the landmarks, and memory: see `EmbedOptions`.

    Returns:
        LandmarkEmbedding.

    Raises:
        ValueError: for fewer points than landmarks, too few landmarks for dim, or a malformed alignment.
        TypeError: under grad: the implicit rule of `jaxlle.derivatives` is for exact embeddings, such as those of
            `solvers.Landmark`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (300, 3))
        >>> out = jaxlle.variants.landmark_embed(jaxlle.lle_alignment(x, k=8), 2, points=x, num_landmarks=50)
        >>> out.embedding.points.shape, out.landmarks.shape
        ((300, 2), (50,))
    """
    key = options.random_key
    if not is_traced(alignment, key):
        check_alignment(alignment)
    alignment, n = _without_derivative(alignment), alignment.shape[1]
    if num_landmarks is None:
        num_landmarks = default_num_landmarks(n, 10)
    else:
        num_landmarks = check_count(num_landmarks, "num_landmarks", dim + 2, n, f"at most the {n} points")
    landmark_neighbors = check_count(landmark_neighbors, "landmark_neighbors", dim + 1, None, "more than dim")
    coordinates = prepare_points(points).coordinates
    by_landmarks = _interpolate(
        coordinates, num_landmarks, landmark_neighbors, choice, key, alignment.blocks.dtype, Rows(n)
    )
    solver = LandmarkSubspace(by_landmarks)
    return LandmarkEmbedding(embed(alignment, dim, solver=solver, options=options), by_landmarks.landmarks)


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
    """Embed points by LLE with the embedding carried by landmarks: see `landmark_embed`.

    Args:
        x: points, shape (n, d).
        dim: number of columns, at most d.
        k: neighbours a point.
        reg: as for `lle`.
        num_landmarks: as for `landmark_embed`.
        landmark_neighbors: as for `landmark_embed`.
        choice: as for `landmark_embed`.
        neighbors: a ready graph to use in place of `knn`.
        options: scaling, disconnected graphs, the random key that chooses the landmarks, and memory: see `EmbedOptions`.

    Returns:
        LandmarkEmbedding.

    Raises:
        ValueError: as `lle` and `landmark_embed`.

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
    """Embed landmarks by LLE among themselves, and all other points by Nystrom's formula.

    LLE's eigenvectors extend to new points through its data-dependent kernel; in the limit of a large shift the formula is
    ``y(x) = sum_j w_j(x) y_j`` with barycentric weights on the landmarks (Bengio et al. 2004, section 3.4). No graph of
    all points is needed: time grows with landmarks x points. Which of this and `landmark_lle`, whose landmarks see how
    all points hang together, is nearer to the exact embedding depends on the data; both are far on images with few landmarks
    (1,000 of 5,000 digits: cosines of 0.97 and 0.74 here, 0.83 and 0.58 there).

    Args:
        x: points, shape (n, d).
        dim: number of columns, at most d.
        k: neighbours, among the landmarks, of a landmark and of every other point.
        reg: as for `lle`.
        num_landmarks: how many, more than k.
        choice: as for `landmark_embed`.
        options: scaling, disconnected graphs, the random key that chooses the landmarks, and memory: see `EmbedOptions`.

    Returns:
        LandmarkEmbedding; residuals, singular values and gap are the landmarks' own. Columns are of unit norm on the
        landmarks, times sqrt(l / n) so that their size is about that of an embedding of all points.

    Raises:
        ValueError: as `lle`; also for fewer points than landmarks.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 600).points
        >>> jaxlle.variants.nystrom_lle(x, 2, k=10, num_landmarks=200).embedding.points.shape
        (600, 2)
    """
    points = prepare_points(x)
    x, n = points.values, points.shape[0]
    num_landmarks = check_count(num_landmarks, "num_landmarks", k + 1, n, f"at most the {n} points")
    landmarks = choice(points.coordinates, num_landmarks, options.random_key)
    on_host = isinstance(x, np.ndarray) and not is_traced(landmarks)
    chosen = (
        x[np.asarray(landmarks)] if on_host else jnp.asarray(x)[landmarks]
    )  # on the host a point keeps all its digits
    inner = lle(chosen, dim, k=k, reg=reg, options=options)
    scale = (num_landmarks / n) ** 0.5 if options.scaling == "unit" else 1.0
    y = transform(x, chosen, inner.points * scale, k=k, reg=reg, block_bytes=options.block_bytes)
    return LandmarkEmbedding(replace(inner, points=y, rows=jnp.arange(n, dtype=jnp.int32)), landmarks)


@jax.custom_jvp
def _without_derivative(alignment: Alignment) -> Alignment:
    return alignment


@_without_derivative.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    raise TypeError(
        "Landmark embeddings have no derivative: use embed or lle with solver=solvers.Landmark(), or jax.lax.stop_gradient on "
        "the points."
    )


class LandmarkSubspace(NamedTuple):
    """Solve within the space that an interpolation spans."""

    by_landmarks: Interpolation

    def __call__(self, alignment: Alignment, count: int, key: Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values within the space, with their vectors on all points."""
        size = self.by_landmarks.landmarks.shape[0]
        return _solve(alignment, self.by_landmarks, min(count, size - 1), key)


_interpolate = jax.jit(interpolate, static_argnames=("count", "k", "choice", "dtype", "rows"))


@partial(jax.jit, static_argnames="count")
def _solve(alignment: Alignment, by_landmarks: Interpolation, count: int, key: Array) -> Spectrum:
    """Return the bottom of B on the columns of P, as vectors on all points."""
    n, r, _ = alignment.blocks.shape
    size, dtype = by_landmarks.landmarks.shape[0], alignment.blocks.dtype
    rows = rows_per_block(n, r * size * dtype.itemsize)

    def image(i: Array, triangle: Float[Array, "l l"]) -> Float[Array, "l l"]:
        # A QR of B P, as half the digits would be lost in its Gram matrix.
        return jnp.linalg.qr(jnp.concatenate([triangle, by_landmarks.image(alignment, i * rows, rows)]), mode="r")

    def mass(i: Array, total: Float[Array, "l l"]) -> Float[Array, "l l"]:
        dense = by_landmarks.rows(i * rows, rows)
        return total + matmul(dense.T, dense)

    blocks = -(-n // rows)
    triangle = lax.fori_loop(0, blocks, image, jnp.zeros((size, size), dtype))
    total = lax.fori_loop(0, blocks, mass, jnp.zeros((size, size), dtype))
    lower = jnp.linalg.cholesky(total)  # P holds the identity on the landmarks' rows: well conditioned
    whitened = solve_triangular(lower, triangle.T, lower=True).T
    null = matmul(lower.T, jnp.ones(size, dtype)) / jnp.sqrt(jnp.asarray(n, dtype))
    rounding = jnp.finfo(dtype).eps * alignment.norm_bound()
    spectrum = bottom_vectors(whitened, null / jnp.linalg.norm(null), rounding, count, key, DenseQR())
    z = solve_triangular(lower.T, spectrum.vectors, lower=False)
    y = jnp.sum(by_landmarks.weights[:, :, None] * z[by_landmarks.nearest], axis=1)
    return spectrum._replace(vectors=y)
