"""The command line: reports, files, and failures that say one line and leave nothing behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import matplotlib
import numpy as np
import pytest

import jaxlle
from jaxlle import cli, datasets, plot

matplotlib.use("Agg")

import matplotlib.figure
import matplotlib.image


def run(capsys, *arguments):
    """Exit status, standard output and standard error of a command."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse's way
        status = stop.code
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def refused(capsys, *arguments, status=1):
    """The one line on standard error of a command that fails."""
    code, out, err = run(capsys, *arguments)
    assert code == status
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("jaxlle")
    return err


def row(out, name):
    """The value of a line of the report."""
    (line,) = (line for line in out.splitlines() if line.startswith(name))
    return line[len(name) :].strip()


def clusters(n=40, apart=1000.0):
    """Two clusters so far apart that no neighbourhood holds points of both, the first larger."""
    x = np.random.default_rng(0).normal(size=(n, 3))
    x[: n // 4] += apart
    return x


ROLL = ("embed", "swiss_roll", "--points", 300)


def test_embed_reports_on_a_manifold(capsys):
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
    assert stages == ["load", "neighbours", "weights", "embedding", "quality", "all"]
    assert "label accuracy" not in out  # the parameters of a manifold are no classes


def test_embed_reports_the_label_accuracy_of_digits(capsys, tmp_path):
    path = tmp_path / "a.npz"
    status, out, err = run(capsys, "embed", "digits", "--k", 10, "--dim", 3, "--out", path)
    assert (status, err) == (0, "")
    value = jaxlle.metrics.label_accuracy(np.load(path)["points"], datasets.digits().labels, k=10)
    assert row(out, "label accuracy") == f"{value:.4f} (10 nearest neighbours in 3 dimensions)"
    assert value > 0.7


@pytest.mark.parametrize("method", ["modified", "hessian", "ltsa"])
def test_out_holds_what_every_method_gives(capsys, tmp_path, method):
    path = tmp_path / "result.npz"
    status, out, _ = run(capsys, *ROLL, "--method", method, "--out", path, "--plot", tmp_path / "a.png")
    assert status == 0
    assert row(out, "method") == method
    points = datasets.swiss_roll(jax.random.key(0), 300).points
    pipeline = {"modified": jaxlle.modified_lle, "hessian": jaxlle.hessian_lle, "ltsa": jaxlle.ltsa}[method]
    np.testing.assert_array_equal(np.load(path)["points"], pipeline(points, 2, k=12).points)


def test_out_holds_what_lle_gives_for_the_same_data_and_key(capsys, tmp_path):
    path = tmp_path / "result.npz"
    status, out, _ = run(capsys, *ROLL, "--seed", 3, "--reg", 0.01, "--solver", "sparse", "--out", path)
    assert status == 0
    assert row(out, "embedding in") == str(path)
    points = datasets.swiss_roll(jax.random.key(3), 300).points
    same = jaxlle.lle(points, 2, k=12, reg=0.01, solver=jaxlle.solvers.SparseLU(), key=jax.random.key(3))
    with np.load(path) as saved:
        assert set(saved.files) == {
            "points", "singular_values", "residuals", "gap", "num_components", "converged", "rows"
        }  # fmt: skip
        for name in saved.files:
            np.testing.assert_allclose(saved[name], getattr(same, name), rtol=1e-5, atol=1e-7)
        assert saved["points"].shape == (300, 2)
        assert saved["points"].dtype == np.float32


def test_quiet_prints_nothing_and_writes_all_the_same(capsys, tmp_path):
    path = tmp_path / "a.NPZ"
    assert run(capsys, *ROLL, "--quiet", "--out", path) == (0, "", "")
    assert np.load(path)["points"].shape == (300, 2)
    assert os.listdir(tmp_path) == ["a.NPZ"]


@pytest.mark.parametrize("name", ["roll.png", "roll.PNG"])
def test_plot_writes_a_picture_that_can_be_read(capsys, tmp_path, name):
    path = tmp_path / name
    status, out, err = run(capsys, *ROLL, "--plot", path)
    assert (status, err) == (0, "")
    assert row(out, "picture in") == str(path)
    picture = matplotlib.image.imread(path, format="png")
    assert min(picture.shape[:2]) > 500
    assert np.ptp(picture[..., :3]) > 0.5
    assert os.listdir(tmp_path) == [name]


def test_files_have_the_permissions_of_files_that_the_user_makes(capsys, tmp_path):
    (tmp_path / "own").write_text("")
    run(capsys, *ROLL, "--out", tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_mode == (tmp_path / "own").stat().st_mode


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


def test_files_decide_the_precision_and_float32_is_right_at_an_offset(capsys, tmp_path):
    np.save(tmp_path / "x.npy", clusters(apart=0) + 1e8)
    points = {}
    for precision in ("data", "float32"):
        path = tmp_path / f"{precision}.npz"
        asked = ("--precision", precision, "--k", 5, "--out", path)
        status, _, err = run(capsys, "embed", tmp_path / "x.npy", *asked)
        assert (status, err) == (0, "")
        points[precision] = np.load(path)["points"]
    assert points["data"].dtype == np.float64
    assert points["float32"].dtype == np.float32
    with jax.enable_x64(True):
        turned = jaxlle.metrics.subspace_angle(points["data"], points["float32"].astype(np.float64))
    assert float(turned) < 1e-2


def test_a_file_with_labels_gives_their_accuracy_and_a_picture(capsys, tmp_path):
    x = clusters(apart=0)
    sides = (x[:, 0] > 0).astype(np.float64)  # whole numbers, whatever their dtype
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


def test_a_csv_file_with_names_is_embedded(capsys, tmp_path):
    path = tmp_path / "[red] a.csv"  # not markup
    lines = [",".join(map(str, point)) + f",name {i}" for i, point in enumerate(clusters(apart=0))]
    path.write_text("a,b,c,who\n" + "\n".join(lines))
    command = ("embed", path, "--k", 5, "--labels", "who", "--plot", tmp_path / "a.png")
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert row(out, "data").startswith("[red] a: 40 x 3, float64")
    assert row(out, "label accuracy").startswith("0.0000")


def test_precomputed_distances_are_embedded_and_have_no_trustworthiness(capsys, tmp_path):
    x = clusters(apart=0)
    np.save(tmp_path / "d.npy", np.linalg.norm(x[:, None] - x, axis=2))
    status, out, _ = run(capsys, "embed", tmp_path / "d.npy", "--metric", "precomputed", "--k", 5)
    assert status == 0
    assert "trustworthiness" not in out
    assert row(out, "components") == "1"


def test_separate_components_are_embedded_one_by_one_and_drawn(capsys, tmp_path):
    np.save(tmp_path / "two.npy", clusters())
    files = ("--out", tmp_path / "a.npz", "--plot", tmp_path / "a.png")
    asked = ("--components", "separate", "--k", 5, *files)
    status, out, err = run(capsys, "embed", tmp_path / "two.npy", *asked)
    assert (status, err) == (0, "")
    assert row(out, "components") == "2, embedded one by one; below, the largest, of 30 points"
    with np.load(tmp_path / "a.npz") as saved:
        np.testing.assert_array_equal(saved["part"], [0] * 30 + [1] * 10)
        np.testing.assert_array_equal(saved["rows"], [*range(10, 40), *range(10)])
        assert saved["points"].shape == (40, 2)
        assert saved["gap"].shape == saved["converged"].shape == (2,)
        with jax.enable_x64(True):
            parts = jaxlle.embedding.embed_components(jaxlle.lle_alignment(clusters(), k=5), 2)
        np.testing.assert_allclose(saved["points"], np.concatenate([p.points for p in parts]), atol=1e-8)
    assert matplotlib.image.imread(tmp_path / "a.png").ndim == 3


def test_separate_components_of_a_connected_graph_are_one_part(capsys, tmp_path):
    assert run(capsys, *ROLL, "--components", "separate", "--out", tmp_path / "a.npz")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["part"], np.zeros(300))


def test_a_graph_that_falls_apart_is_warned_of_refused_or_cut(capsys, tmp_path):
    np.save(tmp_path / "two.npy", clusters())
    command = ("embed", tmp_path / "two.npy", "--k", 5, "--out", tmp_path / "a.npz", "--components")
    assert "falls into 2 components of 30, 10 points" in refused(capsys, *command, "error")
    assert os.listdir(tmp_path) == ["two.npy"]
    status, out, err = run(capsys, *command, "warn")
    assert status == 0
    assert all(line.startswith("jaxlle: warning: ") for line in err.splitlines())
    assert "falls into 2 components of 30, 10 points" in err
    assert row(out, "components") == "2"
    status, out, err = run(capsys, *command, "largest")
    assert (status, err) == (0, "")
    assert row(out, "components") == "the largest alone is embedded: 30 of 40 points"
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["rows"], range(10, 40))


