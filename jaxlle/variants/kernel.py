"""Kernel LLE: neighbors and weights in the feature space of a kernel."""

from typing import Any

import jax
import jax.numpy as jnp

from .._core.blocks import BLOCK_BYTES
from .._core.checks import is_traced
from .._core.points import Points
from ..alignment import Alignment, weights_alignment
from ..distances import Kernel, KernelDistance
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..regularizers import RegularizerLike
from ..solvers import SolverLike
from ..weights import kernel_weights
from ._pipeline import find_neighbors, prepare


def kernel_alignment(
    x: Any,
    kernel: Kernel,
    *,
    k: int,
    reg: RegularizerLike = 1e-3,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment B = I - W from neighbors and weights in the feature space of a kernel K.

    Neighbors are nearest in the distance ``sqrt(K(x,x) - 2 K(x,y) + K(y,y))`` (`KernelDistance`), and the weights are those of
    the local Gram matrix ``G_jl = K(x,x) - K(x,x_j) - K(x,x_l) + K(x_j,x_l)`` (`kernel_weights`; DeCoste 2001; Zhao and Zhang
    2012).

    Args:
        x: points, shape (n, d), or a `Points` value with the metric KernelDistance(kernel). The kernel is evaluated at the
            points as given, without centering or scaling.
        kernel: positive semi-definite JAX function of two vectors.
        k: neighbors per point.
        reg: strength of the ridge, relative to the trace of the local Gram matrix, or an object of `jaxlle.regularizers`.
        neighbors: graph to use in place of the k nearest neighbors in feature space; its width replaces k.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Alignment with r = 1 and m = k + 1. For fixed neighbors it is differentiable in the variables that the kernel closes
        over.

    Raises:
        ValueError: as `knn` and `kernel_weights`; also if K(x, x) is negative for a point.

    Warns:
        DuplicateWarning: if a point has at least k exact copies.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 3))
        >>> jaxlle.variants.kernel_alignment(x, lambda a, b: jnp.exp(-jnp.sum((a - b) ** 2)), k=8).blocks.shape
        (60, 1, 9)
    """
    points = prepare(x, KernelDistance(kernel))
    _check_kernel(kernel, points)
    neighbors = find_neighbors(points, k, neighbors, block_bytes)
    weights = kernel_weights(points, neighbors, kernel, reg=reg, block_bytes=block_bytes)
    return weights_alignment(neighbors, weights)


def kernel_lle(
    x: Any,
    dim: int,
    kernel: Kernel,
    *,
    k: int,
    reg: RegularizerLike = 1e-3,
    solver: SolverLike = "auto",
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by LLE in the feature space of a kernel (DeCoste 2001; Zhao and Zhang 2012).

    The embedding minimizes ``sum_i |y_i - sum_j w_ij y_j|^2`` with the neighbors and weights of `kernel_alignment`. With the
    linear kernel it is that of `lle`.

    Args:
        x: points, shape (n, d), or a `Points` value with the metric KernelDistance(kernel). The kernel is evaluated at the
            points as given, without centering or scaling.
        dim: dimensions of the embedding, at most n - 1; the number of features is no limit in feature space.
        kernel: positive semi-definite JAX function of two vectors.
        k: neighbors per point.
        reg: strength of the ridge, relative to the trace of the local Gram matrix, or an object of `jaxlle.regularizers`.
        solver: an object of `jaxlle.solvers`, or "auto".
        neighbors: graph to use in place of the k nearest neighbors in feature space; its width replaces k.
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` is not available.

    Returns:
        Embedding.

    Raises:
        ValueError: as `kernel_alignment` and `embed`.

    Warns:
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 3))
        >>> jaxlle.variants.kernel_lle(x, 2, jnp.dot, k=8).points.shape
        (60, 2)
    """
    points = prepare(x, KernelDistance(kernel))
    alignment = kernel_alignment(points, kernel, k=k, reg=reg, neighbors=neighbors, block_bytes=options.block_bytes)
    return embed(alignment, dim, solver=solver, options=options, points=points)


def _check_kernel(kernel: Kernel, points: Points) -> None:
    """Raise, outside jit, if K(x, x) < 0 at a point; other indefinite kernels are detected when the weights are computed."""
    if is_traced(points.values):
        return
    square = jax.vmap(lambda a: kernel(a, a))(jnp.asarray(points.values, points.dtype))
    if not is_traced(square) and bool((square < 0).any()):
        raise ValueError(
            f"The kernel is not positive definite: K(x, x) = {float(square.min()):.3g} for some x. Check its sign; for "
            f"a metric, use metric_weights."
        )
