"""Every argument and every branch of the variants that only slow tests of the whole family reach, on few points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import jaxlle
from jaxlle import EmbedOptions, choosing, variants
from jaxlle.metrics import procrustes, subspace_angle
from jaxlle.solvers import DenseQR, SparseLU, coarse
from jaxlle.solvers.rows import Rows
from jaxlle.variants import _pipeline, fusion, landmarks

pytestmark = pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")
K = 6


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def labels(points):
    return (points[:, 0] > 0).astype(int)


LARGEST = EmbedOptions(disconnected="largest")


@pytest.mark.parametrize(
    "fit",
    [
        lambda x: variants.incremental_lle(x, 2, k=K, options=LARGEST),
        lambda x: variants.generative_lle(x, 2, k=K, options=LARGEST),
        lambda x: variants.iterative_lle(x, 2, k=K, options=LARGEST),
        lambda x: variants.landmark_lle(x, 2, k=K, num_landmarks=20, options=LARGEST),
        lambda x: variants.nystrom_lle(x, 2, k=K, num_landmarks=20, options=LARGEST),
    ],
)
def test_variants_that_need_all_points_do_not_drop_some(points, fit):
    with pytest.raises(ValueError, match="disconnected = 'largest' is not available here"):
        fit(points)


def test_points_of_another_metric_raise_where_only_the_euclidean_is_known(points):
    other = jaxlle.neighbors.prepare_points(points, metric="manhattan")
    for fit in (
        lambda: variants.incremental_lle(other, 2, k=K),
        lambda: variants.nystrom_lle(other, 2, k=K, num_landmarks=20),
    ):
        with pytest.raises(ValueError, match="Only the Euclidean metric is available here"):
            fit()


@pytest.mark.slow_cases("<lambda>1")
@pytest.mark.parametrize(
    "fit",
    [
        lambda x, y, **o: variants.supervised_lle(x, y, 2, k=K, **o),
        lambda x, y, **o: variants.robust_lle(x, 2, k=K, **o),
        lambda x, y, **o: variants.multiview_lle([x, x], 2, k=K, **o),
        lambda x, y, **o: variants.generative_lle(x, 2, k=K, **o),
        lambda x, y, **o: variants.isolle(x, 2, k=K, **o),
        lambda x, y, **o: variants.guided_lle(x, y, 2, k=K, **o),
        lambda x, y, **o: variants.incremental_lle(x, 2, k=K, **o),
        lambda x, y, **o: variants.iterative_lle(x, 2, k=K, **o),
        lambda x, y, **o: variants.kernel_lle(x, 2, jnp.dot, k=K, **o),
        lambda x, y, **o: variants.landmark_lle(x, 2, k=K, num_landmarks=20, **o),
        lambda x, y, **o: variants.nystrom_lle(x, 2, k=K, num_landmarks=20, **o),
        lambda x, y, **o: variants.onpp(x, 2, k=K, **o),
    ],
)
def test_the_strength_of_the_ridge_reaches_the_weights(points, labels, fit):
    with pytest.raises(ValueError, match="reg = -1"):
        fit(points, labels, reg=-1.0)


def test_copies_are_removed_in_the_metric_of_the_neighbors(points):
    x = np.concatenate([points, points[:20]])
    expected = jaxlle.lle(points, 2, k=K, metric="chebyshev")
    assert not np.array_equal(jaxlle.knn(points, K).indices, jaxlle.knn(points, K, metric="chebyshev").indices)
    out = jaxlle.lle(x, 2, k=K, metric="chebyshev", options=EmbedOptions(dedupe=True))
    np.testing.assert_allclose(out.points[:60], expected.points, atol=1e-6)
    np.testing.assert_array_equal(out.points[60:], out.points[:20])


def test_copies_outside_the_largest_component_are_dropped_with_it(points):
    x = np.concatenate([points, points[:20] + 100, points[15:25] + 100, points[:10]])
    out = jaxlle.lle(x, 2, k=K, options=EmbedOptions(dedupe=True, disconnected="largest"))
    np.testing.assert_array_equal(out.rows, [*range(60), *range(90, 100)])
    np.testing.assert_allclose(out.points[:60], jaxlle.lle(points, 2, k=K).points, atol=1e-3)
    np.testing.assert_array_equal(out.points[60:], out.points[:10])


GRID = choosing.Grid(np.array([7]), np.array([1.0]), *[np.ones((1, 1))] * 4, np.ones((1, 1), int))


def test_the_automatic_k_is_chosen_for_the_given_strength_and_key(points, monkeypatch):
    seen = []

    def record(x, dim, **options):
        seen.append(options)
        return GRID

    monkeypatch.setattr(_pipeline, "auto_grid", record)
    key = jax.random.key(3)
    options = EmbedOptions(key=key, block_bytes=10**6)
    assert _pipeline.choose_k("auto", points, 2, 0.25, "euclidean", None, options) == 7
    assert seen == [{"reg": 0.25, "key": key, "block_bytes": 10**6}]


def test_the_grid_of_the_automatic_k_fits_the_number_of_points_and_uses_its_arguments(points, monkeypatch):
    seen = []
    monkeypatch.setattr(choosing, "choose", lambda *args, **options: seen.append(options) or GRID)
    key = jax.random.key(3)
    for n, dim, ks in ((7, 2, [6]), (6, 2, [3]), (13, 6, [8, 10, 12]), (60, 2, [6, 8, 10, 12, 16, 20, 24, 32])):
        choosing.auto_grid(points[:n], dim, reg=0.25, key=key)
        assert seen[-1]["ks"] == ks
        assert (seen[-1]["regs"], seen[-1]["key"]) == ([0.25], key)


def test_the_key_of_choose_reaches_the_solver(points, monkeypatch):
    keys, key = [], jax.random.key(3)

    def record(alignment, dim, solver, options, hints, kept=choosing.solve):
        keys.append(options.key)
        return kept(alignment, dim, solver, options, hints)

    monkeypatch.setattr(choosing, "solve", record)
    choosing.choose(points, 2, ks=[6], criteria=["procrustes"], key=key)
    assert keys == [key]


def test_views_have_the_given_shares(points, monkeypatch):
    kept, views = [], [points[:, :2], points[:, 2:]]
    out = jaxlle.lle(points, 2, k=K)
    monkeypatch.setattr(fusion, "embed", lambda alignment, dim, **options: kept.append((alignment, dim)) or out)
    variants.multiview_lle(views, 2, k=K, shares=[1, 3])
    each = [np.asarray(jaxlle.lle_alignment(view, k=K).to_dense()) for view in views]
    ((alignment, dim),) = kept
    np.testing.assert_allclose(alignment.to_dense(), each[0] / 4 + 3 * each[1] / 4, atol=1e-6)
    assert dim == 2


def test_generated_embeddings_are_those_of_drawn_weights_aligned_with_the_mean(points):
    x, key = points[:, :3], jax.random.key(5)
    options = EmbedOptions(key=key)
    out = variants.generative_lle(x, 2, k=K, num_samples=3, noise=0.1, reg=1e-2, solver=DenseQR(), options=options)
    graph = jaxlle.knn(x, K)
    posterior = variants.weight_posterior(x, graph, noise=0.1, reg=1e-2)
    plain = jaxlle.lle(x, 2, k=K, reg=1e-2, solver=DenseQR())
    assert subspace_angle(out.embedding.points, plain.points) < 1e-3
    drawn = jax.random.split(key, 3)[1]
    sample = jaxlle.embed(jaxlle.weights_alignment(graph, posterior.sample(drawn)), 2, solver=DenseQR()).points
    np.testing.assert_allclose(out.samples[1], procrustes(sample, out.embedding.points).aligned, atol=2e-3)
    distance = np.linalg.norm(np.asarray(out.samples) - np.asarray(out.embedding.points), axis=2)
    np.testing.assert_allclose(out.spread, np.sqrt((distance**2).mean(axis=0)), rtol=1e-4)
    assert out.converged.all()


def test_the_posterior_with_an_embedding_adds_its_gram_matrix(x64):
    x = np.random.default_rng(0).normal(size=(30, 3))
    y = np.random.default_rng(1).normal(size=(30, 2))
    graph = jaxlle.knn(x, 5)
    posterior = variants.weight_posterior(x, graph, noise=0.1, embedding=y)
    ids, one, c = np.asarray(graph.indices[4]), np.ones(5), 1e-3 * np.eye(5)
    for a in (x, y):
        steps = a[ids] - a[4]
        c = c + steps @ steps.T / (steps**2).sum()
    inverse = np.linalg.inv(c)
    u = inverse @ one
    expected = 0.01 / 5 * (inverse - np.outer(u, u) / (one @ u))
    np.testing.assert_allclose(posterior.factor[4] @ posterior.factor[4].T, expected, atol=1e-9)


def test_isolle_uses_the_graph_with_the_given_number_of_neighbors(points):
    for graph_k in (4, 9):
        expected = jaxlle.lle(points, 2, k=K, neighbors=variants.geodesic_neighbors(points, K, graph_k=graph_k))
        np.testing.assert_array_equal(variants.isolle(points, 2, k=K, graph_k=graph_k).points, expected.points)
    apart = np.concatenate([points[:30], points[30:37] + 100])
    assert variants.geodesic_neighbors(apart, 6, graph_k=5).indices.shape == (37, 6)
    with pytest.raises(ValueError, match="smallest of 7 points, in which paths do not reach k = 7"):
        variants.geodesic_neighbors(apart, 7, graph_k=5)


def label_kernel(labels, known):
    h = np.diag(known.astype(float)) - np.outer(known, known) / known.sum()
    k = h @ (labels[:, None] == labels[None, :]) @ h
    return k / np.linalg.norm(k, 2)


def test_guided_lle_scales_its_columns_and_leaves_out_unknown_labels(x64, points, labels):
    x = points.astype(np.float64)
    alignment = jaxlle.lle_alignment(x, k=K)
    some = np.where(np.arange(60) % 4 == 0, -1, labels)
    unit = variants.guided_embed(alignment, some, 2, modes=40, solver=SparseLU())
    scaled = variants.guided_embed(
        alignment, some, 2, modes=40, solver=SparseLU(), options=EmbedOptions(scaling="covariance")
    )
    np.testing.assert_allclose(scaled.embedding.points, np.sqrt(60) * unit.embedding.points, rtol=1e-9)
    np.testing.assert_allclose(unit.dependence, scaled.dependence, rtol=1e-9)
    y, kernel = np.asarray(unit.embedding.points), label_kernel(labels, some >= 0)
    np.testing.assert_allclose(unit.dependence, np.diag(y.T @ kernel @ y), atol=1e-9)
    square = float(jaxlle.embed(alignment, 2, solver=SparseLU()).singular_values[1]) ** 2
    modes = jaxlle.embed(alignment, 40, solver=SparseLU())
    v = np.asarray(modes.points)
    levels = np.linalg.eigvalsh((np.diag(np.asarray(modes.singular_values) ** 2) / square - v.T @ kernel @ v) / 2)
    np.testing.assert_allclose(unit.embedding.gap, (levels[2] - levels[1]) / np.abs(levels).max(), rtol=1e-6)


def test_guided_lle_of_the_largest_component_uses_its_labels(points, labels):
    x = np.concatenate([points[:15] + 100, points[15:]])
    largest = variants.guided_lle(x, labels, 2, k=K, solver=SparseLU(), options=LARGEST)
    np.testing.assert_array_equal(largest.embedding.rows, np.arange(15, 60))
    y = np.asarray(largest.embedding.points, np.float64)
    h = np.eye(60) - 1 / 60
    kernel = h @ (labels[:, None] == labels[None, :]) @ h  # relative to all points
    kernel = (kernel / np.linalg.norm(kernel, 2))[15:, 15:]
    np.testing.assert_allclose(largest.dependence, np.diag(y.T @ kernel @ y), atol=1e-4)


def test_the_discriminant_map_ignores_points_without_a_label_except_in_the_cost(points, labels):
    some = np.where(np.arange(60) % 3 == 0, -1, labels)
    alignment = jaxlle.lle_alignment(points, k=K)
    found = variants.discriminant_projection(alignment, points, some, 1, reg=1e-2)
    known = np.eye(2)[labels] * (some >= 0)[:, None]
    x = points.astype(np.float64) - points.mean(axis=0)
    means = known.T @ x / np.sqrt(known.sum(axis=0))[:, None]
    b = np.asarray(alignment.to_dense(), np.float64) @ x
    cost = b.T @ b + 1e-2 * np.trace(b.T @ b) / 4 * np.eye(4)
    values = np.linalg.eigvals(np.linalg.solve(cost, means.T @ means))
    np.testing.assert_allclose(found.values**2, values.real.max(), rtol=1e-3)
    with pytest.raises(ValueError, match="there are 2 classes"):
        variants.discriminant_projection(alignment, points, some, 2)


@pytest.mark.parametrize(
    "fit",
    [
        lambda x, graph: variants.npe(x, 2, k=K, neighbors=graph),
        lambda x, graph: variants.onpp(x, 2, k=K, neighbors=graph),
        lambda x, graph: variants.lltsa(x, 2, k=K, neighbors=graph),
        lambda x, graph: jaxlle.lle(x, 2, k=K, neighbors=graph),
        lambda x, graph: jaxlle.ltsa(x, 2, k=K, neighbors=graph),
        lambda x, graph: jaxlle.hessian_lle(x, 2, k=K, neighbors=graph),
        lambda x, graph: jaxlle.modified_lle(x, 2, k=K, neighbors=graph),
        lambda x, graph: variants.kernel_lle(x, 2, jnp.dot, k=K, neighbors=graph),
    ],
)
def test_a_given_graph_reaches_the_alignment(points, fit):
    graph = jaxlle.knn(points[:59], K)
    with pytest.raises(ValueError, match="59 rows, but there are 60 points"):
        fit(points, graph)


def test_iterative_lle_stops_at_a_fixed_point_and_fuses_the_given_share(points):
    fixed = variants.iterative_lle(points, 2, k=K, share=0.0, steps=3)
    np.testing.assert_array_equal(fixed.changes, [0])
    mixed = variants.iterative_lle(points, 2, k=K, share=0.25, steps=1)
    fused = variants.fuse_views([points, fixed.embedding.points], shares=[0.75, 0.25])
    expected = jaxlle.knn(fused, K).indices
    agreement = (mixed.neighbors.indices[:, :, None] == expected[:, None, :]).any(axis=2).mean()
    assert agreement > 0.95  # distances that differ by rounding may change places
    before = jaxlle.knn(points, K).indices
    kept = (mixed.neighbors.indices[:, :, None] == before[:, None, :]).any(axis=2).mean()
    np.testing.assert_allclose(mixed.changes, [1 - kept], atol=1e-6)


@pytest.mark.slow
def test_landmarks_of_the_nystrom_extension_have_the_norm_of_their_share(points):
    key = jax.random.key(2)
    for scaling, norm in (("unit", np.sqrt(30 / 60)), ("covariance", np.sqrt(30))):
        options = EmbedOptions(scaling=scaling, key=key)
        out = variants.nystrom_lle(points, 2, k=K, num_landmarks=30, reg=1e-2, options=options)
        y = np.asarray(out.embedding.points)
        np.testing.assert_allclose(np.linalg.norm(y[np.asarray(out.landmarks)], axis=0), norm, rtol=1e-3)
    np.testing.assert_array_equal(out.landmarks, jaxlle.solvers.random_landmarks(jnp.asarray(points), 30, key))
    own = points[np.asarray(out.landmarks)]
    placed = jaxlle.transform(points, own, y[np.asarray(out.landmarks)], k=K, reg=1e-2)
    np.testing.assert_allclose(y, placed, atol=1e-4)


@pytest.mark.slow
def test_landmark_embeddings_are_computed_in_blocks(points, monkeypatch):
    alignment, key = jaxlle.lle_alignment(points, k=K), jax.random.key(2)
    chosen = coarse.interpolate(jnp.asarray(points), 20, 5, jaxlle.solvers.random_landmarks, key, jnp.float32, Rows(60))
    monkeypatch.setattr(coarse, "_BLOCK_BYTES", 16 * 20 * 4)  # 16 of 60 points in a block
    found = landmarks._solve.__wrapped__(alignment, chosen, 3, key)
    p = np.asarray(chosen.rows(jnp.asarray(0), 60), np.float64)
    image = np.asarray(alignment.to_dense(), np.float64) @ p
    values, vectors = scipy.linalg.eigh(image.T @ image, p.T @ p)
    np.testing.assert_allclose(found.singular_values**2, values[1:4], rtol=1e-2)
    assert subspace_angle(found.vectors, jnp.asarray(p @ vectors[:, 1:4], jnp.float32)) < 1e-2


@pytest.mark.slow
def test_landmarks_are_drawn_by_the_key(points, monkeypatch):
    seen, out = [], jaxlle.lle(points, 2, k=K)
    monkeypatch.setattr(landmarks, "embed", lambda alignment, dim, *, solver, options: seen.append(solver) or out)
    key = jax.random.key(2)
    options = {"num_landmarks": 20, "landmark_neighbors": 5, "choice": jaxlle.solvers.farthest_landmarks}
    found = variants.landmark_lle(points, 2, k=K, options=EmbedOptions(key=key), **options)
    coordinates = jaxlle.neighbors.prepare_points(points).coordinates
    np.testing.assert_array_equal(found.landmarks, options["choice"](coordinates, 20, key))
    assert seen[0].interpolation.nearest.shape == (60, 5)