def test_two_points_are_enough(capsys):
    status, out, _ = run(capsys, "embed", "helix", "--points", 2, "--k", 1, "--dim", 1)
    assert status == 0
    assert "trustworthiness" not in out  # not defined for so few


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "COMMAND"),
        (("embed",), 2, "data"),
        (("draw", "digits"), 2, "invalid choice: 'draw'"),
        (("embed", "digits", "--k", "many"), 2, "invalid int value: 'many'"),
        (("embed", "digits", "--k", "2.5"), 2, "invalid int value: '2.5'"),
        (("embed", "digits", "--method", "cubist"), 2, "invalid choice: 'cubist'"),
        (("embed", "digits", "--solver", "magic"), 2, "invalid choice: 'magic'"),
        (("embed", "digits", "--components", "all"), 2, "invalid choice: 'all'"),
        (("embed", "digits", "--precision", "half"), 2, "invalid choice: 'half'"),
        (("embed", "digitz"), 1, "'digitz' is neither a built-in data set (digits, mnist, swiss_roll"),
        (("embed", "missing.npy"), 1, "no file missing.npy"),
        (("embed", "."), 1, "no file ."),
        (("embed", "digits", "--k", 1797), 1, "k (n_neighbors) = 1797 is not allowed"),
        (("embed", "digits", "--k", 0), 1, "k (n_neighbors) = 0 is not allowed"),
        (("embed", "digits", "--dim", 0), 1, "dim (n_components) = 0 is not allowed"),
        (("embed", "digits", "--dim", 65), 1, "dim (n_components) = 65"),
        (("embed", "digits", "--metric", "hamming"), 1, "metric = 'hamming' is not known"),
        (("embed", "digits", "--metric", "precomputed"), 1, "square matrix"),
        (("embed", "digits", "--reg", "nan"), 1, "reg = nan is not allowed"),
        (("embed", "digits", "--points", 100), 1, "--points is the size of a built-in manifold"),
        (("embed", "digits", "--labels", "y"), 1, "--labels names an array or a column of a file"),
        (("embed", "helix", "--points", 0), 1, "--points = 0 is not allowed"),
        (("embed", "helix", "--points", 10**20), 1, "--points = 1" + 20 * "0" + " is not allowed"),
        (("embed", "helix", "--points", 1), 1, "1 sample(s)"),
        (("embed", "helix", "--seed", 10**30), 1, "too large"),
    ],
)
def test_wrong_arguments_fail_with_one_line_and_write_nothing(
    capsys, tmp_path, monkeypatch, arguments, status, message
):
    monkeypatch.chdir(tmp_path)
    written = ("--out", "a.npz", "--plot", "a.png") if arguments[:1] == ("embed",) else ()
    assert message in refused(capsys, *arguments, *written, status=status)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan.npy", "contains NaN or infinity"),
        ("text.csv", "text.csv is not a table of numbers"),
        ("cut.npz", "cut.npz cannot be read"),
        ("pickle.npy", "pickle.npy holds pickled objects"),
        ("notes.txt", "not a .npy, .npz or .csv file"),
        ("flat.npy", "holds points of shape (5,)"),
        ("short.npz", "holds 4 labels, but there must be one for each of 30 points"),
        ("equal.npy", "All 30 points of x are equal"),
        ("complex.npy", "Complex data not supported"),
        ("words.npy", "not numeric"),
    ],
)
def test_wrong_files_fail_with_one_line_and_write_nothing(capsys, tmp_path, name, message):
    x = clusters(30, 0)
    np.save(tmp_path / "nan.npy", np.where(x > 2, np.nan, x))
    (tmp_path / "text.csv").write_text("a,b\n1,2\n3,four\n")
    np.savez(tmp_path / "cut.npz", x=x)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:300])
    np.save(tmp_path / "pickle.npy", x.astype(object), allow_pickle=True)
    (tmp_path / "notes.txt").write_text("1,2\n")
    np.save(tmp_path / "flat.npy", np.arange(5.0))
    np.savez(tmp_path / "short.npz", x=x, y=np.arange(4))
    np.save(tmp_path / "equal.npy", np.ones_like(x))
    np.save(tmp_path / "complex.npy", x + 1j)
    np.save(tmp_path / "words.npy", x.astype(str))
    before = sorted(os.listdir(tmp_path))
    for precision in ("data", "float64"):
        written = ("--out", tmp_path / "a.npz", "--plot", tmp_path / "a.png")
        asked = ("--k", 5, "--precision", precision, *written)
        assert message in refused(capsys, "embed", tmp_path / name, *asked)
        assert sorted(os.listdir(tmp_path)) == before


