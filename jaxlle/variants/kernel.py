"""Kernel LLE: neighbours and weights in the feature space of a kernel."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import is_traced
from .._core.points import Points
from ..alignment import Alignment, weights_alignment
from ..distances import Kernel, KernelDistance
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..regularizers import Regularizer
from ..solvers import Solver
from ..weights import kernel_weights
from ._pipeline import find_neighbors, prepare


def kernel_alignment(
    x: Any,
    kernel: Kernel,
    *,
    k: int,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment B = I - W with neighbours and weights in the feature space of a kernel.

    Args:
        x: points, shape (n, d), given to the kernel as they are.
        kernel: positive semi-definite JAX function of two vectors.
        k: neighbours a point, nearest in `KernelDistance`.
        reg: strength of the regularizer.
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
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
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
        neighbors: a ready graph to use in place of the nearest in feature space.
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

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
    points = prepare(x, KernelDistance(kernel))
    alignment = kernel_alignment(points, kernel, k=k, reg=reg, neighbors=neighbors, block_bytes=options.block_bytes)
    return embed(alignment, dim, solver=solver, options=options, points=points)


def _check_kernel(kernel: Kernel, points: Points) -> None:
    """Raise, outside jit, if K(x, x) is negative for some x; other kernels that are not positive show in the weights."""
    if is_traced(points.values):
        return
    square = jax.vmap(lambda a: kernel(a, a))(jnp.asarray(points.values, points.dtype))
    if not is_traced(square) and bool((square < 0).any()):
        raise ValueError(
            f"The kernel is not positive definite: K(x, x) = {float(square.min()):.3g} at some x. Check its sign; for "
            f"a metric use metric_weights."
        )
