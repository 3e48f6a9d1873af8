"""Drawings of points: what is on the Axes, for every kind of color and data, and what raises."""

from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.text import Text
from mpl_toolkits.mplot3d import Axes3D, proj3d
from mpl_toolkits.mplot3d.art3d import Line3DCollection
from scipy.spatial import KDTree

import jaxlle
from jaxlle import plot


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)


@pytest.fixture
def clusters():
    """Three separate clusters of 50 points in the plane, and their labels."""
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    members = np.arange(150) % 3
    return centers[members] + np.random.default_rng(0).normal(size=(150, 2)), members


def drawn(ax, kind) -> Any:
    """The artists of a kind on the Axes, after rendering."""
    ax.figure.canvas.draw()
    return [child for child in ax.get_children() if isinstance(child, kind)]


def offsets(ax):
    return np.concatenate([np.asarray(c.get_offsets()) for c in drawn(ax, PathCollection)])


def labels(ax: Any):
    """Class names that are written on the Axes, with their places."""
    return {text.get_text(): np.array(text.get_position()) for text in drawn(ax, Text) if text in ax.texts}


def boxes_on_page(ax):
    """Extents of all class names and thumbnails in pixels, shape (count, 2, 2)."""
    images = [box.offsetbox for box in drawn(ax, AnnotationBbox)]
    return np.array([artist.get_window_extent().get_points() for artist in [*ax.texts, *images]])


def overlapping(boxes):
    low, high = boxes[:, 0], boxes[:, 1]
    both = ((low[:, None] < high) & (low < high[:, None])).all(axis=2)
    return int(np.triu(both, 1).sum())


def drawings(n):
    """The same drawing n times: a square of 255 on a background of zeros."""
    image = np.zeros((6, 6))
    image[2:4, 2:4] = 255
    return np.repeat(image[None], n, axis=0)


def sorted_rows(rows):
    rows = np.asarray(rows, np.float64)
    return rows[np.lexsort(rows.T)]


def calls(points):
    return [
        lambda **options: plot.embedding(points, **options),
        lambda **options: plot.neighbor_graph(points, jaxlle.knn(points, 3), **options),
    ]


@pytest.mark.parametrize("number", range(2))
def test_the_axes_given_are_drawn_on_and_returned_and_none_makes_a_figure(points, ax, number):
    call = calls(points)[number]
    assert call(ax=ax) is ax
    assert ax.has_data()
    assert len(plt.get_fignums()) == 1
    new = call()
    assert new is not ax
    assert len(plt.get_fignums()) == 2
    assert call() is not new


def test_two_columns_are_drawn_at_their_places_without_a_frame(points):
    ax = plot.embedding(points, title="a roll")
    np.testing.assert_allclose(offsets(ax), points)
    assert ax.get_title() == "a roll"
    assert not any(spine.get_visible() for spine in ax.spines.values())
    assert (ax.get_xlabel(), ax.get_ylabel(), list(ax.get_xticks()), list(ax.get_yticks())) == ("", "", [], [])
    assert ax.get_legend() is None
    assert len(ax.figure.axes) == 1
    assert ax.figure.dpi == 200


def test_three_columns_get_three_dimensional_axes_without_a_frame():
    points = np.random.default_rng(0).normal(size=(60, 3)) * [1, 2, 3]
    ax = plot.embedding(points)
    assert isinstance(ax, Axes3D)
    assert not ax.axison
    (collection,) = drawn(ax, PathCollection)
    flat = np.column_stack(proj3d.proj_transform(*points.T, ax.get_proj())[:2])
    np.testing.assert_allclose(sorted_rows(collection.get_offsets()), sorted_rows(flat))


def test_more_columns_than_the_axes_have_are_left_out(ax):
    points = np.random.default_rng(0).normal(size=(60, 4))
    np.testing.assert_allclose(offsets(plot.embedding(points)), points[:, :2])
    np.testing.assert_allclose(offsets(plot.embedding(points[:, :3], ax=ax)), points[:, :2])
    solid = plt.figure().add_subplot(projection="3d")
    assert plot.embedding(points, ax=solid) is solid
    with pytest.raises(ValueError, match="no third column"):
        plot.embedding(points[:, :2], ax=solid)


def test_names_and_images_of_three_columns_are_at_their_points():
    points = np.random.default_rng(0).normal(size=(60, 3))
    members = np.arange(60) % 3
    ax = plot.embedding(points, color=members, images=drawings(60), image_count=5)
    flat = np.column_stack(proj3d.proj_transform(*points.T, ax.get_proj())[:2])
    boxes = drawn(ax, AnnotationBbox)
    assert len(boxes) == 5
    assert KDTree(flat).query([box.xy for box in boxes])[0].max() < 1e-6
    for text in ax.texts:
        distance, row = KDTree(points).query(text.get_position_3d())
        assert distance < 1e-9
        assert members[row] == int(text.get_text())


