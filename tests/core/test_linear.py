"""Dense linear algebra on small matrices: against NumPy, and derivatives against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxlle._core.linear import reflect, reflections, solve_positive


def positive(values, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return q @ np.diag(values) @ q.T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reflections_triangularize_and_skip_dependent_columns(x64, dtype):
    eps = float(jnp.finfo(dtype).eps)
    columns = np.random.default_rng(0).normal(size=(9, 5)) * [1, -1, 3, 1, 1e3]
    columns[:, 2] = columns[:, 0] - 2 * columns[:, 1]  # depends on the columns before
    columns[:, 3] = columns[:, 0] + 300 * eps * columns[:, 3]  # nearly, above the tolerance
    vectors, present = reflections(jnp.asarray(columns, dtype), 20 * eps)
    assert (np.asarray(present) != 0).tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), [1, 1, 0, 1, 1], rtol=1e-5)
    q = np.asarray(reflect(vectors, 0, 9), np.float64)
    np.testing.assert_allclose(q.T @ q, np.eye(9), atol=60 * eps)
    triangular = q.T @ columns.astype(dtype)
    np.testing.assert_allclose(np.tril(triangular, -1)[:, [0, 1, 4]], 0, atol=60 * eps * 1e4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_reflection_of_a_column_near_the_first_axis_does_not_cancel(sign):
    column = jnp.array([sign, 1e-5, -2e-5, 0.0])[:, None]  # 1 - |column| is below rounding in float32
    q = np.asarray(reflect(reflections(column, 1e-9)[0], 0, 4), np.float64)
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(q[:, 1:].T @ np.asarray(column, np.float64)[:, 0], 0, atol=1e-9)


def test_the_solution_is_nan_where_a_matrix_is_not_positive_definite_and_only_there():
    systems = jnp.stack([jnp.eye(2), -jnp.eye(2), jnp.ones((2, 2)), 4 * jnp.eye(2)])
    out = np.asarray(solve_positive(systems, jnp.ones((4, 2))))
    np.testing.assert_array_equal(np.isnan(out).all(axis=1), [False, True, True, False])
    np.testing.assert_allclose(out[[0, 3]], [[1, 1], [0.25, 0.25]])


def test_the_derivative_of_a_solution_matches_finite_differences_in_a_batch(x64):
    systems = jnp.asarray(np.stack([positive((4.0, 1.0, 0.25)), positive((2.0, 2.0, 0.5), 1)]))
    targets = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3)))
    symmetric = jax.vmap(lambda a: (a + a.T) / 2)
    check_grads(lambda a, b: solve_positive(symmetric(a), jnp.asarray(b)), (systems, targets), order=2, rtol=1e-5)
