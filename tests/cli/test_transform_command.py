"""Saved models on the command line: new data in the columns and units of the model, drift, and invalid models and data."""

import csv
import io
import json
import sys

import jax
import numpy as np
import pytest
from cli_helpers import assert_fails, row, run, two_clusters, write_half_and_raise
from PIL import Image

import jaxlle
from jaxlle import cli

NAMES = ("height", "width", "depth")
TRAIN, NEW = np.split(np.random.default_rng(0).normal(size=(70, 3)) * (100, 1, 0.01), [60])
OPTIONS = ("--k", 6, "--labels", "kind", "--quiet")


def write_table(path, x, names=NAMES, first=0):
    """Write points as pandas exports a frame: with an index, a column of text, and empty cells for NaN."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *names, "kind"])
        writer.writerows(
            [i, *("" if np.isnan(v) else v for v in r), "ab"[i % 2]] for i, r in enumerate(x.tolist(), first)
        )
    return path


def read(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, dict(zip(header, map(np.array, zip(*rows, strict=True)), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the data, a model in scaled columns, and the embedding of its data."""
    path = tmp_path_factory.mktemp("model")
    write_table(path / "train.csv", TRAIN)
    out = ("--save", path / "m.npz", "--out", path / "y.csv", "--scale", "standard", "--drop", "0")
    assert cli.main(list(map(str, ("embed", path / "train.csv", *OPTIONS, *out)))) == 0
    return path


def transform(capsys, folder, x, out, *options, names=NAMES):
    write_table(out.parent / "new.csv", x, names)
    return run(capsys, "transform", folder / "m.npz", out.parent / "new.csv", "--out", out, *options)


def test_the_rows_of_the_model_keep_their_embedding_whatever_the_order_of_the_columns(capsys, folder, tmp_path):
    status, _, err = transform(capsys, folder, TRAIN[:, ::-1], tmp_path / "z.csv", "--quiet", names=NAMES[::-1])
    assert (status, err) == (0, "")
    (header, found), (_, expected) = read(tmp_path / "z.csv"), read(folder / "y.csv")
    assert header == ["row", "y1", "y2", "residual", "drift"]
    for name in ("row", "y1", "y2"):
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_new_rows_have_the_coordinates_and_the_drift_of_the_functions_in_the_units_of_the_model(
    capsys, folder, tmp_path, suffix
):
    new = np.insert(NEW, 2, np.nan, axis=0)
    status, out, err = transform(capsys, folder, new, tmp_path / f"z.{suffix}", "--labels", "kind", "--missing", "drop")
    assert (status, err) == (0, "")
    assert row(out, "scaling") == "standard: each column has mean 0 and variance 1"
    assert row(out, "columns") == ", ".join(NAMES)
    assert row(out, "left out") == "1 of 11 rows (missing cells)"
    shift, factor = TRAIN.mean(axis=0), TRAIN.std(axis=0)
    _, trained = read(folder / "y.csv")
    with jax.enable_x64(True):
        x, z = (TRAIN - shift) / factor, (NEW - shift) / factor
        y = np.stack([trained[name].astype(float) for name in ("y1", "y2")], axis=1)
        expected, drift = jaxlle.transform(z, x, y, k=6), jaxlle.extension.drift(z, x, 6)
    rows = np.delete(np.arange(11), 2)
    if suffix == "csv":
        _, table = read(tmp_path / "z.csv")
        points = np.stack([table["y1"], table["y2"]], axis=1).astype(float)
        found = (table["row"].astype(int), table["label"], points, table["residual"].astype(float), table["drift"])
    else:
        with np.load(tmp_path / "z.npz") as saved:
            found = tuple(saved[name] for name in ("rows", "labels", "points", "residuals", "drift"))
    np.testing.assert_array_equal(found[0], rows)
    np.testing.assert_array_equal(found[1], np.array(["a", "b"])[rows % 2])
    np.testing.assert_allclose(found[2], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[3], drift.residuals, rtol=1e-9)
    np.testing.assert_array_equal(found[4].astype(float), drift.quantiles)


