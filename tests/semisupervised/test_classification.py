"""Classes from those of a few points: comparison with NumPy, normalization, transformations, and invalid arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle.embedding import DisconnectedGraphError
from jaxlle.semisupervised import classify, propagate

N = 90
KNOWN = np.array([0, 10, 40, 50, 80])
LABELS = np.array([7, 7, 3, 3, 5])


@pytest.fixture
def alignment():
    x = np.random.default_rng(0).normal(size=(N, 2)) + 4 * np.eye(3)[np.arange(N) // 30][:, :2]
    return jaxlle.alignment.laplacian_alignment(jaxlle.knn(x.astype(np.float32), 8))


def harmonic(alignment, known, one_hot):
    """Solve for the harmonic function with a dense matrix (Zhu et al. 2003, equation 5)."""
    b = np.asarray(alignment.to_dense(), np.float64)
    m, unknown = b.T @ b, np.setdiff1d(np.arange(b.shape[1]), known)
    f = np.zeros((b.shape[1], one_hot.shape[1]))
    f[known] = one_hot
    f[unknown] = np.linalg.solve(m[np.ix_(unknown, unknown)], -m[np.ix_(unknown, known)] @ one_hot)
    return f, unknown


@pytest.mark.slow_cases("labeled")
@pytest.mark.parametrize("priors", ["labeled", None, [2.0, 1.0, 1.0]])
def test_probabilities_are_harmonic_functions_with_the_class_masses_of_the_priors(alignment, priors):
    out = classify(alignment, KNOWN, LABELS, priors=priors)
    one_hot = (np.array([3, 5, 7]) == LABELS[:, None]).astype(float)
    f, unknown = harmonic(alignment, KNOWN, one_hot)
    if priors is not None:
        shares = one_hot.mean(axis=0) if isinstance(priors, str) else np.array(priors) / 4
        f[unknown] *= shares / f[unknown].mean(axis=0)
        f[unknown] /= f[unknown].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(out.probabilities, f, atol=1e-4)
    assert out.classes == (3, 5, 7)
    np.testing.assert_array_equal(out.labels, np.array([3, 5, 7])[f.argmax(axis=1)])
    np.testing.assert_array_equal(out.labels[KNOWN], LABELS)
    entropy = -np.sum(f * np.log(np.where(f > 1e-30, f, 1)), axis=1)
    np.testing.assert_allclose(out.confidence, 1 - entropy / np.log(3), atol=1e-3)
    assert bool(out.converged)


def test_with_trust_known_labels_may_change_and_probabilities_stay_probabilities():
    x = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
    alignment = jaxlle.lle_alignment(x, k=8)
    y = propagate(alignment, KNOWN, (np.array([3, 5, 7]) == LABELS[:, None]).astype(np.float32), trust=1e-3).targets
    assert float(y.min()) < 0  # LLE leaves the interval
    out = classify(alignment, KNOWN, LABELS, trust=1e-3, priors=None)
    clipped = np.clip(y, 0, 1)
    np.testing.assert_allclose(out.probabilities, clipped / clipped.sum(axis=1, keepdims=True), atol=1e-5)
    assert not np.array_equal(out.probabilities[KNOWN].max(axis=1), np.ones(5))


def test_an_order_of_the_points_and_names_of_the_classes_do_not_matter(alignment):
    plain = classify(alignment, KNOWN, LABELS)
    order = np.random.default_rng(3).permutation(5)
    moved = classify(alignment, KNOWN[order], np.array(["b", "a", "c"])[[2, 2, 0, 0, 1]][order])
    renamed = {3: "b", 5: "a", 7: "c"}
    np.testing.assert_array_equal(moved.labels, [renamed[label] for label in plain.labels.tolist()])
    np.testing.assert_allclose(moved.confidence, plain.confidence, atol=1e-5)


def test_inside_jit_the_classes_are_given_and_it_traces_once(alignment):
    traces = []

    @jax.jit
    def run(labels):
        traces.append(1)
        return classify(alignment, KNOWN, labels, classes=[3, 5, 7])

    out = run(jnp.asarray(LABELS))
    run(jnp.asarray(LABELS[::-1]))
    assert len(traces) == 1
    np.testing.assert_allclose(out.probabilities, classify(alignment, KNOWN, LABELS).probabilities, atol=1e-3)
    with pytest.raises(TypeError, match="pass classes inside jit"):
        jax.jit(lambda labels: classify(alignment, KNOWN, labels).confidence)(jnp.asarray(LABELS))


@pytest.mark.parametrize(
    ("message", "labels", "options"),
    [
        ("have 1 class", [7, 7, 7, 7, 7], {}),
        ("No known point has the class 9", LABELS, {"classes": [3, 5, 7, 9]}),
        (r"label 5 is not one of the classes \[3, 7\]", LABELS, {"classes": [3, 7]}),
        ("list every distinct label once", LABELS, {"classes": [3, 5, 7, 7]}),
        (r"missing values \(NaN\)", [1.0, 2.0, np.nan, 1.0, 2.0], {}),
        ("missing values", [1, 2, None, 1, 2], {}),
        ("one label per known point", np.eye(5), {}),
        ("known lists 5 points, but targets has 4 rows", LABELS[:4], {}),
        ("priors has shape", LABELS, {"priors": [0.5, 0.5]}),
        ("priors must be positive", LABELS, {"priors": [0.5, 0.5, 0.0]}),
        ("priors = 'equal' is not known", LABELS, {"priors": "equal"}),
        ("trust = 0.0", LABELS, {"trust": 0.0}),
    ],
)
def test_invalid_labels_and_options_raise(alignment, message, labels, options):
    with pytest.raises(ValueError, match=message):
        classify(alignment, KNOWN, labels, **options)


def test_a_component_without_a_label_is_named_with_its_size():
    x = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
    x[60:] += 100
    with pytest.raises(DisconnectedGraphError, match=r"such as that of point 60 \(30 points\)"):
        classify(jaxlle.lle_alignment(x, k=6), [1, 2, 3], [0, 1, 1])
    with pytest.raises(ValueError, match="at least one point must be unknown"):
        classify(jaxlle.lle_alignment(x[:60], k=6), np.arange(60), np.arange(60) % 2)
