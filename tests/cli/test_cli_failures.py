"""Failures of the commands: one line on standard error, an exit status, and no partial files."""

import os

import jax
import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from cli_helpers import ROLL, assert_fails, run, two_clusters, write_half_and_raise

from jaxlle import cli, plot


@pytest.mark.slow_cases("arguments22-1-1 sample(s)")
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
        (("embed", "digits", "--k", 1797), 1, "--k = 1797 is not allowed"),
        (("embed", "digits", "--k", 0), 1, "--k = 0 is not allowed"),
        (("embed", "digits", "--dim", 0), 1, "--dim = 0 is not allowed"),
        (("embed", "digits", "--dim", 65), 1, "--dim = 65"),
        (("embed", "digits", "--metric", "hamming"), 1, "metric = 'hamming' is not known"),
        (("embed", "digits", "--metric", "precomputed"), 1, "square matrix"),
        (("embed", "digits", "--reg", "nan"), 1, "reg = nan is not allowed"),
        (("embed", "digits", "--points", 100), 1, "--points is the size of a generated manifold"),
        (("embed", "digits", "--labels", "y"), 1, "--labels names an array or a column of a file"),
        (("embed", "helix", "--points", 0), 1, "--points = 0 is not allowed"),
        (("embed", "helix", "--points", 10**20), 1, "--points = 1" + 20 * "0" + " is not allowed"),
        (("embed", "helix", "--points", 1), 1, "1 sample(s)"),
        (("embed", "helix", "--seed", 10**30), 1, "too large"),
    ],
)
def test_invalid_arguments_fail_with_one_line_and_write_nothing(
    capsys, tmp_path, monkeypatch, arguments, status, message
):
    monkeypatch.chdir(tmp_path)
    written = ("--out", "a.npz", "--plot", "a.png") if arguments[:1] == ("embed",) else ()
    assert message in assert_fails(capsys, *arguments, *written, status=status)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan.npy", "contains NaN or missing cells in"),
        ("text.csv", "text.csv is not a table of numbers"),
        ("cut.npz", "cut.npz cannot be read"),
        ("pickle.npy", "pickle.npy holds pickled objects"),
        ("notes.txt", "not a .npy, .npz, .csv, .tsv, .parquet or"),
        ("flat.npy", "holds points of shape (5,)"),
        ("short.npz", "holds 4 labels, but there must be one for each of 30 points"),
        ("equal.npy", "All 30 points of x are equal"),
        ("complex.npy", "Complex data not supported"),
        ("words.npy", "not numeric"),
    ],
)
def test_invalid_files_fail_with_one_line_and_write_nothing(capsys, tmp_path, name, message):
    x = two_clusters(30, 0)
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
        options = ("--k", 5, "--precision", precision, *written)
        assert message in assert_fails(capsys, "embed", tmp_path / name, *options)
        assert sorted(os.listdir(tmp_path)) == before


def fail_if_called(*_, **__):
    raise AssertionError("the computation was started, but its result cannot be written")


@pytest.mark.parametrize(
    ("option", "path", "message"),
    [
        ("--out", "a.npy", "must end in .npz"),
        ("--out", "a", "must end in .npz"),
        ("--plot", "a.jpeg", "must end in .png or .pdf or .svg"),
        ("--out", "missing/a.npz", "the folder missing does not exist"),
        ("--plot", "missing/a.png", "the folder missing does not exist"),
        ("--out", "folder.npz", "this is a folder"),
        ("--out", "data.npz/a.npz", "the folder data.npz does not exist"),
        ("--out", "data.npz", "this would replace the data"),
        ("--out", "folder.npz/../data.npz", "this would replace the data"),
    ],
)
def test_output_paths_that_cannot_be_written_fail_before_the_computation(
    capsys, tmp_path, monkeypatch, option, path, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli._pipeline, "load_data", fail_if_called)
    np.savez("data.npz", x=two_clusters())
    (tmp_path / "folder.npz").mkdir()
    before = (tmp_path / "data.npz").read_bytes()
    assert message in assert_fails(capsys, "embed", "data.npz", option, path)
    assert sorted(os.listdir(tmp_path)) == ["data.npz", "folder.npz"]
    assert (tmp_path / "data.npz").read_bytes() == before


def test_a_folder_without_write_permission_fails_before_the_computation(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cli._pipeline, "load_data", fail_if_called)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert "cannot be written to" in assert_fails(capsys, "embed", "digits", "--out", tmp_path / "a.npz")


FAILURES = [
    (OSError(28, "No space left on device"), 1, "No space left on device"),
    (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
    (MemoryError(), 1, "MemoryError"),
]


@pytest.mark.slow_cases("False-savez-error0-1-No space left on device")
@pytest.mark.parametrize(("error", "status", "message"), FAILURES)
@pytest.mark.parametrize(
    "place", [(np, "savez"), (plot, "embedding"), (matplotlib.figure.Figure, "savefig")], ids=lambda p: p[1]
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_while_writing_leaves_no_partial_file_and_keeps_old_files(
    capsys, tmp_path, monkeypatch, error, status, message, place, exists
):
    monkeypatch.setattr(*place, write_half_and_raise(error))
    files = tmp_path / "a.npz", tmp_path / "a.png"
    if exists:
        for path in files:
            path.write_bytes(b"old")
    before = sorted(os.listdir(tmp_path))
    command = (*ROLL, "--out", files[0], "--plot", files[1])
    assert message in assert_fails(capsys, *command, status=status)
    assert sorted(os.listdir(tmp_path)) == before
    assert [path.read_bytes() for path in files if path.exists()] == [b"old"] * (2 * exists)


def test_old_files_are_replaced_completely_on_success(capsys, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    assert run(capsys, *ROLL, "--out", path)[0] == 0
    assert np.load(path)["points"].shape == (300, 2)
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize(
    ("module", "function"), [("_pipeline", "load_data"), ("_pipeline", "compute"), ("_embed", "quality")]
)
def test_an_interruption_of_any_stage_exits_with_130_and_one_line(capsys, tmp_path, monkeypatch, module, function):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(getattr(cli, module), function, interrupt)
    command = (*ROLL, "--out", tmp_path / "a.npz")
    assert "interrupted" in assert_fails(capsys, *command, status=130)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9.31GiB.\n  with more lines",
        "INTERNAL: Error dispatching computation: Out of memory allocating 8000000000000 bytes.",
    ],
)
def test_lack_of_memory_is_reported_in_one_line_with_advice(capsys, tmp_path, monkeypatch, text):
    def exhaust(*_, **__):
        raise jax.errors.JaxRuntimeError(text)

    monkeypatch.setattr("jaxlle.variants.standard.lle_alignment", exhaust)
    line = assert_fails(capsys, *ROLL, "--out", tmp_path / "a.npz")
    assert "memory" in line
    assert "--solver sparse" in line
    assert os.listdir(tmp_path) == []


def test_other_errors_of_jax_are_raised(monkeypatch):
    def fail(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr("jaxlle.variants.standard.lle_alignment", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        cli.main([*map(str, ROLL), "--quiet"])


@pytest.mark.parametrize(("module", "option"), [("rich", ()), ("matplotlib", ("--plot", "a.png"))])
def test_a_missing_package_is_named_with_the_command_that_installs_it(capsys, tmp_path, monkeypatch, module, option):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == module else True)
    assert f"{module} is not installed: pip install 'jaxlle[" in assert_fails(capsys, "embed", "helix", *option)
