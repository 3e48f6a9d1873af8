"""Guided LLE: an embedding that shall depend on labels, or on any side information, as well as fit the data."""

import warnings
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.checks import check_count, check_dim, is_traced
from .._core.linear import matmul, principal_axes
from .._core.points import prepare_points
from ..alignment import Alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..solvers import Solver
from ..warnings import GapWarning
from ._pipeline import prepare
from .standard import lle_alignment
from .supervised import read_classes


class GuidedEmbedding(NamedTuple):
    """An embedding between the data's and the labels'.

    Attributes:
        embedding: its singular values are ``|B y|``, its residuals those of the guided problem, and so what the modes left out.
        dependence: HSIC of each column with the labels, as a share of the largest that any column can have, shape (dim,).
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
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
    points: Any = None,
) -> GuidedEmbedding:
    """Embed by the bottom of an alignment, less the dependence on labels.

    Minimises ``tr(Y^T ((1 - g) M - g s^2 H K H) Y)`` over centred orthonormal Y: the cost of the alignment, M = B^T B, against
    the Hilbert-Schmidt independence criterion between Y and the labels, ``tr(Y^T H K H Y)`` up to a factor, with K the labels'
    kernel and H the centring. This criterion, and K of classes, are those of supervised PCA (Barshan, Ghodsi, Azimifar and
    Jahromi 2011; read in its authors' code). How the two terms are weighed is our own: they have different units, so HKH is
    scaled to norm 1, and s is the dim-th singular value of B, so that g = 1/2 trades one column of the plain embedding for full
    dependence, whatever the data. g = 0 is the plain embedding. The aim is that of guided LLE (Alipanahi and Ghodsi 2011,
    Pattern Recognition Letters 32:1029), whose text was not available.

    Y is sought among the bottom singular vectors of B, the smoothest functions on the manifold, by a small dense problem: exact
    with all n - 1 of them, and the residuals say what a few leave out. Differentiable in the blocks, guidance and features as a
    subspace (`jaxlle.derivatives`); with fewer modes than n - 1 there must be a gap behind the last of them too.

    Args:
        alignment: of the n points, by any variant.
        labels: one class a point, of any kind that NumPy can sort, shape (n,), -1 for none: K is 1 within a class and 0 across;
            or features of the side information, shape (n, q), for their linear kernel: targets of a regression, class
            probabilities.
        dim: number of columns.
        guidance: g, in [0, 1).
        modes: singular vectors to seek among. None: 32, or 4 for each column and class if that is more.
        solver: as for `embed`.
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.
        points: as for `embed`.

    Returns:
        GuidedEmbedding.

    Raises:
        ValueError: as `embed`; also for guidance out of range, and labels that are missing, of the wrong length or all equal.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> alignment = jaxlle.lle_alignment(x, k=8)
        >>> out = jaxlle.variants.guided_embed(alignment, x[:, 0] > 0, 2, guidance=0.9)
        >>> bool(out.dependence[0] > jaxlle.variants.guided_embed(alignment, x[:, 0] > 0, 2, guidance=0.0).dependence.max())
        True
    """
    if not is_traced(guidance) and not 0 <= float(jnp.asarray(guidance)) < 1:
        raise ValueError(
            f"guidance = {guidance} is not allowed: it must be in [0, 1), 0 for an embedding without labels."
        )
    n = alignment.indices.shape[0]
    dim = check_count(dim, "dim (n_components)", 1, n - 1, "fewer than the points")
    features = _label_features(labels, n, alignment.blocks.dtype)
    if modes is None:
        modes = min(n - 1, max(32, 4 * (dim + features.shape[1])))
    modes = check_count(modes, "modes", dim, n - 1, "at least dim, and fewer than the points")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GapWarning)  # at the cut behind the modes, where nothing hangs on it
        plain = embed(alignment, modes, solver=solver, options=replace(options, scaling="unit"), points=points)
    part = _rows_of(alignment, plain)
    weight = jnp.asarray(guidance, features.dtype)
    parts = _turn(
        part, plain.singular_values, plain.points, features[plain.rows], weight, dim, options.scaling == "covariance"
    )
    found, dependence = parts[:-1], parts[-1]
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
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
) -> GuidedEmbedding:
    """Embed points by LLE guided by labels: see `guided_embed`.

    Args:
        x: points, shape (n, d).
        labels: as for `guided_embed`.
        dim: number of columns, at most d.
        k: neighbours a point.
        guidance: as for `guided_embed`.
        modes: as for `guided_embed`.
        reg: strength of the regularizer of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        neighbors: a ready graph to use in place of `knn`.
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        GuidedEmbedding.

    Raises:
        ValueError: as `lle` and `guided_embed`.

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
    """Return F with HKH = F F^T of norm 1: centred over the points that have a label, and 0 for the others."""
    values = labels if isinstance(labels, jax.Array) else np.asarray(labels)
    if values.ndim == 2:
        side = prepare_points(values, name="labels")
        if side.shape[0] != n:
            raise ValueError(f"labels has {side.shape[0]} rows, but there must be one for each of {n} points.")
        features, known = side.coordinates.astype(dtype), jnp.ones(n, bool)
    else:
        classes = read_classes(values, n)
        features, known = classes.probabilities.astype(dtype), classes.known
    kept = jnp.where(known[:, None], features, 0)
    centered = jnp.where(known[:, None], kept - kept.sum(axis=0) / jnp.maximum(known.sum(), 1), 0)
    size = jnp.linalg.svd(matmul(centered.T, centered), compute_uv=False)[0]
    if not is_traced(size) and not bool(size > 4 * n * jnp.finfo(dtype).eps ** 2):
        raise ValueError("All labels are equal, or none is known: there is nothing to guide the embedding by.")
    return centered / jnp.sqrt(jnp.where(size > 0, size, 1))


def _rows_of(alignment: Alignment, plain: Embedding) -> Alignment:
    """Return the alignment of the rows that were embedded, if they were not all."""
    n = alignment.indices.shape[0]
    if plain.points.shape[0] == n:
        return alignment
    place = jnp.zeros(n, jnp.int32).at[plain.rows].set(jnp.arange(plain.points.shape[0], dtype=jnp.int32))
    return Alignment(place[alignment.indices[plain.rows]], alignment.blocks[plain.rows])


@partial(jax.jit, static_argnames=("dim", "covariance"))
def _turn(
    alignment: Alignment,
    values: Float[Array, " p"],
    vectors: Float[Array, "n p"],
    features: Float[Array, "n q"],
    guidance: Float[Array, ""],
    dim: int,
    covariance: bool,
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the points, their costs' roots, the residuals, the gap, and the dependence."""
    square = jnp.where(values[dim - 1] > 0, values[dim - 1] ** 2, 1)
    image, inside = alignment.matvec(vectors), matmul(vectors.T, features)
    # Of the vectors only the span has a derivative, and with it V^T M V, whose value is known better than a product has it.
    slope = matmul(image.T, image)
    inner = lax.stop_gradient(jnp.diag(values**2) - slope) + slope
    small = (1 - guidance) / square * inner - guidance * matmul(inside, inside.T)
    falling, turn = principal_axes(-small)
    levels, y, cost = -falling, matmul(vectors, turn[:, :dim]), matmul(image, turn[:, :dim])
    seen = matmul(features.T, y)
    applied = (1 - guidance) * alignment.rmatvec(cost) - guidance * square * matmul(features, seen)
    residuals = jnp.linalg.norm(applied - square * levels[:dim] * y, axis=0)
    left = levels[dim] - levels[dim - 1] if len(levels) > dim else jnp.array(jnp.inf, levels.dtype)
    gap = left / jnp.maximum(jnp.abs(levels).max(), jnp.finfo(levels.dtype).tiny)
    top = jnp.take_along_axis(y, jnp.argmax(jnp.abs(y), axis=0)[None], axis=0)
    size = jnp.sqrt(jnp.asarray(y.shape[0], y.dtype)) if covariance else 1
    roots = jnp.linalg.norm(cost, axis=0)
    return y * jnp.where(top < 0, -1, 1) * size, roots, residuals, gap, jnp.sum(seen**2, axis=0)
