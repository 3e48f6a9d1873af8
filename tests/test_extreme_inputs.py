"""Inputs at the limits of the dtypes and of the definitions: an answer, or an error that says what to do."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_input.data import ALIGNMENT, GRAPH, LENGTHS, NEW, K, X, Y

import jaxlle
from jaxlle import losses

POINTS = X.astype(np.float32)
DENSE_QR = jaxlle.solvers.DenseQR()


def projector(points):
    return np.asarray(points @ points.T)


@pytest.mark.slow
def test_the_solver_is_replaced_where_a_sparse_factorization_is_impossible():
    x = jax.random.normal(
        jax.random.key(0), (100, 3)
    )  # the cost of dim = 1 is zero on more functions than the constants
    alignment = jaxlle.hessian_alignment(x, 1, k=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxlle.JaxlleWarning)
        with pytest.raises(np.linalg.LinAlgError, match="DenseQR"):
            jaxlle.embed(alignment, 1, solver=jaxlle.solvers.SparseLU())
        out = jaxlle.embed(alignment, 1)
    assert out.solver == "DenseQR"
    assert out.converged
    values = np.linalg.svd(np.asarray(alignment.to_dense(), np.float64), compute_uv=False)
    np.testing.assert_allclose(out.singular_values[0], values[-2], atol=1e-5 * values[0])


def test_landmarks_solve_few_points_as_the_dense_solver_does():
    indices = np.arange(6)[:, None] + np.array([[0, 1, -1]])
    ring = jaxlle.Alignment(indices.astype(np.int32) % 6, np.tile(np.float32([[[1, -0.5, -0.5]]]), (6, 1, 1)))
    found = jaxlle.embed(ring, 2, solver=jaxlle.solvers.Landmark())
    # The eigenvalues of a ring of n points are 1 - cos(2 pi j / n).
    np.testing.assert_allclose(found.singular_values, [0.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(
        projector(found.points) * 3, np.cos(np.pi / 3 * (indices[:, :1] - indices[:, 0])), atol=1e-5
    )


def test_a_numpy_alignment_is_embedded_in_any_byte_order():
    known = jaxlle.embed(ALIGNMENT, 2, solver=DENSE_QR)
    swapped = jaxlle.Alignment(ALIGNMENT.indices.astype(">i8"), ALIGNMENT.blocks.astype(">f8"))
    for alignment in (swapped, jaxlle.Alignment(ALIGNMENT.indices, ALIGNMENT.blocks.astype(object))):
        out = jaxlle.embed(alignment, 2, solver=DENSE_QR)
        np.testing.assert_array_equal(out.points, known.points)
    np.testing.assert_allclose(projector(known.points), projector(Y), atol=1e-4)


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
def test_queries_that_overflow_raise():
    far = NEW * 1e300
    with pytest.raises(ValueError, match="overflow float32: check their units"):
        jaxlle.knn(POINTS, 3, query=far)
    with pytest.raises(ValueError, match="overflow float32"):
        jaxlle.transform(far, POINTS, Y.astype(np.float32), k=K)
    with jax.enable_x64(True), pytest.raises(ValueError, match="distances overflow"):
        jaxlle.knn(X, 3, query=far)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
def test_configurations_of_very_different_size_are_aligned_or_raise():
    small, large = Y * 1e-300, Y[::-1] * 1e300
    for a, b in ((large, Y), (Y, large)):
        with pytest.raises(ValueError, match="out of the range of float32"):
            jaxlle.metrics.procrustes(a, b)
    with jax.enable_x64(True):
        known = jaxlle.metrics.procrustes(Y[::-1], Y)
        found = jaxlle.metrics.procrustes(large, Y)
        np.testing.assert_allclose(found.scale, known.scale / 1e300, rtol=1e-9)
        np.testing.assert_allclose(found.aligned, known.aligned, atol=1e-9)
        with pytest.raises(ValueError, match="out of the range of float64"):
            jaxlle.metrics.procrustes(large, small)


def test_the_gradient_of_the_residual_variance_matches_finite_differences(x64):
    direction, step = np.random.default_rng(0).normal(size=Y.shape), 1e-6

    def measure(y):
        return jaxlle.metrics.residual_variance(X, y)

    slope = jnp.sum(jax.grad(measure)(jnp.asarray(Y)) * direction)
    numeric = (measure(Y + step * direction) - measure(Y - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-5)


@pytest.mark.slow
def test_a_metric_that_is_not_finite_between_distant_pairs_is_reported_in_every_search():
    lengths = LENGTHS
    limit = 0.9 * lengths.max()

    def metric(a, b):
        length = jaxlle.distances.euclidean(a, b)
        return jnp.where(length < limit, length, jnp.nan)

    mesh = jax.make_mesh((1,), ("points",))
    for search in (jaxlle.knn, lambda *a, **options: jaxlle.sharding.knn(*a, mesh=mesh, **options)):
        with pytest.raises(ValueError, match="returned NaN or infinity between finite points"):
            search(POINTS, 3, metric=metric)
    far = (~(lengths < limit)).any(axis=1)
    traced = jax.jit(lambda x: jaxlle.knn(x, 3, metric=metric).distances)(POINTS)
    np.testing.assert_array_equal(np.isnan(traced).all(axis=1), far)
    np.testing.assert_array_equal(np.isnan(traced).any(axis=1), far)


@pytest.mark.slow
def test_the_width_of_a_given_graph_replaces_k():
    narrow = GRAPH._replace(indices=GRAPH.indices[:, :1], distances=GRAPH.distances[:, :1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jaxlle.lle(POINTS, 2, k=K, neighbors=narrow, solver=DENSE_QR)
    assert any("k = 1 neighbors cannot span dim = 2" in str(warning.message) for warning in caught)
    jaxlle.lle(POINTS, 2, k=1, neighbors=GRAPH, solver=DENSE_QR)  # without this warning


def test_copies_cannot_be_dropped_from_a_given_graph():
    copied = POINTS.copy()
    copied[3] = copied[7]
    with pytest.raises(ValueError, match="dedupe=True drops 1 copies, to which the given neighbors refer"):
        jaxlle.lle(copied, 2, k=K, neighbors=GRAPH, options=jaxlle.EmbedOptions(dedupe=True))


def test_inverse_transform_names_its_own_arguments():
    y = Y.astype(np.float32)
    with pytest.raises(ValueError, match="y_new has 1 columns, but y has 2"):
        jaxlle.inverse_transform(y[:3, :1], y, POINTS, k=3)
    with pytest.raises(ValueError, match="x has 23 rows and y has 24"):
        jaxlle.inverse_transform(y[:3], y, POINTS[:-1], k=3)


def test_known_points_and_trust_must_not_be_masked():
    known, trust = np.array([0, 5, 11]), np.array([1.0, 2.0, 1.0])
    hidden = [False, True, False]
    for name, masked in (("known", np.ma.array(known, mask=hidden)), ("trust", np.ma.array(trust, mask=hidden))):
        arguments = {"known": known, "trust": trust, name: masked}
        with pytest.raises(ValueError, match=rf"Input {name} contains masked entries in rows 1 "):
            jaxlle.semisupervised.propagate(ALIGNMENT, targets=POINTS[known, :2], **arguments)


@pytest.mark.parametrize("eps", [-1e-3, np.nan])
def test_parameters_of_the_guards_must_not_be_negative(eps):
    for loss in (losses.log_det_penalty, losses.variance_hinge):
        with pytest.raises(ValueError, match=r"eps = .* is not allowed: it must be at least 0"):
            loss(jnp.asarray(POINTS), eps=eps)


def test_losses_of_no_pairs_raise():
    with pytest.raises(ValueError, match="every axis must have at least one entry"):
        losses.margin_loss(jnp.ones((4, 2)), jnp.ones((4, 0, 2)))


@pytest.mark.slow
def test_the_log_determinant_does_not_overflow():
    y = jnp.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    eps = 2.0**64  # C' = (1/2 + eps) I
    np.testing.assert_allclose(losses.log_det_penalty(y, eps=eps), 2 * eps - 2 * np.log(eps) - 2, rtol=1e-6)
    with pytest.raises(ValueError, match="The covariance of y contains NaN or infinity"):
        losses.log_det_penalty(y * 1e30)


def test_an_overflow_at_an_edge_without_weight_does_not_make_the_laplacian_loss_nan():
    y, others = jnp.zeros((1, 2)), jnp.array([[[3.0, 4.0], [1e30, 0.0]]])
    assert jaxlle.losses.laplacian_loss(y, others, jnp.array([[1.0, 0.0]])) == 25
    assert jaxlle.losses.laplacian_loss(y, others) == np.inf
    nan = jax.jit(jaxlle.losses.laplacian_loss)(y, others.at[0, 1].set(np.nan), jnp.array([[1.0, 0.0]]))
    assert np.isnan(nan)


@pytest.mark.filterwarnings("ignore::jaxlle.warnings.PrecisionWarning")
def test_numbers_that_overflow_float32_raise_where_the_result_would(cloud):
    huge, alignment = 1e300 * cloud.astype(float), jaxlle.lle_alignment(cloud, k=8)
    with pytest.raises(ValueError, match="overflow float32"):
        jaxlle.solvers.kmeans_landmarks(huge, 5, jax.random.key(0))
    for fit in (jaxlle.variants.reconstruction_map, jaxlle.variants.orthogonal_projection):
        with pytest.raises(ValueError, match="overflow float32"):
            fit(alignment, huge, 2)
