"""Deflation: an approximate bottom of the spectrum, computed once and solved exactly in every step."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.linear import matmul
from ._smoothing import Smoother
from .rows import Operator, Rows

_DAMPING = 1.5  # times the degree of the smoother, over half of its ratio: the rough part shrinks thirtyfold


class Deflation(NamedTuple):
    """A space near the bottom of M, and the inverse of M on it.

    Attributes:
        vectors: an orthonormal basis in which M is diagonal, by ascending eigenvalue.
        image: B times the basis.
        values: singular values of B on the space, whose squares are the eigenvalues of M.
        floor: size of rounding errors of the singular values.
        rows: the points of this device.
    """

    vectors: Float[Array, "n c"]
    image: Float[Array, "nr c"]
    values: Float[Array, " c"]
    floor: Float[Array, ""]
    rows: Rows

    def correct(self, r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return V (V^T M V)^-1 V^T r, the Galerkin solution of M z = r in the space."""
        inverse = 1 / jnp.maximum(self.values, self.floor) ** 2
        return matmul(self.vectors, inverse[:, None] * self.rows.inner(self.vectors, r))


def make_deflation(operator: Operator, smoother: Smoother, start: Float[Array, "n c"]) -> Deflation:
    """Return the space of some smooth vectors whose rough part is damped once.

    Vectors interpolated from landmarks have kinks, which dominate the cost, because M is of fourth order on a surface. The
    bottom of the coarse space therefore lies far above that of M, and a coarse correction hardly moves the smoothest vectors.
    (A second level with more landmarks, smoothed on its own, has kinks too, and took twice the steps on a Swiss roll.)
    """
    basis = operator.rows.orthonormal(smoother.damp(start, _DAMPING))
    image, values, mix = operator.ritz(basis)
    floor = jnp.finfo(start.dtype).eps * operator.norm_bound()
    return Deflation(matmul(basis, mix), matmul(image, mix), values, floor, operator.rows)
