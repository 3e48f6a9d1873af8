"""The value at rows of the training data, and the combination of values by weights, shared by the extensions."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


@jax.custom_jvp
def exact_at_rows(
    same: Bool[Array, " q"], exact: Float[Array, "q c"], formula: Float[Array, "q c"]
) -> Float[Array, "q c"]:
    """Return `exact` for queries that equal a row of the training data, else `formula`, with the derivative of both.

    A map that is exact at such isolated queries has no derivative with respect to them. That of its formula describes the map
    around them. `exact` must not depend on the query.
    """
    return jnp.where(same[:, None], exact, formula)


@exact_at_rows.defjvp
def _exact_at_rows_jvp(primals: tuple[Any, Any, Any], tangents: tuple[Any, Any, Any]) -> tuple[Array, Any]:
    return exact_at_rows(*primals), jnp.where(primals[0][:, None], tangents[1], 0) + tangents[2]


def combine(weights: Float[Array, "q k"], rows: Float[Array, "q k c"]) -> Float[Array, "q c"]:
    """Return ``sum_j w_j v_j`` for each query."""
    return jnp.einsum("qk,qkc->qc", weights, rows, precision=lax.Precision.HIGHEST)
