"""Guided LLE: an embedding that fits the data and depends on labels or on other side information."""

import warnings
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.arrays import check_number
from .._core.checks import check_count, check_dim, is_traced
from .._core.linear import matmul
from .._core.points import prepare_points
from .._core.spectral import principal_axes
from ..alignment import Alignment
from ..alignment.operator import prepare_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..solvers import SolverLike
from ..warnings import GapWarning
from ._pipeline import prepare
from .standard import lle_alignment
from .supervised import read_classes, read_labels


class GuidedEmbedding(NamedTuple):
    """An embedding guided by labels, with its dependence on them.

    Attributes:
        embedding: its singular values are the norms ``|B y|``. Its residuals and its gap are those of the guided problem; the
            residuals measure what the restriction to the modes leaves out.
        dependence: HSIC of each column with the labels, relative to the largest value that a column can have, shape (dim,).
    """

    embedding: Embedding
    dependence: Float[Array, " dim"]


def guided_embed(
    alignment: Alignment,
    labels: Any,
    dim: int,
    *,
    guidance: Real[ArrayLike, ""] = 0.5,
    modes: int | None = None,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
    points: Any = None,
) -> GuidedEmbedding:
    """Embed the points of an alignment with a reward for dependence on labels.

    Minimizes ``tr(Y^T ((1 - g) M - g s^2 H K H) Y)`` over centered orthonormal Y: the cost of the alignment, M = B^T B, minus
    the Hilbert-Schmidt independence criterion (HSIC) of Y and the labels, which is ``tr(Y^T H K H Y)`` up to a factor. K is the
    kernel matrix of the labels and H the centering matrix. This criterion, and K for classes, are those of supervised PCA
    (Barshan, Ghodsi, Azimifar and Jahromi 2011; read in the authors' code). The weighting of the two terms, which have
    different units, is a definition of this library: HKH is scaled to norm 1, and s is the dim-th singular value of B, so that
    at g = 1/2 the cost of the last column of the unguided embedding weighs as much as full dependence, for any data. g = 0
    gives the unguided embedding. The aim is that of guided LLE (Alipanahi and Ghodsi 2011, Pattern Recognition Letters
    32:1029), whose text was not available.

    Y is sought in the span of the bottom singular vectors of B (the modes), which are the smoothest functions on the manifold,
    by a small dense eigenvalue problem. With all n - 1 modes the result is exact; with fewer, the residuals measure what is
    left out. The result is differentiable as a subspace in the blocks, the guidance and the features (`jaxlle.derivatives`);
    with fewer than n - 1 modes this requires a gap after the last mode too.

    Args:
        alignment: of the n points, by any variant.
        labels: one class label per point, of any type that NumPy can sort, shape (n,), -1 for a point without a label: K is 1
            within a class and 0 between classes. Or features of the side information, such as regression targets or class
            probabilities, shape (n, q): K is their linear kernel.
        dim: number of columns.
        guidance: g, in [0, 1).
        modes: number of singular vectors whose span is searched. None: 32, or 4 for each column and class if that is more.
        solver: as for `embed`.
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` is not available.
        points: as for `embed`.

    Returns:
        GuidedEmbedding.

    Raises:
        ValueError: as `embed`; also for guidance or modes out of range, and labels that are missing, of the wrong length or all
            equal.

    Warns:
        JaxlleWarning: as `embed`, except GapWarning.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> alignment = jaxlle.lle_alignment(x, k=8)
        >>> out = jaxlle.variants.guided_embed(alignment, x[:, 0] > 0, 2, guidance=0.9)
        >>> bool(out.dependence[0] > jaxlle.variants.guided_embed(alignment, x[:, 0] > 0, 2, guidance=0.0).dependence.max())
        True
    """
    check_number(guidance, "guidance", "in [0, 1), where 0 ignores the labels", lambda value: 0 <= value < 1)
    alignment = prepare_alignment(alignment)
    n = alignment.indices.shape[0]
    dim = check_count(dim, "dim (n_components)", 1, n - 1, "fewer than the points")
    features = _label_features(labels, n, alignment.blocks.dtype)
    if modes is None:
        modes = min(n - 1, max(32, 4 * (dim + features.shape[1])))
    modes = check_count(modes, "modes", dim, n - 1, "at least dim, and fewer than the points")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GapWarning)  # the modes only span the search space
        plain = embed(alignment, modes, solver=solver, options=replace(options, scaling="unit"), points=points)
    restricted = _restrict(alignment, plain)
    weight = jnp.asarray(guidance, features.dtype)
    results = _rotate_modes(
        restricted,
        plain.singular_values,
        plain.points,
        features[plain.rows],
        weight,
        dim,
        options.scaling == "covariance",
    )
    found, dependence = results[:-1], results[-1]
    names = ("points", "singular_values", "residuals", "gap")
    return GuidedEmbedding(replace(plain, **dict(zip(names, found, strict=True))), dependence)