def test_an_embedding_of_one_dimension_is_drawn_over_the_row_number(points):
    ax = plot.embedding(points[:, :1])
    np.testing.assert_allclose(offsets(ax), np.column_stack([points[:, 0], np.arange(60)]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("coordinate", "row")


@pytest.mark.slow
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
def test_few_classes_are_named_on_the_axes_and_each_has_its_color(points, ax, color):
    plot.embedding(points, color=color, ax=ax)
    color = np.asarray(color)
    classes = sorted(set(color.tolist()))
    assert sorted(labels(ax)) == sorted(str(c) for c in classes)
    assert ax.get_legend() is None
    assert len(ax.figure.axes) == 1  # no color bar
    (collection,) = drawn(ax, PathCollection)
    _, rows = KDTree(points).query(collection.get_offsets())
    assert sorted(rows) == list(range(60))
    shades = np.round(collection.get_facecolor(), 6)
    assert len(np.unique(shades, axis=0)) == len(classes)
    for c in classes:
        assert len(np.unique(shades[color[rows] == c], axis=0)) == 1


def test_the_name_of_a_class_is_at_one_of_its_points_inside_its_cluster(clusters):
    points, members = clusters
    found = labels(plot.embedding(points, color=members))
    for c in range(3):
        own = points[members == c]
        assert np.linalg.norm(own - found[str(c)], axis=1).min() < 1e-6
        assert np.linalg.norm(own.mean(axis=0) - found[str(c)]) < 1  # one standard deviation


def test_a_class_is_named_where_it_prevails_and_not_where_it_is_mixed():
    rng = np.random.default_rng(0)
    mixed, alone = rng.normal(size=(200, 2)), np.array([8, 0]) + rng.normal(size=(60, 2))
    members = np.r_[np.zeros(100, int), np.ones(100, int), np.ones(60, int)]
    found = labels(plot.embedding(np.concatenate([mixed, alone]), color=members))
    assert np.linalg.norm(found["1"] - [8, 0]) < 1.5
    assert np.linalg.norm(found["0"]) < 2


def test_names_of_classes_that_lie_on_each_other_do_not_overlap():
    points = np.random.default_rng(0).normal(size=(600, 2))
    names = np.array(["zebra", "lion", "tiger", "monkey"])[np.arange(600) % 4]
    boxes = boxes_on_page(plot.embedding(points, color=names))
    assert len(boxes) == 4
    assert overlapping(boxes) == 0


@pytest.mark.parametrize("color", [np.linspace(0, 1, 60), np.arange(60), jnp.arange(60.0) % 4])
def test_continuous_values_get_a_slim_color_bar_without_an_outline(points, color):
    ax = plot.embedding(points, color=color)
    (collection,) = drawn(ax, PathCollection)
    np.testing.assert_allclose(collection.get_array(), color)
    assert (labels(ax), ax.get_legend()) == ({}, None)
    _, bar = ax.figure.axes
    size = bar.get_window_extent()
    assert 20 * size.width < size.height < ax.get_window_extent().height
    assert not bar.spines["outline"].get_visible()


def test_many_strings_are_a_scale_in_their_sorted_order(points):
    names = np.array([f"name {i:02d}" for i in np.random.default_rng(0).permutation(60)])
    ax = plot.embedding(points, color=names)
    (collection,) = drawn(ax, PathCollection)
    np.testing.assert_array_equal(collection.get_array(), [int(name[5:]) for name in names])
    assert [text.get_text() for text in ax.figure.axes[1].get_yticklabels()] == ["name 00", "name 59"]


def test_images_are_shown_at_their_own_points_and_no_more_than_asked(points):
    images = np.arange(60)[:, None, None] * np.ones((1, 4, 5))
    ax = plot.embedding(points, images=images, image_count=9)
    boxes = drawn(ax, AnnotationBbox)
    assert len(boxes) == 9
    shown = [int(box.offsetbox.get_data()[0, 0]) for box in boxes]
    assert len(set(shown)) == 9
    np.testing.assert_allclose([box.xy for box in boxes], points[shown])


@pytest.mark.slow
def test_images_do_not_overlap_each_other_or_names_and_stay_on_the_axes(clusters):
    points, members = clusters
    ax = plot.embedding(points, color=members, images=drawings(150))
    boxes = boxes_on_page(ax)
    assert len(boxes) > 15
    assert overlapping(boxes) == 0
    edge = ax.get_window_extent()
    assert (boxes[:, 0] >= edge.min).all()
    assert (boxes[:, 1] <= edge.max).all()


def test_images_of_points_at_the_edge_stay_on_the_axes(points, ax):
    ax.margins(0)
    plot.embedding(points, images=drawings(60), ax=ax)
    boxes, edge = boxes_on_page(ax), ax.get_window_extent()
    assert len(boxes) > 5
    assert (boxes[:, 0] >= edge.min).all()
    assert (boxes[:, 1] <= edge.max).all()


@pytest.mark.slow
def test_images_hide_few_points():
    points = np.random.default_rng(0).normal(size=(4000, 2))
    ax = plot.embedding(points, images=drawings(4000))
    screen, boxes = ax.transData.transform(points), boxes_on_page(ax)
    inside = ((screen[:, None] >= boxes[:, 0]) & (screen[:, None] <= boxes[:, 1])).all(axis=2)
    assert len(boxes) > 15
    assert inside.any(axis=1).mean() < 0.02


@pytest.mark.slow
def test_images_keep_apart_and_have_the_color_of_their_class():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(30, 2)) * 1e-3, [[1.0, 1.0]], [[0.0, 1.0]]])
    members = np.array([0] * 30 + [1, 2])
    for images in (
        drawings(32),
        drawings(32) > 0,
        np.ones((32, 4, 4), np.int8),
    ):  # ink on a transparent background; a frame
        boxes = drawn(plot.embedding(points, color=members, images=images), AnnotationBbox)
        assert len(boxes) == 3  # one for all of the tight cluster
        classes = members[KDTree(points).query([box.xy for box in boxes])[1]]
        assert sorted(classes) == [0, 1, 2]
        for box, c in zip(boxes, classes, strict=True):
            ink = np.asarray(box.offsetbox.get_data())
            if ink.ndim == 3:
                np.testing.assert_allclose(ink[..., :3], np.multiply(to_rgb(plot.PALETTE[c]), 0.6) * np.ones((6, 6, 1)))
                np.testing.assert_allclose(ink[..., 3], drawings(1)[0] / 255)
                assert not box.patch.get_visible()
            else:
                np.testing.assert_allclose(box.patch.get_edgecolor()[:3], to_rgb(plot.PALETTE[c]))
                assert box.patch.get_visible()


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
def test_colors_and_images_that_do_not_match_raise_before_anything_is_drawn(points, options, message):
    with pytest.raises(ValueError, match=message):
        plot.embedding(points, **options)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((5, 0)), np.zeros((0, 2)), np.array([[0.0, np.nan]])])
