"""Queries equal to a row of the training data: exact values, with the derivatives of the formula around them.

The expected derivatives are finite differences of the map itself on both sides of the row: there the exact value does not apply.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import extension
from jaxlle.explanation import jacobian, jvp

STEP = 1e-6
ROWS = np.array([3, 17, 30])


@pytest.fixture(params=["points in general position", pytest.param("every point twice", marks=pytest.mark.slow)])
def data(request, x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = np.stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] ** 2 - x[:, 0]], axis=1)
    return (
        (x, y) if request.param.startswith("points") else (np.repeat(x[:35], 2, axis=0), np.repeat(y[:35], 2, axis=0))
    )


def maps(x, y):
    """Return functions of new points, with the rows that they map exactly."""
    kernels = extension.kernel_map(x, y)
    embedding = jaxlle.lle(x, 2, k=8)
    return {
        "transform": (lambda z: extension.transform(z, x, y, k=8, reg=1e-2), x, y),
        "saved map": (jaxlle.serving.OutOfSampleMap(x, y, k=8, reg=1e-2), x, y),
        "inverse transform": (lambda z: extension.inverse_transform(z, y, x, k=8, reg=1e-2), y, x),
        "eigenfunction": (
            lambda z: extension.eigenfunction_transform(z, x, embedding, k=8, shift=3.0, reg=1e-2),
            x,
            embedding.points,
        ),
        "tangent": (lambda z: extension.tangent_transform(z, x, y, k=8), x, y),
        "kernel map": (kernels.transform, x, y),
    }


def test_the_derivative_at_a_training_row_is_that_of_the_formula_around_it(data):
    for name, (function, rows, values) in maps(*data).items():
        z = rows[ROWS]
        first = [np.flatnonzero((rows == row).all(axis=1))[0] for row in z]
        np.testing.assert_array_equal(function(z), values[np.array(first)], err_msg=name)
        v = np.random.default_rng(1).normal(size=z.shape)
        expected = (function(z + STEP * v) - function(z - STEP * v)) / (2 * STEP)
        size = np.abs(expected).max()
        assert size > 0.01, name
        got = jvp(function, z, v)
        np.testing.assert_allclose(got, expected, atol=1e-5 * size, err_msg=name)
        reverse = np.einsum("qcd,qd->qc", jacobian(function, z), v)
        np.testing.assert_allclose(reverse, got, atol=1e-9 * size, err_msg=name)
        one_sided = (function(z + 2 * STEP * v) - function(z + STEP * v)) / STEP
        np.testing.assert_allclose(got, one_sided, atol=1e-3 * size, err_msg=name)


def test_the_limit_at_a_training_row_is_its_reconstruction(data):
    x, y = data
    z = x[ROWS]
    near = extension.transform(z + 1e-9, x, y, k=8, reg=1e-2)
    reconstruction = extension.project(z, x, 8, y, reg=1e-2).points
    np.testing.assert_allclose(near, reconstruction, atol=1e-7)
    assert np.abs(reconstruction - y[ROWS]).max() > 1e-4  # the jump


def test_the_derivative_with_respect_to_the_embedding_is_that_of_the_exact_value(data):
    x, y = data
    embedding = jaxlle.lle(x, 2, k=8)
    change = np.random.default_rng(1).normal(size=y.shape)
    for function in (
        lambda y: extension.transform(x[ROWS], x, y, k=8),
        lambda y: extension.tangent_transform(x[ROWS], x, y, k=8),
        lambda y: extension.eigenfunction_transform(x[ROWS], x, dataclasses.replace(embedding, points=y), k=8),
    ):
        _, got = jax.jvp(function, (jnp.asarray(y),), (jnp.asarray(change),))
        first = np.array([np.flatnonzero((x == x[i]).all(axis=1))[0] for i in ROWS])
        np.testing.assert_allclose(got, change[first], atol=1e-12)
