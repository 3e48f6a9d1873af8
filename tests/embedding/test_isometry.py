"""The isometric map: the distances of linearly distorted sheets are restored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import indices_out_of_range

import jaxlle


@pytest.fixture(scope="module")
def sheet():
    """A flat sheet, its neighbors, the sheet after a linear map, and that map."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2)).astype(np.float32)
    distortion = np.array([[3.0, 1.0], [-0.2, 0.05]], np.float32)
    return x, jaxlle.knn(x, 8), x @ distortion, distortion


def test_the_distances_of_a_flat_sheet_are_restored_after_any_linear_map(sheet):
    _, neighbors, y, distortion = sheet
    a = jaxlle.embedding.isometric_map(y, neighbors)
    combined = distortion @ np.asarray(a)
    np.testing.assert_allclose(combined @ combined.T, np.eye(2), atol=2e-4)  # a rotation or reflection
    moved = jaxlle.embedding.isometric_map(7 * y[:, ::-1] - 40, neighbors)
    np.testing.assert_allclose(moved @ moved.T, (a @ a.T)[::-1, ::-1] / 49, rtol=1e-2)


def test_masked_and_coincident_pairs_are_left_out(sheet):
    _, neighbors, y, _ = sheet
    a = jaxlle.embedding.isometric_map(y, neighbors)
    wrong = neighbors._replace(
        distances=neighbors.distances.at[:, 3].set(1e3).at[5, 0].set(0),
        mask=jnp.ones(neighbors.indices.shape, bool).at[:, 3].set(False),
    )
    np.testing.assert_allclose(jaxlle.embedding.isometric_map(y, wrong) @ np.eye(2), a, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_ltsa_of_the_swiss_roll_recovers_arc_length_and_height_in_their_unit(x64):
    from sklearn.datasets import make_swiss_roll

    x, t = make_swiss_roll(1500, random_state=0)
    truth = np.stack([(t * np.sqrt(1 + t**2) + np.arcsinh(t)) / 2, x[:, 1]], axis=1)
    neighbors = jaxlle.knn(x, 10)
    y = jaxlle.ltsa(x, 2, k=10, neighbors=neighbors).points
    fit = jaxlle.metrics.procrustes(y @ jaxlle.embedding.isometric_map(y, neighbors), truth)
    assert fit.disparity < 1e-3
    assert abs(fit.scale - 1) < 0.02


def test_it_runs_under_jit_and_vmap_in_either_dtype(sheet, x64):
    _, neighbors, y, _ = sheet
    wide = jaxlle.embedding.isometric_map(y.astype(np.float64), neighbors)
    assert wide.dtype == np.float64
    many = jax.jit(jax.vmap(lambda s: jaxlle.embedding.isometric_map(s * jnp.asarray(y), neighbors)))(
        jnp.array([1.0, 2.0], "float32")
    )
    assert many.dtype == np.float32
    np.testing.assert_allclose(many[1] @ many[1].T, wide @ wide.T / 4, rtol=1e-3)


def test_a_direction_in_which_distances_shrink_is_set_to_zero(x64):
    # Squared distances of 1 - 1/2 per step along the second axis: Q = diag(1, -1/2) fits exactly.
    y = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2)
    ids = np.array([[(i + 1) % 36, (i + 7) % 36, (i + 8) % 36] for i in range(36)])
    steps = (y[:, None] - y[ids]) ** 2
    squares = steps[..., 0] - steps[..., 1] / 2
    graph = jaxlle.Neighbors(jnp.asarray(ids), jnp.asarray(np.sqrt(np.maximum(squares, 0))), jnp.asarray(squares > 0))
    a = np.asarray(jaxlle.embedding.isometric_map(y, graph))
    np.testing.assert_allclose(a @ a.T, np.diag([1.0, 0.0]), atol=1e-9)


def test_bad_input_raises(sheet):
    _, neighbors, y, _ = sheet
    with pytest.raises(ValueError, match="150 rows, but there are 149 points"):
        jaxlle.embedding.isometric_map(y[:-1], neighbors)
    with pytest.raises(ValueError, match="no distances"):
        jaxlle.embedding.isometric_map(y, neighbors._replace(distances=None))
    with pytest.raises(ValueError, match="NaN"):
        jaxlle.embedding.isometric_map(np.nan * y, neighbors)


def test_indices_out_of_range_raise_in_isometric_map(cloud):
    neighbors = jaxlle.knn(cloud, 8)
    for indices in indices_out_of_range(neighbors):
        with pytest.raises(ValueError, match="holds indices from"):
            jaxlle.embedding.isometric_map(cloud, neighbors._replace(indices=indices))
