import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import indices_out_of_range
from jax.test_util import check_grads

import jaxlle
from jaxlle import Alignment


def random_alignment(n=50, r=1, m=7, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    blocks = rng.normal(size=(n, r, m))
    blocks -= blocks.mean(axis=2, keepdims=True)
    return Alignment(jnp.asarray(rng.integers(0, n, (n, m)), jnp.int32), jnp.asarray(blocks, dtype))


def dense(alignment):
    """Stack the blocks one by one, in float64."""
    n, r, m = alignment.blocks.shape
    out = np.zeros((n * r, n))
    for i in range(n):
        for s in range(r):
            for j in range(m):
                out[i * r + s, alignment.indices[i, j]] += float(alignment.blocks[i, s, j])
    return out


@pytest.mark.parametrize(("r", "m"), [(1, 7), (3, 7), (2, 80)])
@pytest.mark.parametrize("columns", [(), (1,), (4,)])
def test_products_match_the_dense_matrix(r, m, columns):
    b = random_alignment(r=r, m=m)
    expected = dense(b)
    rng = np.random.default_rng(1)
    y, z = rng.normal(size=(50, *columns)), rng.normal(size=(50 * r, *columns))
    prepared = b.prepare()
    np.testing.assert_allclose(b.to_dense(), expected, atol=1e-5)
    for op in (b, prepared):
        np.testing.assert_allclose(op.matvec(jnp.asarray(y, jnp.float32)), expected @ y, atol=1e-4)
        np.testing.assert_allclose(op.rmatvec(jnp.asarray(z, jnp.float32)), expected.T @ z, atol=1e-4)
    np.testing.assert_allclose(prepared.gram(jnp.asarray(y, jnp.float32)), expected.T @ (expected @ y), atol=1e-3)
    np.testing.assert_allclose(b.to_scipy().toarray(), expected, atol=1e-5)
    np.testing.assert_allclose(
        b.linear_operator().rmatvec(z[:, 0] if columns else z), expected.T @ (z[:, 0] if columns else z), atol=1e-4
    )


@pytest.mark.parametrize("r", [1, 3])
def test_products_by_columns_are_correct_for_a_hub_and_for_points_in_no_neighborhood(r):
    b = random_alignment(r=r)
    b = b._replace(indices=jnp.where(b.indices > 20, 3, b.indices))
    z = np.random.default_rng(1).normal(size=(50 * r, 4))
    out = b.prepare().rmatvec(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(out, dense(b).T @ z, atol=1e-4)
    assert not np.asarray(out)[21:].any()


def test_the_two_products_are_transposes_of_each_other(x64):
    b = random_alignment(r=2, dtype=np.float64)
    rng = np.random.default_rng(1)
    y, z = jnp.asarray(rng.normal(size=50)), jnp.asarray(rng.normal(size=100))
    for op in (b, b.prepare()):
        np.testing.assert_allclose(jnp.dot(z, op.matvec(y)), jnp.dot(op.rmatvec(z), y), rtol=1e-12)


def test_products_are_differentiable_in_blocks_and_vectors(x64):
    b = random_alignment(n=9, m=4, dtype=np.float64)
    y = jnp.asarray(np.random.default_rng(1).normal(size=(9, 2)))
    check_grads(lambda blocks, y: Alignment(b.indices, blocks).matvec(jnp.asarray(y)), (b.blocks, y), order=2)
    check_grads(lambda blocks, y: Alignment(b.indices, blocks).rmatvec(jnp.asarray(y)), (b.blocks, y), order=2)


def test_products_run_under_jit_and_vmap():
    b = random_alignment()
    y = jnp.asarray(np.random.default_rng(1).normal(size=(3, 50, 2)), jnp.float32)
    out = jax.jit(jax.vmap(lambda c: b.prepare().gram(c)))(y)
    np.testing.assert_allclose(out[1], b.prepare().gram(y[1]), atol=1e-5)


def test_the_norm_bound_is_an_upper_bound():
    b = random_alignment(r=2)
    norm = np.linalg.norm(dense(b), 2)
    assert norm <= float(b.norm_bound()) <= 4 * norm


def test_a_malformed_alignment_raises():
    b = random_alignment()
    with pytest.raises(ValueError, match="indices run from"):
        jaxlle.embed(Alignment(b.indices.at[0, 0].set(50), b.blocks), 2)
    with pytest.raises(ValueError, match="NaN or infinity"):
        jaxlle.embed(Alignment(b.indices, b.blocks.at[3].set(jnp.nan)), 2)
    with pytest.raises(ValueError, match="must sum to zero"):
        jaxlle.embed(Alignment(b.indices, b.blocks + 1), 2)
    with pytest.raises(ValueError, match=r"blocks of shape \(n, r, m\)"):
        jaxlle.embed(Alignment(b.indices[:, :5], b.blocks), 2)


def test_products_that_determine_a_result_use_the_highest_precision():
    """A matrix product defaults to TF32 on a GPU and to bfloat16 on a TPU, which is not accurate enough for any result."""

    def products(jaxpr):
        for eqn in jaxpr.eqns:
            if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
                yield eqn
            for value in eqn.params.values():
                for inner in value if isinstance(value, tuple | list) else [value]:
                    inner = getattr(inner, "jaxpr", inner)
                    if hasattr(inner, "eqns"):
                        yield from products(inner)

    x = jnp.zeros((40, 30))
    y = jnp.zeros((40, 2))
    for f in (
        lambda x: jaxlle.lle(x, 2, k=6).points,
        lambda x: jaxlle.modified_lle(x, 2, k=6).points,
        lambda x: jaxlle.hessian_lle(x, 2, k=6).points,
        lambda x: jaxlle.ltsa(x, 2, k=6).points,
        lambda x: jaxlle.variants.npe(x, 2, k=6).matrix,
        lambda x: jaxlle.transform(x[:5], x, y, k=6),
        lambda x: jaxlle.metrics.trustworthiness(x, y, k=3),
    ):
        found = list(products(jax.make_jaxpr(f)(x).jaxpr))
        assert found
        for eqn in found:
            precision = eqn.params["precision"]
            assert precision is not None, eqn
            assert all(p == jax.lax.Precision.HIGHEST for p in precision), eqn


def test_products_with_integers_are_in_floating_point():
    b = random_alignment()
    z = np.arange(50).astype(np.int32)
    for op in (b, b.prepare()):
        np.testing.assert_allclose(op.rmatvec(jnp.asarray(z)), dense(b).T @ z, atol=1e-3)
        np.testing.assert_allclose(op.matvec(jnp.asarray(z)), dense(b) @ z, atol=1e-3)


def test_weights_and_indices_are_checked_before_a_cast():
    weights = jnp.full((5, 2), 0.5)
    ring = (np.arange(5)[:, None] + np.array([1, 2])) % 5
    for indices in indices_out_of_range(jaxlle.Neighbors(ring, None)):
        with pytest.raises(ValueError, match="holds indices from"):
            jaxlle.weights_alignment(jaxlle.Neighbors(indices, None), weights)
    with pytest.raises(ValueError, match=r"weights has shape \(5, 3\)"):
        jaxlle.weights_alignment(jaxlle.Neighbors(jnp.asarray(ring), None), jnp.ones((5, 3)))
    jitted = jax.jit(jaxlle.weights_alignment)(jaxlle.Neighbors(jnp.asarray(ring), None), weights)
    np.testing.assert_array_equal(jitted.indices[:, 1:], ring)
