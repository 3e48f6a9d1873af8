"""Large integers: neighbors, weights and maps are those of the same data shifted by an integer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle

SHIFTS = [
    (jnp.asarray, np.int32, 2**30),
    (jnp.asarray, np.int32, -(2**31)),
    (jnp.asarray, np.uint32, 2**32 - 20_001),
    (np.asarray, np.int64, 2**60),
    (np.asarray, np.int64, -(2**63)),
    (np.asarray, np.uint64, 2**64 - 20_001),
    (np.asarray, ">i8", 2**60 + 77),
]


def small(n=80, d=2, seed=0):
    return np.random.default_rng(seed).integers(0, 20_000, (n, d))


def shifted(x, array, dtype, shift, columns=slice(1)):
    """Return small integers with a shift added to some columns, without rounding."""
    out = x.astype(object)
    out[:, columns] += shift
    return array(out.astype(dtype))


@pytest.mark.parametrize(("array", "dtype", "shift"), SHIFTS)
@pytest.mark.parametrize("d", [2, 20])
def test_neighbors_of_large_integers_are_those_of_the_shifted_data(array, dtype, shift, d):
    columns = slice(1) if d == 2 and np.dtype(dtype).kind == "i" and shift > 0 else slice(None)
    x, new = small(d=d), small(30, d=d, seed=1)
    big, big_new = (shifted(a, array, dtype, shift, columns) for a in (x, new))
    for metric in ("euclidean", "manhattan", "chebyshev"):
        expected, found = jaxlle.knn(x, 6, metric=metric), jaxlle.knn(big, 6, metric=metric)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)
    expected, found = jaxlle.knn(x, 6, query=new), jaxlle.knn(big, 6, query=big_new)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)


@pytest.mark.parametrize(("array", "dtype"), [(jnp.asarray, np.int32), (np.asarray, np.int64)])
def test_consecutive_integers_around_the_largest_that_float32_represents_differ(array, dtype):
    for first in (2**24 - 20, -(2**24) - 20):
        found = jaxlle.knn(array(np.arange(first, first + 40, dtype=dtype)[:, None]), 2)
        np.testing.assert_array_equal(found.distances[1:-1], 1)
        np.testing.assert_array_equal(np.sort(found.indices, axis=1)[1:-1, 0], np.arange(38))


@pytest.mark.slow_cases("asarray-int32-1073741824")
@pytest.mark.parametrize(("array", "dtype", "shift"), [SHIFTS[0], SHIFTS[3]])
def test_weights_and_maps_of_large_integers_are_those_of_the_shifted_data(array, dtype, shift):
    x, new = small(), small(9, seed=1)
    big, big_new = (shifted(a, array, dtype, shift) for a in (x, new))
    y = (x / 20_000).astype(np.float32)
    ext = jaxlle.extension
    for function in (
        lambda x, new: jaxlle.barycentric_weights(x, jaxlle.knn(x, 5)),
        lambda x, new: jaxlle.transform(new, x, y, k=5),
        lambda x, new: jaxlle.transform(x, x, y, k=5),
        lambda x, new: ext.tangent_transform(new, x, y, k=5),
        lambda x, new: ext.kernel_map(x, y).transform(new),
        lambda x, new: ext.project(new, x, 5).residuals / 20_000,
        lambda x, new: ext.training_residuals(x, 5) / 20_000,
        lambda x, new: jaxlle.neighbors.prepare_points(x).apply(x) - jaxlle.neighbors.prepare_points(x).coordinates,
    ):
        np.testing.assert_allclose(function(big, big_new), function(x, new), atol=2e-4)
    np.testing.assert_array_equal(jaxlle.transform(big, big, y, k=5), y)


@pytest.mark.slow
def test_large_integers_are_exact_under_jit_and_in_float64(x64):
    x = small()
    big = shifted(x, jnp.asarray, np.int64, 2**60)
    expected = jaxlle.knn(x, 6)
    for found in (jaxlle.knn(big, 6), jax.jit(lambda a: jaxlle.knn(a, 6))(big)):
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.distances, expected.distances)


@pytest.mark.slow
def test_integers_of_32_bits_are_exact_under_jit_and_with_derivatives_of_other_arguments():
    x = small()
    big = shifted(x, jnp.asarray, np.int32, 2**30)
    found = jax.jit(lambda a: jaxlle.knn(a, 6, query=a[:20]))(big)
    np.testing.assert_array_equal(found.indices, jaxlle.knn(x, 6, query=x[:20]).indices)

    def first(reg, a):
        return jaxlle.lle(a, 1, k=6, reg=reg, solver=jaxlle.solvers.DenseQR()).points[0, 0]

    slope, expected = jax.jit(jax.grad(first))(1e-2, big), jax.grad(first)(1e-2, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(abs(slope), abs(expected), rtol=1e-2)


def test_the_widest_spread_of_integers_does_not_overflow():
    for array, dtype in ((jnp.asarray, np.int32), (np.asarray, np.int64), (np.asarray, np.uint64)):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        x = array(np.array([[low], [low + 10], [high - 10], [high]], dtype))
        points = jaxlle.neighbors.prepare_points(x)
        assert np.abs(points.coordinates).max() <= 2
        assert not isinstance(points.center, np.ndarray) or points.center.dtype == np.float64
        np.testing.assert_array_equal(np.argsort(points.coordinates[:, 0], stable=True), range(4))


@pytest.mark.slow
def test_functions_receive_rounded_values_and_equal_integers_are_degenerate():
    big = shifted(small(), jnp.asarray, np.int32, 2**30)
    rounded = jaxlle.knn(big.astype(jnp.float32), 6, metric=jaxlle.distances.KernelDistance(jnp.dot))
    np.testing.assert_array_equal(
        jaxlle.knn(big, 6, metric=jaxlle.distances.KernelDistance(jnp.dot)).indices, rounded.indices
    )
    with pytest.raises(ValueError, match="are equal"):
        jaxlle.lle(np.full((20, 2), 2**60 + 1), 1, k=5)
