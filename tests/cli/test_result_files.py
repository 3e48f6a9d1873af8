"""Embeddings in .csv and .parquet files: exact coordinates, labels, and the row numbers of the data file."""

import csv

import numpy as np
import polars
import pytest
from cli_helpers import assert_fails, run, two_clusters

from jaxlle.cli import _results

POINTS = np.random.default_rng(0).normal(size=(40, 3))


@pytest.fixture
def table(tmp_path):
    """Return a table of 42 rows of which two have missing cells, and the numbers of the other rows."""
    kept = np.delete(np.arange(42), [3, 30])
    rows = np.full((42, 3), np.nan)
    rows[kept] = POINTS
    lines = [
        ",".join("" if np.isnan(v) else repr(v) for v in row.tolist()) + f",{i % 3} x" for i, row in enumerate(rows)
    ]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,c,kind", *lines]))
    return tmp_path / "data.csv", kept


def read(path):
    """Return the header and the columns of a .csv or .parquet file as texts and numbers."""
    if path.suffix == ".parquet":
        frame = polars.read_parquet(path)
        return frame.columns, {name: frame[name].to_list() for name in frame.columns}
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return header, {name: list(map(str if name == "label" else float, cells)) for name, cells in columns.items()}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_table_has_the_labels_and_the_row_numbers_of_the_file_and_the_exact_coordinates(
    capsys, tmp_path, table, suffix, precision
):
    path, kept = table
    options = ("--labels", "kind", "--missing", "drop", "--k", 6, "--precision", precision, "--quiet")
    assert run(capsys, "embed", path, *options, "--out", tmp_path / "y.npz") == (0, "", "")
    assert run(capsys, "embed", path, *options, "--out", tmp_path / f"y{suffix}") == (0, "", "")
    header, columns = read(tmp_path / f"y{suffix}")
    assert header == ["row", "label", "y1", "y2"]
    np.testing.assert_array_equal(columns["row"], kept)
    assert columns["label"] == [f"{i % 3} x" for i in kept]
    with np.load(tmp_path / "y.npz") as saved:
        np.testing.assert_array_equal(saved["rows"], kept)
        np.testing.assert_array_equal(saved["labels"], columns["label"])
        assert saved["points"].dtype == precision
        np.testing.assert_array_equal(np.array([columns["y1"], columns["y2"]], precision).T, saved["points"])
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.slow
def test_a_table_of_components_has_the_component_of_each_row(capsys, tmp_path):
    np.save(tmp_path / "two.npy", two_clusters())
    command = ("embed", tmp_path / "two.npy", "--k", 5, "--quiet", "--out", tmp_path / "y.csv", "--components")
    assert run(capsys, *command, "separate")[0] == 0
    header, columns = read(tmp_path / "y.csv")
    assert header == ["row", "component", "y1", "y2"]
    assert columns["row"] == [*range(10, 40), *range(10)]
    assert columns["component"] == [0] * 30 + [1] * 10
    assert run(capsys, *command, "largest")[0] == 0
    header, columns = read(tmp_path / "y.csv")
    assert header == ["row", "y1", "y2"]
    assert columns["row"] == [*range(10, 40)]


def test_parquet_is_written_by_pandas_without_polars_and_needs_one_of_both(capsys, tmp_path, table, monkeypatch):
    find = _results.find_spec
    absent = ["polars"]
    monkeypatch.setattr(_results, "find_spec", lambda name: None if name in absent else find(name))
    command = ("embed", table[0], "--missing", "drop", "--k", 6, "--quiet", "--out", tmp_path / "y.parquet")
    assert run(capsys, *command, "--labels", "kind")[0] == 0
    header, columns = read(tmp_path / "y.parquet")
    assert header == ["row", "label", "y1", "y2"]
    assert columns["label"][0] == "0 x"
    absent.append("pandas")
    (tmp_path / "y.parquet").unlink()
    assert "jaxlle[tables]" in assert_fails(capsys, *command)
    assert not (tmp_path / "y.parquet").exists()
