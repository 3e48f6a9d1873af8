"""What every solver returns."""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int


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
