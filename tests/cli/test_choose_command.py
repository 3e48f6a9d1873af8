"""`jaxlle choose`: the grid as text and figure."""

import jax
import matplotlib.figure
import matplotlib.image
import numpy as np
from cli_helpers import assert_fails, run

import jaxlle
from jaxlle import datasets
from jaxlle.choosing import edges_of_grid


def test_choose_prints_and_draws_the_grid_and_its_best_values(capsys, tmp_path):
    values = ("--dim", 1, "--seed", 4, "--ks", 12, 7, "--regs", 1e-2, 1e-3)
    command = ("choose", "s_curve", "--points", 200, *values, "--plot", tmp_path / "a.png")
    status, out, err = run(capsys, *command)
    assert status == 0
    key = jax.random.key(4)
    grid = jaxlle.choose(datasets.s_curve(key, 200).points, 1, ks=[7, 12], regs=[1e-3, 1e-2], key=key)
    k, reg = grid.best()
    assert out == f"{grid}\nbest by procrustes: --k {k} --reg {reg:.6g}\n"
    expected = [("k", k, "larger" if k == 12 else "smaller"), ("reg", reg, "larger" if reg == 1e-2 else "smaller")]
    assert edges_of_grid(grid, "procrustes") == expected
    assert err.splitlines() == [
        f"jaxlle: warning: the best {name} = {value:g} is at the end of the grid: add {direction} values to --{name}s."
        for name, value, direction in expected
    ]
    assert matplotlib.image.imread(tmp_path / "a.png").shape[0] > 500
    status, out, err = run(capsys, *command[:-2], "--criterion", "residual_variance")
    assert status == 0
    k, reg = grid.best("residual_variance")
    assert (k, reg) != grid.best()
    assert out == f"{grid}\nbest by residual_variance: --k {k} --reg {reg:.6g}\n"
    assert "--k = 200" in assert_fails(capsys, "choose", "s_curve", "--points", 200, "--ks", 200)


def test_an_end_of_the_grid_is_one_beyond_which_there_may_be_better_values():
    values = np.array([[0.9], [0.3], [0.2], [0.4]])
    grid = jaxlle.choosing.Grid(
        ks=np.array([4, 8, 12, 16]),
        regs=np.array([1e-3]),
        num_components=np.array([[2], [1], [1], [1]]),
        gap=values,
        residual_variance=values[::-1],
        procrustes=values,
        preservation=np.array([[0.1], [0.2], [0.3], [0.4]]),
    )
    assert edges_of_grid(grid, "procrustes") == []
    assert edges_of_grid(grid, "preservation") == []  # smaller k have disconnected graphs
    assert edges_of_grid(grid._replace(procrustes=-grid.preservation), "procrustes") == [("k", 16, "larger")]
    assert edges_of_grid(grid._replace(num_components=np.ones((4, 1))), "preservation") == [("k", 4, "smaller")]
