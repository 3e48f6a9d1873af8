"""The bottom eigenvalues of a graph of features as a loss."""

from typing import Literal

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ..alignment import Alignment
from ..embedding import embed
from ..solvers import Solver


def spectral_loss(
    alignment: Alignment, dim: int, *, solver: Solver | Literal["auto"] = "auto", key: Array | None = None
) -> Float[Array, ""]:
    """Compute the cost of the best embedding of a graph: the sum of its bottom eigenvalues.

    ``min_Y |B Y|^2 = l_1 + ... + l_dim`` over centred orthonormal Y, the eigenvalues of M = B^T B beyond the constant's 0. Its
    gradient is ``d/dM = Y Y^T`` (the envelope theorem): no derivative of an eigenvector is needed, so it is finite at
    any degeneracy inside the embedding. Make the alignment from trained features, through the weights
    (`weights_alignment(neighbors, barycentric_weights(features, neighbors))`), and the features become such that they
    embed well in `dim` dimensions. First derivatives only: the second goes through `embed`.

    Args:
        alignment: the graph; its blocks may be traced.
        dim: number of eigenvalues.
        solver: one of `jaxlle.solvers`, or "auto": any will do, inside jit a traceable one.
        key: seeds the solver's start.

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
    points = jnp.asarray(embed(lax.stop_gradient(alignment), dim, solver=solver, key=key).points)
    return jnp.sum(alignment.matvec(lax.stop_gradient(points)) ** 2)
