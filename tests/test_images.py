"""Images in arrays and in folders: gray and color, sizes, classes, and damaged files."""

from typing import Any

import numpy as np
import pytest

import jaxlle
from jaxlle.datasets import ReadOptions


def load(path, labels=None, **options) -> Any:
    return jaxlle.datasets.load(path, labels=labels, options=ReadOptions(**options))


def stack(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((5, 4, 6), (4, 6)), ((5, 4, 6, 1), (4, 6)), ((5, 4, 6, 3), (4, 6, 3)), ((5, 4, 6, 4), (4, 6, 4))],
)
def test_stacks_of_images_become_points_between_0_and_1(tmp_path, shape, image_shape):
    images = stack(*shape)
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "a.npz", pictures=images, y=np.arange(5))
    for name in ("a.npy", "a.npz"):
        data = load(tmp_path / name)
        assert data.image_shape == image_shape
        assert data.points.dtype == np.float32
        np.testing.assert_allclose(data.points, images.reshape(5, -1) / 255, rtol=1e-6)
    assert list(data.labels) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (stack(40, 30, 3), "one image in color"),
        (stack(5, 4, 6, 2), r"the last axis must be 1 channel"),
        (stack(5, 4, 6).astype(float), r"must be \(n, d\), or for images of dtype uint8"),
        (stack(2, 3, 4, 5, 6), r"must be \(n, d\)"),
    ],
)
def test_arrays_that_are_no_stack_of_images_raise(tmp_path, array, reason):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=rf"a\.npy holds .*{reason}"):
        load(tmp_path / "a.npy")


def test_the_array_of_points_is_given_by_name(tmp_path):
    path, a, b = tmp_path / "a.npz", np.eye(3), np.ones((3, 2))
    np.savez(path, a=a, b=b, c=np.arange(3), **{"y": np.array([1, 0, 1])})
    np.testing.assert_array_equal(load(path, array="b").points, b)
    np.testing.assert_array_equal(load(path, "c", array="a").labels, [0, 1, 2])
    with pytest.raises(ValueError, match=r"holds a \(3, 3\), b \(3, 2\).* or give its name in ReadOptions\.array"):
        load(path)
    with pytest.raises(ValueError, match=r"a\.npz has no array 'd': it holds a \(3, 3\)"):
        load(path, array="d")
    np.save(tmp_path / "a.npy", a)
    (tmp_path / "a.csv").write_text("1,2\n")
    for name in ("a.npy", "a.csv"):
        with pytest.raises(ValueError, match=r"remove ReadOptions\.array"):
            load(tmp_path / name, array="x")


def test_a_sparse_matrix_raises_with_a_remedy(tmp_path):
    import scipy.sparse

    scipy.sparse.save_npz(tmp_path / "a.npz", scipy.sparse.eye_array(5, format="csr"))
    with pytest.raises(ValueError, match=r"a\.npz holds a sparse matrix of SciPy.*TruncatedSVD"):
        load(tmp_path / "a.npz")
