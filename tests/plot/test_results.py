"""Drawings of spectra, grids, diagnoses and explanations."""

from types import SimpleNamespace

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import jaxlle
from jaxlle import plot


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)


def sides(ax):
    return [side for side, spine in ax.spines.items() if spine.get_visible()]


def test_a_spectrum_is_drawn_on_the_axes_given_or_on_new_ones(ax):
    assert plot.spectrum([1e-3, 2e-3, 1.0], 2, ax=ax) is ax
    assert len(plt.get_fignums()) == 1
    assert plot.spectrum([1e-3, 2e-3, 1.0], 2).figure.dpi == 200
    assert len(plt.get_fignums()) == 2


def test_a_spectrum_is_logarithmic_and_marks_its_gap(ax):
    values = [1e-4, 2e-4, 3e-3, 4e-3]
    plot.spectrum(values, 2, ax=ax)
    assert sides(ax) == ["left", "bottom"]
    assert ax.get_yscale() == "log"
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.column_stack([[1, 2, 3, 4], values]))
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (2, 3)
    assert band.get_facecolor() == to_rgba("0.93")
    (text,) = ax.texts
    assert (text.get_text(), ax.get_title()) == ("gap 0.0028", "")
    assert text.xy[0] == 3
    assert values[1] < text.xy[1] < values[2]
    ax.figure.canvas.draw()


def test_a_spectrum_without_a_dimension_has_no_mark(ax):
    spectrum = SimpleNamespace(singular_values=jnp.array([1e-3, 1e-2]))  # the attribute of solvers.Spectrum
    plot.spectrum(spectrum, ax=ax)
    assert list(ax.patches) == []
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1e-3, 1e-2], rtol=1e-6)


@pytest.mark.slow
def test_the_relative_gap_of_an_embedding_is_written_at_its_last_value(points, ax):
    result = jaxlle.lle(points, 3, k=8)
    plot.spectrum(result, ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), result.singular_values)
    (text,) = ax.texts
    assert text.get_text() == f"relative gap {float(result.gap):.2g}"
    np.testing.assert_allclose(text.xy, [3, result.singular_values[-1]])


def test_zeros_in_a_spectrum_are_drawn_without_hiding_the_rest(ax):
    plot.spectrum([0.0, 1e-3, 1.0], 1, ax=ax)
    ax.figure.canvas.draw()
    values = ax.lines[0].get_ydata()
    assert (values > 0).all()
    np.testing.assert_allclose(values[1:], [1e-3, 1.0])
    assert ax.get_ylim()[0] > 1e-30


@pytest.mark.parametrize(("values", "dim"), [([1.0, 2.0], 0), ([1.0, 2.0], 2), ([[1.0, 2.0]], 1), ([], None)])
def test_a_spectrum_without_the_requested_gap_raises(values, dim):
    with pytest.raises(ValueError, match=r"gap lies behind|shape \(count,\)"):
        plot.spectrum(values, dim)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("criterion", ["procrustes", "preservation"])
def test_a_grid_has_a_curve_for_each_reg_and_marks_its_best_pair(ax, criterion):
    measures = {name: np.array([[0.9, 0.8], [0.3, 0.2], [0.1, 0.4]]) for name in ("procrustes", "preservation")}
    parts = np.array([[2, 2], [1, 1], [1, 1]])
    grid = jaxlle.choosing.Grid(
        ks=np.array([4, 8, 12]),
        regs=np.array([1e-3, 1e-1]),
        num_components=parts,
        gap=np.ones((3, 2)),
        residual_variance=measures["procrustes"],
        **measures,
    )
    k, reg = grid.best(criterion)
    plot.grid(grid, criterion, ax=ax)
    first, second, mark = (line.get_xydata() for line in ax.lines)
    expected = np.where(parts == 1, measures[criterion], np.nan)
    for curve, values in zip((first, second), expected.T, strict=True):
        np.testing.assert_array_equal(curve, np.column_stack([grid.ks, values]))
    np.testing.assert_array_equal(mark, [[k, np.nanmin(expected)]])
    texts = {text.get_text(): getattr(text, "xy", None) for text in ax.texts}
    ends = [text.get_position()[1] for text in ax.texts if text.get_text() in ("reg = 0.001", "reg = 0.1")]
    assert np.abs(np.diff(ends)) > 0.07 * np.diff(ax.get_ylim())  # names do not overlap
    assert texts[f"k = {k}, reg = {reg:.3g}, at the end of the grid"] == (k, np.nanmin(expected))
    assert "disconnected: k = 4" in texts
    assert [label.get_text() for label in ax.get_xticklabels()] == ["4", "8", "12"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(), sides(ax)) == ("k", criterion, "", ["left", "bottom"])
    plot.grid(
        grid._replace(**{field: getattr(grid, field)[1:2] for field in ("ks", *grid._fields[2:])}),
        ax=(over := plt.subplots()[1]),
    )
    assert (over.get_xlabel(), over.get_xscale()) == ("reg", "log")
    np.testing.assert_array_equal(over.lines[0].get_xydata(), np.column_stack([grid.regs, measures["procrustes"][1]]))


