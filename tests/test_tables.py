"""Tables in files: identifiers, text, missing cells, units, separators, headers and encodings."""

import io
import sys
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

import jaxlle
from jaxlle.datasets import ReadOptions, frames
from jaxlle.warnings import DataWarning


def load(path, labels=None, **options) -> Any:
    return jaxlle.datasets.load(path, labels=labels, options=ReadOptions(**options))


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def iris(tmp_path):
    """Return the path of iris as pandas exports it, with its index, the values, and the species."""
    values, classes = load_iris(return_X_y=True)
    species = np.array(["setosa", "versicolor", "virginica"])[classes]
    frame = pandas.DataFrame(values, columns=["a", "b", "c", "d"]).assign(species=species)
    frame.to_csv(tmp_path / "iris.csv")
    return tmp_path / "iris.csv", values, species


PENGUINS = """species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex
Adelie,Torgersen,39.1,18.7,181,3750,male
Adelie,Torgersen,NA,NA,NA,NA,NA
Gentoo,Biscoe,46.1,13.2,211,4500,female
Gentoo,Biscoe,50,16.3,,5700,male
Chinstrap,Dream,46.5,17.9,192,3500,female
"""
MEASURED = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
COMPLETE = [[39.1, 18.7, 181, 3750], [46.1, 13.2, 211, 4500], [46.5, 17.9, 192, 3500]]


def test_the_index_of_an_exported_table_is_left_out_with_a_warning(iris):
    path, values, species = iris
    with pytest.warns(
        DataWarning, match=r"iris\.csv: column 0 \(without a name\) looks like an identifier .* list all features"
    ):
        data = load(path, "species")
    np.testing.assert_array_equal(data.points, values)
    np.testing.assert_array_equal(data.labels, species)
    assert data.columns == ("a", "b", "c", "d")
    assert data.left_out == ("column 0 (without a name) (like an identifier or a row number)",)


def test_an_identifier_is_used_if_requested_and_dropped_without_a_warning(iris):
    path, values, _ = iris
    data = load(path, columns=("0", "d", "a"))
    np.testing.assert_array_equal(data.points, np.column_stack([np.arange(150), values[:, 3], values[:, 0]]))
    assert data.columns == ("", "d", "a")
    data = load(path, "species", drop=("0", "c"))
    np.testing.assert_array_equal(data.points, values[:, [0, 1, 3]])
    assert data.left_out == ("columns 0 (without a name), 'c' (as requested)",)


@pytest.mark.parametrize(
    "name", ["id", "ID", "Index", "Unnamed: 0", "sample_id", "order id", "row", "rownames", "PassengerId"]
)
def test_columns_of_whole_numbers_with_the_name_of_an_identifier_are_left_out(tmp_path, name):
    path = write(tmp_path / "a.csv", f"{name},x\n7,1.5\n3,2.5\n5,3.5\n")
    with pytest.warns(DataWarning, match=name):
        assert load(path).points.tolist() == [[1.5], [2.5], [3.5]]
    assert load(write(path, f"{name},x\n0.7,1.5\n3,2.5\n")).columns == (name, "x")  # a measurement


def test_whole_numbers_in_order_are_left_out_under_any_name_unless_no_column_remains(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 2))
    for numbers in (np.arange(12), 3 * np.arange(12) ** 2 + 7):
        rows = "".join(f"{i},{a},{b}\n" for i, (a, b) in zip(numbers, x, strict=True))
        for header in ("", "when,a,b\n"):
            with pytest.warns(DataWarning, match="column '(0|when)'"):
                np.testing.assert_array_equal(load(write(tmp_path / "a.csv", header + rows)).points, x)
    pairs = np.arange(24).reshape(12, 2)
    np.savetxt(tmp_path / "b.csv", pairs, delimiter=",")
    np.testing.assert_array_equal(load(tmp_path / "b.csv").points, pairs)
    shuffled = np.column_stack([np.arange(12)[::-1], x])
    np.savetxt(tmp_path / "c.csv", shuffled, delimiter=",")
    np.testing.assert_array_equal(load(tmp_path / "c.csv").points, shuffled)


def test_text_is_left_out_with_a_note_and_missing_cells_raise_with_their_place(tmp_path):
    path = write(tmp_path / "penguins.csv", PENGUINS)
    with pytest.raises(ValueError, match=r"2 of 5 rows, the first in row 1 \(line 3\), column 'bill_length_mm'"):
        load(path, "species")
    data = load(path, "species", missing="drop")
    np.testing.assert_array_equal(data.points, COMPLETE)
    assert list(data.labels) == ["Adelie", "Gentoo", "Chinstrap"]
    assert data.columns == MEASURED
    np.testing.assert_array_equal(data.rows, [0, 2, 4])
    assert data.left_out == ("columns 'island', 'sex' (text)", "2 of 5 rows (missing cells)")


def test_missing_cells_are_filled_with_the_mean_of_their_column(tmp_path):
    data = load(write(tmp_path / "penguins.csv", PENGUINS), "species", missing="mean")
    expected = pandas.read_csv(io.StringIO(PENGUINS))[list(MEASURED)]
    np.testing.assert_allclose(data.points, expected.fillna(expected.mean()), rtol=1e-14)
    assert data.rows is None
    assert "5 missing cells have the mean" in data.left_out[-1]


