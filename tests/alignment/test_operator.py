import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import indices_out_of_range
from jax.test_util import check_grads

import jaxlle
from jaxlle import Alignment
from jaxlle.alignment._columns import _sum_all, _sum_filled


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


def hubs(n=300, r=2, m=5):
    """Return an alignment with half of the entries in one column, many in a few, and points in no neighborhood."""
    rng = np.random.default_rng(2)
    indices = (n * rng.random((n, m)) ** 4).astype(np.int32)
    return random_alignment(n, r, m)._replace(indices=jnp.asarray(np.where(rng.random((n, m)) < 0.5, 7, indices)))


@pytest.mark.parametrize(("n", "r", "m", "slabs"), [(300, 2, 5, 1), (2100, 13, 4, 6)])
def test_products_with_the_transpose_have_the_same_bits_in_two_runs_and_in_each_form_of_the_loops(n, r, m, slabs):
    b = hubs(n, r, m)
    z = np.random.default_rng(1).normal(size=(n * r, 3)).astype(np.float32)
    first, second = (np.asarray(b.prepare().rmatvec(jnp.asarray(z))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, b.to_scipy().T @ z, rtol=1e-5, atol=1e-3)
    columns = b.prepare().columns
    assert len(columns.order) == slabs
    assert int(columns.filled) < slabs or slabs == 1
    assert int(columns.rest.used) > 1  # chunks of segments, some of the same column
    assert int(columns.rest.after.max()) > 1
    np.testing.assert_array_equal(_sum_all(columns, jnp.asarray(z)), _sum_filled(columns, jnp.asarray(z)))
    fixed = columns.product(jnp.asarray(z).reshape(n, r, 3), fixed=True)
    np.testing.assert_allclose(fixed, first, rtol=1e-5, atol=1e-5)


def test_prepared_products_are_differentiable_in_blocks_and_vectors_and_run_under_vmap(x64):
    b = hubs(n=40)
    b = b._replace(blocks=b.blocks.astype(np.float64))
    z = jnp.asarray(np.random.default_rng(1).normal(size=(80, 2)))

    def product(blocks, z):
        return Alignment(b.indices, blocks).prepare().rmatvec(jnp.asarray(z))

    check_grads(product, (b.blocks, z), order=1)
    both = jnp.stack([b.blocks, 2 * b.blocks]), jnp.stack([z, -z])
    np.testing.assert_allclose(jax.vmap(product)(*both)[1], -2 * product(b.blocks, z), rtol=1e-12)

    def cost(blocks, z):
        return (product(blocks, z) ** 2).sum()

    np.testing.assert_allclose(jax.vmap(jax.grad(cost, 1))(*both)[1], -4 * jax.grad(cost, 1)(b.blocks, z), rtol=1e-12)


def test_the_two_products_are_transposes_of_each_other(x64):
    b = random_alignment(r=2, dtype=np.float64)
    rng = np.random.default_rng(1)
    y, z = jnp.asarray(rng.normal(size=50)), jnp.asarray(rng.normal(size=100))
    for op in (b, b.prepare()):
        np.testing.assert_allclose(jnp.dot(z, op.matvec(y)), jnp.dot(op.rmatvec(z), y), rtol=1e-12)


@pytest.mark.slow
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


@pytest.mark.parametrize("r", [1, 3])
def test_the_norm_bound_is_the_root_of_the_product_of_two_norms(r):
    """The largest singular value is at most sqrt(|B|_1 |B|_inf), and reaches it for equal rows and columns."""
    b = random_alignment(r=r)
    repeated = b._replace(
        indices=jnp.stack([jnp.roll(jnp.arange(50), j) for j in range(7)], axis=1)
    )  # none within a row
    size = np.abs(dense(repeated))
    expected = np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max())
    np.testing.assert_allclose(repeated.norm_bound(), expected, rtol=1e-5)
    assert np.linalg.norm(dense(b), 2) <= float(b.norm_bound())
    rows = jnp.broadcast_to(jnp.arange(8), (8, 8))
    even = Alignment(rows, jnp.ones((8, r, 8)))
    np.testing.assert_allclose(even.norm_bound(), np.linalg.norm(dense(even), 2), rtol=1e-5)


def test_a_malformed_alignment_raises():
    b = random_alignment()
    with pytest.raises(ValueError, match="indices run from"):
        jaxlle.embed(Alignment(b.indices.at[0, 0].set(50), b.blocks), 2)
    with pytest.raises(ValueError, match="indices run from -1 to"):
        jaxlle.embed(Alignment(b.indices.at[0, 0].set(-1), b.blocks), 2)
    with pytest.raises(ValueError, match="NaN or infinity"):
        jaxlle.embed(Alignment(b.indices, b.blocks.at[3].set(jnp.nan)), 2)
    with pytest.raises(ValueError, match="must sum to zero"):
        jaxlle.embed(Alignment(b.indices, b.blocks + 1), 2)
    with pytest.raises(ValueError, match=r"blocks of shape \(n, r, m\)"):
        jaxlle.embed(Alignment(b.indices[:, :5], b.blocks), 2)


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


def test_the_rows_of_i_minus_w_sum_to_zero_to_the_last_digit_also_for_a_point_without_neighbors():
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 6).astype(np.float32)
    weights[4] = 0
    ring = (np.arange(6)[:, None] + np.arange(1, 4)) % 6
    b = jaxlle.weights_alignment(jaxlle.Neighbors(jnp.asarray(ring), None), jnp.asarray(weights))
    np.testing.assert_array_equal(b.blocks[:, 0, 0], weights.sum(axis=1))
    np.testing.assert_array_equal(b.blocks[4], 0)
