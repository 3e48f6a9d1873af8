"""Modified LLE, Hessian LLE and LTSA: scikit-learn, the formulas of the papers in NumPy, and flat data."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import swiss_roll
from jax.test_util import check_grads
from sklearn.datasets import load_digits
from sklearn.manifold import LocallyLinearEmbedding

import jaxlle
from jaxlle.metrics import subspace_angle
from jaxlle.solvers import DenseQR, SparseLU
from jaxlle.warnings import DisconnectedGraphWarning, RankWarning

ALIGNMENTS = {
    "modified": jaxlle.modified_alignment,
    "hessian": jaxlle.hessian_alignment,
    "ltsa": jaxlle.ltsa_alignment,
}
PIPELINES = {"modified": jaxlle.modified_lle, "hessian": jaxlle.hessian_lle, "ltsa": jaxlle.ltsa}
EACH = pytest.mark.parametrize("name", ALIGNMENTS)
SLOW = pytest.mark.slow  # repetitions whose compilation takes long


def normal(alignment):
    """Return M = B^T B as a dense matrix."""
    b = np.asarray(alignment.to_dense(), np.float64)
    return b.T @ b


def sheet(n, dim, features, seed=0):
    """Return parameters and points of a flat sheet in general position."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(size=(n, dim))
    return u, u @ np.linalg.qr(rng.normal(size=(features, features)))[0][:dim] + 1


def bent_lattice(side):
    """Return a perturbed lattice on a bent sheet, where even small neighborhoods cover all points."""
    u = np.stack(np.meshgrid(*[np.arange(float(side))] * 2), -1).reshape(-1, 2)
    u += np.random.default_rng(0).uniform(-0.3, 0.3, u.shape)
    return np.column_stack([np.sin(u[:, 0] / side), np.cos(u[:, 0] / side), u[:, 1] / side])


def modified_normal(x, dim, ids, reg=1e-3):
    """Return M of modified LLE as in the paper, by eigenvectors, Householder matrices and several weight vectors."""
    n, k = ids.shape
    values, vectors, spaces = [], [], []
    for i in range(n):
        z = x[ids[i]] - x[i]
        left, s, _ = np.linalg.svd(z)
        values.append(np.concatenate([s**2, np.zeros(k - len(s))]))
        vectors.append(left)
        u = np.linalg.solve(z @ z.T + reg * (z**2).sum() * np.eye(k), np.ones(k))
        spaces.append(u / u.sum())
    ratio = np.array([[v[k - s :].sum() / v[: k - s].sum() for s in range(1, k)] for v in values])
    eta = np.median(ratio[:, k - dim - 1])
    m = np.zeros((n, n))
    for i in range(n):
        s = max([s for s in range(1, k - dim + 1) if ratio[i, s - 1] < eta], default=1)
        v = vectors[i][:, k - s :]
        alpha = np.linalg.norm(v.sum(axis=0)) / np.sqrt(s)
        h = alpha - v.sum(axis=0)
        h = h / np.linalg.norm(h) if np.linalg.norm(h) > 1e-12 else 0 * h
        w = (1 - alpha) * spaces[i][:, None] + v @ (np.eye(s) - 2 * np.outer(h, h))
        local = np.concatenate([np.ones((1, s)), -w])
        members = np.concatenate([[i], ids[i]])
        m[np.ix_(members, members)] += local @ local.T
    return m


def hessian_normal(x, dim, members):
    """Return M of Hessian LLE by Gram-Schmidt on 1, the tangent coordinates and their products."""
    n = len(x)
    m = np.zeros((n, n))
    for ids in members:
        z = x[ids] - x[ids].mean(axis=0)
        u = np.linalg.svd(z, full_matrices=False)[0][:, :dim]
        pairs = [u[:, a] * u[:, b] for a in range(dim) for b in range(a, dim)]
        q = np.linalg.qr(np.column_stack([np.ones(len(ids)), u, *pairs]))[0][:, dim + 1 :]
        m[np.ix_(ids, ids)] += q @ q.T
    return m


@pytest.mark.slow_cases("hessian-6", "modified-12")
@pytest.mark.parametrize(("name", "k"), [("modified", 12), ("ltsa", 12), ("hessian", 6)])
def test_the_subspace_and_the_cost_match_scikit_learn(x64, name, k):
    # scikit-learn's Hessian LLE agrees with the paper only for as many neighbors as functions; for more it is LTSA.
    x = swiss_roll(400) if k == 12 else bent_lattice(20)
    theirs = LocallyLinearEmbedding(n_neighbors=k, method=name, eigen_solver="dense").fit(x)
    out = PIPELINES[name](x, 2, k=k, **({} if name == "modified" else {"include_self": False}))
    cosines = np.linalg.svd(np.linalg.qr(theirs.embedding_)[0].T @ np.linalg.qr(out.points)[0])[1]
    assert cosines.min() > 0.99999
    np.testing.assert_allclose((out.singular_values**2).sum(), theirs.reconstruction_error_, rtol=1e-5)


