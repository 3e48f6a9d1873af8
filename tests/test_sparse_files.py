"""Sparse matrices and documents in files: equal to what SciPy and scikit-learn give, with named rows and one-line errors."""

import csv

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from jaxlle.datasets import ReadOptions, load

WORDS = [f"word{i}" for i in range(60)]


def matrix(n=40, d=30, seed=0):
    rng = np.random.default_rng(seed)
    x = sp.random_array((n, d), density=0.2, rng=rng, format="lil")
    x[np.arange(n), rng.integers(0, d, n)] = 1
    return x.tocsr()


def documents(n=40):
    """Return documents of two kinds, whose kinds share few words."""
    rng = np.random.default_rng(0)
    return [" ".join(WORDS[j] for j in rng.integers(25 * (i % 2), 35 + 25 * (i % 2), 30)) for i in range(n)]


def write_documents(path, texts):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "length", "body", "kind"])
        writer.writerows([i, len(text), text, "ab"[i % 2]] for i, text in enumerate(texts))
    return path


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_a_sparse_matrix_stays_sparse(tmp_path, kind, dtype):
    x = (10 * matrix()).astype(dtype).asformat(kind)
    for container in (
        x,
        {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "coo": sp.coo_matrix, "bsr": sp.bsr_matrix}[kind](x),
    ):
        sp.save_npz(tmp_path / "x.npz", container)
        data = load(tmp_path / "x.npz")
        assert data.points.format == "csr"
        assert data.points.dtype == dtype
        np.testing.assert_array_equal(data.points.toarray(), x.toarray())
        assert (data.labels, data.rows, data.left_out) == (None, None, ())


def save_with(path, x, **more):
    """Save a sparse matrix as SciPy does, with other or further arrays."""
    parts = {"format": b"csr", "shape": np.array(x.shape), "data": x.data, "indices": x.indices, "indptr": x.indptr}
    np.savez(path, **{**parts, **more})
    return path


def test_empty_rows_and_rows_with_nan_are_named_or_left_out(tmp_path):
    x = matrix().tolil()
    x[7] = 0
    x[9, 4] = np.nan
    path = save_with(tmp_path / "x.npz", x.tocsr(), labels=np.arange(40))
    with pytest.raises(
        ValueError, match=r"2 of 40 rows that cannot be embedded, the first is row 7 with no entries.*drop"
    ):
        load(path)
    data = load(path, options=ReadOptions(missing="drop"))
    kept = np.delete(np.arange(40), [7, 9])
    np.testing.assert_array_equal(data.rows, kept)
    np.testing.assert_array_equal(data.labels, kept)
    np.testing.assert_array_equal(data.points.toarray(), x.toarray()[kept])
    assert data.left_out == ("2 of 40 rows (empty or not finite)",)
    x[7, 0] = 1
    with pytest.raises(ValueError, match="the first is row 9 with NaN"):
        load(save_with(path, x.tocsr()))
    with pytest.raises(ValueError, match="no row with entries"):
        load(save_with(path, sp.csr_array((3, 4))), options=ReadOptions(missing="drop"))


def test_matrices_that_are_not_valid_and_options_that_need_dense_points_raise(tmp_path):
    x, path = matrix(), tmp_path / "x.npz"
    for changes, message in (
        ({"indices": x.indices + 30}, "holds no valid sparse matrix"),
        ({"indices": -x.indices - 1}, "holds no valid sparse matrix"),
        ({"indptr": x.indptr[::-1].copy()}, "holds no valid sparse matrix"),
        ({"indptr": x.indptr[:-1]}, "holds no valid sparse matrix"),
        ({"shape": np.array([40, -3])}, "which is no shape"),
        ({"shape": np.array([40])}, "no matrix with two axes"),
        ({"shape": np.array([40, 10**12])}, "max_bytes"),
        ({"format": b"dia"}, r"in the format 'dia', which is not read: save it as scipy.sparse.save_npz"),
        ({"format": np.zeros(2)}, "no matrix with two axes"),
        ({"format": b"coo"}, "in the format 'coo'"),
        ({"labels": np.arange(39)}, "39 labels, but there must be one for each of 40 points"),
    ):
        with pytest.raises(ValueError, match=message):
            load(save_with(path, x, **changes))
    save_with(path, x)
    for options, message in (
        (ReadOptions(scale="standard"), r'scale = "standard" would make dense: remove ReadOptions.scale'),
        (ReadOptions(missing="mean"), r'missing = "mean" would make dense'),
        (ReadOptions(columns="a"), "remove ReadOptions.columns"),
        (ReadOptions(text="a"), "remove ReadOptions.text"),
    ):
        with pytest.raises(ValueError, match=message):
            load(path, options=options)


def test_documents_become_the_vectors_of_scikit_learn(tmp_path):
    texts = documents()
    path = write_documents(tmp_path / "news.csv", texts)
    data = load(path, labels="kind", options=ReadOptions(text="body"))
    expected = TfidfVectorizer(sublinear_tf=True, min_df=2, max_df=0.5).fit_transform(texts)
    np.testing.assert_allclose(data.points.toarray(), expected.toarray(), rtol=1e-14)
    np.testing.assert_allclose(sp.linalg.norm(data.points, axis=1), 1)
    assert data.texts.tolist() == texts
    assert data.labels.tolist() == ["a", "b"] * 20
    assert data.columns == ("body",)
    assert data.left_out == ("columns 'id', 'length' (not the documents)",)


def test_documents_without_a_common_word_are_named_or_left_out(tmp_path):
    texts = documents()
    texts[3], texts[8] = "unique", ""
    path = write_documents(tmp_path / "news.csv", texts)
    with pytest.raises(ValueError, match=r"the first is row 3 \(line 5\) with no word of the vocabulary"):
        load(path, options=ReadOptions(text="body"))
    data = load(path, labels="kind", options=ReadOptions(text="body", missing="drop"))
    kept = np.delete(np.arange(40), [3, 8])
    np.testing.assert_array_equal(data.rows, kept)
    assert data.texts.tolist() == [texts[i] for i in kept]
    assert data.labels.tolist() == ["ab"[i % 2] for i in kept]
    assert data.points.shape[0] == 38


def test_a_column_that_holds_no_documents_and_other_options_raise(tmp_path, monkeypatch):
    path = write_documents(tmp_path / "news.csv", documents())
    for labels, options, message in (
        (None, {"text": "length"}, "'length' holds numbers: ReadOptions.text must name a column of documents"),
        (None, {"text": "none"}, "has no column 'none'"),
        (None, {"text": "kind"}, "no word occurs in at least two and at most half of the 40 documents"),
        ("body", {"text": "body"}, "requested as text and as the labels"),
        (None, {"text": "body", "drop": "id"}, "remove ReadOptions.drop"),
        (None, {"text": "body", "columns": "length"}, "remove ReadOptions.columns"),
        (None, {"text": "body", "scale": "unit"}, "remove ReadOptions.scale"),
    ):
        with pytest.raises(ValueError, match=message):
            load(path, labels=labels, options=ReadOptions(**options))
    monkeypatch.setattr("jaxlle.datasets.sparse.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"jaxlle\[sklearn\]"):
        load(path, options=ReadOptions(text="body"))
