"""Distribution drift: reconstruction residuals of new points compared with those of the training data."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .._core.arrays import check_number, read_array
from .._core.blocks import BLOCK_BYTES
from .._core.checks import is_traced
from .._core.ladder import call_padded
from .._core.points import as_values, prepare_points
from .._core.sparse import is_sparse, prepare_sparse
from ..neighbors import knn
from ..weights.sparse import sparse_projection
from .bank import project


class Drift(NamedTuple):
    """Residuals of new points relative to those of the training data, the result of `drift`.

    Attributes:
        residuals: reconstruction residuals of the new points, shape (q,).
        quantiles: share of the training residuals that are smaller than each residual, shape (q,).
        outside: whether the quantile is at least the level, shape (q,).
        rate: share of the new points that are outside, a scalar; 1 - level is expected without drift.
    """

    residuals: Float[Array, " q"]
    quantiles: Float[Array, " q"]
    outside: Bool[Array, " q"]
    rate: Float[Array, ""]


def drift(
    z: Any, bank: Any, k: int, *, level: float = 0.99, reg: Real[ArrayLike, ""] = 1e-3, reference: Any = None
) -> Drift:
    """Compare the reconstruction residuals of new points with those of the training data.

    The residual of a point z is ``|z - sum_j w_j a_j|`` for the best affine combination of its k nearest training points a_j
    (`project`); a training point is reconstructed from the other training points. Residuals of new points from the distribution
    of the training data have the same distribution. A `rate` far above 1 - level indicates that the new data do not lie on the
    manifold of the training data. The criterion is a definition of this library, based on the weights of Roweis and Saul (2000).

    Args:
        z: new points, shape (q, d), sparse if the bank is.
        bank: training data, shape (n, d), a sparse matrix of SciPy, or a `Points` value.
        k: neighbors per point.
        level: quantile of the training residuals above which a point is outside, between 0 and 1.
        reg: strength of a `TraceRidge`.
        reference: residuals of the training data, shape (n,), from `training_residuals`; None computes them.

    Returns:
        Drift.

    Raises:
        ValueError: as for `project`; also if level is not between 0 and 1, or reference is not an array of finite numbers of
            shape (n,).

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (200, 3)).at[:, 2].set(0)
        >>> float(jaxlle.extension.drift(x[:50] + 0.5 * jax.numpy.eye(3)[2], x, 6).rate)
        1.0
    """
    check_number(level, "level", "between 0 and 1, such as 0.99", lambda value: 0 < value < 1)
    reference = training_residuals(bank, k, reg=reg) if reference is None else _read_reference(reference)
    residuals = _sparse_residuals(bank, k, reg, z) if is_sparse(bank) else project(z, bank, k, reg=reg).residuals
    quantiles, outside = call_padded(_compare, residuals, reference, level)
    if is_traced(outside):
        return Drift(residuals, quantiles, outside, outside.mean())
    rate = np.asarray(outside).mean().astype(quantiles.dtype)  # on the host, without a program per number of rows
    return Drift(residuals, quantiles, outside, jnp.asarray(rate))


@jax.jit
def _compare(
    residuals: Float[Array, " q"], reference: Float[Array, " n"], level: Real[ArrayLike, ""]
) -> tuple[Float[Array, " q"], Bool[Array, " q"]]:
    below = jnp.searchsorted(jnp.sort(reference), residuals, side="left")
    quantiles = below.astype(residuals.dtype) / reference.shape[0]
    return quantiles, quantiles >= level


def _sparse_residuals(bank: Any, k: int, reg: Any, query: Any) -> Float[Array, " q"]:
    points = prepare_sparse(bank)
    return jnp.asarray(sparse_projection(points, knn(points, k, query=query), reg, query, BLOCK_BYTES)[1])


def _read_reference(reference: Any) -> Float[Array, " n"]:
    reference = read_array(reference, "reference")
    if reference.ndim != 1:
        raise ValueError(
            f"reference has shape {tuple(reference.shape)}, but must have shape (n,): pass the result of training_residuals."
        )
    return as_values(reference[:, None], "reference")[:, 0]


def training_residuals(x: Any, k: int, *, reg: Real[ArrayLike, ""] = 1e-3) -> Float[Array, " n"]:
    """Compute the distance of every point to the best affine combination of its k nearest other points.

    The residual of point i is ``|x_i - sum_j w_ij x_j|`` with the barycentric weights w (Roweis and Saul 2000, equation 1).

    Args:
        x: points, shape (n, d), a sparse matrix of SciPy, or a `Points` value.
        k: neighbors per point.
        reg: strength of a `TraceRidge`.

    Returns:
        Residuals in the units of x, shape (n,).

    Raises:
        ValueError: as for `knn` and `barycentric_weights`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.extension.training_residuals(jnp.array([[0.0], [1.0], [2.0]]), 2, reg=1e-6).round(3).tolist()
        [0.0, 0.0, 0.0]
    """
    if is_sparse(x):
        return _sparse_residuals(x, k, reg, None)
    points = prepare_points(x)
    return project(points.values, points, k, reg=reg, neighbors=knn(points, k)).residuals
