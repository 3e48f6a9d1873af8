"""The grid of k and reg: each criterion compared with its formula, and the choice."""

import jax
import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist, pdist

import jaxlle


@pytest.fixture(scope="module")
def curve():
    return np.asarray(jaxlle.datasets.s_curve(jax.random.key(0), 200).points)


@pytest.fixture(scope="module")
def grid(curve):
    return jaxlle.choose(curve, 2, ks=[12, 7], regs=[1e-2, 1e-3])


def preservation(x, y, k):
    """Evaluate the formula of `metrics.preservation_error` point by point."""
    far_x, far_y = cdist(x, x), cdist(y, y)
    near, back = (
        np.argsort(far + np.diag(np.full(len(x), np.inf)), axis=1, kind="stable")[:, :k] for far in (far_x, far_y)
    )
    at = lambda far, ids: np.take_along_axis(far, ids, axis=1)  # noqa: E731
    scale = (at(far_x, near) * at(far_y, near)).sum() / (at(far_y, near) ** 2).sum()
    total = 0
    for i in range(len(x)):
        total += ((far_x[i, near[i]] - scale * far_y[i, near[i]]) ** 2).mean()
        new = np.setdiff1d(back[i], near[i])
        total += ((far_x[i, new] - scale * far_y[i, new]) ** 2).mean() if len(new) else 0
    return total / 2 / len(x) / (at(far_x, near) ** 2).mean()


def test_every_criterion_matches_its_formula_for_every_k_and_reg(curve, grid):
    assert grid.ks.tolist() == [7, 12]
    for i, k in enumerate(grid.ks):
        for j, reg in enumerate(grid.regs):
            y = np.asarray(jaxlle.lle(curve, 2, k=int(k), reg=float(reg)).points, np.float64)
            r = np.corrcoef(pdist(curve), pdist(y))[0, 1]
            np.testing.assert_allclose(grid.residual_variance[i, j], 1 - r**2, rtol=2e-2)
            near = np.asarray(jaxlle.knn(curve, int(k)).indices)
            padded = np.column_stack([y, np.zeros(200)])
            expected = np.mean([procrustes(curve[n], padded[n])[2] for n in near])
            np.testing.assert_allclose(grid.procrustes[i, j], expected, rtol=2e-2)
            np.testing.assert_allclose(grid.preservation[i, j], preservation(curve, y, int(k)), rtol=3e-2)


def test_the_best_setting_has_the_lowest_criterion_among_connected_graphs(grid):
    k, reg = grid.best("procrustes")
    i, j = np.argwhere(grid.procrustes == grid.procrustes.min())[0]
    assert (k, reg) == (grid.ks[i], grid.regs[j])
    apart = grid._replace(num_components=np.where(grid.procrustes == grid.procrustes.min(), 2, 1))
    assert apart.best("procrustes") != (k, reg)
    with pytest.raises(ValueError, match="No graph is connected"):
        grid._replace(num_components=0 * grid.num_components + 2).best()
    with pytest.raises(ValueError, match="criterion = 'gap' is not known"):
        grid.best("gap")


def test_the_grid_is_printed_with_a_line_per_pair_and_can_be_plotted(grid):
    lines = str(grid).splitlines()
    assert len(lines) == 5
    assert lines[1].split()[:2] == ["7", "0.001"]
    import matplotlib

    matplotlib.use("Agg")
    ax = jaxlle.plot.grid(grid, "procrustes")
    assert ax.get_xlabel() == "k"
    with pytest.raises(ValueError, match="criterion"):
        jaxlle.plot.grid(grid, "points")
    matplotlib.pyplot.close("all")


@pytest.mark.slow
def test_only_requested_criteria_are_computed_and_progress_is_reported(curve):
    seen = []
    common = {"ks": [7, 12], "progress": lambda *call: seen.append(call)}
    few = jaxlle.choose(curve, 2, criteria=["procrustes"], **common)
    assert seen == [(1, 2), (2, 2)]
    assert np.isnan(few.residual_variance).all()
    assert few.best()[0] in (7, 12)
    with pytest.raises(ValueError, match="preservation was not measured"):
        few.best("preservation")
    with pytest.raises(ValueError, match="criterion = 'speed' is not known"):
        jaxlle.choose(curve, 2, ks=[7], criteria=["speed"])
    with pytest.raises(ValueError, match="ks is empty"):
        jaxlle.choose(curve, 2, ks=[])


@pytest.mark.slow
def test_k_auto_is_the_best_k_of_the_default_grid(curve):
    ks = [6, 8, 10, 12, 16, 20, 24, 32]
    k, _ = jaxlle.choose(curve, 2, ks=ks, criteria=["procrustes"]).best()
    np.testing.assert_array_equal(jaxlle.lle(curve, 2, k="auto").points, jaxlle.lle(curve, 2, k=k).points)
    graph = jaxlle.knn(curve, 9)
    given = jaxlle.lle(curve, 2, k="auto", neighbors=graph)
    np.testing.assert_array_equal(given.points, jaxlle.lle(curve, 2, k=9, neighbors=graph).points)
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 'many' is not known"):
        jaxlle.lle(curve, 2, k="many")
    with pytest.raises(ValueError, match="metric = 'cosine'"):
        jaxlle.lle(curve, 2, k="auto", metric="cosine")
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda x: jaxlle.lle(x, 2, k="auto").points)(curve)


def test_invalid_arguments_of_choose_raise(curve):
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 200"):
        jaxlle.choose(curve, 2, ks=[200])
    with pytest.raises(ValueError, match="reg = 0"):
        jaxlle.choose(curve, 2, ks=[12], regs=[0.0])
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda x: jaxlle.choose(x, 2, ks=[5]).procrustes)(curve)
