"""`jaxlle report`: the diagnosis as text and figure."""

import os

import jax
import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from cli_helpers import assert_fails, row, run, two_clusters, write_half_and_raise

import jaxlle
from jaxlle import datasets


def test_report_prints_and_writes_the_diagnosis_and_draws_it(capsys, tmp_path):
    text, figure = tmp_path / "a.txt", tmp_path / "a.png"
    command = ("report", "s_curve", "--points", 200, "--k", 10, "--reg", 0.02, "--out", text, "--plot", figure)
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    x = datasets.s_curve(jax.random.key(0), 200).points
    neighbors = jaxlle.knn(x, 10)
    alignment = jaxlle.lle_alignment(x, k=10, neighbors=neighbors, reg=0.02)
    embedding = jaxlle.embed(alignment, 2)
    diagnosis = jaxlle.diagnose(alignment, embedding, x=x, neighbors=neighbors, reg=0.02)
    for name, value in diagnosis.rows():
        assert row(out, name) == value or name == "singular values"
    values = row(out, "singular values").split()
    assert values.pop(2) == "|"  # behind those of the embedding
    np.testing.assert_allclose([float(v) for v in values], jaxlle.embed(alignment, 20).singular_values, rtol=5e-3)
    assert row(out, "continuity").startswith(f"{float(jaxlle.metrics.continuity(x, embedding.points, k=10)):.4f}")
    assert row(out, "local Procrustes").startswith(
        f"{float(jaxlle.metrics.local_procrustes(x, embedding.points, k=10)):.4f}"
    )
    assert f"{float(jaxlle.dimension.two_nn(x).value):.2f} by TwoNN" in row(out, "dimension")
    written = text.read_text()
    assert out.startswith(written)
    assert "trustworthiness" in written
    assert matplotlib.image.imread(figure).shape[0] > 500


@pytest.mark.slow
def test_report_fails_with_one_line_and_leaves_no_partial_file(capsys, tmp_path, monkeypatch):
    assert "must end in .txt" in assert_fails(capsys, "report", "helix", "--out", tmp_path / "a.npz")
    assert "invalid choice: 'robust'" in assert_fails(capsys, "report", "helix", "--method", "robust", status=2)
    np.save(tmp_path / "nan.npy", np.full((30, 3), np.nan))
    assert "contains NaN" in assert_fails(capsys, "report", tmp_path / "nan.npy", "--out", tmp_path / "a.txt")
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", write_half_and_raise(OSError(28, "No space left on device"))
    )
    command = ("report", "helix", "--points", 40, "--k", 5, "--dim", 1, "--out", tmp_path / "a.txt")
    assert "No space left" in assert_fails(capsys, *command, "--plot", tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["nan.npy"]


@pytest.mark.slow
def test_the_report_on_a_disconnected_graph_is_on_its_largest_component(capsys, tmp_path):
    x = two_clusters()
    np.savez(tmp_path / "two.npz", x=x, y=np.arange(40) % 2)
    np.savez(tmp_path / "large.npz", x=x[10:], y=np.arange(30) % 2)
    command = ("report", tmp_path / "two.npz", "--k", 5)
    status, out, err = run(capsys, *command, "--plot", tmp_path / "a.png")
    assert status == 0
    assert "2 components of 30, 10 points. Only the largest is embedded, 30 of 40 points. Raise --k" in err
    assert row(out, "components") == "only the largest is embedded: 30 of 40 points"
    _, own, _ = run(capsys, "report", tmp_path / "large.npz", "--k", 5)
    for name in ("in-degree", "singular values", "participation", "trustworthiness", "label accuracy", "dimension"):
        assert row(out, name) == row(own, name)
    np.save(tmp_path / "d.npy", np.linalg.norm(x[:, None] - x, axis=2))
    options = ("--metric", "precomputed", "--k", 5)
    assert row(run(capsys, "report", tmp_path / "d.npy", *options)[1], "in-degree") == row(own, "in-degree")
    status, out, _ = run(capsys, *command, "--components", "warn")
    assert row(out, "components").startswith("2 of 30, 10 points")
