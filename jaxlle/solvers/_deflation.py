"""Deflation: nearly the bottom of the spectrum, smoothed once and then solved exactly in every step."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._smoothing import Smoother
from .rows import Operator, Rows, product

_DAMPING = 1.5  # of the smoother's degree, over half its ratio: what is rough shrinks thirtyfold


class Deflation(NamedTuple):
    """A space near the bottom of M, and the inverse of M on it.

    Attributes:
        vectors: an orthonormal basis in which M is diagonal, by ascending eigenvalue.
        inverse: one over the eigenvalues.
        rows: which points are here.
    """

    vectors: Float[Array, "n c"]
    inverse: Float[Array, " c"]
    rows: Rows

    def correct(self, r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return V (V^T M V)^-1 V^T r, the solution of M z = r that the space can represent."""
        return product(self.vectors, self.inverse[:, None] * self.rows.inner(self.vectors, r))


def deflation(operator: Operator, smooth: Smoother, start: Float[Array, "n c"]) -> Deflation:
    """Return the space of some smooth vectors with what is rough in them damped, once.

    What landmarks interpolate has kinks, and M, which on a surface is of fourth order, sees little else: the bottom of the
    coarse space then lies far above that of M, and a correction by the landmarks moves the smoothest vectors hardly at all.
    (A second level of more landmarks, smoothed on its own, has kinks too, and took twice the steps on a Swiss roll.)
    """
    basis = operator.rows.orthonormal(smooth.damped(start, _DAMPING))
    _, values, mix = operator.ritz(basis)
    floor = jnp.finfo(start.dtype).eps * operator.norm_bound()
    return Deflation(product(basis, mix), 1 / jnp.maximum(values, floor) ** 2, operator.rows)
