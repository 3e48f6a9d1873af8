"""Explanations of maps: what an output is sensitive to, and how its neighbours account for it.

Two questions about any differentiable map f of points, a network, an embedding or the out-of-sample map. *Which features
move the output?* The rows of the Jacobian, as pictures: `sensitivity` for every point by itself, `influence` where all
points decide together. *Which known points stand for this one?* The weights of locally linear embedding write the point
by its neighbours; applied to the outputs they account for f(z) as far as f is linear there: `explain`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from ._core.blocks import BLOCK_BYTES, map_rows
from ._core.checks import check_count
from ._core.linear import solve_positive
from ._core.points import as_points, working_dtype
from .extension import project
from .neighbors import Neighbors

Map = Callable[[Any], Any]


def jacobian(function: Map, x: Any) -> Float[Array, "q c d"]:
    """Return how each output of a point changes with each of its features: ``J_i = df(x_i)/dx``.

    One backward pass an output, over all points at once; the output at a point must depend on that point alone, as a
    network's in evaluation or the out-of-sample map's do (for the others: `influence`). A row is a picture where the
    features are pixels. The axes of an embedding are a gauge, so of an embedding look at the norm over outputs.

    Args:
        function: from points (q, d) to outputs (q, c); a `ParametricLLE` in evaluation, a classifier's logits,
            ``lambda z: jaxlle.transform(z, x, y, k=12)``.
        x: points, shape (q, d).

    Returns:
        Jacobians, shape (q, c, d).

    Raises:
        ValueError: for points that are not finite numbers, or outputs that are not one row a point.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.explanation.jacobian(lambda x: x**2 @ jnp.array([[1.0], [10.0]]), jnp.array([[1.0, 2.0]]))
        Array([[[ 2., 40.]]], dtype=float32)
    """
    x = _points(x)
    y, pull = jax.vjp(function, x)
    _check_outputs(y, x)
    each = jnp.eye(y.shape[1], dtype=y.dtype)
    return jax.vmap(lambda e: pull(jnp.broadcast_to(e, y.shape))[0], out_axes=1)(each)


def jvp(function: Map, x: Any, directions: Any) -> Float[Array, "q c"]:
    """Return how the outputs change as the points move: ``J v``, one forward pass.

    Of a function of every point by itself it is ``J_i v_i``; of an embedding, which all points decide, it is the motion of all
    images when all points move at once.

    Args:
        function: from points (q, d) to outputs (q, c).
        x: points, shape (q, d).
        directions: velocities of the points, shape (q, d).

    Returns:
        Velocities of the outputs, shape (q, c).

    Raises:
        ValueError: as `sensitivity`, or for directions of another shape than the points.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.explanation.jvp(lambda x: x**2, jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 1.0]]))
        Array([[0., 4.]], dtype=float32)
    """
    x, directions = _points(x), _points(directions, "directions")
    if directions.shape != x.shape:
        raise ValueError(f"directions has shape {directions.shape} and x {x.shape}: each point needs its own velocity.")
    y, change = jax.jvp(function, (x,), (directions.astype(x.dtype),))
    _check_outputs(y, x)
    return change


def influence(function: Map, x: Any, row: int) -> Float[Array, "c n d"]:
    """Return how one row of the outputs changes with every feature of every point: ``dy_row / dx``.

    For maps that all points decide together, such as ``lambda x: jaxlle.lle(x, 2, k=12).points``: which points, and which
    of their pixels, hold this one in its place. The axes of an embedding are a gauge, which `jaxlle.derivatives` holds still;
    the norm over outputs does not depend on it. An embedding stays as it is when all points move alike, so its influences
    sum to zero over the points.

    Args:
        function: from points (n, d) to outputs (n, c).
        x: points, shape (n, d).
        row: whose outputs.

    Returns:
        Derivatives, shape (c, n, d).

    Raises:
        ValueError: as `sensitivity`, or for a row out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (40, 3))
        >>> maps = jaxlle.explanation.influence(lambda x: jaxlle.lle(x, 2, k=8).points, x, 5)
        >>> maps.shape, bool(abs(maps.sum(axis=1)).max() < 1e-3 * abs(maps).max())
        ((2, 40, 3), True)
    """
    x = _points(x)
    row = check_count(row, "row", 0, x.shape[0] - 1, f"x has {x.shape[0]} points")
    y, pull = jax.vjp(function, x)
    _check_outputs(y, x)
    each = jnp.eye(y.shape[1], dtype=y.dtype)
    return jax.vmap(lambda e: pull(jnp.zeros_like(y).at[row].set(e))[0])(each)


class Explanation(NamedTuple):
    """Outputs of a map, accounted for by its values at neighbours.

    Attributes:
        outputs: f(z), shape (q, c).
        contributions: ``w_j f(x_j)`` of each neighbour, shape (q, k, c); their sum is the linear account of f(z).
        output_residuals: ``|f(z) - sum_j w_j f(x_j)|``, shape (q,): what is not linear.
        spreads: root mean square of ``|f(x_j) - f(z)|`` over the neighbours, shape (q,): what there was to account for. Where
            the residual is not far below it, f is not linear in this neighbourhood and the account is none.
        input_residuals: ``|z - sum_j w_j x_j|``, shape (q,): how far z is from what its neighbours span.
        slopes: the linear map that fits f's values at the neighbours, shape (q, c, d).
        neighbors: which rows of the bank, shape (q, k).
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
    """Explain a map's outputs by known points near: its values there, by the weights of locally linear embedding.

    With ``w = argmin |z - sum_j w_j x_j|^2``, sum w = 1, over the k nearest rows of the bank, a map that is linear on the
    neighbourhood has ``f(z) = sum_j w_j f(x_j)``: each neighbour's share of the output, and a residual that says how far that
    is true. The slopes are the ridge regression ``min_A sum_j |f(x_j) - f(z) - A (x_j - z)|^2 + reg tr(G) |A|^2``, with the
    same Gram matrix G and ridge as the weights: LIME's local surrogate (Ribeiro, Singh and Guestrin 2016) on the data's own
    neighbours in place of random perturbations, so it sees f along the data's manifold and not off it. Runs under jit and
    vmap, and is differentiable with the neighbours held.

    Args:
        function: from points (q, d) to outputs (q, c), each point by itself; a network in evaluation.
        z: points whose outputs to explain, shape (q, d).
        bank: known points, shape (n, d), such as the training data.
        k: neighbours of each point.
        reg: strength of the ridge.
        neighbors: of the points in the bank, if known; a point of the bank itself else explains itself.
        block_bytes: memory that one block may take.

    Returns:
        Explanation.

    Raises:
        ValueError: as `project` and `sensitivity`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> bank = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
        >>> out = jaxlle.explanation.explain(lambda x: 4 * x[:, :1] + 1, jnp.array([[0.5, 0.0]]), bank, 2, reg=1e-6)
        >>> out.contributions[0, :, 0].round(3).tolist(), float(out.slopes[0, 0, 0])
        ([0.5, 2.5], 4.00)
    """
    z, bank = _points(z), _points(bank, "bank")
    found = project(z, bank, k, reg=reg, neighbors=neighbors, block_bytes=block_bytes)
    ids, weights = found.neighbors.indices, found.weights
    outputs = function(z)
    _check_outputs(outputs, z)
    around = function(bank[ids.reshape(-1)]).reshape(*ids.shape, -1)
    changes = around - outputs[:, None]
    valid = jnp.ones(ids.shape, bool) if found.neighbors.mask is None else found.neighbors.mask
    slopes = map_rows(
        lambda row: _slope(row[0], bank[row[1]] - row[0], row[2], row[3], reg),
        (z, ids, changes, valid),
        block_bytes,
        2 * ids.shape[1] * z.shape[1] * z.dtype.itemsize,
    )
    off = jnp.einsum("qk,qkc->qc", weights, changes, precision=lax.Precision.HIGHEST)
    squares = jnp.sum(jnp.where(valid[..., None], changes, 0) ** 2, axis=(1, 2)) / jnp.maximum(valid.sum(axis=1), 1)
    return Explanation(
        outputs,
        weights[..., None] * around,
        _root(jnp.sum(off**2, axis=1)),
        _root(squares),
        found.residuals,
        slopes,
        found.neighbors,
        weights,
    )