def untouched(*_, **__):
    raise AssertionError("the work was begun, though its result cannot be written")


@pytest.mark.parametrize(
    ("option", "path", "message"),
    [
        ("--out", "a.npy", "must end in .npz"),
        ("--out", "a", "must end in .npz"),
        ("--plot", "a.jpeg", "must end in .png or .pdf or .svg"),
        ("--out", "missing/a.npz", "the folder missing does not exist"),
        ("--plot", "missing/a.png", "the folder missing does not exist"),
        ("--out", "folder.npz", "there is a folder of this name"),
        ("--out", "data.npz/a.npz", "the folder data.npz does not exist"),
        ("--out", "data.npz", "this would replace the data"),
        ("--out", "folder.npz/../data.npz", "this would replace the data"),
    ],
)
def test_results_that_cannot_be_written_are_refused_before_the_work(
    capsys, tmp_path, monkeypatch, option, path, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli._embed, "load", untouched)
    np.savez("data.npz", x=clusters())
    (tmp_path / "folder.npz").mkdir()
    before = (tmp_path / "data.npz").read_bytes()
    assert message in refused(capsys, "embed", "data.npz", option, path)
    assert sorted(os.listdir(tmp_path)) == ["data.npz", "folder.npz"]
    assert (tmp_path / "data.npz").read_bytes() == before


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cli._embed, "load", untouched)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # permissions do not bind root
    assert "cannot be written to" in refused(capsys, "embed", "digits", "--out", tmp_path / "a.npz")


