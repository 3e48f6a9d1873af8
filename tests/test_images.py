"""Images in arrays and in folders: gray and color, sizes, classes, and damaged files."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

import jaxlle
from jaxlle.datasets import ReadOptions, images


def load(path, labels=None, **options) -> Any:
    return jaxlle.datasets.load(path, labels=labels, options=ReadOptions(**options))


def stack(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((5, 4, 6), (4, 6)), ((5, 4, 6, 1), (4, 6)), ((5, 4, 6, 3), (4, 6, 3)), ((5, 4, 6, 4), (4, 6, 4))],
)
def test_stacks_of_images_become_points_between_0_and_1(tmp_path, shape, image_shape):
    pixels = stack(*shape)
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "a.npz", pictures=pixels, y=np.arange(5))
    for name in ("a.npy", "a.npz"):
        data = load(tmp_path / name)
        assert data.image_shape == image_shape
        assert data.points.dtype == np.float32
        np.testing.assert_allclose(data.points, pixels.reshape(5, -1) / 255, rtol=1e-6)
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


def save(path, pixels, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_subfolders_of_images_are_classes(tmp_path):
    pixels = stack(6, 4, 5)
    for i, image in enumerate(pixels):
        folder = tmp_path / ("oak" if i < 2 else "elm")
        save(folder / f"{i}.{'png' if i % 2 else 'PNG'}", image)
    (tmp_path / "oak" / "._0.png").write_bytes(b"hidden")
    (tmp_path / "oak" / "notes.txt").write_text("notes")
    data = load(tmp_path)
    assert list(data.labels) == ["elm"] * 4 + ["oak"] * 2
    assert data.image_shape == (4, 5)
    assert data.name == tmp_path.name
    np.testing.assert_allclose(data.points, pixels[[2, 3, 4, 5, 0, 1]].reshape(6, -1) / 255, atol=1e-7)


def test_images_in_color_and_gray_become_color(tmp_path):
    red = np.zeros((3, 2, 3), np.uint8)
    red[..., 0] = 200
    save(tmp_path / "a.png", red)
    save(tmp_path / "b.png", np.full((3, 2), 100, np.uint8))
    data = load(tmp_path)
    assert (data.labels, data.image_shape) == (None, (3, 2, 3))
    np.testing.assert_allclose(data.points[0].reshape(3, 2, 3), red / 255, atol=1e-7)
    np.testing.assert_allclose(data.points[1], 100 / 255, atol=1e-7)


def test_modes_of_png_files_have_the_values_that_they_show(tmp_path):
    Image.fromarray(np.full((2, 2), 257 * 51, np.uint16)).save(tmp_path / "a.png")  # 16 bits
    Image.new("1", (2, 2), 1).save(tmp_path / "b.png")
    Image.new("LA", (2, 2), (0, 0)).save(tmp_path / "c.png")  # transparent
    data = load(tmp_path)
    assert data.image_shape == (2, 2)
    np.testing.assert_allclose(data.points, np.array([[51 / 255], [1], [1]]) * np.ones(4), atol=1e-6)
    palette = Image.new("P", (2, 2))
    palette.putpalette([0, 51, 102])
    palette.save(tmp_path / "d.png")
    np.testing.assert_allclose(load(tmp_path).points[3], np.tile([0, 51, 102], 4) / 255, atol=1e-6)


def test_the_orientation_of_a_photograph_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a rotation by 90 degrees
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 255  # the left half becomes the upper half
    save(tmp_path / "a.jpg", pixels, exif=exif, quality=95)
    data = load(tmp_path)
    assert data.image_shape == (32, 16)
    np.testing.assert_allclose(data.points.reshape(32, 16).mean(axis=1).round(), [1] * 16 + [0] * 16)


def test_images_of_several_sizes_raise_unless_a_size_is_given(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", np.full((4, 6), 80, np.uint8))
    save(tmp_path / "large.png", np.full((10, 20), 80, np.uint8))
    with pytest.raises(
        ValueError, match=r"2 sizes: 3 of 4 have 6 x 4 pixels, but large\.png has 20 x 10.*ReadOptions\.size"
    ):
        load(tmp_path)
    for size, shape in ((5, (5, 5)), ((2, 3), (2, 3))):
        data = load(tmp_path, size=size)
        assert data.image_shape == shape
        np.testing.assert_allclose(data.points, 80 / 255, atol=1e-6)
    with pytest.raises(ValueError, match="size = 0 is not allowed"):
        ReadOptions(size=0)


@pytest.mark.parametrize("damage", ["empty", "text", "head", "truncated", "other"])
def test_a_damaged_image_is_named_and_left_out_on_request(tmp_path, damage):
    pixels = stack(3, 40, 50)
    paths = [save(tmp_path / f"{i}.png", image) for i, image in enumerate(pixels)]
    whole = paths[1].read_bytes()
    Image.fromarray(pixels[1]).save(tmp_path / "other.gif")
    gif = (tmp_path / "other.gif").read_bytes()
    contents = {"empty": b"", "text": b"no image", "head": whole[:20], "truncated": whole[:-900], "other": gif}
    paths[1].write_bytes(contents[damage])
    with pytest.raises(ValueError, match=r"1\.png is not a valid PNG or JPEG image .*ReadOptions\(missing=\"drop\"\)"):
        load(tmp_path)
    data = load(tmp_path, missing="drop")
    np.testing.assert_allclose(data.points, pixels[[0, 2]].reshape(2, -1) / 255, atol=1e-7)
    np.testing.assert_array_equal(data.rows, [0, 2])
    assert data.left_out == ("1 of 3 images (damaged: 1.png)",)
    for path in (paths[0], paths[2]):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="has only damaged images"):
        load(tmp_path, missing="drop")


def test_folders_that_are_not_folders_of_images_raise(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"has no images: neither the folder nor a subfolder contains a \.png"):
        load(tmp_path)
    save(tmp_path / "a.png", stack(2, 2))
    for options in ({"columns": "a"}, {"array": "a"}):
        with pytest.raises(ValueError, match="remove"):
            load(tmp_path, **options)
    with pytest.raises(ValueError, match="subfolders are the labels: remove labels"):
        load(tmp_path, "a")
    save(tmp_path / "oak" / "b.png", stack(2, 2))
    with pytest.raises(ValueError, match="1 images beside 1 in subfolders"):
        load(tmp_path)


def test_images_that_are_large_in_memory_raise_before_they_are_decoded(tmp_path, monkeypatch):
    save(tmp_path / "a.png", np.zeros((2000, 3000), np.uint8))
    monkeypatch.setattr(images, "_pixels", None)
    with pytest.raises(ValueError, match=r"24,000,000 bytes in memory, of which at most 1,000,000.*ReadOptions\.size"):
        jaxlle.datasets.load(tmp_path, max_bytes=10**6)


def test_a_folder_of_images_without_pillow_raises_with_the_command_that_installs_it(tmp_path, monkeypatch):
    save(tmp_path / "a.png", stack(2, 2))
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxlle\[images\]'"):
        load(tmp_path)
