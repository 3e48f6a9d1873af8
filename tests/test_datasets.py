"""Manifolds and their equations, digits, and files that are valid, damaged or malicious."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from jaxlle import datasets

N = 4000  # the same in all tests, so that JAX compiles each operation once
GENERATORS = [*datasets.MANIFOLDS.values(), partial(datasets.swiss_roll, hole=True)]


def sample(generator, seed=0, **options):
    """Return points and parameters of a manifold as float64 NumPy arrays."""
    made = generator(jax.random.key(seed), N, **options)
    assert made.points.dtype == made.parameters.dtype == jnp.result_type(float)
    return (np.asarray(a, np.float64) for a in made)


def load(*arguments, **options) -> Any:
    return datasets.load(*arguments, **options)


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_manifold_has_its_shape_and_depends_on_the_key(generator):
    points, parameters = sample(generator)
    assert points.shape == (N, 3)
    assert parameters.shape == (N, 1 if getattr(generator, "__name__", "") == "helix" else 2)
    assert np.isfinite(points).all()
    other, _ = sample(generator, seed=1)
    assert not np.isclose(points, other).all(axis=1).any()


@pytest.mark.parametrize("generator", GENERATORS)
def test_jit_and_vmap_over_keys_give_the_same_points(generator):
    keys = jax.random.split(jax.random.key(0), 3)
    batched = jax.jit(jax.vmap(lambda key: generator(key, N, noise=0.1)))(keys)
    for i in (0, 2):
        one = generator(keys[i], N, noise=0.1)
        np.testing.assert_allclose(batched.points[i], one.points, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(batched.parameters[i], one.parameters, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("generator", GENERATORS)
def test_noise_has_the_given_standard_deviation_and_does_not_change_the_parameters(generator):
    clean, parameters = sample(generator)
    noisy, same = sample(generator, noise=0.3)
    np.testing.assert_array_equal(same, parameters)
    noise = noisy - clean
    bound = 5 / np.sqrt(N)  # five standard errors of a mean
    assert (np.abs(noise.mean(axis=0)) < 0.3 * bound).all()
    assert (np.abs(noise.std(axis=0) / 0.3 - 1) < bound).all()


@pytest.mark.parametrize("generator", [datasets.swiss_roll, datasets.broken_swiss_roll])
def test_a_swiss_roll_is_a_spiral_whose_first_parameter_is_its_arc_length(x64, generator):
    points, parameters = (a[:200] for a in sample(generator))
    t = np.hypot(points[:, 0], points[:, 2])
    assert ((1.5 * np.pi <= t) & (t <= 4.5 * np.pi)).all()
    np.testing.assert_allclose(points[:, 0], t * np.cos(t), atol=1e-12)
    np.testing.assert_allclose(points[:, 2], t * np.sin(t), atol=1e-12)
    arc = [quad(lambda s: np.sqrt(1 + s**2), 0, end)[0] for end in t]
    np.testing.assert_allclose(parameters[:, 0], arc, rtol=1e-10)
    np.testing.assert_array_equal(parameters[:, 1], points[:, 1])
    assert (parameters[:, 1].min() >= 0) & (parameters[:, 1].max() <= 21)


def unit_square(points):
    """Return the (u, v) of points on a Swiss roll."""
    return (np.hypot(points[:, 0], points[:, 2]) / (1.5 * np.pi) - 1) / 2, points[:, 1] / 21


def test_the_hole_is_empty_and_the_rest_of_the_square_is_uniform():
    u, v = unit_square(next(sample(datasets.swiss_roll, hole=True)))
    cells = np.histogram2d(u, v, bins=3, range=[[0, 1], [0, 1]])[0]
    assert cells[1, 1] <= 1  # rounding may move a point on the edge
    others = np.delete(cells.ravel(), 4)
    assert (np.abs(others - N / 8) < 5 * np.sqrt(N / 8 * 7 / 8)).all()


def test_the_hole_has_a_ninth_of_the_area():
    whole, holed = (next(sample(datasets.swiss_roll, hole=hole)) for hole in (False, True))
    u, v = unit_square(whole)
    inside = ((np.abs(u - 0.5) < 1 / 6) & (np.abs(v - 0.5) < 1 / 6)).mean()
    assert abs(inside - 1 / 9) < 5 * np.sqrt(1 / 9 * 8 / 9 / N)
    u, v = unit_square(holed)
    assert ((np.abs(u - 0.5) < 1 / 6 - 1e-5) & (np.abs(v - 0.5) < 1 / 6 - 1e-5)).sum() == 0


def test_the_broken_roll_has_an_empty_band_between_two_uniform_components():
    u, _ = unit_square(next(sample(datasets.broken_swiss_roll)))
    assert not ((u > 0.4 + 1e-5) & (u < 0.6 - 1e-5)).any()
    assert abs((u < 0.5).mean() - 0.5) < 5 * 0.5 / np.sqrt(N)
    for ends in ((0, 0.4), (0.6, 1)):
        piece = u[(u > ends[0] - 1e-5) & (u < ends[1] + 1e-5)]
        np.testing.assert_allclose([piece.min(), piece.max()], ends, atol=0.01)
        counts = np.histogram(u, bins=4, range=ends)[0]
        assert (np.abs(counts - N / 8) < 5 * np.sqrt(N / 8 * 7 / 8)).all()


def test_the_first_parameter_of_the_s_curve_is_its_arc_length(x64):
    points, parameters = sample(datasets.s_curve)
    t = parameters[:, 0]
    assert np.abs(t).max() <= 1.5 * np.pi
    # It consists of circles of radius 1 around (0, -1) and (0, 1), so that equal steps of t have equal arc lengths.
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 2] + np.sign(t)), 1, atol=1e-12)
    order = np.argsort(t)
    steps = np.linalg.norm(np.diff(points[order][:, [0, 2]], axis=0), axis=1)
    chords = 2 * np.sin(np.diff(t[order]) / 2)
    np.testing.assert_allclose(steps, chords, atol=1e-5)  # inexact for the step across the inflection point
    np.testing.assert_array_equal(points[:, 1], parameters[:, 1])
    assert (points[:, 1].min() >= 0) & (points[:, 1].max() <= 2)


def test_the_severed_sphere_is_a_unit_sphere_without_its_caps_and_a_slice(x64):
    points, parameters = sample(datasets.severed_sphere)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    assert np.abs(points[:, 2]).max() <= np.cos(np.pi / 8)
    longitude = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    assert longitude.max() <= 2 * np.pi - 0.55
    assert longitude.max() > 2 * np.pi - 0.6
    np.testing.assert_allclose(parameters, np.column_stack([longitude, np.arccos(points[:, 2])]), atol=1e-12)


def test_the_torus_satisfies_its_equation(x64):
    points, parameters = sample(datasets.torus, radius=3.0, tube=0.5)
    ring = np.hypot(points[:, 0], points[:, 1]) - 3
    np.testing.assert_allclose(ring**2 + points[:, 2] ** 2, 0.25, atol=1e-12)
    angles = [np.arctan2(points[:, 1], points[:, 0]), np.arctan2(points[:, 2], ring)]
    np.testing.assert_allclose(parameters, np.column_stack(angles) % (2 * np.pi), atol=1e-12)


def test_the_helix_lies_on_a_torus_and_turns_eight_times(x64):
    points, parameters = sample(datasets.helix)
    ring = np.hypot(points[:, 0], points[:, 1]) - 2
    np.testing.assert_allclose(ring**2 + points[:, 2] ** 2, 1, atol=1e-12)
    t = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    np.testing.assert_allclose(parameters[:, 0], t, atol=1e-12)
    np.testing.assert_allclose(points[:, 2], np.sin(8 * t), atol=1e-11)


def test_twin_peaks_is_the_graph_of_its_function(x64):
    points, parameters = sample(datasets.twin_peaks)
    x, y, z = points.T
    np.testing.assert_allclose(z, np.sin(np.pi * x) * np.tanh(3 * y), atol=1e-12)
    np.testing.assert_array_equal(parameters, points[:, :2])
    assert np.abs(parameters).max() <= 1


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    data = datasets.digits()
    pixels, classes = load_digits(return_X_y=True)
    np.testing.assert_array_equal(data.points, pixels)
    np.testing.assert_array_equal(data.labels, classes)
    assert (data.points.dtype, data.image_shape, data.name) == (np.float32, (8, 8), "digits")


@pytest.mark.slow
def test_mnist_has_five_hundred_images_of_each_class():
    data: Any = datasets.mnist()
    assert data.points.shape == (5000, 784)
    assert data.points.dtype == np.float32
    assert (data.points.min(), data.points.max()) == (0, 1)
    assert data.image_shape == (28, 28)
    np.testing.assert_array_equal(np.bincount(data.labels), np.full(10, 500))
    # Classification by the nearest class mean has an accuracy of about 0.8 on digits.
    means = np.stack([data.points[data.labels == c].mean(axis=0) for c in range(10)])
    nearest = ((data.points[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == data.labels).mean() > 0.75


def table(n=6, d=3):
    return np.random.default_rng(0).normal(size=(n, d))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_npy_files_are_loaded_as_saved(tmp_path, dtype):
    x = (10 * table()).astype(dtype)
    np.save(tmp_path / "some points.npy", x)
    data = load(str(tmp_path / "some points.npy"))
    np.testing.assert_array_equal(data.points, x)
    assert data.points.dtype == dtype
    assert (data.labels, data.image_shape, data.name) == (None, None, "some points")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["x", "X", "data", "points", "anything"])
def test_npz_files_are_loaded_with_their_labels(tmp_path, save, name):
    x, y = table(), np.array([3, 1, 2, 1, 1, 2])
    save(tmp_path / "a.npz", **{name: x, "y": y, "other": np.zeros(3)})
    data = load(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.points, x)
    np.testing.assert_array_equal(data.labels, y)


def test_npz_labels_are_found_by_name_and_whole_numbers_are_integers(tmp_path):
    path, x = tmp_path / "a.npz", table()
    words = np.array(list("abcabc"))
    np.savez(path, x=x, other=table(5, 5), target=np.arange(6.0), word=words, column=np.arange(6)[:, None])
    assert load(path).labels.dtype == np.int64
    np.testing.assert_array_equal(load(path, labels="word").labels, words)
    np.testing.assert_array_equal(load(path, labels="column").labels, np.arange(6))
    with pytest.raises(ValueError, match=r"a\.npz has no array 'why': it holds x \(6, 3\), other \(5, 5\)"):
        load(path, labels="why")
    with pytest.raises(ValueError, match=r"a\.npz holds 25 labels, .* each of 6 points"):
        load(path, labels="other")


def test_labels_that_are_not_whole_numbers_are_unchanged(tmp_path):
    path = tmp_path / "a.npz"
    for labels in (
        table(6, 1)[:, 0],
        np.array([1.0, np.nan] * 3),
        np.array(["1", "2", "x"] * 2),
        np.ones(6, bool),
    ):
        np.savez(path, x=table(), y=labels)
        found = load(path).labels
        np.testing.assert_array_equal(found, labels)
        assert found.dtype == labels.dtype


def test_npz_files_without_a_unique_array_of_points_raise(tmp_path):
    path = tmp_path / "a.npz"
    two: dict[str, Any] = {"a": np.zeros((3, 2)), "b": np.zeros((3, 2))}
    flat: dict[str, Any] = {"a": np.zeros(3)}
    nothing: dict[str, Any] = {}
    for arrays in (two, flat, nothing):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=r"a\.npz holds .*: name the array of points x"):
            load(path)


@pytest.mark.parametrize("shape", [(5,), (), (2, 3, 4)])
def test_points_that_are_not_two_dimensional_raise(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    np.savez(tmp_path / "a.npz", x=np.zeros(shape))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match=rf"{name} holds points of shape .* must be \(n, d\)"):
            load(tmp_path / name)


def write(path, text):
    path.write_text(text)
    return path


def test_csv_files_are_loaded_as_saved(tmp_path):
    x, path = table(), tmp_path / "a.csv"
    np.savetxt(path, x, delimiter=",")
    np.testing.assert_array_equal(load(path).points, x)
    np.savetxt(path, x, delimiter=",", header="a,b,c")  # with "# " before it
    np.testing.assert_array_equal(load(path).points, x)
    np.savetxt(path, x, delimiter=",", header='"a, the first",b,c', comments="")
    np.testing.assert_array_equal(load(path).points, x)
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4\r\n")  # as from a spreadsheet: byte order mark, CR LF
    np.testing.assert_array_equal(load(path).points, [[1, 2], [3, 4]])


def test_csv_files_with_one_row_or_column_are_two_dimensional(tmp_path):
    assert load(write(tmp_path / "a.csv", "1,2,3\n")).points.shape == (1, 3)
    assert load(write(tmp_path / "a.csv", "1\n2\n3\n")).points.shape == (3, 1)


@pytest.mark.parametrize("labels", ["kind", "1"])
def test_csv_labels_are_found_by_header_or_number(tmp_path, labels):
    path = write(tmp_path / "a.csv", 'a,kind,b\n1,"oak, red",2\n3,elm,4\n5,#7,6\n')
    data = load(path, labels=labels)
    np.testing.assert_array_equal(data.points, [[1, 2], [3, 4], [5, 6]])
    assert list(data.labels) == ["oak, red", "elm", "#7"]


def test_the_first_row_of_csv_files_without_a_header_is_a_point_with_any_label(tmp_path):
    data = load(write(tmp_path / "a.csv", "1,2,oak\n3,4,elm\n"), labels="2")
    np.testing.assert_array_equal(data.points, [[1, 2], [3, 4]])
    assert list(data.labels) == ["oak", "elm"]
    data = load(write(tmp_path / "a.csv", "1,2,7\n3,4,7.0\n"), labels="2")
    np.testing.assert_array_equal(data.labels, [7, 7])
    assert data.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "header and no points"),
        ("1,,3\n4,5,6\n", r"numbers and empty cells \(column 1"),
        (",\n1,2\n", r"numbers and empty cells \(column 0"),
        ("1,2\n3,x\n", "not a table of numbers"),
        ("a,b\n1,2\n3,\n", r"missing cells in 1 of 2 rows, the first in row 1 \(line 3\), column 'b'"),
        ("1,2\n3,4,5\n", "line 2 has 3 cells, but its first line has 2"),
        ("1,2\n3\n", "line 2 has 1 cells, but its first line has 2"),
        ("a,b\n1,2,3\n4,5,6\n", "line 2 has 3 cells, but its first line has 2"),
    ],
)
def test_csv_files_that_are_not_tables_of_numbers_raise_with_their_name(tmp_path, text, reason):
    with pytest.raises(ValueError, match=rf"a\.csv .*{reason}"):
        load(write(tmp_path / "a.csv", text))


def test_labels_that_do_not_exist_raise(tmp_path):
    for labels in ("c", "2", "-1", ""):
        with pytest.raises(ValueError, match=rf"a\.csv has no column '{labels}': it has a, b"):
            load(write(tmp_path / "a.csv", "a,b\n1,2\n"), labels=labels)
        with pytest.raises(ValueError, match="give a number from 0 to 1"):
            load(write(tmp_path / "a.csv", "1,2\n"), labels=labels)
    np.save(tmp_path / "a.npy", table())
    with pytest.raises(ValueError, match="holds one array and no labels 'y'"):
        load(tmp_path / "a.npy", labels="y")


def test_csv_files_that_are_not_text_raise_with_their_name(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1,2\n\xff\xfe,3\n")
    with pytest.raises(ValueError, match=r"a\.csv cannot be read"):
        load(tmp_path / "a.csv")


def test_missing_files_and_unknown_suffixes_raise_with_their_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*b\.npy"):
        load(tmp_path / "b.npy")
    (tmp_path / "b.npy").mkdir()
    with pytest.raises(ValueError, match=r"b\.npy has no images"):
        load(tmp_path / "b.npy")
    with pytest.raises(ValueError, match=r"b\.txt is not a \.npy, \.npz, \.csv, \.tsv, \.parquet or"):
        load(write(tmp_path / "b.txt", "1,2\n"))


class Exploit:
    """An object whose pickle creates the file `ran` when it is loaded."""

    def __init__(self, folder):
        self.target = str(folder / "ran")

    def __reduce__(self):
        return (open, (self.target, "w"))


def test_pickles_raise_and_are_never_executed(tmp_path):
    malicious = np.empty((1, 1), dtype=object)
    malicious[0, 0] = Exploit(tmp_path)
    np.save(tmp_path / "a.npy", malicious, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=malicious)
    np.savez(tmp_path / "b.npz", x=table(), y=malicious.ravel())
    (tmp_path / "c.npy").write_bytes(malicious.dumps())
    for name in ("a.npy", "a.npz", "b.npz", "c.npy"):
        with pytest.raises(ValueError, match=rf"{name} holds pickled objects.*, which can run code"):
            load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_files_of_another_type_than_their_suffix_raise(tmp_path):
    np.savez(tmp_path / "a.npz", x=table())
    np.save(tmp_path / "b.npy", table())
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    for name in ("a.npy", "b.npz"):
        with pytest.raises(ValueError, match=name):
            load(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npy", ".npz", "compressed.npz"])
def test_files_truncated_anywhere_raise_with_their_name(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save = {".npy": np.save, ".npz": lambda p, x: np.savez(p, x=x)}.get(
        suffix, lambda p, x: np.savez_compressed(p, x=x)
    )
    save(path, table(20, 3))
    whole = path.read_bytes()
    for length in sorted({*range(0, len(whole), 7), 1, len(whole) - 8, len(whole) - 1}):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=path.name):
            load(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_files_raise_only_value_errors_with_their_name(tmp_path, suffix):
    path, rng = tmp_path / f"a{suffix}", np.random.default_rng(0)
    if suffix == ".npy":
        np.save(path, table())
    else:
        np.savez_compressed(path, x=table(), y=np.arange(6))
    whole, messages = np.frombuffer(path.read_bytes(), np.uint8), []
    for _ in range(300):
        damaged = whole.copy()
        damaged[rng.integers(len(whole), size=3)] = rng.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            load(path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(path.name in message for message in messages)