def test_rows_far_from_the_data_of_the_model_and_data_of_another_kind_give_a_warning(capsys, folder, tmp_path):
    far = NEW.copy()
    far[3, 2] += 1
    status, _, err = transform(
        capsys, folder, np.insert(far, 1, np.nan, axis=0), tmp_path / "z.csv", "--missing", "drop"
    )
    assert status == 0
    assert err.count("\n") == 1
    assert "far from the data of the model: 1 of 10 have a residual" in err
    assert "(row 4). Their coordinates are extrapolated" in err
    _, table = read(tmp_path / "z.csv")
    assert float(table["drift"][3]) == 1
    many = np.repeat(far[[3]], 12, axis=0) + np.random.default_rng(1).normal(size=(12, 3)) * (1, 0.01, 1e-4)
    assert "(row 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)" in transform(capsys, folder, many, tmp_path / "z.csv")[2]
    with pytest.warns(jaxlle.warnings.JaxlleWarning, match="the residuals of 6 of 60 rows are above 99 %"):
        cli._transform._warn_of_drift(6, np.arange(60), np.zeros(60, bool))
    cli._transform._warn_of_drift(5, np.arange(60), np.zeros(60, bool))


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "npe"),
        ("--metric", "cosine", "--components", "warn"),
        ("--components", "largest", "--precision", "float32"),
    ],
)
def test_models_of_a_linear_map_of_another_metric_and_of_one_component_are_applied(capsys, tmp_path, options):
    x = two_clusters() if "largest" in options else TRAIN
    np.save(tmp_path / "x.npy", x)
    files = ("--save", tmp_path / "m.npz", "--out", tmp_path / "y.npz")
    assert run(capsys, "embed", tmp_path / "x.npy", "--k", 5, "--quiet", *options, *files)[0] == 0
    np.save(tmp_path / "new.npy", x)
    command = ("transform", tmp_path / "m.npz", tmp_path / "new.npy", "--out", tmp_path / "z.npz", "--quiet")
    assert run(capsys, *command)[0] == 0
    with np.load(tmp_path / "y.npz") as trained, np.load(tmp_path / "z.npz") as found:
        assert found["points"].dtype == trained["points"].dtype
        np.testing.assert_allclose(found["points"][trained["rows"]], trained["points"], rtol=1e-5, atol=1e-7)
        assert len(trained["rows"]) == (30 if "largest" in options else 60)
    known = jaxlle.serving.load_map(tmp_path / "m.npz")
    assert known.metric == ("cosine" if "cosine" in options else "euclidean")
    if "npe" in options:  # the linear map also extrapolates linearly
        steps = np.stack([x[0] + i * np.ones(3) for i in (0, 1, 2)])
        np.save(tmp_path / "new.npy", steps)
        run(capsys, *command)
        with np.load(tmp_path / "z.npz") as found:
            first, second = np.diff(found["points"], axis=0)
            np.testing.assert_allclose(first, second, rtol=1e-9)


@pytest.mark.slow
def test_new_data_of_another_kind_fail_with_one_line_that_names_the_difference(capsys, folder, tmp_path, monkeypatch):
    model, out = folder / "m.npz", tmp_path / "z.csv"

    def message(*arguments):
        line = assert_fails(capsys, "transform", model, *arguments, "--out", out)
        assert not out.exists()
        return line

    lacking = write_table(tmp_path / "lacks.csv", NEW[:, :2], NAMES[:2])
    text = message(lacking)
    assert "has no column 'depth': it has , height, width, kind." in text
    assert "uses the columns height, width, depth" in text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lacking.read_bytes())))
    assert "standard input has no column 'depth'" in message("-")
    np.save(tmp_path / "new.npy", NEW)
    assert "has no columns with names, but the model" in message(tmp_path / "new.npy")
    write_table(tmp_path / "gap.csv", np.where(np.arange(3) == 1, np.nan, NEW))
    gap = message(tmp_path / "gap.csv")
    assert "column 'width': fill them, or use --missing drop." in gap
    with pytest.raises(SystemExit):
        cli.main(["transform", str(model), str(lacking), "--columns", "a"])
    capsys.readouterr()
    np.save(tmp_path / "x.npy", TRAIN[:, :2])
    model = tmp_path / "plain.npz"
    x = np.random.default_rng(0).random((40, 6))
    jaxlle.serving.save_map(model, jaxlle.serving.OutOfSampleMap(x, x[:, :2], k=5))
    assert "x.npy has 2 features (without names), but the model" in message(tmp_path / "x.npy")
    assert "new.csv has 3 features (height, width, depth)" in message(
        write_table(tmp_path / "new.csv", NEW), "--labels", "0"
    )
    np.save(tmp_path / "six.npy", x[:5])
    assert run(capsys, "transform", model, tmp_path / "six.npy")[0] == 0