@pytest.mark.slow
def test_a_diagnosis_without_the_points_says_that_the_condition_is_missing(points):
    alignment = jaxlle.lle_alignment(points, k=8)
    out = jaxlle.embed(alignment, 2)
    figure = plot.diagnosis(jaxlle.diagnose(alignment, out), out)
    figure.canvas.draw()
    condition = figure.axes[2]
    assert "not computed" in condition.texts[0].get_text()
    bars = figure.axes[1].patches
    degrees = np.bincount(np.asarray(alignment.indices)[:, 1:].ravel(), minlength=60)
    assert [bar.get_height() for bar in bars] == [(degrees == d).sum() for d in range(degrees.min(), degrees.max() + 1)]


def test_an_explanation_has_headings_once_and_no_frames(points):
    bank, z = points[3:], points[:3]
    found = jaxlle.explanation.explain(lambda x: x[:, :2], z, bank, 5)
    slopes = np.asarray(found.slopes)
    figure = plot.explanation(found, z, bank, (1, 3), jacobian=-2 * slopes, count=2)
    figure.canvas.draw()
    axes = np.array(figure.axes).reshape(3, 5)
    headings = [[text.get_text() for text in ax.texts] for ax in axes.ravel()]
    assert headings[:4] == [["output"], ["slopes"], ["Jacobian"], ["contributions of neighbors"]]
    assert not any(headings[4:])
    assert not any(sides(ax) for ax in axes.ravel())
    for row, c in enumerate(np.asarray(found.outputs).argmax(axis=1)):
        image = axes[row, 1].images[0]
        np.testing.assert_allclose(image.get_array(), slopes[row, c].reshape(1, 3))
        low, high = image.get_clim()
        assert low == -high
        np.testing.assert_allclose(axes[row, 2].images[0].get_array(), -2 * slopes[row, c].reshape(1, 3))
    assert len(plot.explanation(found, z, bank, (1, 3), count=0).axes) == 6
    other = plot.explanation(found, z, bank, (3, 1), output=1)
    axes = np.array(other.axes).reshape(3, 6)  # the image, the slopes and four neighbors
    for row in range(3):
        assert axes[row, 0].get_title() == f"$f_{{1}}$ = {float(found.outputs[row, 1]):.3g}"
        np.testing.assert_array_equal(axes[row, 0].images[0].get_array(), z[row].reshape(3, 1))
        np.testing.assert_allclose(axes[row, 1].images[0].get_array(), slopes[row, 1].reshape(3, 1))
        shares = np.asarray(found.contributions)[row, :, 1]
        order = np.argsort(-np.abs(shares))
        assert [ax.get_title() for ax in axes[row, 2:]] == [f"{share:+.3g}" for share in shares[order[:4]]]
        nearest = bank[np.asarray(found.neighbors.indices)[row, order[0]]]
        np.testing.assert_array_equal(axes[row, 2].images[0].get_array(), nearest.reshape(3, 1))
    with pytest.raises(ValueError, match="contain NaN"):
        plot.explanation(found, z, np.full_like(bank, np.nan), (1, 3))
