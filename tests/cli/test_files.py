"""Files on the command line: columns, missing cells and scaling, in the report and in messages."""

import io
import sys

import matplotlib.image
import numpy as np
import pytest
from cli_helpers import assert_fails, row, run
from PIL import Image
from sklearn.datasets import load_iris

QUICK = ("--k", 6, "--dim", 1)


def write_table(path, extra="", start=0):
    """Write 40 points with an identifier, a text and the side of a plane."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    lines = [f"{i + start},{a},{b},{c},{'left' if a < 0 else 'right'},town {i}" for i, (a, b, c) in enumerate(x)]
    path.write_text("\n".join(["id,a,b,c,side,place", *lines]) + extra)
    return path


@pytest.mark.slow
def test_the_report_lists_the_columns_the_scaling_and_what_is_left_out(capsys, tmp_path):
    path = write_table(tmp_path / "a.csv")
    status, out, err = run(capsys, "embed", path, *QUICK, "--labels", "side", "--scale", "standard")
    assert status == 0
    assert row(out, "columns") == "a, b, c"
    assert row(out, "scaling") == "standard: each column has mean 0 and variance 1"
    assert row(out, "left out") == "column 'place' (text); column 'id' (like an identifier or a row number)"
    assert err.count("\n") == 1
    assert "warning" in err
    assert "column 'id' looks like an identifier" in err
    assert "list all features in --columns" in err
    assert "name it in --drop" in err
    same = run(
        capsys, "embed", path, *QUICK, "--labels", "side", "--columns", "a,b", "--columns", "3", "--scale", "standard"
    )
    assert (same[0], same[2]) == (0, "")
    assert row(same[1], "label accuracy") == row(out, "label accuracy")


@pytest.mark.slow
def test_an_index_does_not_raise_the_label_accuracy_of_iris(capsys, tmp_path):
    values, classes = load_iris(return_X_y=True)
    table = np.column_stack([np.arange(150), values, classes])
    np.savetxt(tmp_path / "iris.csv", table, delimiter=",", header="Id,a,b,c,d,species", comments="", fmt="%g")
    command = ("embed", tmp_path / "iris.csv", "--labels", "species", "--components", "warn")
    status, out, err = run(capsys, *command)
    assert status == 0
    assert "'Id' looks like" in err
    _, dropped, err = run(capsys, *command, "--drop", "Id")
    assert "'Id'" not in err
    assert row(out, "label accuracy") == row(dropped, "label accuracy")
    _, used, _ = run(capsys, *command, "--columns", "Id,a,b,c,d")
    assert float(row(used, "label accuracy").split()[0]) > float(row(out, "label accuracy").split()[0]) + 0.05


@pytest.mark.slow
def test_missing_cells_give_one_line_that_names_the_option(capsys, tmp_path):
    path = write_table(tmp_path / "a.csv", extra="\n40,1,,2,left,x\n", start=0)
    message = assert_fails(capsys, "embed", path, *QUICK, "--drop", "id")
    assert "row 40 (line 42), column 'b': fill them, or use --missing drop or --missing mean." in message
    status, out, _ = run(capsys, "choose", path, "--drop", "id", "--missing", "drop", "--dim", 1, "--ks", 6)
    assert status == 0
    assert "--k 6" in out


def test_a_table_from_standard_input_is_embedded(capsys, tmp_path, monkeypatch):
    content = write_table(tmp_path / "a.csv").read_bytes().replace(b",", b"\t")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    status, out, _ = run(capsys, "embed", "-", *QUICK, "--drop", "id", "--labels", "side")
    assert status == 0
    assert row(out, "data").startswith("stdin: 40 x 3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--columns", "a"), "--columns applies to files"),
        (("--drop", "a"), "--drop applies to files"),
        (("--missing", "drop"), "--missing applies to files"),
        (("--scale", "unit"), "--scale applies to files"),
        (("--size", "4"), "--size applies to files"),
        (("--array", "a"), "--array applies to files"),
        (("--encoding", "cp1252"), "--encoding applies to files"),
    ],
)
def test_options_for_files_fail_for_built_in_data(capsys, options, message):
    assert message in assert_fails(capsys, "embed", "helix", *options)


def test_distances_are_not_scaled(capsys, tmp_path):
    np.save(tmp_path / "d.npy", np.ones((5, 5)))
    command = ("embed", tmp_path / "d.npy", "--metric", "precomputed", "--scale", "unit")
    assert "remove --scale" in assert_fails(capsys, *command)


@pytest.mark.slow
def test_a_folder_of_images_is_embedded_and_drawn(capsys, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(30):
        folder = tmp_path / "pictures" / ("dark" if i < 15 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((rng.random((6, 5, 3)) * 100 + 100 * (i >= 15)).astype(np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "pictures" / "dark" / "x.png").write_bytes(b"")
    command = ("embed", tmp_path / "pictures", *QUICK)
    assert "x.png is not a valid PNG or JPEG image" in (message := assert_fails(capsys, *command))
    assert "leave it out by --missing drop" in message
    status, out, _ = run(capsys, *command, "--missing", "drop", "--plot", tmp_path / "a.png")
    assert status == 0
    assert row(out, "data").startswith("pictures: 30 x 90, float32")
    assert row(out, "left out") == "1 of 31 images (damaged: x.png)"
    assert row(out, "label accuracy")
    assert matplotlib.image.imread(tmp_path / "a.png").ndim == 3
    assert "invalid size: '5by5'" in assert_fails(capsys, *command, "--size", "5by5", status=2)
    _, out, _ = run(capsys, *command, "--missing", "drop", "--size", "3x4")
    assert row(out, "data").startswith("pictures: 30 x 36, float32")
    (tmp_path / "empty").mkdir()
    assert "empty has no images" in assert_fails(capsys, "embed", tmp_path / "empty")


def test_the_array_of_points_is_given_by_name(capsys, tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(tmp_path / "a.npz", a=x, b=x[:, :2])
    assert "or give its name in --array." in assert_fails(capsys, "embed", tmp_path / "a.npz", *QUICK)
    status, out, _ = run(capsys, "embed", tmp_path / "a.npz", *QUICK, "--array", "a")
    assert status == 0
    assert row(out, "data").startswith("a: 40 x 3")
