"""Pictures: what is on the Axes, for every kind of colour and data, and what is refused."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

import jaxlle

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.offsetbox import AnnotationBbox

from jaxlle import plot


@pytest.fixture(autouse=True)
def closed():
    plt.close("all")  # what doctests have left open
    yield
    plt.close("all")


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)


@pytest.fixture
def ax():
    return plt.subplots()[1]


def drawn(ax, kind) -> Any:
    """The artists of a kind on the Axes, once everything has really been rendered."""
    ax.figure.canvas.draw()
    return [child for child in ax.get_children() if isinstance(child, kind)]


def offsets(ax):
    return np.concatenate([np.asarray(c.get_offsets()) for c in drawn(ax, PathCollection)])


def legend(ax: Any):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def sorted_rows(rows):
    rows = np.asarray(rows, np.float64)
    return rows[np.lexsort(rows.T)]


def calls(points):
    return [
        lambda **options: plot.embedding(points, **options),
        lambda **options: plot.neighbor_graph(points, jaxlle.knn(points, 3), **options),
        lambda **options: plot.spectrum([1e-3, 2e-3, 1.0], 2, **options),
    ]


@pytest.mark.parametrize("number", range(3))
def test_the_axes_given_are_drawn_on_and_returned_and_none_makes_a_figure(points, ax, number):
    call = calls(points)[number]
    assert call(ax=ax) is ax
    assert ax.has_data()
    assert len(plt.get_fignums()) == 1
    new = call()
    assert new is not ax
    assert len(plt.get_fignums()) == 2
    assert call() is not new


def test_every_point_is_drawn_at_its_first_two_coordinates(points):
    ax = plot.embedding(points, title="a roll")
    np.testing.assert_allclose(offsets(ax), points[:, :2])
    assert ax.get_title() == "a roll"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("first coordinate", "second coordinate")
    assert ax.get_legend() is None


def test_an_embedding_of_one_dimension_is_drawn_over_the_row_number(points):
    ax = plot.embedding(points[:, :1])
    np.testing.assert_allclose(offsets(ax), np.column_stack([points[:, 0], np.arange(60)]))
    assert ax.get_ylabel() == "row"


def test_an_embedding_object_and_jax_arrays_are_drawn_like_their_points(points):
    result = jaxlle.lle(points, 2, k=8)
    np.testing.assert_allclose(offsets(plot.embedding(result, color=jnp.arange(60.0))), result.points)
    np.testing.assert_allclose(offsets(plot.embedding(result.points)), result.points)


@pytest.mark.parametrize(
    "color",
    [
        np.arange(60) % 4,
        (np.arange(60) % 4).astype(np.uint8),
        np.array(list("dbca") * 15),
        list("dbca") * 15,
        np.array(list("dbca") * 15, dtype=object),
        jnp.arange(60) % 4,
        np.arange(60) % 2 == 0,
        np.arange(60) % 20,
    ],
)
def test_few_classes_get_a_legend_and_each_its_colour(points, ax, color):
    plot.embedding(points, color=color, ax=ax)
    classes = sorted(set(np.asarray(color).tolist()))
    assert legend(ax) == [str(c) for c in classes]
    collections = drawn(ax, PathCollection)
    assert len({tuple(c.get_facecolor()[0]) for c in collections}) == len(classes)
    for name, collection in zip(classes, collections, strict=True):
        rows = np.asarray(color) == name
        np.testing.assert_allclose(np.asarray(collection.get_offsets()), points[rows, :2])
    assert len(ax.figure.axes) == 1  # no colour bar


@pytest.mark.parametrize("color", [np.linspace(0, 1, 60), np.arange(60), jnp.arange(60.0) % 4])
def test_a_scale_gets_a_colour_bar(points, color):
    ax = plot.embedding(points, color=color)
    (collection,) = drawn(ax, PathCollection)
    np.testing.assert_allclose(collection.get_array(), color)
    assert ax.get_legend() is None
    assert len(ax.figure.axes) == 2


def test_many_strings_are_a_scale_in_their_sorted_order(points):
    names = np.array([f"name {i:02d}" for i in np.random.default_rng(0).permutation(60)])
    (collection,) = drawn(plot.embedding(points, color=names), PathCollection)
    np.testing.assert_array_equal(collection.get_array(), [int(name[5:]) for name in names])


def test_images_are_shown_at_their_own_points_and_no_more_than_asked(points):
    images = np.arange(60)[:, None, None] * np.ones((1, 4, 5))
    ax = plot.embedding(points, images=images, image_count=9)
    boxes = drawn(ax, AnnotationBbox)
    assert len(boxes) == 9
    shown = [int(box.offsetbox.get_data()[0, 0]) for box in boxes]
    assert len(set(shown)) == 9
    np.testing.assert_allclose([box.xy for box in boxes], points[shown, :2])


def test_images_keep_apart_and_are_framed_in_the_colour_of_their_class():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(30, 2)) * 1e-3, [[1.0, 1.0]], [[0.0, 1.0]]])
    labels = np.array([0] * 30 + [1, 2])
    ax = plot.embedding(points, color=labels, images=np.ones((32, 4, 4)))
    boxes = drawn(ax, AnnotationBbox)
    assert len(boxes) == 3  # one for all of the tight cluster
    colors = [tuple(c.get_facecolor()[0]) for c in drawn(ax, PathCollection)]
    framed = {tuple(np.round(box.patch.get_edgecolor(), 6)) for box in boxes}
    assert framed == {tuple(np.round(c, 6)) for c in colors}


def test_images_of_points_that_all_coincide_are_one_image():
    ax = plot.embedding(np.zeros((5, 2)), images=np.ones((5, 4, 4)))
    assert len(drawn(ax, AnnotationBbox)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": np.zeros(59)}, r"color has shape \(59,\)"),
        ({"color": np.zeros((60, 3))}, r"color has shape \(60, 3\)"),
        ({"color": "red"}, r"color has shape \(\)"),
        ({"images": np.zeros((59, 4, 4))}, r"images has shape \(59, 4, 4\)"),
        ({"images": np.zeros((60, 16))}, r"images has shape \(60, 16\)"),
    ],
)
def test_colors_and_images_that_do_not_match_are_refused_before_anything_is_drawn(points, options, message):
    with pytest.raises(ValueError, match=message):
        plot.embedding(points, **options)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((5, 0)), np.zeros((0, 2)), np.array([[0.0, np.nan]])])
def test_points_that_cannot_be_drawn_are_refused(bad):
    with pytest.raises(ValueError, match="Points to draw"):
        plot.embedding(bad)
    with pytest.raises(ValueError, match="Points to draw"):
        plot.neighbor_graph(bad, jaxlle.knn(np.eye(3, dtype=np.float32), 1))


@pytest.mark.parametrize("k", [1, 4])
def test_a_neighbour_graph_has_one_line_from_each_point_to_each_of_its_neighbours(points, k):
    neighbors = jaxlle.knn(points, k)
    ax = plot.neighbor_graph(points, neighbors)
    (lines,) = drawn(ax, LineCollection)
    ends = np.array(lines.get_segments()).reshape(-1, 4)
    expected = [[*points[i, :2], *points[j, :2]] for i in range(60) for j in np.asarray(neighbors.indices)[i]]
    assert len(ends) == 60 * k
    np.testing.assert_allclose(sorted_rows(ends), sorted_rows(expected))
    np.testing.assert_allclose(offsets(ax), points[:, :2])


def test_masked_neighbours_have_no_line(points):
    neighbors = jaxlle.radius_neighbors(points, 1.5)
    assert neighbors.mask is not None
    count = int(neighbors.mask.sum())
    assert 60 < count < neighbors.mask.size
    (lines,) = drawn(plot.neighbor_graph(points, neighbors), LineCollection)
    lengths = [np.linalg.norm(b - a) for a, b in lines.get_segments()]
    assert len(lengths) == count
    assert max(lengths) <= 1.5  # the first two of three coordinates


def test_a_neighbour_graph_takes_an_embedding_and_the_colours_of_one(points):
    result = jaxlle.lle(points, 2, k=8)
    ax = plot.neighbor_graph(result, jaxlle.knn(points, 8), color=["a", "b"] * 30)
    np.testing.assert_allclose(sorted_rows(offsets(ax)), sorted_rows(result.points))
    assert legend(ax) == ["a", "b"]
    assert len(drawn(ax, LineCollection)[0].get_segments()) == 480


def test_a_neighbour_graph_of_other_points_or_colours_is_refused(points):
    neighbors = jaxlle.knn(points, 3)
    for other in (points[1:], points[:, :1]):
        with pytest.raises(ValueError, match="each of 60 neighbourhoods"):
            plot.neighbor_graph(other, neighbors)
    with pytest.raises(ValueError, match="color has shape"):
        plot.neighbor_graph(points, neighbors, color=np.zeros(59))


def test_a_spectrum_is_logarithmic_and_marks_its_gap(ax):
    values = [1e-4, 2e-4, 3e-3, 4e-3]
    plot.spectrum(values, 2, ax=ax)
    assert ax.get_yscale() == "log"
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.column_stack([[1, 2, 3, 4], values]))
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (2, 3)
    assert band.get_facecolor() == to_rgba("0.9")
    assert ax.get_title() == "gap behind 2: 0.0028"
    ax.figure.canvas.draw()


def test_a_spectrum_without_a_dimension_has_no_mark(ax):
    spectrum = SimpleNamespace(singular_values=jnp.array([1e-3, 1e-2]))  # as solvers.Spectrum has them
    plot.spectrum(spectrum, ax=ax)
    assert list(ax.patches) == []
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1e-3, 1e-2], rtol=1e-6)


def test_a_spectrum_of_an_embedding_says_its_gap(points, ax):
    result = jaxlle.lle(points, 3, k=8)
    plot.spectrum(result, ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), result.singular_values)
    assert ax.get_title() == f"relative gap behind the last: {float(result.gap):.2g}"


def test_zeros_in_a_spectrum_are_drawn_without_hiding_the_rest(ax):
    plot.spectrum([0.0, 1e-3, 1.0], 1, ax=ax)
    ax.figure.canvas.draw()
    values = ax.lines[0].get_ydata()
    assert (values > 0).all()
    np.testing.assert_allclose(values[1:], [1e-3, 1.0])
    assert ax.get_ylim()[0] > 1e-30


@pytest.mark.parametrize(("values", "dim"), [([1.0, 2.0], 0), ([1.0, 2.0], 2), ([[1.0, 2.0]], 1), ([], None)])
def test_a_spectrum_without_the_gap_asked_for_is_refused(values, dim):
    with pytest.raises(ValueError, match=r"gap lies behind|shape \(count,\)"):
        plot.spectrum(values, dim)
    assert plt.get_fignums() == []
