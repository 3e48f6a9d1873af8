"""The published ways to keep the local weight problem solvable: each returns the ridge to add to a local Gram matrix.

With more neighbours than dimensions the local Gram matrix G is singular, and the ridge decides the weights (Wu and
Wu 2018: it even decides which operator LLE converges to), so which one is used belongs in every report. Each is a
function `(gram, count, reg, unit) -> ridge` of one matrix in squares of `unit`, the number of its neighbours, and `reg`.
"""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Real

Scalar = Real[ArrayLike, ""]


def trace_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return reg * tr(G), scikit-learn's and the Roweis code's choice; plain `reg` where tr(G) = 0.

    Invariant to the scale of the data. The ridge per neighbour grows with k: see `mean_trace_ridge`.

    >>> import jax.numpy as jnp
    >>> trace_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0.006, dtype=float32)
    """
    trace = jnp.trace(gram)
    return jnp.multiply(reg, jnp.where(trace > 0, trace, 1))


def mean_trace_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return reg * tr(G) / k (Saul and Roweis 2003, JMLR 4:119, section 3.2); plain `reg` where tr(G) = 0.

    >>> import jax.numpy as jnp
    >>> mean_trace_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0.002, dtype=float32)
    """
    trace = jnp.trace(gram)
    return jnp.multiply(reg, jnp.where(trace > 0, trace / count, 1))


def absolute_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return reg itself, in squared units of the data: not invariant to their scale.

    >>> import jax.numpy as jnp
    >>> absolute_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0.001, dtype=float32)
    """
    # Capped where the ridge has long swallowed the Gram matrix, so that tiny units do not overflow.
    cap = 1 / jnp.finfo(gram.dtype).eps ** 2
    return jnp.minimum(jnp.asarray(reg, gram.dtype) / unit / unit, cap)


def no_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return 0: the constrained least squares of the textbook, singular as soon as k > d.

    >>> import jax.numpy as jnp
    >>> no_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0., dtype=float32)
    """
    return jnp.zeros((), gram.dtype)
