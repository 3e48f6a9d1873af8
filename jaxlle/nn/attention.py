"""Local linear attention: the attention weights of a query are those of a local linear ridge regression at the query."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._core.arrays import read_floats, read_mask
from .._core.checks import all_finite, is_traced
from .._core.linear import matmul
from .attention_solvers import SAVED, SOFTMAX, TWELVE_STEPS, ConjugateGradients, NearestKeys

Kernel = Callable[[Array, Array, Array], Array]
# Memory of a block. It is the same on every platform: with a choice in the program, a gradient would keep the residuals of both.
_BLOCK_BYTES = 2**23


def local_linear_attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    ridge: Any = 1e-3,
    kernel: Kernel = SOFTMAX,
    solver: ConjugateGradients | NearestKeys = TWELVE_STEPS,
    mask: Any = None,
    is_causal: bool = False,
) -> Float[Array, "b l h e"]:
    """Compute attention whose output is the value at the query of a linear function fitted to the values near the query.

    For each query q, with weights p_j (of sum 1) of the keys k_j from the kernel, ridge regression

        min over a, B:  sum_j p_j |v_j - a - B (k_j - q)|^2 + l |B|^2,    l = ridge sum_j p_j |k_j - q|^2,

    has the intercept ``a = sum_j w_j v_j``, the output, with the attention weights

        w_j = p_j (1 + (k_j - m) . u),   (C + l I) u = q - m,   m = sum_j p_j k_j,   C = sum_j p_j (k_j - m)(k_j - m)^T.

    They sum to 1 and may be negative. Without a ridge ``sum_j w_j k_j = q``, so that every linear function of the keys is
    reproduced exactly, also outside the keys, whereas softmax attention, the limit of a large ridge, returns the mean of the
    values. For equal p_j the weights are the barycentric weights of LLE with ``reg = ridge`` (`jaxlle.barycentric_weights`);
    for others, those with the ridge ``l diag(1 / p_j)`` on the local Gram matrix. Because l grows with the distance of the query
    from the keys, far queries are extrapolated less and the weights are bounded, of order 1 / ridge. Local linear regression
    was proposed as attention by Zuo et al. (2025, arXiv 2510.01450), of which the abstract was read; the equations are derived
    here, and the tests check them.

    Computed in float32 or higher, in blocks of queries, so that memory is linear in the lengths, also of the gradient. With 12
    steps at (8, 512, 4, 64) on a CPU the forward pass takes about five times as long as that of softmax attention, and the
    gradient about seven times (tests/benchmarks). Supports jit, vmap and grad.

    Args:
        query: shape (batch, queries, heads, width), as for `jax.nn.dot_product_attention`, in any floating-point type.
        key: shape (batch, keys, heads, width).
        value: shape (batch, keys, heads, features).
        ridge: strength of the ridge, at least 0: a number, or one per head; may be traced.
        kernel: `SoftmaxKernel`, `GaussianKernel`, or a callable pytree of the same form; an array in it has one entry per head.
        solver: `ConjugateGradients`, which uses all keys, or `NearestKeys`, which uses those of largest weight.
        mask: True for keys that exist, shape (batch, keys). The values of other keys are ignored, also if they are NaN.
        is_causal: whether query i uses only the keys 0 to i.

    Returns:
        Outputs in the type of the query, shape (batch, queries, heads, features). The output of a query without keys is 0, and
            that of a query with one key is the value of this key. In float16, outputs beyond 65,504 overflow.

    Raises:
        ValueError: for shapes that do not match, and, outside jit, for entries that are not finite, for a ridge < 0, for a ridge
            of 0 if a query may have at most as many keys as features, and if the result is not finite.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxlle.nn import local_linear_attention
        >>> q, k = jax.random.normal(jax.random.key(0), (2, 1, 40, 2, 3))
        >>> v = 2 * k[..., :1] - k[..., 1:2] + 5  # a linear function of the keys
        >>> out = local_linear_attention(q, k, v, ridge=1e-6)
        >>> bool(jnp.allclose(out, 2 * q[..., :1] - q[..., 1:2] + 5, atol=1e-3))
        True
    """
    given = query.dtype if isinstance(query, jax.Array | np.ndarray) else np.dtype(object)
    query, key, value = (
        read_floats(a, name, "batch length heads width", finite=False)
        for a, name in ((query, "query"), (key, "key"), (value, "value"))
    )
    _check_shapes(query, key, value)
    if mask is not None:
        mask = read_mask(mask, "mask", key.shape[:2])
        key, value = (jnp.where(mask[:, :, None, None], a, 0) for a in (key, value))
    for a, name in ((query, "query"), (key, "key"), (value, "value")):
        if not is_traced(a) and not all_finite(a):
            raise ValueError(
                f"{name} contains NaN or infinity: check what computes it, or mask the keys that do not exist."
            )
    ridge = _check_ridge(ridge, key, mask, is_causal, solver)
    dtype = jnp.result_type(query, key, value)
    arrays = query.astype(dtype), key.astype(dtype), value.astype(dtype)
    out = _attend(arrays, mask, ridge.astype(dtype), kernel, solver, is_causal)
    out = out.astype(given if jnp.issubdtype(given, jnp.floating) and jnp.finfo(given).bits < 32 else dtype)
    if not is_traced(out) and not all_finite(out):
        raise ValueError(
            f"The outputs are not finite in {out.dtype}: use a larger ridge than {ridge}, smaller values, or a wider type."
        )
    return out


@partial(jax.jit, static_argnames=("solver", "is_causal"))
def _attend(
    arrays: tuple[Array, Array, Array], mask: Any, ridge: Array, kernel: Any, solver: Any, is_causal: bool
) -> Float[Array, "b l h e"]:
    batch, length, heads, _ = arrays[0].shape
    n, (keys, width) = batch * heads, arrays[1].shape[1::2]

    def per_head(a: Any) -> Array:
        a = jnp.asarray(a, ridge.dtype)
        if a.shape[:1] not in ((), (heads,)):
            raise ValueError(
                f"An array of the ridge or the kernel has shape {a.shape}, but must have {heads} rows, one per head."
            )
        return jnp.broadcast_to(a, (batch, heads, *a.shape[1:])).reshape(n, *a.shape[1:])

    flat = tuple(jnp.moveaxis(a, 2, 1).reshape(n, a.shape[1], a.shape[3]) for a in arrays)
    mask = None if mask is None else jnp.broadcast_to(mask[:, None], (batch, heads, keys)).reshape(n, keys)
    rows = max(1, _BLOCK_BYTES // (solver.row_numbers(keys, width) * ridge.dtype.itemsize))
    function = partial(_attend_head, solver=solver, is_causal=is_causal, rows=min(rows, length))
    each = flat, mask, *jax.tree.map(per_head, (ridge, kernel))
    together = max(1, rows // length)  # heads
    if together >= n:
        out = jax.vmap(lambda one: function(*one))(each)
    else:
        out = lax.map(lambda one: function(*one), each, batch_size=None if together == 1 else together)
    return jnp.moveaxis(out.reshape(batch, heads, length, -1), 1, 2)


def _attend_head(
    arrays: tuple[Array, Array, Array], mask: Any, ridge: Array, kernel: Any, *, solver: Any, is_causal: bool, rows: int
) -> Float[Array, "l e"]:
    q, k, v = arrays
    # Relative to a center the moments lose no digits to a common offset. Causal outputs depend on no later key, to the last bit.
    share = jnp.ones(len(k), k.dtype) if mask is None else mask.astype(k.dtype)
    center = k[jnp.argmax(share)] if is_causal else matmul(share, k) / jnp.maximum(share.sum(), 1)
    center = lax.stop_gradient(center)
    q, k = q - center, k - center

    @partial(jax.checkpoint, policy=jax.checkpoint_policies.save_only_these_names(SAVED))
    def block(q: Array, numbers: Array) -> Array:
        logits = kernel(q, k, center)
        if mask is not None:
            logits = jnp.where(mask, logits, -jnp.inf)
        if is_causal:
            logits = jnp.where(numbers[:, None] >= jnp.arange(len(k)), logits, -jnp.inf)
        return solver(logits, q, k, v, ridge)

    length, blocks = len(q), -(-len(q) // rows)
    if blocks == 1:
        return block(q, jnp.arange(length))
    rows = -(-length // blocks)
    q = jnp.pad(q, ((0, blocks * rows - length), (0, 0))).reshape(blocks, rows, -1)
    out = lax.map(lambda one: block(*one), (q, jnp.arange(blocks * rows).reshape(blocks, rows)))
    return out.reshape(blocks * rows, -1)[:length]


def _check_shapes(query: Array, key: Array, value: Array) -> None:
    batch, _, heads, width = query.shape
    if (*key.shape[:1], *key.shape[2:]) != (batch, heads, width) or value.shape[:3] != key.shape[:3]:
        raise ValueError(
            f"query, key and value have shapes {query.shape}, {key.shape} and {value.shape}, but must have shapes (batch, "
            f"queries, heads, width), (batch, keys, heads, width) and (batch, keys, heads, features)."
        )
    if 0 in (*query.shape, *key.shape, *value.shape):
        raise ValueError(
            f"query, key and value have shapes {query.shape}, {key.shape} and {value.shape}: every axis needs an entry."
        )


def _check_ridge(ridge: Any, key: Array, mask: Any, is_causal: bool, solver: Any) -> Array:
    """Return the ridge as an array; raise if it is invalid, or 0 where a query may have too few keys."""
    heads, width = key.shape[2:]
    ridge = read_floats(ridge, "ridge", finite=False)
    if ridge.shape not in ((), (heads,)):
        raise ValueError(
            f"ridge has shape {ridge.shape}, but must be one number, or one per head, of shape ({heads},)."
        )
    if is_traced(ridge):
        return ridge
    if not all_finite(ridge) or (ridge < 0).any():
        raise ValueError(f"ridge = {ridge} is not allowed: it must be finite and at least 0.")
    fewest = 1 if is_causal else key.shape[1]
    if not is_traced(mask) and mask is not None:
        counts = np.asarray(mask).sum(axis=1)
        fewest = min(fewest, counts[counts > 0].min(initial=fewest))
    fewest = min(fewest, getattr(solver, "k", fewest))
    if fewest <= width and (ridge == 0).any():
        raise ValueError(
            f"ridge = 0 for keys with {width} features: a query may have only {fewest} keys, through which infinitely many "
            f"linear functions pass. Use a ridge > 0, such as 1e-3, or more than {width} keys for every query."
        )
    return ridge