@pytest.mark.slow_cases("2-12-0.001")
@pytest.mark.parametrize(("dim", "k", "reg"), [(2, 12, 1e-3), (3, 6, 1e-1)])
def test_modified_lle_matches_the_formula_of_the_paper_with_many_large_directions(x64, dim, k, reg):
    x = np.random.default_rng(0).normal(size=(80, 9)) * [9, 7, 5, 1, 1, 1, 0.1, 0.1, 0.1]
    expected = modified_normal(x, dim, np.asarray(jaxlle.knn(x, k).indices), reg)
    np.testing.assert_allclose(normal(jaxlle.modified_alignment(x, dim, k=k, reg=reg)), expected, atol=1e-10)


@pytest.mark.slow_cases("3-False")
@pytest.mark.parametrize(("dim", "include_self"), [(1, True), (3, False)])
def test_hessian_lle_matches_the_formula_of_the_paper(x64, dim, include_self):
    x = np.random.default_rng(0).normal(size=(80, 9))
    neighbors = jaxlle.knn(x, 12)
    members = np.asarray(neighbors.indices)
    if include_self:
        members = np.concatenate([np.arange(80)[:, None], members], axis=1)
    found = jaxlle.hessian_alignment(x, dim, k=12, neighbors=neighbors, include_self=include_self)
    np.testing.assert_allclose(normal(found), hessian_normal(x, dim, members), atol=1e-10)


@pytest.mark.slow
def test_ltsa_has_the_published_cost_on_the_digits_example_of_scikit_learn(x64):
    x = load_digits(n_class=6).data
    out = jaxlle.ltsa(x, 2, k=30, include_self=False)
    np.testing.assert_allclose((out.singular_values**2).sum(), 0.2128, atol=2e-4)