def failing(error):
    """A function that writes half of the file it is given, if any, and fails."""

    def fail(*arguments, **_):
        for file in arguments:
            if isinstance(file, Path):
                file.write_bytes(b"half")
            elif hasattr(file, "write"):
                file.write(b"half")
        raise error

    return fail


FAILURES = [
    (OSError(28, "No space left on device"), 1, "No space left on device"),
    (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
    (MemoryError(), 1, "MemoryError"),
]


@pytest.mark.parametrize(("error", "status", "message"), FAILURES)
@pytest.mark.parametrize(
    "place", [(np, "savez"), (plot, "embedding"), (matplotlib.figure.Figure, "savefig")], ids=lambda p: p[1]
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_while_writing_leaves_no_part_and_old_files_as_they_were(
    capsys, tmp_path, monkeypatch, error, status, message, place, exists
):
    monkeypatch.setattr(*place, failing(error))
    files = tmp_path / "a.npz", tmp_path / "a.png"
    if exists:
        for path in files:
            path.write_bytes(b"old")
    before = sorted(os.listdir(tmp_path))
    command = (*ROLL, "--out", files[0], "--plot", files[1])
    assert message in refused(capsys, *command, status=status)
    assert sorted(os.listdir(tmp_path)) == before
    assert [path.read_bytes() for path in files if path.exists()] == [b"old"] * (2 * exists)


def test_old_files_are_replaced_whole_on_success(capsys, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    assert run(capsys, *ROLL, "--out", path)[0] == 0
    assert np.load(path)["points"].shape == (300, 2)
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("place", ["load", "compute", "quality"])
def test_an_interruption_of_any_stage_is_130_and_one_line(capsys, tmp_path, monkeypatch, place):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli._embed, place, interrupt)
    command = (*ROLL, "--out", tmp_path / "a.npz")
    assert "interrupted" in refused(capsys, *command, status=130)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9.31GiB.\n  with more lines",
        "INTERNAL: Error dispatching computation: Out of memory allocating 8000000000000 bytes.",
    ],
)
def test_out_of_memory_is_one_line_that_says_what_to_try(capsys, tmp_path, monkeypatch, text):
    def exhaust(*_, **__):
        raise jax.errors.JaxRuntimeError(text)

    monkeypatch.setattr("jaxlle.variants.standard.lle_alignment", exhaust)
    line = refused(capsys, *ROLL, "--out", tmp_path / "a.npz")
    assert "memory" in line
    assert "--solver sparse" in line
    assert os.listdir(tmp_path) == []


