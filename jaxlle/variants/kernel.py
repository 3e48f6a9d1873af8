"""Kernel LLE: neighbours and weights in the feature space of a kernel."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_spread, is_traced
from .._core.points import as_points, standardize, working_dtype
from ..alignment import Alignment, weights_alignment
from ..distances import Kernel, KernelDistance
from ..embedding import Embedding, embed
from ..embedding.embed import Disconnected, Scaling
from ..neighbors import Neighbors, knn
from ..neighbors.graph import warn_of_duplicates
from ..regularizers import Regularizer, trace_ridge
from ..solvers import Solver
from ..weights import kernel_weights


def kernel_alignment(
    x: Any,
    kernel: Kernel,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment B = I - W with neighbours and weights in the feature space of a kernel.

    Args:
        x: points, shape (n, d), given to the kernel as they are.
        kernel: positive semi-definite JAX function of two vectors.
        k: neighbours a point, nearest in `KernelDistance`.
        reg: strength of the regularizer.
        regularizer: one of `jaxlle.regularizers`.
        neighbors: a ready graph to use in place of the nearest in feature space.
        block_bytes: memory that one block of points may take.

    Returns:
        Alignment with r = 1 and m = k + 1; differentiable in what the kernel closes over, given the neighbours.

    Raises:
        ValueError: as `knn` and `kernel_weights`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 3))
        >>> jaxlle.variants.kernel_alignment(x, lambda a, b: jnp.exp(-jnp.sum((a - b) ** 2)), k=8).blocks.shape
        (60, 1, 9)
    """
    x = as_points(x)
    check_spread(standardize(x).points)
    _check_kernel(kernel, x)
    if neighbors is None:
        neighbors = knn(x, k, metric=KernelDistance(kernel), block_bytes=block_bytes)
        warn_of_duplicates(neighbors)
    weights = kernel_weights(x, neighbors, kernel, reg=reg, regularizer=regularizer, block_bytes=block_bytes)
    return weights_alignment(neighbors, weights)


def kernel_lle(
    x: Any,
    dim: int,
    kernel: Kernel,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    regularizer: Regularizer = trace_ridge,
    neighbors: Neighbors | None = None,
    scaling: Scaling = "unit",
    disconnected: Disconnected = "warn",
    key: Array | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Embedding:
    """Embed points by LLE in the feature space of a kernel (DeCoste 2001; Zhao and Zhang 2012).

    With the linear kernel this is `lle`.

    Args:
        x: points, shape (n, d), given to the kernel as they are.
        dim: dimensions of the embedding. The feature space sets no limit but n - 1.
        kernel: positive semi-definite JAX function of two vectors.
        k: neighbours a point.
        reg: strength of the regularizer of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        regularizer: one of `jaxlle.regularizers`.
        neighbors: a ready graph to use in place of the nearest in feature space.
        scaling: "unit" columns, or "covariance" for (1/n) Y^T Y = I.
        disconnected: "warn", "error" or "largest": see `embed`.
        key: seeds the solver's start; None: key(0).
        block_bytes: memory that one block of points may take.

    Returns:
        Embedding.

    Raises:
        ValueError: as `kernel_alignment` and `embed`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 3))
        >>> jaxlle.variants.kernel_lle(x, 2, jnp.dot, k=8).points.shape
        (60, 2)
    """
    x = as_points(x)
    alignment = kernel_alignment(
        x, kernel, k=k, reg=reg, regularizer=regularizer, neighbors=neighbors, block_bytes=block_bytes
    )
    return embed(alignment, dim, solver=solver, scaling=scaling, disconnected=disconnected, key=key, points=x)


def _check_kernel(kernel: Kernel, x: Any) -> None:
    """Raise at the eager door for a kernel that gives some point a negative square; others show in the weights."""
    if is_traced(x):
        return
    square = jax.vmap(lambda a: kernel(a, a))(jnp.asarray(x, working_dtype(x)))
    if not is_traced(square) and bool((square < 0).any()):
        raise ValueError(
            f"The kernel is not positive definite: K(x, x) = {float(square.min()):.3g} at some x. Check its sign; for "
            f"a metric use metric_weights."
        )