@pytest.mark.parametrize(
    ("scale", "scaler"), [("standard", StandardScaler), ("robust", RobustScaler), ("unit", MinMaxScaler)]
)
def test_columns_are_scaled_as_by_scikit_learn(iris, scale, scaler):
    path, values, _ = iris
    data = load(path, drop=("0", "species"), scale=scale)
    np.testing.assert_allclose(data.points, scaler().fit_transform(values), atol=1e-12)
    assert data.scaling.kind == scale
    np.testing.assert_allclose(data.points * data.scaling.factor + data.scaling.shift, values, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_arrays_are_scaled_and_a_constant_column_becomes_zero(tmp_path, dtype):
    x = np.array([[1, 100, 3], [3, 100, 7], [8, 100, 9]], dtype)
    np.save(tmp_path / "a.npy", x)
    for scale in ("standard", "robust", "unit"):
        points = load(tmp_path / "a.npy", scale=scale).points
        assert points.dtype == (np.float32 if dtype == np.float32 else np.float64)
        np.testing.assert_array_equal(points[:, 1], 0)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", ["", "a{0}b c{0}kind\n"])
def test_the_separator_and_the_header_are_detected(tmp_path, separator, header):
    rows = "1.5{0}2{0}oak\n3{0}4.25{0}elm\n5{0}6{0}oak\n"
    path = write(tmp_path / "a.csv", (header + rows).format(separator))
    data = load(path, "2")
    np.testing.assert_array_equal(data.points, [[1.5, 2], [3, 4.25], [5, 6]])
    assert list(data.labels) == ["oak", "elm", "oak"]
    np.testing.assert_array_equal(load(path).points, data.points)  # the first row has a kind of a later row


def test_a_decimal_comma_is_read_with_semicolons(tmp_path):
    data = load(write(tmp_path / "a.csv", "x;y;kind\n1,5;2;a, b\n-3;4,25;c\n"), "kind")
    np.testing.assert_array_equal(data.points, [[1.5, 2], [-3, 4.25]])
    assert list(data.labels) == ["a, b", "c"]


def test_quoted_cells_can_contain_separators_quotation_marks_and_line_breaks(tmp_path):
    data = load(write(tmp_path / "a.csv", 'x,note,y\r\n1,"a ""b"",\r\nc;d",2\r\n3,,4\r\n'), "note")
    np.testing.assert_array_equal(data.points, [[1, 2], [3, 4]])
    assert [str(label).split() for label in data.labels] == [["a", '"b",', "c;d"], []]


def test_the_header_that_pandas_writes_for_an_array_is_recognized(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 3))
    pandas.DataFrame(x).to_csv(tmp_path / "a.csv")
    with pytest.warns(DataWarning, match="column 0"):
        data = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(data.points, x)
    assert data.columns == ("0", "1", "2")
    np.testing.assert_array_equal(load(tmp_path / "a.csv", columns="2").points, x[:, 2:])  # by name, before number


def test_truth_values_are_numbers_and_empty_columns_are_left_out(tmp_path):
    data = load(write(tmp_path / "a.csv", "x,yes,gap,z\n1,True,,3\n2,False,,4\n"))
    np.testing.assert_array_equal(data.points, [[1, 1, 3], [2, 0, 4]])
    assert data.left_out == ("column 'gap' (empty)",)


def test_standard_input_is_read_as_a_table(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\tb\n1\t2\n3\t4\n")))
    data = load("-")
    np.testing.assert_array_equal(data.points, [[1, 2], [3, 4]])
    assert data.name == "stdin"


@pytest.mark.parametrize(("encoding", "suggested"), [("cp1252", "cp1252"), ("utf-16", "utf-16")])
def test_the_error_for_another_encoding_suggests_one_that_reads_the_file(tmp_path, encoding, suggested):
    path = write(tmp_path / "a.csv", "größe,b\n1,2\n3,4\n", encoding)
    with pytest.raises(ValueError, match=rf'a\.csv cannot be read as UTF-8 .*ReadOptions\(encoding="{suggested}"\)'):
        load(path)
    assert load(path, encoding=suggested).columns == ("größe", "b")
    with pytest.raises(ValueError, match="encoding = 'klingon' is not known"):
        load(path, encoding="klingon")


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("a,b\n1,2\n3,x\n5,6\n", {}, r"'x' in row 1 \(line 3\), column 'b'.*ReadOptions\(drop=\"b\"\)"),
        ("a,b\n1,u\n3,v\n", {"columns": "b"}, "'u' in row 0.*column 'b'"),
        ("a,b\n1,2\n", {"columns": "c"}, "no column 'c': it has a, b"),
        ("a,b\n1,2\n", {"drop": "c"}, "no column 'c': it has a, b"),
        ("a,a\n1,2\n", {"columns": "a"}, r"2 columns named 'a': give one of the numbers \[0, 1\]"),
        ("a,b\nu,v\nw,x\n", {}, r"no column remains of a, b \(columns 'a', 'b' \(text\)\)"),
        ("id,b\n1,v\n2,x\n", {}, "no column remains"),
        ("a,b\n,1\n,2\n", {"columns": "a", "missing": "mean"}, "no value in column 'a'"),
        ("a,b\n,1\n2,\n", {"missing": "drop"}, "missing cells in every row"),
        ("1,2,ash\n3,4,oak\n5,6,elm\n", {}, r"names and numbers \(1, 2, ash\): it could be a header, or a point"),
        ('a,b\n1,"2\n3,4\n', {}, "line 3 has 2 cells|line 4 has 2 cells|not a table"),
        ("a,b\n1\0,2\n", {}, "zero bytes"),
        ("a,b\n1,2\n3,1e400\n", {"missing": "drop"}, r"contains infinity.* in row 1 \(line 3\), column 'b'"),
    ],
)
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
def test_tables_that_cannot_be_used_raise_with_their_name_and_a_remedy(tmp_path, text, options, reason):
    with pytest.raises(ValueError, match=rf"(?s)a\.csv.*({reason})"):
        load(write(tmp_path / "a.csv", text), **options)


