"""Diagnostics with one value per point, against direct computations in NumPy."""

import numpy as np
import pytest
import scipy.sparse

import jaxlle
from jaxlle.metrics import diagnostics


@pytest.fixture
def pair(cloud):
    """Points and an embedding of them, their first two columns."""
    return cloud, cloud[:, :2] * [1.0, 3.0]


def order(points):
    """The other points by distance from each, and the distances, shape (n, n - 1)."""
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, -1)
    indices = np.argsort(distances, axis=1)[:, 1:]
    return indices, np.take_along_axis(distances, indices, 1)


def errors_of(points, rows, ids, reg=1e-3):
    """The squared error of the reconstruction of each row by weights from its own linear system, and the weights."""
    found, weights = [], []
    for i, near in zip(rows, ids, strict=True):
        around = points[near] - points[i]
        gram = around @ around.T
        w = np.linalg.solve(gram + reg * np.trace(gram) * np.eye(len(near)), np.ones(len(near)))
        weights.append(w / w.sum())
        found.append(np.sum((weights[-1] @ around) ** 2))
    return np.array(found), np.array(weights)


def test_every_diagnostic_is_that_of_its_definition(pair):
    x, y = (np.asarray(points, np.float64) for points in pair)
    found = diagnostics(*pair, k=7)
    ids, distances = order(x)
    ids, distances = ids[:, :7], distances[:, :7]
    error, weights = errors_of(x, range(len(x)), ids)
    unit = y / np.linalg.norm(y, axis=0)
    kept = [len(set(a) & set(b)) / 7 for a, b in zip(ids, order(y)[0][:, :7], strict=True)]
    image = unit - np.einsum("nk,nkc->nc", weights, unit[ids])
    expected = {
        "dimension": 1 / np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1),
        "preservation": kept,
        "reconstruction": np.sqrt(error / (distances**2).mean(axis=1)),
        "cost": np.sum(image**2, axis=1),
        "density": np.log10(np.median(distances[:, -1]) / distances[:, -1]),
        "component": np.zeros(len(x)),
    }
    assert set(found) == set(jaxlle.metrics.DIAGNOSTICS)
    for kind, values in expected.items():
        np.testing.assert_allclose(found[kind], values, rtol=2e-3, atol=1e-6, err_msg=kind)


def test_a_graph_with_a_mask_counts_its_neighbors_only(pair):
    x, y = pair
    near = jaxlle.knn(x, 7)
    odd = np.arange(len(x)) % 2 == 1
    mask = np.ones((len(x), 7), bool)
    mask[odd, 4:] = False
    found = diagnostics(x, y, neighbors=near._replace(mask=mask))
    seven, four = diagnostics(x, y, neighbors=near), diagnostics(x, y, neighbors=near, k=4)
    for kind in ("dimension", "reconstruction", "cost"):
        np.testing.assert_allclose(found[kind], np.where(odd, four[kind], seven[kind]), rtol=1e-4, atol=1e-9)
    shared = [len(set(a) & set(b)) for a, b in zip(order(x)[0][:, :4], order(y)[0][:, :7], strict=True)]
    np.testing.assert_allclose(found["preservation"][odd], np.array(shared)[odd] / 4, rtol=1e-6)
    radii = np.where(odd, order(x)[1][:, 3], order(x)[1][:, 6])
    np.testing.assert_allclose(found["density"], np.log10(np.median(radii) / radii), atol=1e-5)


def test_an_embedding_of_the_largest_component_is_compared_with_its_own_rows():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    x[:10] += 1000
    options = jaxlle.EmbedOptions(disconnected="largest")
    out = jaxlle.lle(x, 2, k=5, options=options)
    assert out.points.shape == (30, 2)
    of_all, own = diagnostics(x, out, k=5), diagnostics(x[10:], out.points, k=5)
    given = diagnostics(x, out, neighbors=jaxlle.knn(x, 5))
    for kind, values in own.items():
        np.testing.assert_allclose(of_all[kind], values, rtol=2e-2, atol=1e-4, err_msg=kind)  # in other units
        np.testing.assert_allclose(given[kind], values, rtol=2e-2, atol=1e-4, err_msg=kind)
    whole = np.concatenate([np.asarray(out.points), np.zeros((10, 2), np.float32)])
    np.testing.assert_array_equal(diagnostics(x, whole, kinds=["component"], k=5)["component"], [1] * 10 + [0] * 30)


def test_a_point_and_its_copies_have_finite_diagnostics():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    x[:8] = x[0]
    found = diagnostics(x, x[:, :2], k=5)
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["density"][:8].max() == found["density"].max()


def test_what_cannot_be_computed_is_named(pair):
    x, y = pair
    with pytest.raises(ValueError, match="'slope' is not known: use one of 'dimension'"):
        diagnostics(x, y, kinds=["slope"])
    with pytest.raises(ValueError, match="x has 120 rows and y has 119"):
        diagnostics(x, y[1:])
    with pytest.raises(ValueError, match="has no distances"):
        diagnostics(x, y, kinds=["density"], neighbors=jaxlle.knn(x, 5)._replace(distances=None))
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 6"):
        diagnostics(x, y, k=6, neighbors=jaxlle.knn(x, 5))
    distances = jaxlle.neighbors.prepare_points(np.linalg.norm(x[:, None] - x, axis=2), metric="precomputed")
    assert diagnostics(distances, y, kinds=["density"], k=5)["density"].shape == (120,)
    sparse = scipy.sparse.csr_array(x)
    with pytest.raises(ValueError, match="need dense points, and x is sparse"):
        diagnostics(sparse, y)
    kinds = ["dimension", "preservation", "density", "component"]
    of_sparse, of_dense = (diagnostics(points, y, kinds=kinds, k=5) for points in (sparse, x))
    for kind in kinds:
        np.testing.assert_allclose(of_sparse[kind], of_dense[kind], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="precomputed distances"):
        diagnostics(distances, y, kinds=["cost"], k=5)
