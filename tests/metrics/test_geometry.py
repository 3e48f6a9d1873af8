"""Preservation of distances: each measure against its formula, at its extremes, under jit and vmap and in both dtypes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial
from scipy.spatial.distance import cdist, pdist

from jaxlle import metrics

MEASURES = {
    "residual_variance": metrics.residual_variance,
    "local_procrustes": partial(metrics.local_procrustes, k=9),
    "preservation_error": partial(metrics.preservation_error, k=9),
    "preservation_error, fitted": partial(metrics.preservation_error, k=9, scale="fitted"),
}
EACH = pytest.mark.parametrize("name", MEASURES)


def pair(n=80, d=5, c=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, x[:, :c] + 0.2 * rng.normal(size=(n, c))


def nearest(x, k):
    return np.argsort(cdist(x, x) + np.diag(np.full(len(x), np.inf)), axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("c", [1, 2, 3])
def test_the_measures_agree_with_their_formulas(x64, c):
    x, y = pair(c=c)
    np.testing.assert_allclose(
        metrics.residual_variance(x, y), 1 - np.corrcoef(pdist(x), pdist(y))[0, 1] ** 2, rtol=1e-9
    )
    padded = np.column_stack([y, np.zeros((80, 5 - c))])
    expected = np.mean([scipy.spatial.procrustes(x[ids], padded[ids])[2] for ids in nearest(x, 9)])
    np.testing.assert_allclose(MEASURES["local_procrustes"](x, y), expected, rtol=1e-9)
    far_x, far_y, near, back = cdist(x, x), cdist(y, y), nearest(x, 9), nearest(y, 9)
    own = np.arange(80)[:, None]
    scale = (far_x[own, near] * far_y[own, near]).sum() / (far_y[own, near] ** 2).sum()
    new = [np.setdiff1d(back[i], near[i]) for i in range(80)]
    changes = {
        "fitted": (far_x - scale * far_y) ** 2 / (far_x[own, near] ** 2).mean(),
        "largest": (far_x / far_x.max() - far_y / far_y.max()) ** 2,
    }
    for scale, change in changes.items():
        kept = [change[i, near[i]].mean() for i in range(80)]
        gained = [change[i, ids].mean() if len(ids) else 0 for i, ids in enumerate(new)]
        found = metrics.preservation_error(x, y, k=9, scale=scale)
        np.testing.assert_allclose(found, (np.mean(kept) + np.mean(gained)) / 2, rtol=1e-9)
    assert MEASURES["preservation_error"](x, y) == metrics.preservation_error(x, y, k=9, scale="largest")


@EACH
def test_similar_copies_are_perfect_at_any_scale_and_offset_and_noise_is_not(name):
    x = pair(d=3)[0].astype(np.float32)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
    for scale, offset in ((1, 0), (1e-18, 0), (1e15, 0), (1, 300)):
        value = float(MEASURES[name](x, np.float32(scale) * x @ rotation + np.float32(offset)))
        assert 0 <= value < 1e-4
    noise = 0.02 if name == "preservation_error" else 0.5  # its distances are relative to the largest of all
    assert float(MEASURES[name](x, np.random.default_rng(2).permutation(x))) > noise


@EACH
def test_blocks_jit_vmap_and_dtype_do_not_change_the_value(name):
    pairs = [pair(seed=s) for s in range(2)]
    xs, ys = (np.stack(a).astype(np.float32) for a in zip(*pairs, strict=True))
    whole = [float(MEASURES[name](x, y)) for x, y in zip(xs, ys, strict=True)]
    assert float(MEASURES[name](xs[0], ys[0], block_bytes=3000)) == pytest.approx(whole[0], rel=1e-4)
    np.testing.assert_allclose(jax.jit(jax.vmap(MEASURES[name]))(jnp.asarray(xs), jnp.asarray(ys)), whole, rtol=1e-4)
    with jax.enable_x64(True):
        wide = MEASURES[name](xs[0].astype(np.float64), ys[0].astype(np.float64))
        assert wide.dtype == np.float64
        assert float(wide) == pytest.approx(whole[0], rel=1e-3)


@EACH
def test_an_embedding_of_equal_points_explains_nothing(name):
    x, expected = pair()[0].astype(np.float32), 1.0
    if "preservation" in name:  # the nearest points in the embedding are the first of all others
        squares, near = cdist(x, x) ** 2, nearest(x, 9)
        new = [np.setdiff1d([j for j in range(10) if j != i][:9], near[i]) for i in range(80)]
        kept = np.take_along_axis(squares, near, axis=1).mean()
        unit = kept if "fitted" in name else squares.max()
        expected = (kept + np.mean([squares[i, ids].mean() for i, ids in enumerate(new)])) / 2 / unit
    assert float(MEASURES[name](x, np.ones((80, 2), np.float32))) == pytest.approx(expected, rel=1e-5)


def test_two_points_have_a_preservation_error_and_no_other_measure():
    x = np.eye(2, 5, dtype=np.float32)
    assert float(metrics.preservation_error(x, 3 * x, k=1)) < 1e-12
    for measure in (metrics.residual_variance, MEASURES["local_procrustes"]):
        with pytest.raises(ValueError, match="at least 3"):
            measure(x, x)


@EACH
def test_invalid_input_raises(name):
    x, y = (a.astype(np.float32) for a in pair())
    with pytest.raises(ValueError, match="x has 80 rows and y has 79"):
        MEASURES[name](x, y[1:])
    with pytest.raises(ValueError, match="y contains NaN"):
        MEASURES[name](x, np.where(np.arange(80)[:, None] == 3, np.nan, y))
    with pytest.raises(ValueError, match="a single neighbor has no shape to compare"):
        metrics.local_procrustes(x, y, k=1)
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 80"):
        metrics.preservation_error(x, y, k=80)
    # The second form is that of the checks of annotations.
    with pytest.raises(
        (ValueError, TypeError), match=r"'unit' is not known: use 'largest' or 'fitted'|'largest', 'fitted'"
    ):
        metrics.preservation_error(x, y, k=8, scale="unit")
