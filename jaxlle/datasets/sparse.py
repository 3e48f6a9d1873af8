"""Sparse points: matrices that scipy.sparse.save_npz wrote, and documents as TF-IDF vectors."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._core.archive import FileContentError, Npz, check_memory
from .._core.sparse import squared_lengths
from .data import Table, Vocabulary
from .options import ReadOptions

_COMPRESSED = ("data", "indices", "indptr")
_PARTS = {"csr": _COMPRESSED, "csc": _COMPRESSED, "bsr": _COMPRESSED, "coo": ("data", "row", "col")}


class Kept(NamedTuple):
    """Sparse points without those that cannot be embedded.

    Attributes:
        points: the points, in CSR format.
        rows: the rows that remain, or None if all do.
        notes: notes on what was left out.
    """

    points: Any
    rows: np.ndarray | None
    notes: tuple[str, ...]


def is_sparse_file(file: Npz) -> bool:
    """Return whether the arrays of a file are those of a sparse matrix."""
    return {"format", "shape", "data"} <= file.layouts.keys()


def read_sparse(file: Npz, path: Path, max_bytes: int | None) -> Any:
    """Return the sparse matrix of a file in CSR format.

    Raises:
        ValueError: if its format is not supported, its arrays are no matrix, or it takes more than `max_bytes` in memory.
    """
    from scipy import sparse

    layouts = file.layouts
    if layouts["format"].shape != () or layouts["format"].dtype.kind not in "SU" or layouts["shape"].shape != (2,):
        raise FileContentError(f"{path} holds no matrix with two axes that scipy.sparse.save_npz wrote.")
    kind = file.read_one("format").item()
    kind = kind.decode(errors="replace") if isinstance(kind, bytes) else kind
    names = _PARTS.get(kind, ())
    if not names or not set(names) <= layouts.keys():
        raise FileContentError(
            f"{path} holds a sparse matrix in the format {kind!r}, which is not read: save it as scipy.sparse.save_npz(path, "
            f"x.tocsr())."
        )
    shape = file.read_one("shape")
    if shape.dtype.kind not in "iu" or shape.min() < 0:
        raise FileContentError(f"{path} holds a sparse matrix of shape {shape.tolist()}, which is no shape.")
    n, d = map(int, shape)
    # Besides the entries, the search needs an array with one number for each row and column.
    total = 8 * (n + d) + sum(layouts[name].nbytes for name in names)
    check_memory(path, path.stat().st_size, total, max_bytes, "or save it with fewer columns")
    arrays = {name: file.read_one(name) for name in names}
    data, *places = arrays.values()
    try:
        if kind == "coo":
            return sparse.coo_array((data, tuple(places)), shape=(n, d)).tocsr()
        matrix = {"csr": sparse.csr_array, "csc": sparse.csc_array, "bsr": sparse.bsr_array}[kind]
        found = matrix((data, *places), shape=(n, d))
        found.check_format(full_check=True)  # an index out of range would be an access out of bounds
        return found.tocsr()
    except (ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileContentError(f"{path} holds no valid sparse matrix ({reason}): save it again by SciPy.") from None


def select_documents(
    table: Table, text: int, vocabulary: Vocabulary | None, source: str
) -> tuple[Any, np.ndarray, Vocabulary]:
    """Return the TF-IDF vectors of the documents in a column, the documents, and their vocabulary, unless one is given.

    The weight of a word in a document is (1 + log of its number of occurrences) times the smoothed inverse document frequency of
    scikit-learn, and the vectors have length 1. Words in only one document, or in more than half of them, are not used.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed.
        ValueError: if the column holds numbers, or no word remains.
    """
    documents, name = table.columns[text], table.names[text]
    if documents.dtype.kind != "O":
        raise ValueError(
            f"{source}: the column {name!r} holds numbers: ReadOptions.text must name a column of documents."
        )
    if not find_spec("sklearn"):
        raise ModuleNotFoundError(
            "Documents are read by scikit-learn, which is not installed: pip install 'jaxlle[sklearn]'."
        )
    from sklearn.feature_extraction.text import TfidfVectorizer

    unscaled: Any = {"sublinear_tf": True, "norm": None}
    if vocabulary is not None:
        vectorizer = TfidfVectorizer(**unscaled, vocabulary=vocabulary.words.tolist())
        vectorizer.idf_ = vocabulary.weights
        return _divide_by_length(vectorizer.transform(documents)), documents, vocabulary
    vectorizer = TfidfVectorizer(**unscaled, min_df=2, max_df=0.5)
    try:
        points = vectorizer.fit_transform(documents)
    except ValueError:  # an empty vocabulary
        raise ValueError(
            f"{source}: no word occurs in at least two and at most half of the {len(documents)} documents in the column {name!r}."
        ) from None
    words = vectorizer.get_feature_names_out().astype(str)
    return _divide_by_length(points), documents, Vocabulary(words, vectorizer.idf_)


def _divide_by_length(points: Any) -> Any:
    """Return rows of length 1, whose bits do not depend on the order in which scikit-learn stores the words; keep zeros."""
    rows = points.tocsr()
    rows.sort_indices()
    lengths = np.sqrt(squared_lengths(rows))
    rows.data /= np.repeat(np.where(lengths > 0, lengths, 1), np.diff(rows.indptr))
    return rows


def keep_valid(points: Any, options: ReadOptions, source: str, where: Any, documents: bool) -> Kept:
    """Return sparse points without rows that are empty or not finite; raise if they are not to be left out.

    Args:
        points: the points, in CSR format.
        options: `missing` and `scale`.
        source: name of the file, for messages.
        where: function that returns where a row is, for messages.
        documents: whether the points are documents.

    Raises:
        ValueError: if a row is empty or not finite and `options.missing` is not "drop", or an option needs dense points.
    """
    for name, value in (("scale", options.scale), ("missing", options.missing)):
        if value not in ("none", "error", "drop"):
            raise ValueError(
                f'{source} holds a sparse matrix, which {name} = "{value}" would make dense: remove ReadOptions.{name}.'
            )
    points.sum_duplicates()
    points.eliminate_zeros()
    counts = np.diff(points.indptr)
    of_entries = np.repeat(np.arange(points.shape[0]), counts)
    invalid = np.bincount(of_entries[~np.isfinite(points.data)], minlength=points.shape[0]) > 0
    bad = invalid | (counts == 0)
    if not bad.any():
        return Kept(points, None, ())
    row = int(bad.argmax())
    kind = "NaN or infinity" if invalid[row] else "no word of the vocabulary" if documents else "no entries"
    if options.missing != "drop":
        raise ValueError(
            f"{source} has {int(bad.sum())} of {len(bad)} rows that cannot be embedded, the first is {where(row)} with {kind}: "
            f'remove them, or use ReadOptions(missing="drop").'
        )
    if bad.all():
        raise ValueError(f"{source} has no row with entries that are finite numbers.")
    reason = "without a word of the vocabulary" if documents else "empty or not finite"
    return Kept(points[~bad], np.flatnonzero(~bad), (f"{int(bad.sum())} of {len(bad)} rows ({reason})",))
