"""Drawings of diagnostics: which values the colors show, and what the titles state."""

import numpy as np
import pytest

import jaxlle
from jaxlle import plot
from jaxlle.metrics import diagnostics


@pytest.fixture
def pair(cloud):
    return cloud, cloud[:, :2]


def colored(ax):
    """The values of the colors, in the order of the points."""
    ax.figure.canvas.draw()
    (points,) = ax.collections
    return np.asarray(points.get_array())


@pytest.mark.parametrize("kind", ["preservation", "density", "cost"])
def test_the_colors_show_the_diagnostic_within_its_percentiles(pair, kind):
    x, y = pair
    values = diagnostics(x, y, kinds=[kind], k=7)[kind].astype(np.float64)
    ax = plot.diagnostic(y, x, kind, k=7)
    if kind == "cost":
        values = np.log10(values)
    np.testing.assert_allclose(colored(ax), np.clip(values, *np.percentile(values, [1, 99])), rtol=1e-4, atol=1e-6)
    assert (
        ax.get_title()
        == {"preservation": "preserved neighbors", "density": "density", "cost": "share of the cost"}[kind]
    )
    assert ax.figure.axes[1].get_ylabel() == ("fraction" if kind == "preservation" else "logarithm (base 10)")


def test_components_are_labeled_with_their_sizes():
    x = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
    x[:30] += 1000
    ax = plot.diagnostic(x % 100, x, "component", k=7)
    assert sorted(text.get_text() for text in ax.texts) == ["1: 90 points", "2: 30 points"]
    many = plot.pointwise.component_names(np.repeat(np.arange(30), 4))
    assert len(set(many)) == 20
    assert list(many[:4]) == ["1: 4 points"] * 4
    assert (many == "others").sum() == 11 * 4


@pytest.mark.slow
def test_a_summary_has_a_large_panel_and_four_small_ones_that_state_averages(pair):
    x, y = pair
    labels, neighbors = np.arange(120) % 3, jaxlle.knn(x, 7)
    figure = plot.summary(y, x, color=labels, images=np.ones((120, 4, 4)), neighbors=neighbors, title="a cloud")
    found = diagnostics(x, y, neighbors=neighbors)
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert [ax.get_title() for ax in panels] == [
        "",
        f"preserved neighbors, mean {found['preservation'].mean():.2f}",
        f"local dimension, median {np.median(found['dimension']):.1f}",
        f"reconstruction error, median {np.median(found['reconstruction']):.2g}",
        "density",
    ]
    assert sorted(text.get_text() for text in panels[0].texts) == ["0", "1", "2"]
    assert figure.get_suptitle() == "a cloud"
    sizes = [ax.get_position().width * ax.figure.bbox.width for ax in panels]
    figure.canvas.draw()
    assert sizes[0] > 1.5 * max(sizes[1:])
    for ax, kind in zip(panels[1:], ("preservation", "dimension"), strict=False):
        low, high = np.percentile(found[kind], [1, 99])
        np.testing.assert_allclose(
            np.asarray(ax.collections[0].get_array()), np.clip(found[kind], low, high), rtol=1e-5
        )
    assert plot.summary(x[:, :3], x, neighbors=neighbors).axes[0].name == "3d"
