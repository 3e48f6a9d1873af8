"""Deformed digits: the distribution of their linear maps and shifts, exact maps of a small image, and the labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlle import datasets
from jaxlle.datasets import real

N = 1000


@pytest.fixture
def ramps(monkeypatch):
    """Replace the digits by two images, whose values are the row and the column; interpolation between pixels is exact."""
    images = np.stack(np.meshgrid(np.arange(28.0), np.arange(28.0), indexing="ij")).reshape(2, 784).astype(np.float32)
    monkeypatch.setattr(real, "mnist", lambda: datasets.Data(images, np.array([5, 8]), (28, 28), "mnist"))


def test_maps_and_shifts_have_their_standard_deviations(ramps):
    data = datasets.deformed_digits(jax.random.key(0), N)
    assert (data.points.shape, data.points.dtype, data.image_shape, data.name) == (
        (N, 784),
        np.float32,
        (28, 28),
        "deformed_digits",
    )
    assert abs((data.labels == 5).mean() - 0.5) < 5 * 0.5 / np.sqrt(N)
    assert set(data.labels) == {5, 8}
    middle = data.points.reshape(N, 28, 28)[:, 13:15, 13:15].astype(np.float64)
    by_row, by_column = np.diff(middle, axis=1).mean(axis=(1, 2)), np.diff(middle, axis=2).mean(axis=(1, 2))
    for label, own, other in ((5, by_row, by_column), (8, by_column, by_row)):  # the entries of the linear map
        rows = data.labels == label
        bound = 5 / np.sqrt(rows.sum())
        for values, mean, deviation in ((own, 1, 0.15), (other, 0, 0.15), (middle.mean(axis=(1, 2)), 13.5, 1.0)):
            assert abs(values[rows].mean() - mean) < bound * deviation
            assert abs(values[rows].std() / deviation - 1) < bound
    again = datasets.deformed_digits(jax.random.key(0), N)
    np.testing.assert_array_equal(again.points, data.points)
    assert (datasets.deformed_digits(jax.random.key(1), N).labels != data.labels).any()


def test_an_image_is_shifted_turned_and_cut_off_at_the_edge():
    image = np.random.default_rng(0).random((1, 5, 7)).astype(np.float32)
    maps = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    shifts = jnp.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.5]])
    shifted, turned, between = real._deform(jnp.asarray(image), jnp.zeros(3, jnp.int32), maps, shifts).reshape(3, 5, 7)
    expected = np.zeros((5, 7))
    expected[:4, :5] = image[0, 1:, 2:]
    np.testing.assert_allclose(shifted, expected, atol=1e-6)
    np.testing.assert_allclose(turned, image[0, ::-1, ::-1], atol=1e-6)
    np.testing.assert_allclose(between[:, :6], (image[0, :, :6] + image[0, :, 1:]) / 2, atol=1e-6)
