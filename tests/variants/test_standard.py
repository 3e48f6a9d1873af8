"""LLE end to end: oracles, invariances, precision, batches, and every kind of invalid input."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import swiss_roll
from invalid_points import INVALID
from scipy.linalg import subspace_angles
from scipy.sparse import csr_array, eye_array
from sklearn.datasets import load_digits, make_s_curve
from sklearn.manifold import LocallyLinearEmbedding
from sklearn.manifold._locally_linear import barycenter_weights, null_space

import jaxlle
from jaxlle._core.arrays import read_floats
from jaxlle._core.checks import check_count
from jaxlle.metrics import subspace_angle
from jaxlle.solvers import DenseQR, SparseLU
from jaxlle.variants._pipeline import choose_k
from jaxlle.warnings import DuplicateWarning, GapWarning, PrecisionWarning

SOLVERS = [DenseQR(), SparseLU()]
DATA = {
    "swiss roll 500": lambda: swiss_roll(500),
    "swiss roll 2000": lambda: swiss_roll(2000),
    "s-curve 1000": lambda: make_s_curve(1000, random_state=0)[0],
    "digits 1797": lambda: load_digits().data,
}


def scikit_learn(x, dim, k, solver="dense"):
    """Return scikit-learn's embedding and cost on the graph of jaxlle, because scikit-learn breaks ties arbitrarily."""
    ids = np.asarray(jaxlle.knn(x, k).indices)
    n = len(x)
    w = csr_array((barycenter_weights(x, x, ids, reg=1e-3).ravel(), ids.ravel(), np.arange(n + 1) * k), shape=(n, n))
    b = eye_array(n, format="csr") - w
    m = (b.T @ b).toarray() if solver == "dense" else b.T @ b
    return null_space(m, dim, k_skip=1, eigen_solver=solver, tol=1e-10, random_state=0)


@pytest.mark.exhaustive_cases("s-curve 1000-solver3")
@pytest.mark.slow_cases("s-curve 1000-solver2", "swiss roll 500-solver0")
@pytest.mark.parametrize(
    ("name", "solver"),
    [
        *(("swiss roll 500", solver) for solver in SOLVERS),
        ("s-curve 1000", SparseLU()),
        pytest.param("s-curve 1000", DenseQR(), marks=pytest.mark.slow),
        *(pytest.param("digits 1797", solver, marks=pytest.mark.slow) for solver in SOLVERS),
    ],
)
def test_the_subspace_and_the_cost_match_scikit_learn(x64, name, solver):
    x = DATA[name]()
    expected, error = scikit_learn(x, 2, 12)
    out = jaxlle.lle(x, 2, k=12, solver=solver)
    cosines = np.linalg.svd(np.linalg.qr(expected)[0].T @ np.linalg.qr(out.points)[0])[1]
    assert cosines.min() > 0.9999
    np.testing.assert_allclose((out.singular_values**2).sum(), error, rtol=1e-3)


@pytest.mark.exhaustive_cases("swiss roll 2000-solver5", "s-curve 1000-solver6")
@pytest.mark.slow_cases(
    "digits 1797-solver4", "s-curve 1000-solver3", "swiss roll 2000-solver2", "swiss roll 500-solver0"
)
@pytest.mark.parametrize(
    ("name", "solver"),
    [
        ("swiss roll 500", DenseQR()),
        *((name, SparseLU()) for name in DATA),
        *(pytest.param(name, DenseQR(), marks=pytest.mark.slow) for name in DATA if name != "swiss roll 500"),
    ],
)
def test_float32_is_within_a_tenth_of_a_degree_of_float64(name, solver):
    x = DATA[name]()
    with jax.enable_x64(True):
        exact = np.asarray(jaxlle.lle(x, 2, k=12).points)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = jaxlle.lle(x.astype(np.float32), 2, k=12, solver=solver)
    assert out.points.dtype == np.float32
    with jax.enable_x64(True):
        assert np.rad2deg(subspace_angle(np.asarray(out.points, np.float64), exact)) < 0.1


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["swiss roll 500", "swiss roll 2000", "s-curve 1000"])
def test_a_gap_warning_is_given_where_float32_is_inaccurate(name, solver):
    with pytest.warns(GapWarning):
        jaxlle.lle(DATA[name]().astype(np.float32), 2, k=12, reg=1e-6, solver=solver)


def test_the_embedding_is_invariant_to_translation_rotation_scaling_and_permutation(x64):
    x = swiss_roll(400)
    rng = np.random.default_rng(0)
    rotation, order = np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.permutation(400)
    base = jaxlle.lle(x, 2, k=12).points
    for moved in (x @ rotation, 1e-170 * x, 1e160 * x, x + 1e3):
        assert subspace_angle(jaxlle.lle(moved, 2, k=12).points, base) < 1e-5
    np.testing.assert_allclose(jaxlle.lle(x[order], 2, k=12).points, base[order], atol=1e-6)