def test_other_errors_of_jax_are_not_hidden(monkeypatch):
    def fail(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr("jaxlle.variants.standard.lle_alignment", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        cli.main([*map(str, ROLL), "--quiet"])


@pytest.mark.parametrize(("module", "option"), [("rich", ()), ("matplotlib", ("--plot", "a.png"))])
def test_a_package_that_is_missing_is_named_with_what_to_install(capsys, tmp_path, monkeypatch, module, option):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == module else True)
    assert f"{module} is not installed: pip install 'jaxlle[" in refused(capsys, "embed", "helix", *option)


def test_choose_prints_the_grid_and_its_best_and_draws_it(capsys, tmp_path):
    command = ("choose", "s_curve", "--points", 200, "--ks", 12, 7, "--regs", 1e-2, 1e-3, "--plot", tmp_path / "a.png")
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    grid = jaxlle.choose(datasets.s_curve(jax.random.key(0), 200).points, 2, ks=[7, 12], regs=[1e-3, 1e-2])
    k, reg = grid.best()
    assert out == f"{grid}\nbest by procrustes: --k {k} --reg {reg:.6g}\n"
    assert matplotlib.image.imread(tmp_path / "a.png").shape[0] > 500
    assert "k (n_neighbors) = 200" in refused(capsys, "choose", "s_curve", "--points", 200, "--ks", 200)


def classes(path):
    """Points of five features in three classes, written as a file; points and labels."""
    x = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    labels = np.digitize(x[:, 0], [-0.4, 0.4])
    np.savez(path, x=x, y=labels)
    return x, labels


MORE = {
    "npe": lambda x, labels: jaxlle.variants.npe(x, 2, k=8).transform(x),
    "supervised": lambda x, labels: (
        jaxlle.variants.supervised_lle(x, labels, 2, k=8, rule=jaxlle.variants.Shift(0.1)).points
    ),
    "lltsa": lambda x, labels: jaxlle.variants.lltsa(x, 2, k=8).transform(x),
    "onpp": lambda x, labels: jaxlle.variants.onpp(x, 2, k=8).transform(x),
    "discriminant": lambda x, labels: jaxlle.variants.discriminant_projection(
        jaxlle.lle_alignment(x, k=8), x, labels, 2
    ).transform(x),
    "landmark": lambda x, labels: jaxlle.variants.landmark_lle(x, 2, k=8).embedding.points,
    "robust": lambda x, labels: jaxlle.variants.robust_lle(x, 2, k=8).points,
}
SLOW = ("lltsa", "onpp", "discriminant", "landmark", "robust")


@pytest.mark.parametrize("method", [pytest.param(m, marks=pytest.mark.slow) if m in SLOW else m for m in MORE])
def test_every_other_method_is_its_function_on_the_file(capsys, tmp_path, method):
    x, labels = classes(tmp_path / "x.npz")
    command = ("embed", tmp_path / "x.npz", "--method", method, "--k", 8, "--alpha", 0.1, "--out", tmp_path / "a.npz")
    status, out, _ = run(capsys, *command)
    assert status == 0
    expected = MORE[method](x, labels)
    with np.load(tmp_path / "a.npz") as saved:
        np.testing.assert_allclose(saved["points"], expected, rtol=1e-3, atol=1e-4)
        linear = "map_matrix" in saved.files
        if linear:  # enough to map new points
            y = (x - saved["map_center"]) / saved["map_unit"] @ saved["map_matrix"] + saved["map_offset"]
            np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
            b = np.asarray(
                jaxlle.ltsa_alignment(x, 2, k=8).to_dense()
                if method == "lltsa"
                else jaxlle.lle_alignment(x, k=8).to_dense()
            )
            unit = y - y.mean(axis=0)
            cost = np.linalg.norm(b @ (unit / np.linalg.norm(unit, axis=0)), axis=0)
            np.testing.assert_allclose(saved["singular_values"], cost, rtol=1e-3)
    assert linear == (method in ("npe", "lltsa", "onpp", "discriminant"))
    assert ("which saw the labels" in row(out, "label accuracy")) == (method in ("supervised", "discriminant"))
    assert ("\ngap" in out) != linear


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("swiss_roll", "--method", "supervised"), "needs a class for every point"),
        (("digits", "--method", "npe", "--metric", "cosine"), "--metric cosine is not for it"),
        (("digits", "--method", "landmark", "--components", "separate"), "does not embed parts one by one"),
        (("digits", "--k", "auto", "--metric", "cosine"), "--k auto compares Euclidean neighbourhoods"),
    ],
)
def test_methods_name_what_they_cannot_do(capsys, tmp_path, arguments, message):
    assert message in refused(capsys, "embed", *arguments, "--out", tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []


def test_k_auto_is_chosen_and_told(capsys, tmp_path):
    command = ("embed", "s_curve", "--points", 60, "--k", "auto", "--out", tmp_path / "a.npz")
    status, out, _ = run(capsys, *command)
    assert status == 0
    points = datasets.s_curve(jax.random.key(0), 60).points
    grid = jaxlle.choose(points, 2, ks=[6, 8, 10, 12, 16, 20, 24, 32], criteria=["procrustes"])
    assert row(out, "k").startswith(f"{grid.best()[0]}, of least Procrustes statistic")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["points"], jaxlle.lle(points, 2, k=grid.best()[0]).points)


