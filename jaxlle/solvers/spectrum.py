"""What every solver is given and returns."""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int

# eps / gap bounds the angle of the worst perturbation; rounding points nowhere in particular, and turned Swiss rolls,
# S-curves and digits by 1/44 of it at most (tests/benchmarks/core.py precision).
TYPICAL_ROUNDING = 1 / 32


class Hints(NamedTuple):
    """What a solver may use beside the operator; the answer does not depend on it, the time may.

    Attributes:
        points: coordinates of the data, in which the landmarks are near or far, shape (n, d).
        start: vectors nearly those sought, such as an embedding of nearly the same data, shape (n, c).
    """

    points: Float[Any, "n d"] | None = None
    start: Float[Any, "n c"] | None = None


NO_HINTS = Hints()


class Spectrum(NamedTuple):
    """The bottom of the spectrum of an alignment B, without the constant vector.

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
