"""The bottom eigenvalues of the graph of trained features as a loss."""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ..alignment import Alignment
from ..alignment.operator import prepare_alignment
from ..embedding import EmbedOptions, embed
from ..solvers import SolverLike


def spectral_loss(
    alignment: Alignment, dim: int, *, solver: SolverLike = "auto", key: Array | None = None
) -> Float[Array, ""]:
    """Compute the cost of the best embedding of a graph: the sum of its bottom eigenvalues.

    ``min_Y |B Y|^2 = l_1 + ... + l_dim`` over centered orthonormal Y: the smallest eigenvalues of M = B^T B after the zero
    eigenvalue of the constant vector. By the envelope theorem the gradient with respect to M is ``Y Y^T``. It needs no
    derivative of an eigenvector, and is finite for repeated eigenvalues within the embedding. With an alignment that depends
    on trained features through the weights, `weights_alignment(neighbors, barycentric_weights(features, neighbors))`,
    minimizing the loss makes the features embeddable in `dim` dimensions with a small cost. Only first derivatives are
    available here; `embed` itself is differentiable as well.

    Args:
        alignment: the graph; its blocks may be traced.
        dim: number of eigenvalues.
        solver: an object of `jaxlle.solvers`, or "auto"; inside jit it must be traceable.
        key: random key for the initial vectors of the solver.

    Returns:
        Scalar.

    Raises:
        ValueError: as `embed`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> b = jaxlle.lle_alignment(x, k=8)
        >>> s = jaxlle.embed(b, 2).singular_values
        >>> bool(abs(jaxlle.losses.spectral_loss(b, 2) - (s**2).sum()) < 1e-6)
        True
    """
    alignment = prepare_alignment(alignment)
    out = embed(lax.stop_gradient(alignment), dim, solver=solver, options=EmbedOptions(key=key))
    points = jnp.asarray(out.points)
    return jnp.sum(alignment.matvec(lax.stop_gradient(points)) ** 2)
