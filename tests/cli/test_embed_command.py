"""`jaxlle embed`: reports, files and figures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from cli_helpers import ROLL, assert_fails, row, run, two_clusters

import jaxlle
from jaxlle import datasets
from jaxlle.cli._outputs import short_path


@pytest.mark.slow
def test_embed_prints_a_report_on_a_manifold(capsys):
    status, out, err = run(capsys, *ROLL)
    assert (status, err) == (0, "")
    assert row(out, "data") == "swiss_roll: 300 x 3, float32; computed in float32"
    assert row(out, "solver") in ("DenseQR", "SparseLU")
    assert row(out, "components") == "1"
    points = datasets.swiss_roll(jax.random.key(0), 300).points
    result = jaxlle.lle(points, 2, k=12)
    np.testing.assert_allclose(
        [float(s) for s in row(out, "singular values").split()], result.singular_values, rtol=5e-3
    )
    assert float(row(out, "gap").split()[0]) == pytest.approx(float(result.gap), rel=5e-3)
    trust = float(jaxlle.metrics.trustworthiness(points, result.points, k=12))
    assert row(out, "trustworthiness") == f"{trust:.4f} (k = 12)"
    stages = re.findall(r"(\w+) [0-9.]+ s", row(out, "time"))
    assert stages == ["load", "neighbors", "weights", "embedding", "quality", "total"]
    assert "label accuracy" not in out  # the parameters of a manifold are not classes


@pytest.mark.slow
def test_embed_reports_the_label_accuracy_of_digits(capsys, tmp_path):
    path = tmp_path / "a.npz"
    status, out, err = run(capsys, "embed", "digits", "--k", 10, "--dim", 3, "--out", path)
    assert (status, err) == (0, "")
    value = jaxlle.metrics.label_accuracy(np.load(path)["points"], datasets.digits().labels, k=10)
    assert row(out, "label accuracy") == f"{value:.4f} (10 nearest neighbors in 3 dimensions)"
    assert value > 0.7


def test_the_output_file_holds_the_result_of_lle_for_the_same_data_and_key(capsys, tmp_path):
    path = tmp_path / "result.npz"
    status, out, _ = run(capsys, *ROLL, "--seed", 3, "--reg", 0.01, "--solver", "sparse", "--out", path)
    assert status == 0
    assert row(out, "embedding file") == short_path(path)
    points = datasets.swiss_roll(jax.random.key(3), 300).points
    same = jaxlle.lle(
        points, 2, k=12, reg=0.01, solver=jaxlle.solvers.SparseLU(), options=jaxlle.EmbedOptions(key=jax.random.key(3))
    )
    with np.load(path) as saved:
        assert set(saved.files) == {
            "points", "singular_values", "residuals", "gap", "num_components", "converged", "rows", "labels"
        }  # fmt: skip
        for name in set(saved.files) - {"labels"}:
            np.testing.assert_allclose(saved[name], getattr(same, name), rtol=1e-5, atol=1e-7)
        assert saved["points"].shape == (300, 2)
        assert saved["points"].dtype == np.float32


def test_quiet_prints_nothing_but_writes_the_files(capsys, tmp_path):
    path = tmp_path / "a.NPZ"
    assert run(capsys, *ROLL, "--quiet", "--out", path) == (0, "", "")
    assert np.load(path)["points"].shape == (300, 2)
    assert os.listdir(tmp_path) == ["a.NPZ"]


@pytest.mark.parametrize("name", ["roll.png", "roll.PNG"])
def test_plot_writes_a_readable_figure(capsys, tmp_path, name):
    path = tmp_path / name
    status, out, err = run(capsys, *ROLL, "--plot", path)
    assert (status, err) == (0, "")
    assert row(out, "figure file") == short_path(path)
    image = matplotlib.image.imread(path, format="png")
    assert min(image.shape[:2]) > 500
    assert np.ptp(image[..., :3]) > 0.5
    assert os.listdir(tmp_path) == [name]


def test_output_files_have_the_default_permissions_of_new_files(capsys, tmp_path):
    (tmp_path / "own").write_text("")
    run(capsys, *ROLL, "--out", tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_mode == (tmp_path / "own").stat().st_mode


@pytest.mark.slow
def test_precision_float64_gives_float64_points(capsys, tmp_path):
    path = tmp_path / "a.npz"
    command = ("embed", "twin_peaks", "--points", 40, "--k", 5, "--precision", "float64", "--out", path)
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert row(out, "data") == "twin_peaks: 40 x 3, float64; computed in float64"
    wide = np.asarray(datasets.twin_peaks(jax.random.key(0), 40).points, np.float64)
    with jax.enable_x64(True):
        same = np.asarray(jaxlle.lle(wide, 2, k=5).points)
    saved = np.load(path)["points"]
    assert saved.dtype == np.float64
    np.testing.assert_allclose(saved, same, rtol=1e-6, atol=1e-10)


@pytest.mark.slow
def test_the_precision_follows_the_file_and_float32_is_accurate_at_a_large_offset(capsys, tmp_path):
    np.save(tmp_path / "x.npy", two_clusters(distance=0) + 1e8)
    points = {}
    for precision in ("data", "float32"):
        path = tmp_path / f"{precision}.npz"
        options = ("--precision", precision, "--k", 5, "--out", path)
        status, _, err = run(capsys, "embed", tmp_path / "x.npy", *options)
        assert (status, err) == (0, "")
        points[precision] = np.load(path)["points"]
    assert points["data"].dtype == np.float64
    assert points["float32"].dtype == np.float32
    with jax.enable_x64(True):
        angle = jaxlle.metrics.subspace_angle(points["data"], points["float32"].astype(np.float64))
    assert float(angle) < 1e-2


def test_labels_in_a_file_give_a_label_accuracy_and_a_figure(capsys, tmp_path):
    x = two_clusters(distance=0)
    sides = (x[:, 0] > 0).astype(np.float64)  # integers of a floating dtype are class labels
    np.savez(tmp_path / "a.npz", x=x, y=sides, word=np.array(list("ab") * 20))
    status, out, _ = run(capsys, "embed", tmp_path / "a.npz", "--k", 5, "--plot", tmp_path / "a.svg")
    assert status == 0
    with jax.enable_x64(True):
        value = jaxlle.metrics.label_accuracy(jaxlle.lle(x, 2, k=5).points, sides)
    assert row(out, "label accuracy").startswith(f"{value:.4f}")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    status, other, _ = run(capsys, "embed", tmp_path / "a.npz", "--k", 5, "--labels", "word")
    assert status == 0
    assert row(other, "label accuracy") != row(out, "label accuracy")


def test_a_csv_file_with_column_names_is_embedded(capsys, tmp_path):
    path = tmp_path / "[red] a.csv"  # must not be interpreted as markup by rich
    lines = [",".join(map(str, point)) + f",name {i}" for i, point in enumerate(two_clusters(distance=0))]
    path.write_text("a,b,c,who\n" + "\n".join(lines))
    command = ("embed", path, "--k", 5, "--labels", "who", "--plot", tmp_path / "a.png")
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert row(out, "data").startswith("[red] a: 40 x 3, float64")
    assert row(out, "label accuracy").startswith("0.0000")


@pytest.mark.slow
def test_precomputed_distances_are_embedded_without_a_trustworthiness(capsys, tmp_path):
    x = two_clusters(distance=0)
    np.save(tmp_path / "d.npy", np.linalg.norm(x[:, None] - x, axis=2))
    status, out, _ = run(capsys, "embed", tmp_path / "d.npy", "--metric", "precomputed", "--k", 5)
    assert status == 0
    assert "trustworthiness" not in out
    assert row(out, "components") == "1"


@pytest.mark.slow
def test_components_are_embedded_separately_and_drawn(capsys, tmp_path):
    np.save(tmp_path / "two.npy", two_clusters())
    files = ("--out", tmp_path / "a.npz", "--plot", tmp_path / "a.png")
    options = ("--components", "separate", "--k", 5, *files)
    status, out, err = run(capsys, "embed", tmp_path / "two.npy", *options)
    assert (status, err) == (0, "")
    assert row(out, "components") == "2, embedded separately; the rows below describe the largest, with 30 points"
    with np.load(tmp_path / "a.npz") as saved:
        np.testing.assert_array_equal(saved["component"], [0] * 30 + [1] * 10)
        np.testing.assert_array_equal(saved["rows"], [*range(10, 40), *range(10)])
        assert saved["points"].shape == (40, 2)
        assert saved["gap"].shape == saved["converged"].shape == (2,)
        with jax.enable_x64(True):
            components = jaxlle.embedding.embed_components(jaxlle.lle_alignment(two_clusters(), k=5), 2)
        np.testing.assert_allclose(saved["points"], np.concatenate([c.points for c in components]), atol=1e-8)
    assert matplotlib.image.imread(tmp_path / "a.png").ndim == 3


def test_a_connected_graph_has_one_component_to_embed_separately(capsys, tmp_path):
    assert run(capsys, *ROLL, "--components", "separate", "--out", tmp_path / "a.npz")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["component"], np.zeros(300))


def test_a_disconnected_graph_gives_a_warning_or_an_error_or_its_largest_component(capsys, tmp_path):
    np.save(tmp_path / "two.npy", two_clusters())
    command = ("embed", tmp_path / "two.npy", "--k", 5, "--out", tmp_path / "a.npz", "--components")
    assert "has 2 components of 30, 10 points" in assert_fails(capsys, *command, "error")
    assert os.listdir(tmp_path) == ["two.npy"]
    status, out, err = run(capsys, *command, "warn")
    assert status == 0
    assert all(line.startswith("jaxlle: warning: ") for line in err.splitlines())
    assert "has 2 components of 30, 10 points" in err
    assert row(out, "components") == "2"
    status, out, err = run(capsys, *command, "largest")
    assert (status, err) == (0, "")
    assert row(out, "components") == "only the largest is embedded: 30 of 40 points"
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["rows"], range(10, 40))


def test_two_points_can_be_embedded(capsys):
    status, out, _ = run(capsys, "embed", "helix", "--points", 2, "--k", 1, "--dim", 1)
    assert status == 0
    assert "trustworthiness" not in out  # not defined for two points


@pytest.mark.slow
def test_mnist_is_embedded_and_drawn_from_the_command_line(tmp_path):
    path = tmp_path / "out.png"
    command = [sys.executable, "-m", "jaxlle", "embed", "mnist", "--plot", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, cwd=Path(jaxlle.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert abs(float(row(done.stdout, "label accuracy").split()[0]) - 0.69) < 0.02
    assert matplotlib.image.imread(path).shape[0] > 500
