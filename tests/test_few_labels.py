"""The study of few labels: its digits, graph methods, networks and comparison, and a run at its small size."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats
from sklearn.kernel_ridge import KernelRidge

from jaxlle.cli import _catalogue

PAPERS = Path(__file__).parent.parent / "papers"
few = _catalogue.import_paper(_catalogue.read_paper(PAPERS, "few_labels"))
graphs, networks, comparison = few.graphs, few.networks, few.comparison


def clusters(n=60, labeled=20):
    """Return points in ten clusters, of which every one has labeled points, and their split."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(10), labeled // 10), rng.integers(0, 10, n - labeled)])
    points = rng.normal(size=(10, 3))[labels] + 0.4 * rng.normal(size=(n, 3))
    split = graphs.Split(np.arange(n), np.arange(0), labels, labels[:0], labeled)
    return jnp.asarray(points, jnp.float32), split


@pytest.mark.parametrize("rows", [10, 4])
def test_without_overlap_the_paired_test_is_the_t_test_of_student(rows):
    plain, lle = np.random.default_rng(rows).normal((0.25, 0.2), 0.02, (rows, 2)).T
    known = stats.ttest_rel(plain, lle)
    interval = known.confidence_interval()
    found = comparison.paired(plain - lle, 0.0)
    assert found == pytest.approx((np.mean(plain - lle), interval.low, interval.high, known.pvalue), rel=1e-9)


def test_training_sets_that_overlap_widen_the_interval_by_nadeau_and_bengios_factor():
    gains = np.random.default_rng(0).normal(0.05, 0.02, 10)
    plain, overlapping = comparison.paired(gains, 0.0), comparison.paired(gains, 0.25)
    assert (overlapping[2] - overlapping[1]) / (plain[2] - plain[1]) == pytest.approx(np.sqrt((0.1 + 0.25) / 0.1))
    assert overlapping[3] > plain[3]


def test_the_comparison_finds_the_best_methods_with_and_without_lle():
    rng = np.random.default_rng(0)
    means = {"supervised": 9, "supervised + Laplacian": 5, "supervised + LLE": 4, "harmonic functions": 3, "LLE": 6}
    errors = {name: mean + 0.1 * rng.normal(size=5) for name, mean in means.items()}
    found = comparison.compare(errors, ("supervised",), "case", 0.0)
    expected = {
        "network without a graph, supervised": 9,
        "network without LLE, supervised + Laplacian": 5,
        "network with LLE, supervised + LLE": 4,
        "method without LLE, harmonic functions": 3,
        "method with LLE, supervised + LLE": 4,
    }
    for name, mean in expected.items():
        assert found[f"case.best {name}.error"] == pytest.approx(mean, abs=0.2)
    assert found["case.LLE added to the best network.gain"] == pytest.approx(9 - 4, abs=0.3)
    assert found["case.best methods: LLE vs. no LLE.gain"] == pytest.approx(3 - 4, abs=0.3)
    known = stats.ttest_rel(errors["supervised + Laplacian"], errors["supervised + LLE"]).pvalue
    assert found["case.supervised: LLE vs. Laplacian.p"] == pytest.approx(known, rel=1e-9)


def test_a_split_has_equally_many_labels_of_every_class_first_and_no_test_digit_in_the_pool():
    labels = np.random.default_rng(1).integers(0, 10, 500)
    split = graphs.draw_split(labels, 30, 370, 100, 5)
    assert (len(split.pool), len(split.test)) == (400, 100)
    assert len(np.union1d(split.pool, split.test)) == 500
    assert np.bincount(split.labels[:30]).tolist() == [3] * 10
    np.testing.assert_array_equal(labels[split.pool], split.labels)
    np.testing.assert_array_equal(labels[split.test], split.test_labels)