def test_report_prints_and_writes_the_diagnosis_and_draws_it(capsys, tmp_path):
    text, picture = tmp_path / "a.txt", tmp_path / "a.png"
    status, out, err = run(capsys, "report", "s_curve", "--points", 200, "--k", 10, "--out", text, "--plot", picture)
    assert (status, err) == (0, "")
    x = datasets.s_curve(jax.random.key(0), 200).points
    neighbors = jaxlle.knn(x, 10)
    alignment = jaxlle.lle_alignment(x, k=10, neighbors=neighbors)
    made = jaxlle.embed(alignment, 2)
    facts = jaxlle.diagnose(alignment, made, x=x, neighbors=neighbors)
    for name, value in facts.rows():
        assert row(out, name) == value
    assert row(out, "continuity").startswith(f"{float(jaxlle.metrics.continuity(x, made.points, k=10)):.4f}")
    assert row(out, "local shape").startswith(f"{float(jaxlle.metrics.local_procrustes(x, made.points, k=10)):.4f}")
    assert f"{float(jaxlle.dimension.two_nn(x).value):.2f} by two nearest" in row(out, "dimension")
    written = text.read_text()
    assert out.startswith(written)
    assert "trustworthiness" in written
    assert matplotlib.image.imread(picture).shape[0] > 500