@pytest.mark.slow
def test_64_data_sets_are_embedded_in_one_call():
    keys = jax.random.split(jax.random.key(0), 64)
    x = jax.vmap(lambda key: jaxlle.datasets.swiss_roll(key, 200).points)(keys)
    out = jax.vmap(lambda a: jaxlle.lle(a, 2, k=12))(x)
    assert out.points.shape == (64, 200, 2)
    assert bool(out.converged.all())
    for i in (0, 31, 63):
        points, found = np.asarray(x[i], np.float64), np.asarray(out.points[i], np.float64)
        expected = LocallyLinearEmbedding(n_neighbors=12, eigen_solver="dense").fit_transform(points)
        assert np.rad2deg(subspace_angles(found, expected)).max() < 0.1


@pytest.mark.slow
def test_reg_and_keys_can_be_batched():
    x = jnp.asarray(swiss_roll(150), jnp.float32)
    regs = jnp.array([1e-3, 1e-2, 1e-1])
    many = jax.vmap(lambda r: jaxlle.lle(x, 2, k=10, reg=r).points)(regs)
    for y, r in zip(many, regs, strict=True):
        one = jaxlle.lle(x, 2, k=10, reg=float(r), solver=DenseQR()).points
        assert subspace_angle(y, one) < 1e-3
    keyed = jax.vmap(lambda k: jaxlle.lle(x, 2, k=10, reg=1e-2, options=jaxlle.EmbedOptions(key=k)).points)(
        jax.random.split(jax.random.key(1), 3)
    )
    assert subspace_angle(keyed[0], keyed[2]) < 1e-3


@pytest.mark.slow
def test_jit_agrees_with_eager_and_compiles_once():
    x = jnp.asarray(swiss_roll(150), jnp.float32)
    count = 0

    @jax.jit
    def fit(a, reg):
        nonlocal count
        count += 1
        return jaxlle.lle(a, 2, k=10, reg=reg).points

    assert subspace_angle(fit(x, 1e-2), jaxlle.lle(x, 2, k=10, reg=1e-2).points) < 1e-3
    fit(2 * x, 1e-1)
    assert count == 1


@pytest.mark.slow
def test_no_tracer_leaks():
    with jax.checking_leaks():  # which are found while tracing; without its caches the compilation takes a minute
        jax.jit(lambda a: jaxlle.lle(a, 1, k=4).points).trace(jnp.asarray(swiss_roll(30), jnp.float32))


@pytest.mark.slow
def test_every_metric_is_supported(cloud):
    far = np.sqrt(((cloud[:, None] - cloud[None]) ** 2).sum(-1))
    base = jaxlle.lle(cloud, 2, k=10, reg=1e-2).points
    assert subspace_angle(jaxlle.lle(far, 2, k=10, reg=1e-2, metric="precomputed").points, base) < 1e-2
    same = jaxlle.lle(cloud, 2, k=10, reg=1e-2, metric=lambda a, b: jnp.sum((a - b) ** 2)).points
    assert subspace_angle(same, base) < 1e-3
    for metric in ("cosine", "manhattan", "chebyshev"):
        ids = jaxlle.knn(cloud, 10, metric=metric)
        expected = jaxlle.lle(cloud, 2, k=10, neighbors=ids).points
        np.testing.assert_allclose(jaxlle.lle(cloud, 2, k=10, metric=metric).points, expected, atol=1e-3)


@pytest.mark.slow
def test_radius_neighborhoods_are_supported():
    x = jaxlle.datasets.s_curve(jax.random.key(0), 400).points
    out = jaxlle.lle(x, 2, k=1 * 12, neighbors=jaxlle.neighbors.radius_neighbors(x, 0.9), reg=1e-2)
    assert np.isfinite(out.points).all()
    assert int(out.num_components) == 1


def test_repeated_points_have_the_same_coordinates_with_dedupe():
    x = np.concatenate([swiss_roll(300), swiss_roll(300)[:40]]).astype(np.float32)
    once = jaxlle.lle(x[:300], 2, k=12)
    out = jaxlle.lle(x, 2, k=12, options=jaxlle.EmbedOptions(dedupe=True))
    np.testing.assert_array_equal(out.points[:300], once.points)
    np.testing.assert_array_equal(out.points[300:], once.points[:40])
    assert np.isfinite(jaxlle.lle(x, 2, k=12).points).all()


@pytest.mark.slow
def test_more_copies_than_neighbors_give_a_warning():
    x = np.concatenate([swiss_roll(300), np.repeat(swiss_roll(300)[:1], 20, axis=0)]).astype(np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = jaxlle.lle(x, 2, k=12)
    assert any(
        w.category is DuplicateWarning and "21 points have at least k = 12 exact copies" in str(w.message)
        for w in caught
    )
    assert np.isfinite(out.points).all()
    assert np.isfinite(jaxlle.lle(x, 2, k=12, options=jaxlle.EmbedOptions(dedupe=True)).points).all()


@pytest.mark.slow
def test_float64_input_without_x64_gives_a_warning():
    with pytest.warns(PrecisionWarning, match="jax_enable_x64"):
        out = jaxlle.lle(swiss_roll(200), 2, k=12)
    assert out.points.dtype == np.float32


@pytest.mark.slow_cases("bool", "float16")
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.int8, np.int64, np.uint8, bool, object])
def test_other_dtypes_are_cast_first(dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype is bool else 100, (80, 6)).astype(dtype)
    expected = jaxlle.lle(
        x.astype(np.float32), 2, k=10, reg=1e-2, options=jaxlle.EmbedOptions(dedupe=dtype is bool)
    ).points
    out = jaxlle.lle(x, 2, k=10, reg=1e-2, options=jaxlle.EmbedOptions(dedupe=dtype is bool))
    assert out.points.dtype == np.float32
    assert subspace_angle(out.points, expected) < 1e-3


