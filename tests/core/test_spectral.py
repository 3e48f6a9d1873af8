"""Eigenvectors, roots and pseudo-inverses of matrices with equal eigenvalues: derivatives of all orders, and rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlle._core.linear import reflect, reflections
from jaxlle._core.spectral import inverse_root, least_squares, polar, principal_axes, pseudo_inverse, root

M = 5


def rotation(seed=0, m=M):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(m, m)))[0]


def with_eigenvalues(values):
    """Return a symmetric matrix, symmetric up to rounding, so that equal eigenvalues differ by rounding too."""
    q = rotation(m=len(values))
    return (q * np.array(values)) @ q.T


def symmetric(b):
    return (b + b.T) / 2


def projector(matrix):
    axes = principal_axes(symmetric(matrix), 2)[1][:, :2]
    return axes @ axes.T


def leading_sum(matrix):
    return principal_axes(symmetric(matrix), 2)[0][:2].sum()


EQUAL = [2.0, 2.0, 1.0, 1.0, 1.0]


def complement(columns):
    """Return the projector on the complement of columns, the first of which has first entry 0."""
    basis = reflect(reflections(columns, 1e-14)[0], 2, 2)
    return basis @ basis.T


SQUARE, TALL = with_eigenvalues(EQUAL), rotation()[:, :3]
FUNCTIONS = {
    "the projector on a span": (projector, SQUARE),
    "the sum of the eigenvalues of a span": (leading_sum, SQUARE),
    "the root": (lambda a: root(symmetric(a)), SQUARE),
    "the inverse root": (lambda a: inverse_root(symmetric(a)), SQUARE),
    "the orthogonal factor": (polar, SQUARE @ rotation(1)),
    "the pseudo-inverse": (pseudo_inverse, TALL),
    "least squares": (lambda a: least_squares(a, jnp.asarray(rotation(1)[:, :2])), 2 * TALL),
    "underdetermined least squares": (lambda a: least_squares(a, jnp.arange(3.0)), rotation()[:3]),
    "the complement of columns": (complement, np.array([[0.0, 1], [3, 2], [4, 1], [0, 5]])),
}


@pytest.mark.slow
def test_first_and_second_derivatives_at_equal_eigenvalues_match_finite_differences(x64):
    rng = np.random.default_rng(2)
    along = {name: rng.normal(size=np.shape(a)) for name, (_, a) in FUNCTIONS.items()}
    mixes = {name: rng.normal(size=jax.eval_shape(f, jnp.asarray(a)).shape) for name, (f, a) in FUNCTIONS.items()}

    def values(step):
        return jnp.stack([jnp.sum(mixes[name] * f(a + step * along[name]) ** 2) for name, (f, a) in FUNCTIONS.items()])

    def slopes(step):
        return jax.jacrev(values)(step)

    @jax.jit
    def all_orders(step):
        return values(step), slopes(step), jax.jacfwd(slopes)(step)

    h = 1e-5
    _, slope, curvature = all_orders(0.0)
    (after, slope_after, _), (before, slope_before, _) = all_orders(h), all_orders(-h)
    for found, expected in ((slope, after - before), (curvature, slope_after - slope_before)):
        np.testing.assert_allclose(found, expected / (2 * h), rtol=1e-6, err_msg=str(list(FUNCTIONS)))


def test_values_are_those_of_numpy(x64):
    a, b = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 3)))
    np.testing.assert_allclose(pseudo_inverse(a), np.linalg.pinv(a), atol=1e-12)
    np.testing.assert_allclose(least_squares(a, b), np.linalg.lstsq(a, b)[0], atol=1e-12)
    np.testing.assert_allclose(least_squares(a @ a.T, b), np.linalg.lstsq(a @ a.T, b)[0], atol=1e-10)
    square = jnp.asarray(with_eigenvalues([4.0, 3.0, 2.0, 1.0, 0.5]))
    np.testing.assert_allclose(root(square) @ root(square), square, atol=1e-12)
    np.testing.assert_allclose(inverse_root(square) @ square @ inverse_root(square), np.eye(M), atol=1e-12)
    np.testing.assert_allclose(polar(jnp.asarray(rotation())), rotation(), atol=1e-12)


@pytest.mark.slow
def test_the_derivative_is_finite_where_the_cut_has_no_gap():
    matrix = jnp.asarray(with_eigenvalues([2.0, 1.0, 1.0, 1.0, 0.0]), jnp.float32)
    mix = jnp.asarray(rotation(3), jnp.float32)
    grad = jax.grad(lambda a: jnp.sum(mix * projector(a)))(matrix)
    assert jnp.abs(grad).max() < 10


def test_a_column_that_depends_on_others_is_skipped_and_does_not_affect_later_ones(x64):
    a = np.random.default_rng(0).normal(size=(6, 3))
    columns = jnp.asarray(np.column_stack([a[:, 0], a[:, 1], a[:, 0] - 2 * a[:, 1], a[:, 2]]))
    vectors, present = reflections(columns, 1e-14)
    np.testing.assert_array_equal(present, [True, True, False, True])
    basis, rest = reflect(vectors, 0, 3), reflect(vectors, 3, 3)
    np.testing.assert_allclose(basis @ basis.T, a @ np.linalg.pinv(a), atol=1e-12)
    np.testing.assert_allclose(rest.T @ a, 0, atol=1e-12)


def test_an_uncertain_column_makes_those_uncertain_that_nearly_depend_on_it(x64):
    a = np.random.default_rng(0).normal(size=(6, 2))
    close = a[:, 0] + 1e-8 * a[:, 1]  # its remainder, of length 1e-8, has an error of 1e-8 of its length
    columns = np.column_stack([a[:, 0], close, a[:, 1]])
    for length, kept in ((1e-9, False), (1e-6, True)):
        columns[:, 2] = a[:, 1] + length * np.arange(6)
        np.testing.assert_array_equal(reflections(jnp.asarray(columns), 1e-16)[1], [True, True, kept])
