"""Intrinsic dimension: the formulas in NumPy, manifolds of known dimension, and data with duplicates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

import jaxlle
from jaxlle import dimension

ESTIMATORS = {
    "local_pca": lambda x: dimension.local_pca(x, k=20).value,
    "maximum_likelihood": lambda x: dimension.maximum_likelihood(x, k=20).value,
    "two_nn": lambda x: dimension.two_nn(x).value,
    "correlation": lambda x: dimension.correlation_dimension(x).value,
}
EACH = pytest.mark.parametrize("name", ESTIMATORS)


def ball(n, dim, features, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)) @ np.linalg.qr(rng.normal(size=(features, features)))[0][:dim]


@EACH
def test_estimates_are_close_to_known_dimensions(name):
    for dim, tolerance in ((1, 0.1), (2, 0.2), (5, 0.9)):
        x = ball(1000, dim, 8).astype(np.float32)
        assert abs(float(ESTIMATORS[name](x)) - dim) < tolerance


@EACH
def test_estimates_do_not_depend_on_offset_and_scale(x64, name):
    x = ball(1000, 2, 8)
    base = ESTIMATORS[name](x)
    for moved in (x + 1e3, 1e-170 * x, 1e150 * x):
        np.testing.assert_allclose(ESTIMATORS[name](moved), base, rtol=1e-6)


def test_estimates_agree_with_their_formulas(x64):
    x = np.random.default_rng(0).normal(size=(200, 4))
    dist = cdist(x, x)
    sorted_dist = np.sort(dist, axis=1)[:, 1:]
    logs = np.log(sorted_dist[:, 8:9] / sorted_dist[:, :8])
    found = dimension.maximum_likelihood(x, k=9)
    np.testing.assert_allclose(found.local, 1 / logs.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(found.value, 1 / logs.mean(), rtol=1e-9)
    ratio = np.sort(np.log(sorted_dist[:, 1] / sorted_dist[:, 0]))[:180]
    level = -np.log(1 - np.arange(1, 181) / 200)
    slope = np.linalg.lstsq(ratio[:, None], level)[0][0]
    np.testing.assert_allclose(dimension.two_nn(x).value, slope, rtol=1e-9)
    a, b = np.median(sorted_dist[:, 9]), np.median(sorted_dist[:, 19])
    pairs = dist[np.triu_indices(200, 1)]
    expected = np.log((pairs < b).sum() / (pairs < a).sum()) / np.log(b / a)
    np.testing.assert_allclose(dimension.correlation_dimension(x).value, expected, rtol=1e-9)
    ids = np.argsort(dist, axis=1, kind="stable")[:, :10]
    counts = [(lambda v: (v > 0.05 * v.max()).sum())(np.linalg.eigvalsh(np.cov(x[i].T))) for i in ids]
    np.testing.assert_array_equal(dimension.local_pca(x, k=9).local, counts)


@pytest.mark.slow
def test_the_fraction_of_ratios_and_the_ranks_of_the_radii_are_used(x64):
    x = np.random.default_rng(0).normal(size=(101, 4))  # an odd number, so that the median distance is that of a pair
    sorted_dist = np.sort(cdist(x, x), axis=1)[:, 1:]
    ratio = np.sort(np.log(sorted_dist[:, 1] / sorted_dist[:, 0]))[:70]
    level = -np.log(1 - np.arange(1, 71) / 101)
    slope = (ratio * level).sum() / (ratio**2).sum()
    np.testing.assert_allclose(dimension.two_nn(x, discard=0.3).value, slope, rtol=1e-9)
    a, b = np.median(sorted_dist[:, 4]), np.median(sorted_dist[:, 29])
    pairs = cdist(x, x)[np.triu_indices(101, 1)]
    a, b = (pairs[np.abs(pairs - r).argmin()] for r in (a, b))
    expected = np.log((pairs < b).sum() / (pairs < a).sum()) / np.log(b / a)
    found = dimension.correlation_dimension(x, near=5, far=30).value
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    line = np.arange(41.0)[:, None]  # radii 1 and 2, without the pairs at these distances
    np.testing.assert_array_equal(
        dimension._pairs_within(jnp.asarray(line), jnp.array([1.0, 2.0]), 10**6).sum(axis=0), [0, 80]
    )


@pytest.mark.slow  # numba compiles
@pytest.mark.filterwarnings("ignore")
def test_estimates_agree_with_scikit_dimension(x64):
    skdim = pytest.importorskip("skdim")
    for x in (ball(500, 3, 6), np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), 500).points, np.float64)):
        theirs = skdim.id.MLE().fit(x, n_neighbors=12)
        ours = dimension.maximum_likelihood(x, k=12)
        np.testing.assert_allclose(ours.value, theirs.dimension_, rtol=1e-9)
        np.testing.assert_allclose(ours.local, theirs.dimension_pw_, rtol=1e-9)
        np.testing.assert_allclose(dimension.two_nn(x).value, skdim.id.TwoNN().fit(x).dimension_, rtol=1e-9)
        np.testing.assert_allclose(
            dimension.correlation_dimension(x).value, skdim.id.CorrInt().fit(x).dimension_, rtol=1e-9
        )
        far = cdist(x, x)
        for i, found in enumerate(dimension.local_pca(x, k=12).local[:20]):
            patch = x[
                np.argsort(far[i], kind="stable")[:13]
            ]  # includes the point itself, which scikit-dimension leaves out
            assert int(found) == skdim.id.lPCA(ver="FO").fit(patch).dimension_


@EACH
def test_estimates_are_close_to_the_dimension_also_with_duplicates(name):
    x = ball(1000, 2, 8).astype(np.float32)
    x[:50] = x[50:100]
    assert abs(float(ESTIMATORS[name](x)) - 2) < 0.3


@pytest.mark.slow_cases("local_pca", "maximum_likelihood", "two_nn")
@EACH
def test_estimates_run_under_jit_and_vmap_and_keep_the_dtype(name):
    x = np.stack([ball(150, 2, 4, seed=s) for s in range(2)])
    many = jax.jit(jax.vmap(ESTIMATORS[name]))(jnp.asarray(x, jnp.float32))
    assert many.dtype == np.float32
    np.testing.assert_allclose(many, [ESTIMATORS[name](a) for a in x.astype(np.float32)], rtol=1e-2)
    with jax.enable_x64(True):
        wide = ESTIMATORS[name](x[0])
        assert wide.dtype == np.float64
        np.testing.assert_allclose(many[0], wide, rtol=1e-2)


def test_invalid_input_raises(cloud):
    for call, message in (
        (lambda: dimension.maximum_likelihood(cloud, k=1), "ratios of distances"),
        (lambda: dimension.two_nn(cloud, discard=1.0), "discard = 1.0"),
        (lambda: dimension.correlation_dimension(cloud, near=20), "near = 20"),
        (lambda: dimension.correlation_dimension(cloud, near=1, far=120), "far = 120"),
        (lambda: dimension.local_pca(cloud, k=9, threshold=-0.1), "threshold = -0.1 is not allowed"),
        (lambda: dimension.local_pca(cloud, k=9, threshold=1.0), "threshold = 1.0 is not allowed"),
        (lambda: dimension.local_pca(cloud, k=9, threshold=np.nan), "threshold = nan is not allowed"),
        (lambda: dimension.local_pca(cloud, k=120), r"k \(n_neighbors\) = 120"),
        (lambda: dimension.local_pca(np.full((9, 2), np.nan, np.float32), k=3), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert jaxlle.dimension is dimension
