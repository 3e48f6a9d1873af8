r"""Explanations of maps: derivatives of the outputs, and reconstruction of the outputs from those of known points.

The map $f$ is any differentiable function of points: a network, an embedding or an out-of-sample map.

| function | shows |
| --- | --- |
| `jacobian` | which features change the output of a point, $\partial f(x_i) / \partial x_i$ |
| `jvp` | how the outputs change when the points move, $J v$ |
| `influence` | which features of which points change an output that depends on all points, $\partial y_i / \partial x_j$ |
| `explain` | which known points account for an output: $f(z) \approx \sum_j w_j f(x_j)$ with the weights of LLE |

If the features are pixels, the rows of the derivatives are images, which `jaxlle.plot` draws.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from ._core.arrays import move_floats
from ._core.blocks import BLOCK_BYTES, map_rows
from ._core.calls import explain_calls
from ._core.checks import check_count
from ._core.linear import matmul, solve_positive
from ._core.points import as_points
from .distances import square_root
from .extension import project
from .neighbors import Neighbors

__all__ = ["Explanation", "explain", "influence", "jacobian", "jvp"]

Map = Callable[[Any], Any]


def jacobian(function: Map, x: Any) -> Float[Array, "q c d"]:
    """Return the derivatives of each output of a point with respect to its features, ``J_i = df(x_i)/dx``.

    Computed by one backward pass per output, over all points at once. The output at a point must depend on that point alone,
    as with a network in evaluation mode or an out-of-sample map; for other maps see `influence`. The axes of an embedding are
    arbitrary up to a rotation, so for embeddings use the norm over outputs, which does not depend on them. At rows of its
    data, where an out-of-sample map is exact and jumps, the derivatives are those of its formula (see `jaxlle.extension`).

    Args:
        function: maps points (q, d) to outputs (q, c), for example a `ParametricLLE` in evaluation mode, the logits of a
            classifier, or ``lambda z: jaxlle.transform(z, x, y, k=12)``.
        x: points, shape (q, d).

    Returns:
        Jacobians, shape (q, c, d).

    Raises:
        ValueError: if x is not an array of finite numbers, or the outputs are not of shape (q, c).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.explanation.jacobian(lambda x: x**2 @ jnp.array([[1.0], [10.0]]), jnp.array([[1.0, 2.0]]))
        Array([[[ 2., 40.]]], dtype=float32)
    """
    x = _points(x)
    y, pullback = jax.vjp(function, x)
    _check_outputs(y, x)
    each = jnp.eye(y.shape[1], dtype=y.dtype)
    return jax.vmap(lambda e: pullback(jnp.broadcast_to(e, y.shape))[0], out_axes=1)(each)


def jvp(function: Map, x: Any, directions: Any) -> Float[Array, "q c"]:
    """Return the Jacobian-vector product ``J v``: the change of the outputs as the points move, by one forward pass.

    For a function of each point alone it is ``J_i v_i``. For an embedding, which depends on all points, it is the velocity of
    all embedded points when all points move at once.

    Args:
        function: maps points (q, d) to outputs (q, c).
        x: points, shape (q, d).
        directions: velocities of the points, shape (q, d).

    Returns:
        Velocities of the outputs, shape (q, c).

    Raises:
        ValueError: if x or directions is not an array of finite numbers, their shapes differ, or the outputs are not of shape
            (q, c).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.explanation.jvp(lambda x: x**2, jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 1.0]]))
        Array([[0., 4.]], dtype=float32)
    """
    x, directions = _points(x), _points(directions, "directions")
    if directions.shape != x.shape:
        raise ValueError(f"directions has shape {directions.shape} and x {x.shape}: each point needs one velocity.")
    y, change = jax.jvp(function, (x,), (directions.astype(x.dtype),))
    _check_outputs(y, x)
    return change


def influence(function: Map, x: Any, row: int) -> Float[Array, "c n d"]:
    """Return the derivatives of one row of the outputs with respect to every feature of every point, ``dy_row / dx``.

    This is for maps whose outputs depend on all points, such as ``lambda x: jaxlle.lle(x, 2, k=12).points``. The axes of an
    embedding are arbitrary up to a rotation; `jaxlle.derivatives` describes how they are held fixed, and the norm over outputs
    does not depend on them. An embedding is invariant under translations of all points, so its derivatives sum to zero over the
    points.

    Args:
        function: maps points (n, d) to outputs (n, c).
        x: points, shape (n, d). Integers are cast to floating point, which rounds those beyond 2^24 (float32) or 2^53.
        row: index of the point whose outputs are differentiated.

    Returns:
        Derivatives, shape (c, n, d).

    Raises:
        ValueError: if x is not an array of finite numbers, the outputs are not of shape (n, c), or row is out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (40, 3))
        >>> maps = jaxlle.explanation.influence(lambda x: jaxlle.lle(x, 2, k=8).points, x, 5)
        >>> maps.shape, bool(abs(maps.sum(axis=1)).max() < 1e-3 * abs(maps).max())
        ((2, 40, 3), True)
    """
    x = _points(x)
    row = check_count(row, "row", 0, x.shape[0] - 1, f"x has {x.shape[0]} points")
    y, pullback = jax.vjp(function, x)
    _check_outputs(y, x)
    each = jnp.eye(y.shape[1], dtype=y.dtype)
    return jax.vmap(lambda e: pullback(jnp.zeros_like(y).at[row].set(e))[0])(each)


class Explanation(NamedTuple):
    """Outputs of a map, reconstructed from its values at the neighbors.

    Attributes:
        outputs: f(z), shape (q, c).
        contributions: ``w_j f(x_j)`` of each neighbor, shape (q, k, c); their sum reconstructs f(z).
        output_residuals: ``|f(z) - sum_j w_j f(x_j)|``, shape (q,), the error of that reconstruction.
        spreads: root mean square of ``|f(x_j) - f(z)|`` over the neighbors, shape (q,), for comparison with the residual. Unless
            the residual is far smaller, f is not linear in this neighborhood and the contributions do not explain it.
        input_residuals: ``|z - sum_j w_j x_j|``, shape (q,), the distance of z from the affine span of its neighbors.
        slopes: the linear map fitted to the values of f at the neighbors, shape (q, c, d).
        neighbors: indices of rows of the bank, shape (q, k).
        weights: their barycentric weights, shape (q, k).
    """

    outputs: Float[Array, "q c"]
    contributions: Float[Array, "q k c"]
    output_residuals: Float[Array, " q"]
    spreads: Float[Array, " q"]
    input_residuals: Float[Array, " q"]
    slopes: Float[Array, "q c d"]
    neighbors: Neighbors
    weights: Float[Array, "q k"]


def explain(
    function: Map,
    z: Any,
    bank: Any,
    k: int,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Explanation:
    """Explain the outputs of a map by known points nearby, with the weights of locally linear embedding.

    With ``w = argmin |z - sum_j w_j x_j|^2``, sum w = 1, over the k nearest rows x_j of the bank, a map that is linear on the
    neighborhood satisfies ``f(z) = sum_j w_j f(x_j)``. The terms are the contributions of the neighbors, and the residual
    measures to what extent the equation holds. The slopes are those of the ridge regression
    ``min_A sum_j |f(x_j) - f(z) - A (x_j - z)|^2 + reg tr(G) |A|^2``, with the same Gram matrix G and ridge as the weights. They
    are a local linear surrogate as in LIME (Ribeiro, Singh and Guestrin 2016), fitted to neighbors in the data instead of
    random perturbations, so that it describes f along the manifold of the data. Runs under jit and vmap, and is differentiable
    with the neighbors held fixed.

    Args:
        function: maps points (q, d) to outputs (q, c), each point alone, such as a network in evaluation mode.
        z: points whose outputs are explained, shape (q, d).
        bank: known points, shape (n, d), such as the training data.
        k: number of neighbors per point.
        reg: strength of the ridge, relative to the trace of the Gram matrix.
        neighbors: neighbors of the points in the bank; None: they are searched. Pass them for points of the bank, each of which
            is otherwise explained by itself.
        block_bytes: memory that one block may take.

    Returns:
        Explanation.

    Raises:
        ValueError: if z or bank is not an array of finite numbers, their numbers of features differ, k is out of range, or the
            outputs are not of shape (q, c).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> bank = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
        >>> out = jaxlle.explanation.explain(lambda x: 4 * x[:, :1] + 1, jnp.array([[0.5, 0.0]]), bank, 2, reg=1e-6)
        >>> out.contributions[0, :, 0].round(3).tolist(), float(out.slopes[0, 0, 0])
        ([0.5, 2.5], 4.00)
    """
    z, bank = _points(z, "z"), _points(bank, "bank")
    found = project(z, bank, k, reg=reg, neighbors=neighbors, block_bytes=block_bytes)
    ids, weights = found.neighbors.indices, found.weights
    outputs = function(z)
    _check_outputs(outputs, z)
    values = function(bank[ids.reshape(-1)]).reshape(*ids.shape, -1)
    outputs, values = _as_floating(outputs), _as_floating(values)
    changes = values - outputs[:, None]
    valid = jnp.ones(ids.shape, bool) if found.neighbors.mask is None else found.neighbors.mask
    slopes = map_rows(
        lambda row: _slope(bank[row[1]] - row[0], row[2], row[3], reg),
        (z, ids, changes, valid),
        block_bytes,
        2 * ids.shape[1] * z.shape[1] * z.dtype.itemsize,
    )
    residuals = jnp.einsum("qk,qkc->qc", weights, changes, precision=lax.Precision.HIGHEST)
    squares = jnp.sum(jnp.where(valid[..., None], changes, 0) ** 2, axis=(1, 2)) / jnp.maximum(valid.sum(axis=1), 1)
    return Explanation(
        outputs,
        weights[..., None] * values,
        square_root(jnp.sum(residuals**2, axis=1)),
        square_root(squares),
        found.residuals,
        slopes,
        found.neighbors,
        weights,
    )


def _slope(
    differences: Float[Array, "k d"], changes: Float[Array, "k c"], valid: Bool[Array, " k"], reg: Any
) -> Float[Array, "c d"]:
    """Solve the ridge regression of the changes of f on the differences to the neighbors, in its dual form of size k x k."""
    extent = lax.stop_gradient(jnp.max(jnp.abs(differences)))  # divided out, because its square may be out of range
    extent = jnp.where(extent > 0, extent, 1)
    differences = jnp.where(valid[:, None], differences / extent, 0)
    changes = jnp.where(valid[:, None], changes, 0)
    gram = matmul(differences, differences.T)
    trace = jnp.trace(gram)
    system = gram + reg * jnp.where(trace > 0, trace, 1) * jnp.eye(len(gram), dtype=gram.dtype)
    dual = jax.vmap(solve_positive, in_axes=(None, 1))(system, changes)
    return matmul(dual, differences) / extent


def _points(x: Any, name: str = "x") -> Float[Array, "q d"]:
    """Validate points, in the dtype of the computation."""
    return move_floats(as_points(x, name), name)


def _as_floating(outputs: Any) -> Float[Array, "..."]:
    """Cast integers and booleans, whose differences would wrap around or are not defined."""
    return outputs if jnp.issubdtype(outputs.dtype, jnp.floating) else jnp.asarray(outputs, jnp.result_type(float))


def _check_outputs(y: Any, x: Any) -> None:
    if y.ndim != 2 or y.shape[0] != x.shape[0]:
        raise ValueError(
            f"The function returned outputs of shape {y.shape} for {x.shape[0]} points: the shape must be (q, c), one row of "
            f"outputs per point."
        )


explain_calls(__name__)
