"""The arguments and the result that all solvers share."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.checks import is_traced, to_host_if_cheap
from .._core.ladder import put_like

# eps / gap bounds the angle for the worst perturbation. Rounding errors have no particular direction: they rotated Swiss rolls,
# S-curves and digits by at most 1/44 of the bound (tests/benchmarks/core.py precision).
TYPICAL_ROUNDING = 1 / 32


class Hints(NamedTuple):
    """Optional arguments of a solver, which may change its time but not its result.

    Attributes:
        points: coordinates of the data, in which landmarks are chosen, shape (n, d).
        start: start vectors, such as an embedding of nearly the same data, shape (n, c).
    """

    points: Float[Any, "n d"] | None = None
    start: Float[Any, "n c"] | None = None


NO_HINTS = Hints()


class Spectrum(NamedTuple):
    """The smallest singular values of an alignment B and their vectors, without the constant vector.

    Attributes:
        singular_values: ascending, shape (count,).
        vectors: right singular vectors as unit columns, orthogonal to the constant, shape (n, count).
        num_components: number of null vectors of B, the constant included.
        converged: whether the solver reached its tolerance.
    """

    singular_values: Float[Any, " count"]
    vectors: Float[Any, "n count"]
    num_components: Int[Array, ""] | int
    converged: Bool[Array, ""] | bool


def cut_spectrum(found: Spectrum, dim: int, like: Array) -> tuple[Array, Array, Array]:
    """Return all singular values, the first `dim` of them, and their vectors, in the dtype of an array and on its device."""
    values, vectors = (to_host_if_cheap(a) for a in found[:2])
    if is_traced(found, like) or isinstance(values, jax.Array) or isinstance(vectors, jax.Array):
        return _cut_on_device(jnp.asarray(values), jnp.asarray(vectors), dim, like.dtype)
    # On the host no program is compiled for the number of points.
    values, vectors = np.array(values, like.dtype), np.array(vectors[:, :dim], like.dtype)
    return put_like(values, like), put_like(values[:dim], like), put_like(vectors, like)


@partial(jax.jit, static_argnames=("dim", "dtype"))
def _cut_on_device(values: Array, vectors: Array, dim: int, dtype: np.dtype) -> tuple[Array, Array, Array]:
    values = values.astype(dtype)
    return values, values[:dim], vectors[:, :dim].astype(dtype)
