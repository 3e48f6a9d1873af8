"""The study of few targets: its images, graphs, networks and statistics against closed forms, and bad input."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats

import jaxlle
from jaxlle.cli import _catalogue
from jaxlle.embedding import DisconnectedGraphError

few = _catalogue.import_paper(_catalogue.read_paper(Path(__file__).parent.parent / "papers", "few_targets"))
images, graphs, networks = few.data, few.graphs, few.networks


def test_a_ball_is_a_gaussian_at_its_turned_place():
    angle, radius = 0.7, 0.4
    ball = jnp.array([[0.0, 0.0, radius, 0.5]])
    grid = (np.arange(20) + 0.5) / 10 - 1
    turns = {
        (angle, 0.0): (radius * np.sin(angle), 0.0),  # about the vertical axis: a ball in front moves to the right
        (0.0, angle): (0.0, -radius * np.sin(angle)),  # about the horizontal axis: it moves downward
    }
    for angles, (x, y) in turns.items():
        squares = (grid[None, :] - x) ** 2 + (-grid[:, None] - y) ** 2
        expected = 0.5 * (0.6 + 0.4 * radius * np.cos(angle)) * np.exp(-squares / (2 * images.WIDTH**2))
        np.testing.assert_allclose(images.render(jnp.array([angles]), ball)[0], expected.ravel(), atol=1e-6)


def test_a_window_of_a_linear_image_is_linear_in_its_place():
    image = 2.0 * np.arange(30)[:, None] - np.arange(50)[None, :]
    places = np.array([[-1.0, -1.0], [1.0, 1.0], [0.3, -0.61]])
    windows = np.asarray(images.windows(image, places)).reshape(3, 20, 20)
    corners = (places + 1) / 2 * [10, 30]
    inside = 2.0 * np.arange(20)[:, None] - np.arange(20)[None, :]
    np.testing.assert_allclose(windows, inside + (2 * corners[:, 0] - corners[:, 1])[:, None, None], atol=1e-4)


def test_a_reduced_photograph_keeps_its_mean_brightness():
    gray = images.load_sample_image("flower.jpg").mean(axis=2) / 255
    reduced = images.photograph("flower.jpg")
    assert reduced.shape == (53, 80)
    assert reduced.mean() == pytest.approx(gray[: 53 * 8, : 80 * 8].mean())


def test_a_digit_is_turned_counterclockwise():
    digits = np.random.default_rng(0).random((2, 28, 28), np.float32)
    turned = np.asarray(images.turn(digits, np.array([0.0, np.pi / 2], np.float32))).reshape(2, 14, 14)
    expected = np.stack([digits[0], np.rot90(digits[1])]).reshape(2, 14, 2, 14, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(turned, expected, atol=1e-4)


@pytest.mark.slow_cases("threes")
@pytest.mark.parametrize("name", list(images.SOURCES))
def test_images_are_standardized_and_reproducible_and_targets_are_in_their_range(name):
    data, again, other = (images.draw_images(name, seed, 40, 8) for seed in (3, 3, 5))
    np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=1e-5)
    assert float(data.x.std(axis=0).max()) == pytest.approx(1, rel=1e-5)
    assert (data.new_x.shape, data.new_targets.shape) == ((8, data.x.shape[1]), (8, data.targets.shape[1]))
    assert float(jnp.abs(data.targets).max()) <= 1
    assert all(jnp.array_equal(a, b) for a, b in zip(data, again, strict=True))
    assert not jnp.array_equal(data.targets, other.targets)


def test_every_method_has_six_settings():
    for grid in (few.PLANES, few.DIGITS):
        assert {len(set(grid.settings(method))) for method in graphs.METHODS} == {6}


@pytest.mark.slow_cases("iterated")
@pytest.mark.parametrize(
    "method",
    [m if m in ("iterated", "lle") else pytest.param(m, marks=pytest.mark.slow) for m in graphs.METHODS],
)
def test_the_energy_of_white_noise_is_one_and_that_of_a_constant_zero(method):
    x = images.draw_images("object", 0, 40, 8).x
    near = jaxlle.knn(x, 12)
    dense = np.asarray(graphs.align(method, x, near, few.PLANES.settings(method)[2]).to_dense())
    assert np.sum(dense**2) / len(x) == pytest.approx(1, rel=1e-3)
    np.testing.assert_allclose(dense.sum(axis=1), 0, atol=1e-4)


@pytest.mark.slow
def test_a_graph_is_widened_until_the_targets_are_determined():
    x = jnp.asarray(np.concatenate([np.arange(10.0), np.arange(13.0, 23.0)])[:, None])  # two groups, 4 apart
    near = jaxlle.knn(x, 8)
    targets = x[:2] / 10  # both in the first group
    alignment, found = graphs.align_widened("laplacian", x, near, graphs.Setting(2, 0.0), targets)
    assert alignment.indices.shape[1] - 1 > 2
    assert np.isfinite(np.asarray(found)).all()
    with pytest.raises(DisconnectedGraphError, match="no known point"):
        graphs.align_widened("laplacian", x, jaxlle.knn(x, 2), graphs.Setting(2, 0.0), targets)
    with pytest.raises(ValueError, match="exceeds the 8 neighbors"):
        graphs.align_widened("laplacian", x, near, graphs.Setting(9, 0.0), targets)


@pytest.mark.slow
def test_joint_targets_solve_the_normal_equations():
    x = images.draw_images("object", 0, 60, 8).x
    alignment = graphs.align("lle", x, jaxlle.knn(x, 8), graphs.Setting(8, 1e-2))
    rng = np.random.default_rng(0)
    targets, outputs, pull = rng.normal(size=(5, 2)), rng.normal(size=(60, 2)), 0.03
    labeled = np.diag(np.arange(60) < 5) * networks.LABEL_TRUST
    dense = np.asarray(alignment.to_dense(), np.float64)
    right = labeled[:, :5] @ targets + pull * outputs
    expected = np.linalg.solve(dense.T @ dense + labeled + pull * np.eye(60), right)
    arrays = (jnp.asarray(a, jnp.float32) for a in (targets, outputs))
    np.testing.assert_allclose(networks.joint_targets(alignment, *arrays, pull), expected, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("side", [pytest.param(14, marks=pytest.mark.slow), 20])
def test_the_products_with_windows_are_convolutions(side):
    x = jax.random.normal(jax.random.key(0), (3, side**2))
    params = networks.NETWORKS["cnn"].initial(jax.random.key(1), side**2, 2)
    (w1, _), (w2, _), *dense = params

    def convolve(x, w, stride):
        return lax.conv_general_dilated(x, w, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    y = jax.nn.relu(convolve(x.reshape(3, side, side, 1), w1.reshape(5, 5, 1, 16), 3))
    y = jax.nn.relu(convolve(y, w2.reshape(2, 2, 16, 32), 2)).reshape(3, -1)
    expected = networks.perceptron(dense, y)
    np.testing.assert_allclose(networks.convolutional(params, x), expected, rtol=1e-4, atol=1e-4)


def test_the_corrected_test_without_overlap_is_the_paired_t_test():
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    mean, low, high, p = few.paired(a - b, 0.0)
    assert p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert (low + high) / 2 == pytest.approx(mean)
    assert few.paired(a - b, 0.25)[3] > p


def test_results_are_compared_with_the_laplacian_and_with_all_labels():
    laplacian, lle = np.array([0.4, 0.5, 0.6]), np.array([0.1, 0.2, 0.15])
    runs = {"object, 15 labels, mlp: laplacian": laplacian, "object, 15 labels, mlp: lle": lle}
    found = few.compare({**runs, "object, all labels, mlp: all labels": np.full(3, 0.1)}, 0.0)
    assert found["object, 15 labels, mlp: lle: error"] == pytest.approx(0.15)
    assert found["object, 15 labels, mlp: lle: ratio to all labels"] == pytest.approx(1.5)
    assert found["object, 15 labels, mlp: lle: reduction on the Laplacian"] == pytest.approx(0.7)
    expected = stats.ttest_rel(laplacian, lle).pvalue
    assert found["object, 15 labels, mlp: lle: p on the Laplacian"] == pytest.approx(expected, rel=1e-3)


def test_bad_input_is_reported():
    with pytest.raises(ValueError, match="'circles' is not known: use one of object"):
        images.draw_images("circles", 0, 10, 10)
    with pytest.raises(ValueError, match="pool = 0 and new = 5 must be positive"):
        images.draw_images("object", 0, 0, 5)
    for wrong in ({"labels": {"object": 20}}, {"pool": 100}, {"labels": {"circles": 15}}, {"seeds": 1}):
        with pytest.raises(ValueError, match="must be"):
            few.main(few.Study(**wrong))