def guided_lle(
    x: Any,
    labels: Any,
    dim: int,
    *,
    k: int,
    guidance: Real[ArrayLike, ""] = 0.5,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> GuidedEmbedding:
    """Embed points by LLE guided by labels.

    Minimizes ``tr(Y^T ((1 - g) M - g s^2 H K H) Y)`` with M of `lle_alignment`; see `guided_embed` for the equation and its
    origin.

    Args:
        x: points, shape (n, d), or a `Points` value.
        labels: as for `guided_embed`.
        dim: number of columns, at most d.
        k: neighbors per point.
        guidance: as for `guided_embed`.
        reg: strength of the ridge, relative to the trace of the local Gram matrix.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` is not available.

    Returns:
        GuidedEmbedding, with the dependence of each column on the labels.

    Raises:
        ValueError: as `lle` and `guided_embed`.

    Warns:
        JaxlleWarning: as `lle`, except GapWarning.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.variants.guided_lle(x, x[:, 0] > 0, 2, k=8).embedding.points.shape
        (100, 2)
    """
    points = prepare(x)
    dim = check_dim(dim, k, points.shape, points.metric)
    alignment = lle_alignment(points, k=k, reg=reg, block_bytes=options.block_bytes)
    return guided_embed(alignment, labels, dim, guidance=guidance, solver=solver, options=options, points=points)


def _label_features(labels: Any, n: int, dtype: Any) -> Float[Array, "n q"]:
    """Return F with HKH = F F^T of norm 1, centered over the labeled points and 0 for the others."""
    values = read_labels(labels)
    if values.ndim == 2:
        side = prepare_points(values, name="labels")
        if side.shape[0] != n:
            raise ValueError(f"labels has {side.shape[0]} rows, but it must have one row for each of the {n} points.")
        features, known = side.coordinates.astype(dtype), jnp.ones(n, bool)
    else:
        classes = read_classes(values, n)
        features, known = classes.probabilities.astype(dtype), classes.known
    kept = jnp.where(known[:, None], features, 0)
    centered = jnp.where(known[:, None], kept - kept.sum(axis=0) / jnp.maximum(known.sum(), 1), 0)
    size = jnp.linalg.svd(matmul(centered.T, centered), compute_uv=False)[0]
    if not is_traced(size) and not bool(size > 4 * n * jnp.finfo(dtype).eps ** 2):
        raise ValueError(
            "All labels are equal, or none is known, so there is nothing to guide the embedding: give labels with at least two "
            "values."
        )
    return centered / jnp.sqrt(jnp.where(size > 0, size, 1))


def _restrict(alignment: Alignment, plain: Embedding) -> Alignment:
    """Return the alignment restricted to the points that were embedded."""
    n = alignment.indices.shape[0]
    if plain.points.shape[0] == n:
        return alignment
    position = jnp.zeros(n, jnp.int32).at[plain.rows].set(jnp.arange(plain.points.shape[0], dtype=jnp.int32))
    return Alignment(position[alignment.indices[plain.rows]], alignment.blocks[plain.rows])


@partial(jax.jit, static_argnames=("dim", "covariance"))
def _rotate_modes(
    alignment: Alignment,
    values: Float[Array, " p"],
    vectors: Float[Array, "n p"],
    features: Float[Array, "n q"],
    guidance: Float[Array, ""],
    dim: int,
    covariance: bool,
) -> tuple[Array, Array, Array, Array, Array]:
    """Minimize within the modes; return the points, the roots of their costs, the residuals, the gap, and the dependence."""
    square = jnp.where(values[dim - 1] > 0, values[dim - 1] ** 2, 1)
    image, inside = alignment.matvec(vectors), matmul(vectors.T, features)
    # V^T M V takes its value from the singular values, which are more accurate than the product, and its derivative from the
    # product, as only the span of the vectors is differentiable.
    slope = matmul(image.T, image)
    inner = lax.stop_gradient(jnp.diag(values**2) - slope) + slope
    small = (1 - guidance) / square * inner - guidance * matmul(inside, inside.T)
    falling, turn = principal_axes(-small, dim)
    levels, y, cost = -falling, matmul(vectors, turn[:, :dim]), matmul(image, turn[:, :dim])
    overlap = matmul(features.T, y)
    applied = (1 - guidance) * alignment.rmatvec(cost) - guidance * square * matmul(features, overlap)
    residuals = jnp.linalg.norm(applied - square * levels[:dim] * y, axis=0)
    left = levels[dim] - levels[dim - 1] if len(levels) > dim else jnp.array(jnp.inf, levels.dtype)
    gap = left / jnp.maximum(jnp.abs(levels).max(), jnp.finfo(levels.dtype).tiny)
    top = jnp.take_along_axis(y, jnp.argmax(jnp.abs(y), axis=0)[None], axis=0)
    size = jnp.sqrt(jnp.asarray(y.shape[0], y.dtype)) if covariance else 1
    roots = jnp.linalg.norm(cost, axis=0)
    return y * jnp.where(top < 0, -1, 1) * size, roots, residuals, gap, jnp.sum(overlap**2, axis=0)
