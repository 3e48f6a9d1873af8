"""`jaxlle embed --method`: every variant, and the automatic choice of k."""

import os

import jax
import numpy as np
import pytest
from cli_helpers import ROLL, assert_fails, row, run

import jaxlle
from jaxlle import datasets


@pytest.mark.slow_cases("hessian", "modified")
@pytest.mark.parametrize("method", ["modified", "hessian", "ltsa"])
def test_the_output_file_holds_the_embedding_of_the_method(capsys, tmp_path, method):
    path = tmp_path / "result.npz"
    status, out, _ = run(capsys, *ROLL, "--method", method, "--out", path, "--plot", tmp_path / "a.png")
    assert status == 0
    assert row(out, "method") == method
    points = datasets.swiss_roll(jax.random.key(0), 300).points
    variant = {"modified": jaxlle.modified_lle, "hessian": jaxlle.hessian_lle, "ltsa": jaxlle.ltsa}[method]
    np.testing.assert_array_equal(np.load(path)["points"], variant(points, 2, k=12).points)


def save_three_classes(path):
    """Save points with five features and labels of three classes to a file, and return both."""
    x = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    labels = np.digitize(x[:, 0], [-0.4, 0.4])
    np.savez(path, x=x, y=labels)
    return x, labels


EXPECTED = {
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
SLOW_METHODS = ("lltsa", "onpp", "discriminant", "landmark", "robust")


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=pytest.mark.slow) if m in SLOW_METHODS else m for m in EXPECTED]
)
def test_every_method_gives_the_result_of_its_function(capsys, tmp_path, method):
    x, labels = save_three_classes(tmp_path / "x.npz")
    command = ("embed", tmp_path / "x.npz", "--method", method, "--k", 8, "--alpha", 0.1, "--out", tmp_path / "a.npz")
    status, out, _ = run(capsys, *command)
    assert status == 0
    expected = EXPECTED[method](x, labels)
    with np.load(tmp_path / "a.npz") as saved:
        np.testing.assert_allclose(saved["points"], expected, rtol=1e-3, atol=1e-4)
        linear = "map_matrix" in saved.files
        if linear:  # the saved arrays suffice to map new points
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
    assert ("the method uses the labels" in row(out, "label accuracy")) == (method in ("supervised", "discriminant"))
    assert ("\ngap" in out) != linear


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("swiss_roll", "--method", "supervised"), "needs one class label per point"),
        (
            ("digits", "--method", "npe", "--metric", "cosine"),
            "supports only --metric euclidean, but --metric cosine was given",
        ),
        (("digits", "--method", "landmark", "--components", "separate"), "cannot embed components separately"),
        (("digits", "--k", "auto", "--metric", "cosine"), "--k auto compares Euclidean neighborhoods"),
    ],
)
def test_arguments_that_a_method_does_not_support_are_named(capsys, tmp_path, arguments, message):
    assert message in assert_fails(capsys, "embed", *arguments, "--out", tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_automatic_k_is_the_best_of_choose_and_is_reported(capsys, tmp_path):
    command = ("embed", "s_curve", "--points", 60, "--k", "auto", "--out", tmp_path / "a.npz")
    status, out, _ = run(capsys, *command)
    assert status == 0
    points = datasets.s_curve(jax.random.key(0), 60).points
    grid = jaxlle.choose(points, 2, ks=[6, 8, 10, 12, 16, 20, 24, 32], criteria=["procrustes"])
    assert row(out, "k").startswith(f"{grid.best()[0]}, with the smallest Procrustes statistic")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["points"], jaxlle.lle(points, 2, k=grid.best()[0]).points)
