"""Sparse matrices and documents on the command line."""

import matplotlib.image
import numpy as np
import pytest
import scipy.sparse as sp
from cli_helpers import assert_fails, row, run

import jaxlle

QUICK = ("--k", 8)


@pytest.fixture(scope="module")
def news(tmp_path_factory):
    """A table of documents, whose words are near a position on a line, with its halves as labels, and a sparse matrix."""
    folder, rng = tmp_path_factory.mktemp("news"), np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(60)])
    starts = rng.permutation(80) * 34 // 80
    texts = [" ".join(words[start + rng.integers(0, 26, 40)]) for start in starts]
    lines = [f"{i},{text},{'ab'[start // 17]}" for i, (text, start) in enumerate(zip(texts, starts, strict=True))]
    (folder / "news.csv").write_text("\n".join(["id,body,kind", *lines]))
    data = jaxlle.datasets.load(folder / "news.csv", options=jaxlle.datasets.ReadOptions(text="body"))
    sp.save_npz(folder / "x.npz", data.points)
    return folder


def test_documents_and_their_matrix_have_the_embedding_of_their_dense_vectors(capsys, news, tmp_path):
    command = ("embed", news / "news.csv", "--text", "body", "--labels", "kind", *QUICK)
    files = ("--plot", tmp_path / "y.png", "--out", tmp_path / "y.npz")
    status, out, err = run(capsys, *command, *files)
    assert (status, err) == (0, "")
    words = sp.load_npz(news / "x.npz").shape[1]
    assert row(out, "documents") == f"column 'body', TF-IDF of {words} words"
    assert row(out, "left out") == "column 'id' (not the documents)"
    assert float(row(out, "label accuracy").split()[0]) > 0.7
    assert matplotlib.image.imread(tmp_path / "y.png").std() > 0.01
    np.save(tmp_path / "dense.npy", sp.load_npz(news / "x.npz").toarray())
    for other in (tmp_path / "dense.npy", news / "x.npz"):
        assert run(capsys, "embed", other, "--metric", "cosine", *QUICK, "--out", tmp_path / "z.npz")[0] == 0
        with np.load(tmp_path / "y.npz") as found, np.load(tmp_path / "z.npz") as expected:
            np.testing.assert_allclose(found["singular_values"], expected["singular_values"], rtol=1e-8)
            np.testing.assert_allclose(found["points"], expected["points"], atol=1e-7)


def test_a_report_on_a_sparse_matrix_has_the_rows_that_need_no_coordinates(capsys, news):
    status, out, err = run(capsys, "report", news / "x.npz", *QUICK)
    assert (status, err) == (0, "")
    assert row(out, "method") == "standard"
    assert "continuity" not in out
    assert row(out, "solver")


def test_what_needs_dense_points_fails_with_one_line_that_says_what_to_do(capsys, news, tmp_path):
    data = news / "x.npz"
    for method in ("hessian", "landmark", "npe"):
        line = assert_fails(capsys, "embed", data, "--method", method)
        assert f"--method {method} needs dense points, and x is sparse" in line
        assert "TruncatedSVD" in line
    for options, message in (
        (("embed", data, "--k", "auto"), "--k auto needs dense points"),
        (("embed", data, "--metric", "manhattan"), "'manhattan' is not available for sparse points"),
        (("embed", data, "--scale", "standard"), "would make dense: remove --scale"),
        (("embed", data, "--text", "a"), "remove --text"),
        (("embed", "digits", "--text", "a"), "--text applies to files"),
        (("choose", data), "choose needs dense points"),
    ):
        assert message in assert_fails(capsys, *options)
    assert list(tmp_path.iterdir()) == []


def test_new_documents_are_embedded_by_the_words_of_the_model(capsys, news, tmp_path):
    command = ("embed", news / "news.csv", "--text", "body", *QUICK, "--quiet")
    model, out = tmp_path / "m.npz", tmp_path / "z.npz"
    assert run(capsys, *command, "--save", model, "--out", tmp_path / "y.npz") == (0, "", "")
    assert run(capsys, "transform", model, news / "news.csv", "--out", out, "--quiet") == (0, "", "")
    with np.load(tmp_path / "y.npz") as expected, np.load(out) as found:
        np.testing.assert_array_equal(found["points"], expected["points"])
    known = jaxlle.serving.load_map(model)
    assert known.metric == "cosine"
    lines = (news / "news.csv").read_text().splitlines()
    texts = [line.split(",")[1] for line in lines[1:3]]
    new = tmp_path / "new.csv"
    new.write_text("\n".join(["body,more", f"{texts[0]} {texts[1]},1", "other words,2", f"{texts[1]} word1,3"]))
    line = assert_fails(capsys, "transform", model, new)
    assert "the first is row 1 (line 3) with no word of the vocabulary: remove them, or use --missing drop" in line
    status, shown, err = run(capsys, "transform", model, new, "--missing", "drop", "--out", out)
    assert (status, err) == (0, "")
    assert row(shown, "left out") == "column 'more' (not the documents); 1 of 3 rows (without a word of the vocabulary)"
    with np.load(out) as found:
        assert found["rows"].tolist() == [0, 2]
    new.write_text("text\nword1 word2\nword3 word2\n")
    assert "has no column 'body': it has text. The model" in assert_fails(capsys, "transform", model, new)
    assert "has no columns with names" in assert_fails(capsys, "transform", model, news / "x.npz")


def test_new_rows_of_a_sparse_matrix_are_embedded_and_need_its_columns(capsys, news, tmp_path):
    x, model = sp.load_npz(news / "x.npz"), tmp_path / "m.npz"
    options = ("--metric", "cosine", *QUICK, "--quiet")
    assert run(capsys, "embed", news / "x.npz", *options, "--save", model, "--out", tmp_path / "y.npz")[0] == 0
    sp.save_npz(tmp_path / "new.npz", x[:5])
    assert run(capsys, "transform", model, tmp_path / "new.npz", "--out", tmp_path / "z.npz", "--quiet")[0] == 0
    with np.load(tmp_path / "y.npz") as expected, np.load(tmp_path / "z.npz") as found:
        np.testing.assert_array_equal(found["points"], expected["points"][:5])
    sp.save_npz(tmp_path / "new.npz", x[:5, 1:])
    features = x.shape[1]
    line = assert_fails(capsys, "transform", model, tmp_path / "new.npz")
    assert f"has {features - 1} features (without names), but the model" in line
    np.save(tmp_path / "new.npy", x[:5].toarray())
    line = assert_fails(capsys, "transform", model, tmp_path / "new.npy")
    assert "new.npy is dense, but the points of the model" in line
