"""The report on an embedding: each property against its definition, and what it shows of an unreliable embedding."""

import jax
import matplotlib
import numpy as np
import pytest

import jaxlle

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def curve():
    x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
    neighbors = jaxlle.knn(x, 10)
    alignment = jaxlle.lle_alignment(x, k=10, neighbors=neighbors)
    return x, neighbors, alignment, jaxlle.embed(alignment, 2)


def test_every_property_equals_its_definition(curve):
    x, neighbors, alignment, out = curve
    diagnosis = jaxlle.diagnose(alignment, out, x=x, neighbors=neighbors)
    np.testing.assert_array_equal(
        diagnosis.in_degree, np.bincount(np.asarray(neighbors.indices).ravel(), minlength=200)
    )
    b, y = np.asarray(alignment.to_dense()), np.asarray(out.points)
    np.testing.assert_allclose(diagnosis.error, ((b @ y) ** 2).sum(axis=1), rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(diagnosis.error.sum(), (np.asarray(out.singular_values) ** 2).sum(), rtol=1e-3)
    np.testing.assert_allclose(diagnosis.participation, 1 / (y**4).sum(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(diagnosis.condition, jaxlle.weights.local_condition(x, neighbors))
    assert (diagnosis.sizes.tolist(), diagnosis.closed_classes, diagnosis.solver) == ([200], 1, out.solver)
    assert diagnosis.rounding_angle == pytest.approx(np.rad2deg(float(out.rounding_angle)))
    scaled = jaxlle.embed(alignment, 2, options=jaxlle.EmbedOptions(scaling="covariance"))
    np.testing.assert_allclose(jaxlle.diagnose(alignment, scaled).participation, diagnosis.participation, rtol=1e-3)


def test_the_report_has_one_line_per_property(curve):
    x, neighbors, alignment, out = curve
    text = str(jaxlle.diagnose(alignment, out, x=x, neighbors=neighbors))
    names = [line[:17].strip() for line in text.splitlines()]
    assert names == [
        "components",
        "in-degree",
        "local condition",
        "solver",
        "singular values",
        "residuals",
        "gap",
        "participation",
        "error",
    ]
    assert "local condition" not in str(jaxlle.diagnose(alignment, out))


@pytest.mark.slow
def test_a_column_that_is_the_indicator_of_a_point_and_the_point_are_reported(x64):
    x = np.random.default_rng(0).normal(size=(60, 3))
    neighbors = jaxlle.knn(x, 8)
    free = int(np.bincount(np.asarray(neighbors.indices).ravel(), minlength=60).argmin())
    graph = neighbors._replace(mask=neighbors.indices != free)
    alignment = jaxlle.ltsa_alignment(x, 1, k=8, neighbors=graph, include_self=False)
    with pytest.warns(jaxlle.warnings.DisconnectedGraphWarning, match="2 components of 59, 1 points"):
        out = jaxlle.embed(alignment, 1)
    diagnosis = jaxlle.diagnose(alignment, out)
    assert diagnosis.in_degree[free] == 0
    assert diagnosis.participation[0] < 1.1
    assert "in no neighborhood: 1" in str(diagnosis)
    assert diagnosis.sizes.tolist() == [59, 1]


def test_the_figure_has_four_panels_and_bad_requests_raise(curve):
    x, neighbors, alignment, out = curve
    figure = jaxlle.plot.diagnosis(jaxlle.diagnose(alignment, out, x=x, neighbors=neighbors), out)
    assert [ax.get_title() for ax in figure.axes[:4]] == [
        "share of the cost",
        "in-degree",
        "condition of the local problems",
        "singular values",
    ]
    matplotlib.pyplot.close("all")
    part = jaxlle.embed(jaxlle.lle_alignment(x[:100], k=10), 2)
    with pytest.raises(ValueError, match="100 points and the alignment 200"):
        jaxlle.diagnose(alignment, part)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: jaxlle.diagnose(a, out).error)(alignment)