@pytest.mark.exhaustive_cases("hessian-2", "hessian-5")
@pytest.mark.slow_cases("hessian-1", "hessian-2", "hessian-3", "hessian-5", "ltsa-1")
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["hessian", "ltsa"])
def test_the_null_space_on_a_flat_sheet_consists_of_the_affine_functions(x64, name, dim):
    u, x = sheet(150, dim, dim + 2)
    b = np.asarray(ALIGNMENTS[name](x, dim, k=dim * (dim + 3) // 2 + 9).to_dense())
    values = np.linalg.svd(b, compute_uv=False)[::-1]
    assert values[dim] < 1e-12 < 1e-4 < values[dim + 1]
    np.testing.assert_allclose(b @ u, 0, atol=1e-12)
    np.testing.assert_allclose(b.sum(axis=1), 0, atol=1e-12)


@pytest.mark.slow_cases("hessian-solver0", "ltsa-solver0")
@pytest.mark.parametrize("solver", [DenseQR(), SparseLU()])
@pytest.mark.parametrize("name", ["hessian", "ltsa"])
def test_a_flat_sheet_is_recovered_up_to_an_affine_map(x64, name, solver):
    u, x = sheet(150, 2, 4)
    out = PIPELINES[name](x, 2, k=14, solver=solver)
    assert subspace_angle(out.points, u - u.mean(axis=0)) < 1e-10
    assert bool(out.converged)


@pytest.mark.slow
def test_modified_lle_converges_to_the_affine_functions_as_reg_decreases(x64):
    u, x = sheet(200, 2, 4)
    angles = [
        float(subspace_angle(jaxlle.modified_lle(x, 2, k=10, reg=r).points, u - u.mean(axis=0)))
        for r in (1e-3, 1e-5, 1e-7)
    ]
    assert angles[0] < 5e-3
    assert angles[1] < angles[0] / 50
    assert angles[2] < angles[1] / 50


@pytest.mark.slow
def test_ltsa_equals_hessian_lle_if_the_members_exactly_determine_a_quadratic(x64):
    x = swiss_roll(200)
    np.testing.assert_allclose(
        normal(jaxlle.ltsa_alignment(x, 2, k=5)), normal(jaxlle.hessian_alignment(x, 2, k=5)), atol=1e-11
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hessian", "ltsa"])
def test_a_swiss_roll_with_a_hole_is_unrolled(name):
    made = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000, hole=True)
    target = np.asarray(made.parameters, np.float64)
    target -= target.mean(axis=0)
    y = np.asarray(PIPELINES[name](made.points, 2, k=12).points, np.float64)
    y = np.column_stack([np.ones(1000), y])
    left = target - y @ np.linalg.lstsq(y, target)[0]
    assert (left**2).sum() / (target**2).sum() < 0.015


@pytest.mark.exhaustive_cases("hessian", "ltsa")
@pytest.mark.slow
@EACH
def test_both_solvers_find_the_same_subspace(x64, name):
    alignment = ALIGNMENTS[name](swiss_roll(400), 2, k=12)
    dense, sparse = (jaxlle.embed(alignment, 2, solver=s) for s in (DenseQR(), SparseLU()))
    assert subspace_angle(dense.points, sparse.points) < 1e-8
    np.testing.assert_allclose(dense.singular_values, sparse.singular_values, rtol=1e-7)


@pytest.mark.slow
@EACH
def test_float32_is_within_a_tenth_of_a_degree_of_float64(name):
    x = swiss_roll(400)
    with jax.enable_x64(True):
        exact = np.asarray(PIPELINES[name](x, 2, k=12).points)
    found = np.asarray(PIPELINES[name](x.astype(np.float32), 2, k=12).points, np.float64)
    with jax.enable_x64(True):
        assert np.rad2deg(subspace_angle(found, exact)) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ltsa", pytest.param("modified", marks=SLOW), pytest.param("hessian", marks=SLOW)])
def test_digits_are_embedded_without_warnings(name):
    x = load_digits().data.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = PIPELINES[name](x, 2, k=12)
    assert int(out.num_components) == 1
    assert float(jaxlle.metrics.trustworthiness(x, out.points, k=12)) > 0.86
    assert (1 / (np.asarray(out.points, np.float64) ** 4).sum(axis=0) > 30).all()  # supported on many points


@pytest.mark.slow
def test_points_outside_all_neighborhoods_give_a_warning(x64):
    x = load_digits().data
    with (
        pytest.warns(jaxlle.warnings.GapWarning),
        pytest.warns(DisconnectedGraphWarning, match=r"components of 17\d\d, 1, 1"),
    ):
        out = jaxlle.ltsa(x, 2, k=12, include_self=False)
    assert out.singular_values[0] < 1e-12


@pytest.mark.slow_cases("hessian", "modified")
@EACH
def test_the_operator_is_invariant_to_translation_rotation_scaling_and_permutation(x64, name):
    x = swiss_roll(150)
    rng = np.random.default_rng(0)
    rotation, order = np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.permutation(150)
    base = normal(ALIGNMENTS[name](x, 2, k=8))
    for moved in (x @ rotation, 1e-170 * x, 1e160 * x, x + 1e3):
        np.testing.assert_allclose(normal(ALIGNMENTS[name](moved, 2, k=8)), base, atol=1e-7)
    np.testing.assert_allclose(normal(ALIGNMENTS[name](x[order], 2, k=8)), base[np.ix_(order, order)], atol=1e-9)


@pytest.mark.slow
@EACH
def test_precomputed_distances_give_the_same_operator(x64, name):
    x = np.random.default_rng(0).normal(size=(60, 4))
    far = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    found = ALIGNMENTS[name](far, 2, k=8, metric="precomputed")
    np.testing.assert_allclose(normal(found), normal(ALIGNMENTS[name](x, 2, k=8)), atol=1e-9)


@EACH
def test_masked_neighbors_have_no_effect(x64, name):
    x = np.random.default_rng(0).normal(size=(60, 4))
    near, wide = jaxlle.knn(x, 8), jaxlle.knn(x, 11)
    masked = wide._replace(mask=jnp.arange(11)[None, :] < jnp.full((60, 1), 8))
    found = normal(ALIGNMENTS[name](x, 2, k=11, neighbors=masked))
    np.testing.assert_allclose(found, normal(ALIGNMENTS[name](x, 2, k=8, neighbors=near)), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "features"),
    [("ltsa", 3), *(pytest.param(name, 12, marks=SLOW) for name in ALIGNMENTS)],
)
def test_the_operator_is_differentiable_in_the_points(x64, name, features):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(25, features)), jnp.asarray(rng.normal(size=(25, 2)))
    x[:, :2] *= 3  # tangent spaces well separated from the normal directions
    neighbors = jaxlle.knn(x, 7)

    def cost(x):
        alignment = ALIGNMENTS[name](x, 2, k=7, neighbors=neighbors)
        return jnp.sum(alignment.matvec(y) ** 2)

    check_grads(cost, (jnp.asarray(x),), order=1, modes=["rev"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ltsa", pytest.param("modified", marks=SLOW), pytest.param("hessian", marks=SLOW)])
def test_the_derivative_is_finite_for_equal_singular_values(name):
    x = jnp.asarray(np.stack(np.meshgrid(*[np.arange(4.0)] * 2), -1).reshape(-1, 2), jnp.float32)
    x = jnp.concatenate([x, 0.01 * x[:, :1] ** 2], axis=1)
    neighbors = jaxlle.knn(x, 8)

    @jax.grad
    def slope(x):
        return jnp.sum(ALIGNMENTS[name](x, 2, k=8, neighbors=neighbors).matvec(x[:, 0]) ** 2)

    assert bool(jnp.isfinite(slope(x)).all())


@pytest.mark.exhaustive_cases("hessian")
@pytest.mark.slow
@EACH
def test_data_sets_can_be_batched_and_compile_once(name):
    x = jnp.asarray(np.stack([swiss_roll(80, seed) for seed in range(3)]), jnp.float32)
    count = 0

    @jax.jit
    def fit(x):
        nonlocal count
        count += 1
        return jax.vmap(lambda a: PIPELINES[name](a, 2, k=8))(x)

    out = fit(x)
    alone = PIPELINES[name](x[1], 2, k=8, solver=DenseQR())
    assert subspace_angle(out.points[1], alone.points) < 1e-2
    fit(x + 1)
    assert count == 1


@pytest.mark.slow_cases("hessian")
@pytest.mark.parametrize("name", ["hessian", "ltsa"])
def test_neighborhoods_on_a_line_give_a_warning(name):
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    x[:20] = np.arange(20)[:, None] + 50  # on a line
    with pytest.warns(RankWarning, match=r"20 of 90 neighborhoods do not span"):
        alignment = ALIGNMENTS[name](x, 2, k=8)
    assert bool(jnp.isfinite(alignment.blocks).all())


def test_hessian_lle_on_a_lattice_gives_a_rank_warning():
    x = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1).reshape(-1, 2).astype(np.float32)
    with pytest.warns(RankWarning, match="quadratic functions"):
        out = jaxlle.hessian_alignment(x, 2, k=5)
    assert bool(jnp.isfinite(out.blocks).all())


def test_modified_lle_depends_on_reg(x64):
    x = swiss_roll(400)
    a, b = (jaxlle.modified_lle(x, 2, k=12, reg=r).singular_values for r in (1e-3, 1e-1))
    assert abs(a[0] / b[0] - 1) > 0.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:k = 2 neighbors cannot span")
def test_too_few_neighbors_raise(cloud):
    for f, dim, k, message in (
        (jaxlle.hessian_lle, 2, 4, r"k \(n_neighbors\) = 4 .* at least 5 .* dim \(dim \+ 3\) / 2 = 5"),
        (jaxlle.ltsa, 2, 2, r"k \(n_neighbors\) = 2 .* at least 3"),
        (jaxlle.modified_lle, 3, 2, "requires n_neighbors >= n_components"),
    ):
        with pytest.raises(ValueError, match=message):
            f(cloud, dim, k=k)
    with pytest.raises(ValueError, match="at least 6"):
        jaxlle.hessian_lle(cloud, 2, k=5, include_self=False)
    assert jaxlle.modified_lle(cloud, 2, k=3, reg=1e-2).points.shape == (120, 2)


@pytest.mark.slow
@EACH
def test_invalid_points_and_arguments_raise(cloud, name):
    pipeline = PIPELINES[name]
    for spoil, message in (
        (cloud[0], "Expected 2D array"),
        (np.where(np.arange(5) == 1, np.nan, cloud), "NaN or infinity"),
        (np.ones_like(cloud), "degenerate"),
        (cloud[:1], r"1 sample\(s\)|n_samples = 1|between"),
        (cloud + 1j, "Complex data"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline(spoil, 2, k=8)
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 120"):
        pipeline(cloud, 2, k=120)
    with pytest.raises(ValueError, match="less than or equal to input dimension"):
        pipeline(cloud, 6, k=40)
    out = pipeline(np.concatenate([cloud, cloud[:30]]), 2, k=12, options=jaxlle.EmbedOptions(dedupe=True))
    np.testing.assert_array_equal(out.points[120:], out.points[:30])


@pytest.mark.exhaustive_cases("ltsa")  # which has the subspaces of hessian
@pytest.mark.slow
@EACH
def test_5000_handwritten_digits_are_embedded_accurately(name):
    data = jaxlle.datasets.mnist()
    out = PIPELINES[name](data.points, 2, k=12)
    assert bool(out.converged)
    assert int(out.num_components) == 1
    assert float(jaxlle.metrics.trustworthiness(data.points, out.points, k=12)) > 0.7
