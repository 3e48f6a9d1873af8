"""Drawings of pairs: the lines between two sets, their places, and what raises."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection

from jaxlle import plot


def lines(ax):
    return np.array(next(c for c in ax.collections if isinstance(c, LineCollection)).get_segments())


def test_lines_connect_the_points_of_each_pair_in_sets_side_by_side():
    a, b = (np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32) for seed, n in ((0, 20), (1, 30)))
    pairs = np.array([[0, 4], [19, 29], [3, 3]])
    ax = plot.pairs(a, b, pairs, color=[np.arange(20), np.arange(30)])
    found = lines(ax)
    np.testing.assert_allclose(found[:, 0], a[pairs[:, 0], :2], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1, 1], b[pairs[:, 1], 1], rtol=1e-6)
    shift = found[:, 1, 0] - b[pairs[:, 1], 0]
    np.testing.assert_allclose(shift, shift[0], rtol=1e-5)
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections if not isinstance(c, LineCollection)])
    assert len(drawn) == 50
    assert drawn[20:, 0].min() > drawn[:20, 0].max() - np.ptp(np.concatenate([a, b])[:, 0])
    plt.close(ax.figure)


def test_equal_sets_have_horizontal_lines_and_one_column_vertical_ones():
    a = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    figure, (left, right) = plt.subplots(1, 2)
    assert plot.pairs(a, a, ax=left) is left
    assert np.ptp(lines(left)[:, :, 1], axis=1).max() == 0
    assert lines(left)[:, 1, 0].min() > a[:, 0].max()  # the sets do not overlap
    plot.pairs(a[:, :1], a[:, :1], ax=right)
    assert np.ptp(lines(right)[:, :, 0], axis=1).max() == 0
    plt.close(figure)


def test_invalid_sets_pairs_and_colors_raise():
    a = np.zeros((4, 2), np.float32)
    with pytest.raises(ValueError, match="both must have the same columns"):
        plot.pairs(a, a[:, :1])
    with pytest.raises(ValueError, match="the same rows if no pairs are given"):
        plot.pairs(a, a[:3])
    with pytest.raises(ValueError, match=r"pairs ranges from 4 to 4 in column 1"):
        plot.pairs(a, a, [[0, 4]])
    for color in (np.zeros(8), [np.zeros(4)]):
        with pytest.raises(ValueError, match="color must be a list of two arrays"):
            plot.pairs(a, a, color=color)
    with pytest.raises(ValueError, match=r"color\[1\] has shape \(3,\)"):
        plot.pairs(a, a, color=[np.zeros(4), np.zeros(3)])