@pytest.mark.slow
def test_lists_and_data_frames_are_accepted(cloud):
    import pandas
    import polars

    expected = jaxlle.lle(cloud, 2, k=10).points
    names = list("abcde")
    for same in (pandas.DataFrame(cloud, columns=names), polars.DataFrame(cloud, schema=names), jnp.asarray(cloud)):
        np.testing.assert_allclose(jaxlle.lle(same, 2, k=10).points, expected, atol=1e-5)
    assert jaxlle.lle(cloud.astype(int).tolist(), 2, k=30, reg=1e-1).points.shape == (120, 2)


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.parametrize("device", [False, True])
def test_invalid_points_raise(cloud, name, device):
    spoil, message = INVALID[name]
    x = spoil(cloud)
    if device and x.dtype.kind in "fc":
        x = jnp.asarray(x)
    with pytest.raises(ValueError, match=message):
        jaxlle.lle(x, 2, k=10)


def test_invalid_arguments_of_lle_raise(cloud):
    for k in (0, 120):
        with pytest.raises(ValueError, match=r"k \(n_neighbors\)"):
            jaxlle.lle(cloud, 1, k=k) if k else jaxlle.lle_alignment(cloud, k=k)
    with pytest.raises(ValueError, match="output dimension must be less than or equal to input dimension"):
        jaxlle.lle(cloud, 6, k=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jaxlle.lle(cloud, 3, k=2)
    assert any("cannot span dim = 3" in str(w.message) for w in caught)
    with pytest.raises(ValueError, match="reg = 0 with k = 10 neighbors in 5 dimensions"):
        jaxlle.lle(cloud, 2, k=10, reg=0)
    with pytest.raises(ValueError, match="dedupe=True needs points"):
        jaxlle.lle(np.zeros((9, 9), np.float32), 2, k=3, metric="precomputed", options=jaxlle.EmbedOptions(dedupe=True))


def test_running_out_of_memory_raises_with_advice(cloud, monkeypatch):
    from jaxlle.neighbors import blockwise
    from jaxlle.solvers import dense

    def full(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    with monkeypatch.context() as patch:
        patch.setattr(blockwise, "_block", full)
        with pytest.raises(MemoryError, match="block_bytes"):
            jaxlle.knn(np.tile(cloud, 5), 3)
    monkeypatch.setattr(dense, "_solve", full)
    with pytest.raises(MemoryError, match="SparseLU"):
        jaxlle.lle(cloud, 2, k=8, solver=DenseQR())


@pytest.mark.slow
def test_nan_inside_jit_is_reported_as_not_converged(cloud):
    out = jax.jit(lambda a: jaxlle.lle(a, 2, k=8))(jnp.asarray(cloud).at[3, 1].set(jnp.nan))
    assert not bool(out.converged)


def test_the_default_k_is_twelve_or_all_other_points():
    for n, k in ((40, 12), (13, 12), (12, 11), (9, 8)):
        assert choose_k(None, np.zeros((n, 3)), 1, 1e-3, "euclidean", None, jaxlle.EmbedOptions()) == k


@pytest.mark.slow
def test_by_default_k_is_the_width_of_a_given_graph():
    x = swiss_roll(40).astype(np.float32)
    graph = jaxlle.knn(x, 7)
    np.testing.assert_array_equal(jaxlle.lle(x, 1).points, jaxlle.lle(x, 1, k=12).points)
    np.testing.assert_array_equal(jaxlle.lle(x, 1, neighbors=graph).points, jaxlle.lle(x, 1, k=7).points)


@pytest.mark.slow
def test_errors_say_what_to_pass_in_place_of_a_class_a_traced_number_and_a_graph(cloud):
    x = jnp.asarray(cloud, jnp.float32)
    with pytest.raises(TypeError, match=r"solver is the class DenseQR, .* pass DenseQR\(\)"):
        jaxlle.lle(x, 2, k=8, solver=DenseQR)
    with pytest.raises(TypeError, match=r"k is traced, .* must be a Python integer"):
        jax.vmap(lambda k: check_count(k, "k", 1, None, ""))(jnp.arange(5, 8))
    graph = jaxlle.knn(x, 5)
    with pytest.raises(TypeError, match=r"a is a value of type Neighbors, .* one of its fields \(indices, distances"):
        read_floats(graph, "a")