def test_upright_digits_have_no_slant_are_centered_and_do_not_change_again():
    row, column = np.mgrid[:28, :28]
    slanted = [np.exp(-((row - 14) ** 2) / 18 - (column - 13 - s * (row - 14)) ** 2 / 4) for s in (0.0, 0.5)]
    once = np.asarray(graphs.upright(np.stack(slanted).reshape(2, 784)))
    for image in once.reshape(2, 28, 28):
        share = image / image.sum()
        down, right = (share * row).sum(), (share * column).sum()
        assert (down, right) == pytest.approx((13.5, 13.5), abs=0.02)
        assert abs((share * (row - down) * (column - right)).sum()) < 0.02 * (share * (row - down) ** 2).sum()
    np.testing.assert_allclose(once[0], once[1], atol=0.1)  # slanted and upright become equal
    np.testing.assert_allclose(graphs.upright(once), once, atol=0.02)


def test_a_quarter_turn_of_the_image_moves_its_gradients_by_two_of_eight_directions():
    image = np.random.default_rng(0).random((28, 28)).astype(np.float32)
    plain, turned = (np.asarray(graphs.gradients(a.reshape(1, -1))).reshape(8, 7, 7) for a in (image, np.rot90(image)))
    np.testing.assert_allclose(np.rot90(plain, axes=(1, 2)), np.roll(turned, 2, axis=0), atol=1e-5)
    assert np.sum(plain**2) == pytest.approx(1, rel=1e-5)


@pytest.mark.slow_cases("LLE")
@pytest.mark.parametrize("energy", ["LLE", "Laplacian"])
def test_propagated_targets_minimize_the_energy_and_have_the_class_proportions_of_the_labels(energy):
    x, split = clusters()
    found = graphs.propagate(energy, x, 12, split).probabilities
    neighbors = graphs.jaxlle.knn(x, 12)
    weights = (
        np.full((60, 12), 1 / 12) if energy == "Laplacian" else graphs.jaxlle.barycentric_weights(x, neighbors, reg=0.1)
    )
    operator = np.eye(60)
    operator[np.arange(60)[:, None], neighbors.indices] -= weights
    m = operator.T @ operator
    if energy == "Laplacian":  # sum_ij |f_i - f_j|^2 over the edges
        edges = np.zeros((60, 60))
        edges[np.arange(60)[:, None], neighbors.indices] = 1
        m = np.diag((edges + edges.T).sum(axis=1)) - edges - edges.T
    given = np.eye(10)[split.labels[:20]]
    free = np.clip(np.linalg.solve(m[20:, 20:], -m[20:, :20] @ given), 0, 1)
    free /= free.sum(axis=0)
    np.testing.assert_allclose(found[20:], free / free.sum(axis=1, keepdims=True), atol=2e-3)
    np.testing.assert_allclose(found[:20], given, atol=1e-6)


def test_spread_labels_solve_the_equation_of_zhou():
    x, split = clusters()
    links = np.zeros((60, 60))
    links[np.arange(60)[:, None], graphs.jaxlle.knn(x, 8).indices] = 1
    links += links.T
    scale = np.sqrt(links.sum(axis=1))
    given = np.zeros((60, 10))
    given[np.arange(20), split.labels[:20]] = 1
    expected = np.maximum(np.linalg.solve(np.eye(60) - 0.99 * links / np.outer(scale, scale), given), 1e-12)
    found = graphs.spread(x, 8, split)
    np.testing.assert_allclose(found.probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-3)
    entropy = stats.entropy(np.asarray(found.probabilities, float), axis=1)
    np.testing.assert_allclose(found.confidence, 1 - entropy / np.log(10), atol=1e-4)


@pytest.mark.slow
def test_without_the_graph_laprls_is_kernel_ridge_regression_on_the_labels():
    x, split = clusters()
    new = x[30:] + 0.1
    found = graphs.laprls(x, new, graphs.Graph("pixels", 8), graphs.Kernel(1.0, 0.0), split)
    width = float(graphs.jaxlle.knn(x, 8).distances[:, -1].mean())
    ridge = KernelRidge(alpha=0.01, kernel="rbf", gamma=1 / (2 * width**2)).fit(x[:20], np.eye(10)[split.labels[:20]])
    np.testing.assert_array_equal(found, ridge.predict(new).argmax(axis=1))


