"""`jaxlle choose`: the grid as text and figure."""

import jax
import matplotlib.figure
import matplotlib.image
from cli_helpers import assert_fails, run

import jaxlle
from jaxlle import datasets


def test_choose_prints_and_draws_the_grid_and_its_best_values(capsys, tmp_path):
    values = ("--dim", 1, "--seed", 4, "--ks", 12, 7, "--regs", 1e-2, 1e-3)
    command = ("choose", "s_curve", "--points", 200, *values, "--plot", tmp_path / "a.png")
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    key = jax.random.key(4)
    grid = jaxlle.choose(datasets.s_curve(key, 200).points, 1, ks=[7, 12], regs=[1e-3, 1e-2], key=key)
    k, reg = grid.best()
    assert out == f"{grid}\nbest by procrustes: --k {k} --reg {reg:.6g}\n"
    assert matplotlib.image.imread(tmp_path / "a.png").shape[0] > 500
    status, out, err = run(capsys, *command[:-2], "--criterion", "residual_variance")
    assert (status, err) == (0, "")
    k, reg = grid.best("residual_variance")
    assert (k, reg) != grid.best()
    assert out == f"{grid}\nbest by residual_variance: --k {k} --reg {reg:.6g}\n"
    assert "k (n_neighbors) = 200" in assert_fails(capsys, "choose", "s_curve", "--points", 200, "--ks", 200)