def test_points_that_cannot_be_drawn_raise(bad):
    with pytest.raises(ValueError, match="Points to draw"):
        plot.embedding(bad)
    with pytest.raises(ValueError, match="Points to draw"):
        plot.neighbor_graph(bad, jaxlle.knn(np.eye(3, dtype=np.float32), 1))


@pytest.mark.parametrize("k", [1, 4])
def test_a_neighbor_graph_has_one_line_from_each_point_to_each_of_its_neighbors(points, k):
    neighbors = jaxlle.knn(points, k)
    ax = plot.neighbor_graph(points, neighbors)
    (lines,) = drawn(ax, LineCollection)
    ends = np.array(lines.get_segments()).reshape(-1, 4)
    expected = [[*points[i], *points[j]] for i in range(60) for j in np.asarray(neighbors.indices)[i]]
    assert len(ends) == 60 * k
    np.testing.assert_allclose(sorted_rows(ends), sorted_rows(expected))
    np.testing.assert_allclose(offsets(ax), points)
    assert not any(spine.get_visible() for spine in ax.spines.values())


def test_a_neighbor_graph_of_three_columns_is_drawn_in_three_dimensions():
    points = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    ax = plot.neighbor_graph(points, jaxlle.knn(points, 4))
    assert isinstance(ax, Axes3D)
    (lines,) = drawn(ax, Line3DCollection)
    assert len(lines.get_segments()) == 240


@pytest.mark.slow
def test_masked_neighbors_have_no_line(points):
    neighbors = jaxlle.neighbors.radius_neighbors(points, 1.0)
    assert neighbors.mask is not None
    count = int(neighbors.mask.sum())
    assert 60 < count < neighbors.mask.size
    (lines,) = drawn(plot.neighbor_graph(points, neighbors), LineCollection)
    lengths = [np.linalg.norm(b - a) for a, b in lines.get_segments()]
    assert len(lengths) == count
    assert max(lengths) <= 1.0


@pytest.mark.slow
def test_a_neighbor_graph_accepts_an_embedding_and_colors(points):
    result = jaxlle.lle(points, 2, k=8)
    ax = plot.neighbor_graph(result, jaxlle.knn(points, 8), color=["a", "b"] * 30)
    np.testing.assert_allclose(sorted_rows(offsets(ax)), sorted_rows(result.points))
    assert sorted(labels(ax)) == ["a", "b"]
    assert len(drawn(ax, LineCollection)[0].get_segments()) == 480


def test_a_neighbor_graph_of_other_points_or_colors_raises(points):
    neighbors = jaxlle.knn(points, 3)
    for other in (points[1:], points[:, :1]):
        with pytest.raises(ValueError, match="each of 60 neighborhoods"):
            plot.neighbor_graph(other, neighbors)
    with pytest.raises(ValueError, match="color has shape"):
        plot.neighbor_graph(points, neighbors, color=np.zeros(59))