def _slope(
    z: Float[Array, " d"], spokes: Float[Array, "k d"], changes: Float[Array, "k c"], valid: Array, reg: Any
) -> Float[Array, "c d"]:
    """Solve the ridge regression of the changes on the spokes in its dual form, k x k."""
    extent = lax.stop_gradient(jnp.max(jnp.abs(spokes)))  # its square may be out of range
    extent = jnp.where(extent > 0, extent, 1)
    spokes = jnp.where(valid[:, None], spokes / extent, 0)
    changes = jnp.where(valid[:, None], changes, 0)
    gram = jnp.dot(spokes, spokes.T, precision=lax.Precision.HIGHEST)
    trace = jnp.trace(gram)
    system = gram + reg * jnp.where(trace > 0, trace, 1) * jnp.eye(len(gram), dtype=gram.dtype)
    dual = jax.vmap(solve_positive, in_axes=(None, 1))(system, changes)
    return jnp.dot(dual, spokes, precision=lax.Precision.HIGHEST) / extent


def _root(squares: Array) -> Array:
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)


def _points(x: Any, name: str = "x") -> Array:
    x = as_points(x, name)
    return jnp.asarray(x, working_dtype(x))


def _check_outputs(y: Any, x: Any) -> None:
    if y.ndim != 2 or y.shape[0] != x.shape[0]:
        raise ValueError(
            f"The function returned outputs of shape {y.shape} for {x.shape[0]} points: it must be one row of outputs a "
            f"point, (q, c)."
        )