def test_options_that_do_not_apply_raise(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(ValueError, match=r"arrays without names of columns: remove ReadOptions\.drop"):
        load(tmp_path / "a.npy", drop="a")
    with pytest.raises(ValueError, match=r"'a' is requested as a feature and as the labels"):
        load(write(tmp_path / "a.csv", "a,b\n1,2\n"), "a", columns=("a", "b"))
    with pytest.raises((ValueError, TypeError), match="skip"):  # the tests check annotations
        ReadOptions(missing="skip")  # pyright: ignore[reportArgumentType]


def frame():
    """Return a data frame with an identifier, numbers of several types, gaps, truth values, text and dates."""
    return pandas.DataFrame(
        {
            "id": [7, 8, 9, 10],
            "a": np.array([1.5, 2.5, np.nan, 4.5]),
            "n": pandas.array([3, None, 5, 6], "Int64"),
            "yes": [True, False, True, True],
            "kind": pandas.Categorical(["oak", "elm", None, "oak"]),
            "day": pandas.date_range("2024-01-01", periods=4),
        }
    )


@pytest.mark.parametrize("library", ["polars", "pandas"])
@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_parquet_and_feather_files_are_read_by_polars_or_pandas(tmp_path, monkeypatch, library, suffix):
    path = tmp_path / f"a.{suffix}"
    getattr(frame(), f"to_{suffix}")(path)
    if library == "pandas":
        monkeypatch.setattr(frames, "find_spec", lambda name: None if name == "polars" else True)
    with pytest.warns(DataWarning, match="column 'id'"):
        data = load(path, "kind", missing="drop")
    np.testing.assert_array_equal(data.points, [[1.5, 3, 1], [4.5, 6, 1]])
    assert list(data.labels) == ["oak", "oak"]
    assert data.columns == ("a", "n", "yes")
    assert "column 'day' (text)" in data.left_out
    with pytest.raises(ValueError, match="the first in row 1, column 'n'"):
        load(path, drop="id")
    frame()[["a"]].astype(np.float32).dropna().to_parquet(tmp_path / "b.parquet")
    assert load(tmp_path / "b.parquet").points.dtype == np.float32


@pytest.mark.parametrize("library", ["polars", "pandas"])
@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_damaged_and_large_frames_raise_with_their_name(tmp_path, monkeypatch, library, suffix):
    path = tmp_path / f"a.{suffix}"
    getattr(pandas.DataFrame({"x": np.zeros(10**5)}), f"to_{suffix}")(path)
    if library == "pandas":
        monkeypatch.setattr(frames, "find_spec", lambda name: None if name == "polars" else True)
    with pytest.raises(ValueError, match=rf"a\.{suffix} has .* 800,000 bytes in memory.*max_bytes=800000"):
        jaxlle.datasets.load(path, max_bytes=1000)
    whole = path.read_bytes()
    for content in (b"", b"a,b\n1,2\n", whole[: len(whole) // 2], whole[:-20]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.{suffix} cannot be read"):
            load(path)


def test_a_frame_without_polars_and_pandas_raises_with_the_command_that_installs_one(tmp_path, monkeypatch):
    frame().to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxlle\[tables\]', or convert it to \.csv"):
        load(tmp_path / "a.parquet")


@pytest.mark.slow_cases("csv")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
def test_damaged_tables_raise_only_value_errors_with_their_name(tmp_path, suffix):
    path, rng = tmp_path / f"a.{suffix}", np.random.default_rng(0)
    table = pandas.DataFrame(
        {"a": rng.normal(size=20), "b": rng.normal(size=20), "kind": ["oak, red", 'an "elm"'] * 10}
    )
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    whole, signs = path.read_bytes(), [*b',;|"\t\n\r\0\xff_eE\x1c #']
    messages = []
    for _ in range(80):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] = rng.choice(signs) if suffix == "csv" else rng.integers(256)
        path.write_bytes(damaged)
        try:
            load(path, "kind")
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all(path.name in message for message in messages)
