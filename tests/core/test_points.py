"""Validation of points and labels: masked arrays, and missing values of pandas."""

import numpy as np
import pytest

import jaxlle
from jaxlle.metrics import label_accuracy
from jaxlle.variants import guided_embed, supervised_neighbors

pandas = pytest.importorskip("pandas")


def masked(shape, *rows, dtype=np.float32):
    """Return a masked array with masked entries in some rows, under which the data are finite."""
    values = np.ma.array(np.random.default_rng(0).normal(size=shape).astype(dtype))
    for row in rows:
        values[row] = np.ma.masked
    return values


@pytest.mark.parametrize(
    "read",
    [
        lambda x: jaxlle.knn(x, 3),
        lambda x: jaxlle.lle(x, 2, k=5),
        lambda x: jaxlle.transform(x, np.eye(4, 3, dtype=np.float32), np.eye(4, 2, dtype=np.float32), k=3),
        lambda x: jaxlle.transform(np.eye(20, 3, dtype=np.float32), np.asarray(x.data), x, k=3),
        lambda x: jaxlle.neighbors.prepare_points(list(x)),
    ],
)
def test_masked_entries_raise_with_their_rows(read):
    with pytest.raises(ValueError, match=r"contains masked entries in rows 2, 7 \(counted from 0\)"):
        read(masked((20, 3), (2, 1), (7, 0)))


def test_many_masked_rows_are_counted():
    with pytest.raises(ValueError, match="rows 0, 1, 2, 3, 4, 5, 6, 7 and 12 more"):
        jaxlle.knn(masked((20, 3), slice(None)), 3)


def test_a_masked_array_without_masked_entries_is_read_as_its_data():
    for dtype in (np.float32, np.int16):
        x = np.ma.array(np.arange(40).reshape(20, 2) ** 2 % 31, mask=np.zeros((20, 2), bool), dtype=dtype)
        np.testing.assert_array_equal(jaxlle.knn(x, 3).indices, jaxlle.knn(np.asarray(x), 3).indices)


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame({"a": pandas.array([1, None, 3, 4], dtype="Int64"), "b": [1, 2, 3, 4]}),
        pandas.DataFrame({"a": [1.0, np.nan, 3.0, 4.0]}),
        pandas.DataFrame({"a": [1.0, None, 3.0, 4.0], "b": ["1", "2", "3", "4"]}, dtype=object),
        np.array([[1.0], [pandas.NA], [2.0], [3.0]], dtype=object),
        [[1.0], [None], [2.0], [3.0]],
    ],
)
def test_missing_values_of_frames_and_objects_raise_with_their_rows(frame):
    with pytest.raises(ValueError, match=r"Input x contains missing values \(NA, NaN or None\) in rows 1 "):
        jaxlle.knn(frame, 1)


def test_a_nullable_frame_without_missing_values_is_read():
    frame = pandas.DataFrame({"a": pandas.array([1, 2, 4, 8], dtype="Int64")})
    np.testing.assert_array_equal(jaxlle.knn(frame, 1).indices[:, 0], [1, 0, 1, 2])


@pytest.mark.parametrize(
    "labels",
    [
        np.ma.array(np.arange(12) % 2, mask=np.arange(12) == 5),
        pandas.Series(np.arange(12) % 2, dtype="Int64").where(np.arange(12) != 5),
        pandas.Series(["a", "b"] * 6).where(np.arange(12) != 5),
        np.where(np.arange(12) == 5, pandas.NA, "a").astype(object),
    ],
)
def test_masked_and_missing_labels_raise_with_their_rows(labels):
    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    alignment = jaxlle.lle_alignment(x, k=4)
    for read in (
        lambda: supervised_neighbors(x, labels, 3),
        lambda: guided_embed(alignment, labels, 2),
        lambda: label_accuracy(x, labels, k=3),
    ):
        with pytest.raises(ValueError, match=r"Input labels contains .* in rows 5 "):
            read()
    with pytest.raises(ValueError, match="labels has missing values"):
        label_accuracy(x, np.where(np.arange(12) == 5, np.nan, 0), k=3)