@pytest.mark.slow
def test_products_of_windows_are_the_convolutions():
    params = networks.initial(jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (3, 784))

    def convolved(x, kernel, stride):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.nn.relu(lax.conv_general_dilated(x, kernel, (stride,) * 2, "VALID", dimension_numbers=numbers))

    first = convolved(x.reshape(3, 28, 28, 1), params[0][0].reshape(5, 5, 1, 32), 3)
    expected = convolved(first, params[1][0].reshape(2, 2, 32, 64), 2).reshape(3, -1)
    np.testing.assert_allclose(networks.features(params, x), expected, rtol=1e-4, atol=1e-4)


def test_teaching_keeps_the_labels_and_trusts_the_most_probable_class_or_the_probabilities():
    p = jnp.array([[0.2] + [0.8] + [0.0] * 8, [0.6] + [0.4] + [0.0] * 8])
    targets = graphs.Targets(p, jnp.array([0.3, 0.5]))
    hard, weights = networks.teach(targets, networks.Teaching(hard=True, weighted=True), np.array([0]))
    np.testing.assert_array_equal(hard, np.eye(10)[[0, 0]])
    np.testing.assert_allclose(weights, [1, 0.5])
    soft, weights = networks.teach(targets, networks.Teaching(hard=False, weighted=False), np.array([0]))
    np.testing.assert_allclose(soft, [np.eye(10)[0], p[1]])
    np.testing.assert_allclose(weights, 1)


def small_data():
    copies = jax.random.randint(jax.random.key(2), (40, 2, 784), 0, 256).astype(jnp.uint8)
    targets = jax.nn.one_hot(jnp.arange(30) % 10, 10)
    return networks.Data(copies, 255 - copies, jnp.arange(30), jnp.arange(20) % 10, targets, jnp.zeros(30))


@pytest.mark.slow
def test_methods_without_weight_train_on_the_labels_alone():
    data, key = small_data(), jax.random.key(0)
    plain = networks.train(data, key, networks.Term(), 1e-2, method="supervised", taught=False, steps=4)
    for method, taught in (("VAT", False), ("FixMatch", True)):
        other = networks.train(data, key, networks.Term(0.0, 1.0), 1e-2, method=method, taught=taught, steps=4)
        for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_the_adversarial_change_raises_the_divergence_more_than_a_random_one():
    params = networks.initial(jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (4, 784))
    seen = networks.logits(params, x)
    found = networks.adversarial_divergence(params, x, seen, 1.0, jax.random.key(2))
    change = jax.random.normal(jax.random.key(3), x.shape)
    moved = networks.logits(params, x + change / jnp.linalg.norm(change, axis=1, keepdims=True))
    p, q = jax.nn.softmax(seen), jax.nn.softmax(moved)
    assert float(found) > 2 * stats.entropy(p, q, axis=1).mean() > 0


@pytest.mark.slow
def test_few_labels_at_its_small_size(tmp_path):
    out = few.main(**few.SMALL, report=lambda done, results: None)
    few.draw(out, str(tmp_path / "few.png"))
    assert out["100 labels.supervised + LLE.error"] < out["100 labels.supervised.error"]
    assert out["all labels.error"] < out["100 labels.supervised + LLE.error"]
    errors = [out[f"100 labels.LLE.error.seed {seed}"] for seed in range(2)]
    assert np.mean(errors) == pytest.approx(out["100 labels.LLE.error"])
    assert set(json.loads((PAPERS / "headlines.json").read_text())["few_labels"].values()) <= set(out)
    assert (tmp_path / "few.png").stat().st_size > 10_000