@pytest.mark.slow
def test_images_of_another_size_fail_unless_they_are_resized(capsys, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", images=rng.integers(0, 256, (40, 3, 2), dtype=np.uint8))
    assert run(capsys, "embed", tmp_path / "x.npz", "--k", 5, "--save", tmp_path / "m.npz", "--quiet")[0] == 0
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (6, 4), dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
    command = ("transform", tmp_path / "m.npz", tmp_path / "images")
    message = assert_fails(capsys, *command)
    assert "has images of 4 x 6 pixels in gray, but those of the model" in message
    assert "have 2 x 3 pixels in gray" in message
    assert "--size 2x3" in message
    status, out, _ = run(capsys, *command, "--size", "2x3")
    assert status == 0
    assert row(out, "data") == "images: 3 x 6, float32; computed in float32"


def test_models_that_are_damaged_changed_or_of_another_version_fail_with_one_line(capsys, folder, tmp_path):
    with np.load(folder / "m.npz") as file:
        arrays = dict(file)
    header = json.loads(bytes(arrays["header"]))
    model, out = tmp_path / "m.npz", tmp_path / "z.csv"
    new = write_table(tmp_path / "new.csv", NEW)

    def message(content=None, **changes):
        unsealed = (
            {key: value for key, value in header.items() if key != "checksums"}
            if changes.pop("unsealed", 1)
            else header
        )
        text = json.dumps({**unsealed, **changes}).encode()
        np.savez(model, **{**arrays, "header": np.frombuffer(text, np.uint8), **(content or {})})
        line = assert_fails(capsys, "transform", model, new, "--out", out)
        assert "m.npz" in line
        assert not out.exists()
        return line

    described = header["data"]
    assert "was changed after it was written: its header" in message(unsealed=0, k=3)
    moved = {"map/points": arrays["map/points"] + 1e-9}
    assert "was changed after it was written: its map/points" in message(moved, unsealed=0)
    assert "needs 9 or later; this jaxlle reads up to 3: upgrade jaxlle" in message(version=9, readable_from=9)
    assert "holds no out-of-sample map: it holds model" in message(kind="model")
    for changes, reason in (
        ({"data": [1]}, "is not a dictionary"),
        ({"data": {**described, "columns": ["a"]}}, "does not name 3 columns as its features"),
        ({"data": {**described, "columns": [1, 2, 3]}}, "does not name 3 columns"),
        ({"data": {**described, "method": "tsne"}}, "method 'tsne' is not known"),
        ({"data": {**described, "scaling": "log"}}, "scaling 'log' is not known"),
        ({"data": {**described, "image_shape": [2, 2]}}, "is not the shape of images of 3 values"),
    ):
        assert f"holds no valid model: {'its description ' if 'dictionary' in reason else ''}" in message(**changes)
        assert reason in message(**changes)
    for content in (
        {"scaling/factor": np.zeros(3)},
        {"scaling/shift": np.full(3, np.nan)},
        {"scaling/shift": np.zeros(2)},
        {"drift/residuals": np.zeros(3)},
        {"projection/matrix": np.zeros((3, 2))},
    ):
        assert "holds no valid model" in message(content)
    model.write_bytes((folder / "m.npz").read_bytes()[:-100])
    assert "cannot be read" in assert_fails(capsys, "transform", model, new)
    assert "There is no file" in assert_fails(capsys, "transform", tmp_path / "none.npz", new)
    assert "new.csv cannot be read" in assert_fails(capsys, "transform", new, new)


def test_options_of_save_that_cannot_be_met_fail_before_the_computation(capsys, folder, tmp_path):
    data = folder / "train.csv"
    np.save(tmp_path / "d.npy", np.ones((40, 40)) - np.eye(40))
    for options, message in (
        ((data, "--save", tmp_path / "m.bin"), "must end in .npz"),
        ((data, "--save", tmp_path / "none" / "m.npz"), "does not exist"),
        ((data, "--save", tmp_path / "m.npz", "--out", tmp_path / "m.npz"), "are both"),
        ((data, "--save", tmp_path / "m.npz", "--components", "separate"), "--components largest"),
        ((tmp_path / "d.npy", "--save", tmp_path / "m.npz", "--metric", "precomputed"), "--save needs points"),
    ):
        assert message in assert_fails(capsys, "embed", *options)
    model = folder / "m.npz"
    assert "would replace the data file" in assert_fails(capsys, "transform", model, data, "--out", data)
    assert "would replace the data file" in assert_fails(capsys, "transform", model, data, "--out", model)
    assert "must end in .npz or .csv or .parquet" in assert_fails(capsys, "transform", model, data, "--out", "z.txt")


@pytest.mark.slow
def test_a_failed_save_keeps_the_old_files_and_leaves_no_others(capsys, folder, tmp_path, monkeypatch):
    for name in ("m.npz", "y.csv"):
        (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(np, "savez", write_half_and_raise(OSError("the disk is full")))
    files = ("--save", tmp_path / "m.npz", "--out", tmp_path / "y.csv")
    assert "the disk is full" in run(capsys, "embed", folder / "train.csv", *OPTIONS, "--drop", "0", *files)[2]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"m.npz": b"old", "y.csv": b"old"}