def test_report_refuses_before_the_work_and_leaves_nothing_half_done(capsys, tmp_path, monkeypatch):
    assert "must end in .txt" in refused(capsys, "report", "helix", "--out", tmp_path / "a.npz")
    assert "invalid choice: 'robust'" in refused(capsys, "report", "helix", "--method", "robust", status=2)
    np.save(tmp_path / "nan.npy", np.full((30, 3), np.nan))
    assert "contains NaN" in refused(capsys, "report", tmp_path / "nan.npy", "--out", tmp_path / "a.txt")
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", failing(OSError(28, "No space left on device")))
    command = ("report", "helix", "--points", 40, "--k", 5, "--dim", 1, "--out", tmp_path / "a.txt")
    assert "No space left" in refused(capsys, *command, "--plot", tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["nan.npy"]


def test_help_says_what_there_is(capsys):
    for arguments, words in [
        (["--help"], ["embed", "report", "choose", "doctor"]),
        (["embed", "--help"], ["--dim", "--k", "--out", "--plot", "--components", "--precision"]),
    ]:
        status, out, err = run(capsys, *arguments)
        assert (status, err) == (0, "")
        assert all(word in out for word in words)


def test_doctor_lists_versions_devices_and_precision():
    command = [sys.executable, "-m", "jaxlle", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(jaxlle.__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"jaxlle {jaxlle.__version__}, Python {sys.version.split()[0]}")
    assert f"\njax {jax.__version__}\n" in done.stdout
    assert all(
        f"\n{name} " in done.stdout for name in ("orbax-checkpoint", "tensorboardX", "pynndescent", "flatbuffers")
    )
    assert done.stdout.count("\ndevice: ") == jax.device_count()
    assert f"device: {jax.devices()[0].platform} 0" in done.stdout
    assert "\nfloat64: off" in done.stdout
    assert "\ncompilation cache: " in done.stdout


def test_doctor_says_that_float64_is_on(capsys, x64):
    assert "\nfloat64: on" in run(capsys, "doctor")[1]


def test_doctor_names_what_is_missing_and_fails_if_it_is_needed(capsys, monkeypatch):
    from importlib import metadata

    def version(name, missing):
        if name == missing:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    for missing, status in (("matplotlib", 0), ("scipy", 1)):
        monkeypatch.setattr(metadata, "version", lambda name, missing=missing: version(name, missing))
        code, out, _ = run(capsys, "doctor")
        assert code == status
        assert f"\n{missing} is not installed" in out


def test_doctor_survives_a_backend_that_does_not_start(capsys, monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'cuda':\n no driver")

    monkeypatch.setattr(jax, "devices", devices)
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "\ndevice: none, Unable to initialize backend 'cuda': no driver\n" in out


@pytest.mark.slow
def test_mnist_from_the_command_line_to_its_picture(tmp_path):
    path = tmp_path / "out.png"
    command = [sys.executable, "-m", "jaxlle", "embed", "mnist", "--plot", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, cwd=Path(jaxlle.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert abs(float(row(done.stdout, "label accuracy").split()[0]) - 0.69) < 0.02
    assert matplotlib.image.imread(path).shape[0] > 500
