"""The arguments and the result that all solvers share."""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int

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
