"""Local linear attention: LLE weights, softmax attention and linear functions as oracles; masks, derivatives, types, errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

import jaxlle
from jaxlle.nn import (
    ConjugateGradients,
    GaussianKernel,
    LocalLinearAttention,
    NearestKeys,
    SoftmaxKernel,
    attention,
    local_linear_attention,
)

SOLVERS = [ConjugateGradients(), NearestKeys(20), NearestKeys(3)]
NAMES = ["conjugate gradients", "all keys", "three keys"]


def arrays(dtype=np.float64, length=20, width=4):
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 2, length, 2, width)).astype(dtype)
    return q, k, rng.normal(size=(2, length, 2, 3)).astype(dtype)


@partial(jax.jit, static_argnames=("solver", "is_causal"))
def run(q, k, v, mask=None, ridge=1e-3, *, solver, is_causal=False):
    """Return the outputs and the gradients of the sum of their squares."""

    def loss(q, k, v):
        out = local_linear_attention(q, k, v, ridge=ridge, solver=solver, mask=mask, is_causal=is_causal)
        return jnp.sum(out**2), out

    gradients, out = jax.grad(loss, (0, 1, 2), has_aux=True)(q, k, v)
    return out, gradients


def regression(q, k, v, p, ridge):
    """Return the intercept of weighted ridge regression for one query, by the normal equations with an intercept."""
    x = np.concatenate([np.ones((len(k), 1)), k - q], axis=1)
    penalty = ridge * np.sum(p * np.sum((k - q) ** 2, axis=1)) * np.diag([0.0] + [1.0] * k.shape[1])
    return np.linalg.solve(x.T @ (p[:, None] * x) + penalty, x.T @ (p[:, None] * v))[0]


def log_weights(kernel, q, k):
    if kernel == "softmax":
        return k @ q / np.sqrt(len(q))
    return -np.sum((k - q) ** 2, axis=1) / (2 * kernel**2)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize("is_causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("kernel", ["softmax", 1.5], ids=["softmax", "gaussian"])
def test_the_output_is_the_intercept_of_weighted_ridge_regression(x64, solver, is_causal, kernel):
    q, k, v = arrays()
    mask = np.random.default_rng(1).random((2, 20)) < 0.8
    mask[:, 0] = True
    ridge = np.array([1e-3, 0.1])
    used = SoftmaxKernel() if kernel == "softmax" else GaussianKernel(kernel)
    out = local_linear_attention(q, k, v, ridge=ridge, kernel=used, solver=solver, mask=mask, is_causal=is_causal)
    for b, i, h in np.ndindex(2, 20, 2):
        logits = np.where(
            mask[b] & ((np.arange(20) <= i) | (not is_causal)), log_weights(kernel, q[b, i, h], k[b, :, h]), -np.inf
        )
        logits[np.argsort(-logits)[getattr(solver, "k", 20) :]] = -np.inf
        p = np.exp(logits - logits.max())
        expected = regression(q[b, i, h], k[b, :, h], v[b, :, h], p / p.sum(), ridge[h])
        np.testing.assert_allclose(out[b, i, h], expected, atol=1e-9)


@pytest.mark.slow_cases("3")
@pytest.mark.parametrize("k", [3, 12])
def test_with_equal_weights_the_outputs_are_those_of_lle_weights(x64, k):
    q, keys, v = arrays()
    out = local_linear_attention(q, keys, v, ridge=0.01, kernel=GaussianKernel(1e9), solver=NearestKeys(k))
    for b, h in np.ndindex(2, 2):
        neighbors = jaxlle.knn(keys[b, :, h], k, query=q[b, :, h])
        weights = jaxlle.barycentric_weights(keys[b, :, h], neighbors, query=q[b, :, h], reg=0.01)
        expected = np.einsum("lk,lke->le", weights, v[b, :, h][neighbors.indices])
        assert np.abs(out[b, :, h] - expected).max() < 20 * np.finfo(float).eps * np.abs(expected).max()


@pytest.mark.slow
def test_with_kernel_weights_they_solve_the_constrained_problem_with_the_ridge_divided_by_the_weights(x64):
    q, k, _ = (a[0, :, 0] for a in arrays())
    out = local_linear_attention(q[None, :, None], k[None, :, None], np.eye(20)[None, :, None], ridge=0.01)[0, :, 0]
    for i in range(20):
        p = np.exp(log_weights("softmax", q[i], k))
        p, x = p / p.sum(), k - q[i]
        gram = x @ x.T + 0.01 * np.sum(p * np.sum(x**2, axis=1)) * np.diag(1 / p)
        w = np.linalg.solve(gram, np.ones(20))
        np.testing.assert_allclose(out[i], w / w.sum(), atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS[:2], ids=NAMES[:2])
def test_a_large_ridge_gives_softmax_attention(solver):
    q, k, _ = arrays(np.float32)
    out = local_linear_attention(q, k, k, ridge=1e9, solver=solver, is_causal=True)
    np.testing.assert_allclose(out, jax.nn.dot_product_attention(q, k, k, is_causal=True), atol=1e-5)


@pytest.mark.parametrize("solver", [*SOLVERS[:2], NearestKeys(9)], ids=[*NAMES[:2], "nine keys"])
@pytest.mark.parametrize("kernel", [SoftmaxKernel(), GaussianKernel()], ids=["softmax", "gaussian"])
def test_linear_functions_are_reproduced_without_a_ridge(x64, solver, kernel):
    q, k, _ = arrays()
    linear = np.random.default_rng(3).normal(size=(4, 3))
    out = local_linear_attention(3 * q, k, k @ linear + 5, ridge=0.0, kernel=kernel, solver=solver)
    np.testing.assert_allclose(out, 3 * q @ linear + 5, atol=1e-8)  # extrapolated: the queries lie outside the keys


@pytest.mark.slow
def test_gaussian_weights_are_invariant_to_rotation_translation_and_scale_and_softmax_weights_to_translation_of_the_keys(
    x64,
):
    q, k, v = arrays()
    out = local_linear_attention(q, k, v, kernel=GaussianKernel(1.5))
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(4, 4)))[0]
    moved = local_linear_attention(7 * q @ turn + 100, 7 * k @ turn + 100, v, kernel=GaussianKernel(10.5))
    np.testing.assert_allclose(moved, out, atol=1e-9)
    order = np.random.default_rng(5).permutation(20)
    np.testing.assert_allclose(
        local_linear_attention(q, k[:, order], v[:, order]), local_linear_attention(q, k, v), atol=1e-10
    )


@pytest.mark.slow
def test_a_common_offset_costs_no_accuracy_in_float32(x64):
    q, k, v = arrays(np.float32)
    kernel = GaussianKernel(1.5)
    expected = local_linear_attention(*(np.float64(a) for a in (q + 1000, k + 1000, v)), kernel=kernel)
    np.testing.assert_allclose(local_linear_attention(q + 1000, k + 1000, v, kernel=kernel), expected, atol=2e-4)


@pytest.mark.slow_cases("three keys")
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_equal_queries_and_keys_give_finite_outputs_and_gradients(solver):
    q, _, v = arrays(np.float32)
    same = np.broadcast_to(q[:, :1], q.shape)
    for x in (np.zeros_like(q), same, np.repeat(q[:, :2], 10, axis=1)):
        out, gradients = run(x, x, v, solver=solver)
        assert all(np.isfinite(a).all() for a in (out, *gradients))
    number = min(getattr(solver, "k", 20), 20)
    out, _ = run(same, same, v, solver=solver)
    np.testing.assert_allclose(out, np.broadcast_to(v[:, :number].mean(axis=1, keepdims=True), v.shape), atol=1e-3)


CASES = (
    [("cloud", s) for s in (*SOLVERS, NearestKeys(9))]
    + [("line", s) for s in SOLVERS]
    + [("places", s) for s in SOLVERS[:2]]
)


@pytest.mark.exhaustive_cases(
    "cloud-NearestKeys(k=20)",
    "cloud-NearestKeys(k=3)",
    "line-ConjugateGradients(steps=12)",
    "line-NearestKeys(k=3)",
    "places-NearestKeys(k=20)",
)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "solver"),
    [pytest.param(*case, id="-".join(map(str, case))) for case in CASES],
)
def test_derivatives_match_finite_differences(x64, data, solver):
    q, k, v = (a[:1, :9, :1] for a in arrays())
    if data == "line":  # the covariance of the keys has rank 1
        k = k[:, :, :, :1] * np.array([1.0, 2.0, -1.0, 0.5])
    if data == "places":  # only two different keys
        k = np.concatenate([k[:, :1]] * 4 + [k[:, 1:2]] * 5, axis=1)
    mask = np.arange(9)[None] < 8

    @jax.jit
    def function(q, k, v, ridge, bandwidth):
        kernel, causal = GaussianKernel(bandwidth), data == "cloud"
        return local_linear_attention(q, k, v, ridge=ridge, kernel=kernel, solver=solver, mask=mask, is_causal=causal)

    check_grads(function, (q, k, v, 0.05, 1.5), order=1, atol=1e-5, rtol=1e-5)
    check_grads(
        jax.jit(jax.grad(lambda *a: jnp.sum(function(*a) ** 2))), (q, k, v, 0.05, 1.5), order=1, atol=1e-5, rtol=1e-5
    )


@pytest.mark.slow_cases("all keys", "three keys")
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_hidden_keys_change_neither_outputs_nor_gradients_even_if_they_are_nan(solver):
    q, k, v = arrays(np.float32)
    mask = np.arange(20)[None] < np.array([[15], [20]])
    hidden = [np.where(mask[:, :, None, None], a, np.nan) for a in (k, v)]
    out, gradients = run(q, *hidden, mask, solver=solver)
    np.testing.assert_allclose(out[:1], local_linear_attention(q[:1], k[:1, :15], v[:1, :15], solver=solver), atol=1e-4)
    assert np.isfinite(gradients[0]).all()
    for gradient in gradients[1:]:
        assert not np.asarray(gradient)[0, 15:].any()
        assert np.isfinite(gradient).all()


@pytest.mark.slow_cases("all keys", "three keys")
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_causal_outputs_do_not_depend_on_later_keys_to_the_last_bit(solver):
    q, k, v = arrays(np.float32)
    mask = np.ones((2, 20), bool)
    later = np.arange(20)[None, :, None, None] >= 12
    out, _ = run(q, k, v, mask, solver=solver, is_causal=True)
    other, _ = run(q, np.where(later, 9 * k, k), np.where(later, -v, v), mask, solver=solver, is_causal=True)
    assert np.array_equal(out[:, :12], other[:, :12])
    assert not np.allclose(out[:, 12:], other[:, 12:])
    np.testing.assert_allclose(out[:, 0], v[:, 0], rtol=1e-6)  # of one key


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_queries_without_keys_have_outputs_and_gradients_of_zero(solver):
    mask = np.array([[False] * 20, [False] * 2 + [True] * 18])
    out, gradients = run(*arrays(np.float32), mask, solver=solver, is_causal=True)
    assert not np.asarray(out[0]).any()
    assert not np.asarray(out[1, :2]).any()
    assert np.asarray(out[1, 2:]).any(axis=-1).all()
    assert all(np.isfinite(g).all() and not np.asarray(g[0]).any() for g in gradients)


@pytest.mark.slow
def test_half_precision_is_computed_in_float32_and_returned_in_half_precision():
    q, k, v = arrays(np.float32)
    half = [jnp.asarray(a, jnp.bfloat16) for a in (q, k, v)]
    out = local_linear_attention(*half)
    expected = local_linear_attention(*(a.astype(jnp.float32) for a in half))
    assert out.dtype == jnp.bfloat16
    assert jnp.array_equal(out, expected.astype(jnp.bfloat16))
    large = [jnp.asarray(a, jnp.float16) for a in (300 * q, 300 * k, v)]  # their products overflow float16
    expected = local_linear_attention(*(a.astype(jnp.float32) for a in large))
    assert jnp.array_equal(local_linear_attention(*large), expected.astype(jnp.float16))
    far = jnp.asarray([[[[1000.0]]]], jnp.float16)
    keys, options = (
        jnp.arange(9.0, dtype=jnp.float16).reshape(1, 9, 1, 1),
        {"ridge": 0.0, "kernel": GaussianKernel(200.0)},
    )
    with pytest.raises(ValueError, match="not finite in float16"):
        local_linear_attention(far, keys, 100 * keys, **options)  # 100,000
    assert jnp.isinf(jax.jit(lambda q: local_linear_attention(q, keys, 100 * keys, **options))(far)).all()


@pytest.mark.slow
def test_float32_agrees_with_float64(x64):
    for solver in SOLVERS:
        wide = local_linear_attention(*arrays(), ridge=1e-2, solver=solver)
        narrow = local_linear_attention(*arrays(np.float32), ridge=1e-2, solver=solver)
        assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)
        np.testing.assert_allclose(narrow, wide, atol=1e-4)


@pytest.mark.exhaustive_cases("CG-20", "eight keys-7", "eight keys-40")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "rows"),
    [
        pytest.param(solver, rows, id=f"{name}-{rows}")
        for solver, name in ((ConjugateGradients(), "CG"), (NearestKeys(8), "eight keys"))
        for rows in (7, 20, 40)  # blocks of queries, single heads, two heads
    ],
)
def test_blocks_of_queries_or_heads_do_not_change_the_result(monkeypatch, solver, rows):
    q, k, v = arrays(np.float32)
    given = q, k, v, np.arange(20)[None] < np.array([[15], [20]]), np.array([0.01, 0.1], np.float32)
    expected = run(*given, solver=solver, is_causal=True)
    monkeypatch.setattr(attention, "_BLOCK_BYTES", 4 * rows * solver.row_numbers(20, 4))
    attention._attend.clear_cache()
    found = run.__wrapped__(*given, solver=solver, is_causal=True)
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-4), found, expected)
    attention._attend.clear_cache()


@pytest.mark.slow
def test_vmap_equals_a_loop_and_another_ridge_or_bandwidth_does_not_retrace():
    q, k, v = arrays(np.float32)
    ridges = jnp.array([1e-3, 1e-1])
    batched = jax.vmap(lambda r: local_linear_attention(q, k, v, ridge=r))(ridges)
    np.testing.assert_allclose(batched[1], local_linear_attention(q, k, v, ridge=1e-1), atol=1e-4)
    local_linear_attention(q, k, v, kernel=GaussianKernel(1.0))
    before = attention._attend._cache_size()
    local_linear_attention(q, k, v, ridge=0.5, kernel=GaussianKernel(2.0))
    local_linear_attention(q, k, v, ridge=np.float32(0.1), kernel=GaussianKernel(0.5), solver=ConjugateGradients(12))
    assert attention._attend._cache_size() == before


@pytest.mark.slow
@pytest.mark.parametrize("solver", [ConjugateGradients(), NearestKeys(64)], ids=["conjugate gradients", "nearest keys"])
def test_memory_of_the_gradient_is_linear_in_the_length(solver):
    def loss(q, k, v):
        return jnp.sum(local_linear_attention(q, k, v, solver=solver, is_causal=True) ** 2)

    def temporary(length):
        shape = jax.ShapeDtypeStruct((1, length, 1, 16), jnp.float32)
        return (
            jax.jit(jax.grad(loss, (0, 1, 2))).lower(shape, shape, shape).compile().memory_analysis().temp_size_in_bytes
        )

    short, long = temporary(8_192), temporary(32_768)
    assert long < 4.5 * short
    assert long < 32_768**2  # bytes: a fourth of one matrix of attention weights


@pytest.mark.slow
def test_the_function_is_lowered_for_cuda_and_tpu():
    shape = jax.ShapeDtypeStruct((1, 16, 2, 4), jnp.bfloat16)
    for solver in (ConjugateGradients(), NearestKeys(3)):
        function = jax.jit(jax.grad(lambda q, k, v, s=solver: jnp.sum(local_linear_attention(q, k, v, solver=s))))
        exported = jax.export.export(function, platforms=("cuda", "tpu"))(shape, shape, shape)
        assert exported.platforms == ("cuda", "tpu")


def test_invalid_arguments_raise():
    q, k, v = arrays(np.float32)
    for wrong, message in [
        ({"query": q[0]}, r"must have shape \(batch, length, heads, width\)"),
        ({"query": q[..., :3]}, "but must have shapes"),
        ({"key": k[:, :5]}, "but must have shapes"),
        ({"value": v[:, :, :1]}, "but must have shapes"),
        ({"key": k[:, :0], "value": v[:, :0]}, "every axis needs an entry"),
        ({"query": np.where(q > 2, np.nan, q)}, "query contains NaN"),
        ({"value": np.where(v > 2, np.inf, v)}, "value contains NaN or infinity"),
        ({"ridge": -1.0}, "finite and at least 0"),
        ({"ridge": np.nan}, "finite and at least 0"),
        ({"ridge": np.ones(3)}, r"one per head, of shape \(2,\)"),
        ({"mask": np.ones((2, 19), bool)}, "mask has shape"),
        ({"mask": np.ones((2, 20))}, "must be an array of booleans"),
        ({"ridge": 0.0, "is_causal": True}, "may have only 1 keys"),
        ({"ridge": 0.0, "solver": NearestKeys(4)}, "more than 4 keys for every query"),
        ({"ridge": 0.0, "mask": np.arange(20) < np.array([[20], [3]])}, "may have only 3 keys"),
        ({"kernel": GaussianKernel(np.ones(3))}, "one per head"),
    ]:
        with pytest.raises(ValueError, match=message):
            local_linear_attention(**{"query": q, "key": k, "value": v, **wrong})
    for solver in (ConjugateGradients, NearestKeys):
        with pytest.raises(ValueError, match="at least 1"):
            solver(0)
    assert np.isnan(jax.jit(local_linear_attention)(q * np.nan, k, v)).all()


@pytest.mark.slow
def test_the_layer_is_the_function_between_linear_maps_and_trains_its_ridge():
    layer = LocalLinearAttention(8, 2, ridge=0.05, kernel=GaussianKernel(), rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 8)), jnp.float32)
    context, mask = x[:, ::-1][:, :5], np.arange(5)[None] < np.array([[4], [5]])
    parts = [m(a).reshape(2, -1, 2, 4) for m, a in ((layer.query, x), (layer.key, context), (layer.value, context))]
    expected = layer.out(
        local_linear_attention(*parts, ridge=0.05, kernel=GaussianKernel(), mask=mask).reshape(2, 6, 8)
    )
    np.testing.assert_allclose(layer(x, context, mask=mask), expected, atol=1e-5)
    np.testing.assert_allclose(layer(x, is_causal=True)[:, :3], layer(x[:, :3], is_causal=True), atol=1e-5)
    gradient = nnx.grad(lambda layer: jnp.sum(layer(x) ** 2))(layer)
    assert gradient["ridge"].shape == (2,)
    assert np.asarray(gradient["ridge"][...]).all()
    with pytest.raises(ValueError, match="not a multiple of heads"):
        LocalLinearAttention(8, 3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="ridge = 0"):
        LocalLinearAttention(8, 2, ridge=0, rngs=nnx.Rngs(0))
