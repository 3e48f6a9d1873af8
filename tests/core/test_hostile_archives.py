"""Files that are damaged or made to harm: every loader raises a ValueError that names the file, within little memory."""

import io
import json
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from flax import nnx

import jaxlle
from jaxlle import datasets, serving
from jaxlle._core import archive
from jaxlle.nn import load_model, save_model

X = np.arange(12, dtype=np.float32).reshape(6, 2) ** 2
GRAPH = jaxlle.neighbors.as_neighbors([[1], [0], [1], [2], [3], [4]], np.ones((6, 1), np.float32))
KNOWN = serving.OutOfSampleMap(X, X[:, :1], k=2, neighbors=GRAPH)


def linear(seed=0):
    return nnx.Linear(2, 1, rngs=nnx.Rngs(seed))


# By loader: a function that writes a valid file, the loader, and the name of an array that it reads.
LOADERS = {
    "neighbors.load": (lambda path: jaxlle.neighbors.save(path, GRAPH), jaxlle.neighbors.load, "distances"),
    "load_map": (lambda path: serving.save_map(path, KNOWN), serving.load_map, "map/points"),
    "load_model": (
        lambda path: save_model(path, linear(), KNOWN),
        lambda path, **options: load_model(path, linear(1), **options),
        "state/kernel",
    ),
    "datasets.load": (lambda path: np.savez(path, x=X, y=np.arange(6)), datasets.load, "x"),
}


@pytest.fixture(params=LOADERS)
def loader(request, tmp_path):
    """A path with a valid file, its loader, and the name of an array in it."""
    write, load, name = LOADERS[request.param]
    path = tmp_path / "file.npz"
    write(path)
    return path, load, name


def members(path):
    """Return the contents of the members by name."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def npy(shape, entries=b"", descr="'<f4'"):
    """Return the content of a .npy file that declares a shape and a dtype, whatever entries follow."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + entries


def rewrite(path, contents, method=zipfile.ZIP_DEFLATED, sizes=()):
    """Write members, with other declared sizes in the directory for some of them."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in contents.items():
            file.writestr(name, content)
        for name, size in dict(sizes).items():
            file.getinfo(name).file_size = size


def assert_raises(path, load, match):
    with pytest.raises(ValueError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_arrays_of_a_small_file_that_are_large_in_memory_raise_before_they_are_allocated(loader):
    path, load, name = loader
    empty = npy((7 * 10**8, 1))  # 2.8 GB of float32
    rewrite(path, {**members(path), f"{name}.npy": empty}, sizes={f"{name}.npy": len(empty) + 28 * 10**8})
    tracemalloc.start()
    try:
        assert_raises(path, load, r"2,800,\d\d\d,\d\d\d bytes in memory.*at most 268,435,456.*max_bytes=2800")
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_a_compressed_file_is_loaded_up_to_the_limit_and_beyond_it_with_max_bytes(loader, monkeypatch):
    path, load, _ = loader
    rewrite(path, {**members(path), "unknown.npy": npy((10**4, 1), bytes(4 * 10**4))})
    load(path)
    monkeypatch.setattr(archive, "FREE_BYTES", 0)
    monkeypatch.setattr(archive, "LARGEST_RATIO", 0.01)
    assert_raises(path, load, "max_bytes")
    load(path, max_bytes=10**4)  # the array that is not read does not count
    with pytest.raises(ValueError, match="at most 3 are allowed"):
        load(path, max_bytes=3)


def test_sizes_that_contradict_each_other_raise(loader):
    path, load, name = loader
    contents, key = members(path), f"{name}.npy"
    whole = len(contents[key])
    for size in (whole - 1, whole + 1, 2**31):
        rewrite(path, contents, sizes={key: size})
        assert_raises(path, load, "but the file declares|CRC")
    rewrite(
        path, {**contents, key: contents[key] + bytes(10**6)}, sizes={key: whole}
    )  # decompresses to more than declared
    assert_raises(path, load, "CRC|cannot be read")


@pytest.mark.slow_cases("load_model--------------------------(6, 2)")
@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("'<f4'", (-1, 2)),
        ("'<f4'", (2**62, 2**62)),
        ("'<f4'", (2**62, 0, 7)),
        ("'S0'", (2**60, 1)),
        ("'|V0'", (2**60,)),
        ("('<f4', (1000000000,))", (6, 2)),
        ("'nonsense'", (6, 2)),
        ("[('a', '<f4')]", "many"),
        ("'<f4'", "(1e3,)"),
        ("-" * 9000 + "1", (6, 2)),
        ("(" * 90 + ")" * 90, (6, 2)),
        ("[" * 4000 + "]" * 4000, (6, 2)),
        ("'<f4'" + " " * 12000, (6, 2)),
    ],
    ids=lambda value: str(value)[:24],
)
def test_malformed_headers_of_arrays_raise(loader, descr, shape):
    path, load, name = loader
    content = npy(shape, bytes(48), descr)
    rewrite(path, {**members(path), f"{name}.npy": content})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of headers as Python 2 wrote them
        assert_raises(path, load, "cannot be read")


def test_arrays_alone_in_a_file_are_as_long_as_they_declare(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    whole = path.read_bytes()
    for content in (whole[:-1], whole + b"\0", npy((7 * 10**8, 1)), npy((2**62, 2**62), bytes(48))):
        path.write_bytes(content)
        assert_raises(path, datasets.load, "but the file declares")
    path.write_bytes(whole)
    np.testing.assert_array_equal(datasets.load(path).points, X)


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray(X), X.astype(">f8"), X.astype(np.float16), X > 9, X.astype(np.int8)[::2], X[:, :1].T],
    ids=lambda array: f"{array.dtype}{array.strides}",
)
def test_arrays_of_any_layout_are_loaded_as_saved(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", x=array, y=np.array(["a", "bc"])[np.arange(len(array)) % 2])
    for name in ("x.npy", "x.npz"):
        loaded = datasets.load(tmp_path / name)
        np.testing.assert_array_equal(loaded.points, array)
        assert loaded.points.dtype == array.dtype
    assert list(loaded.labels[:2]) == ["a", "bc"][: len(array)]


def test_booleans_that_are_neither_true_nor_false_raise(loader):
    path, load, name = loader
    rewrite(path, {**members(path), f"{name}.npy": npy((6, 2), bytes(range(12)), "'|b1'")})
    assert_raises(path, load, "boolean is neither 0 nor 1")


def test_encrypted_duplicated_and_outside_members_and_other_compressions_raise(loader):
    path, load, name = loader
    contents = members(path)
    for outside in ("../x.npy", "/x.npy", "a/../../x.npy", "..\\x.npy", "C:x.npy"):
        rewrite(path, {**contents, outside: npy((1,), bytes(4))})
        assert_raises(path, load, "path outside the archive")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        rewrite(path, contents, method)
        assert_raises(path, load, "which NumPy does not write")
    rewrite(path, contents)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr(f"{name}.npy", contents[f"{name}.npy"])
    assert_raises(path, load, "two members named")
    with zipfile.ZipFile(path, "w") as file:
        for member, content in contents.items():
            file.writestr(member, content)
        file.getinfo(f"{name}.npy").flag_bits |= 1
    assert_raises(path, load, "encrypted member")


def test_pickled_objects_in_any_member_raise(loader):
    path, load, name = loader
    contents = members(path)
    for member in (f"{name}.npy", "unknown.npy"):
        with path.open("wb") as file:
            np.save(file, np.array([{}], dtype=object), allow_pickle=True)
        pickled = path.read_bytes()
        for content in (pickled, pickled[128:]):
            rewrite(path, {**contents, member: content})
            assert_raises(path, load, "holds pickled objects in .*, which can run code and are not loaded")


def test_missing_members_raise(loader):
    path, load, _ = loader
    whole = members(path)
    optional = {"distances.npy", "map/indices.npy", "map/distances.npy", "y.npy"}
    for name in whole.keys() - optional:
        rewrite(path, {other: content for other, content in whole.items() if other != name})
        assert_raises(path, load, "holds no|lacks|absent|holds y")
    rewrite(path, {})
    assert_raises(path, load, "holds no|holds no arrays")


def test_truncated_and_unrelated_files_raise(loader):
    path, load, _ = loader
    whole = path.read_bytes()
    for content in (
        b"",
        b"neither",
        b"PK\x05\x06",
        b"\x80\x04K\x01.",
        npy((1,), bytes(4)),
        *(whole[:n] for n in range(0, len(whole), 97)),
    ):
        path.write_bytes(content)
        assert_raises(path, load, "cannot be read")


def members_with_header(path):
    contents = members(path)
    if "header.npy" not in contents:
        pytest.skip("This file has no header in JSON.")
    return contents


def test_headers_that_are_deep_or_name_other_dtypes_raise(loader):
    path, load, name = loader
    contents = members_with_header(path)
    header = json.loads(contents["header.npy"][128:])
    del header["checksums"]

    def with_header(text):
        rewrite(path, {**contents, "header.npy": npy((len(text),), text, "'|u1'")})

    for text in (
        b"[" * 10**5,
        b'{"kind":' * 10**5,
        b"null",
        b"3",
        b'{"kind": "model"}',
        b"9" * 5000,
        b"\xff\xfe",
        b" " * 2**23,
    ):
        with_header(text)
        assert_raises(path, load, "holds no")
    for dtype in ("object", "nonsense", "float64", "uint32", "bfloat16", 3, [], {}):
        with_header(json.dumps({**header, "dtypes": {**header["dtypes"], name: dtype}}).encode())
        assert_raises(path, load, "declares the dtype")


def test_files_that_were_changed_after_they_were_written_raise(loader):
    path, load, name = loader
    contents = members_with_header(path)
    content = contents[f"{name}.npy"]
    changes = {
        name: content[:-1] + bytes([content[-1] ^ 1]),
        "header": contents["header.npy"]
        .replace(b'"version": 3', b'"version": 9')
        .replace(b'"version": 2', b'"version": 9'),
    }
    for changed, new in changes.items():
        assert new != contents[f"{changed}.npy"]
        rewrite(path, {**contents, f"{changed}.npy": new})
        assert_raises(path, load, f"was changed after it was written: its {changed} does not match")
    header = json.loads(contents["header.npy"][128:])
    for wrong in ({name: 1}, "text", [1], 3):
        text = json.dumps({**header, "checksums": wrong}).encode()
        rewrite(path, {**contents, "header.npy": npy((len(text),), text, "'|u1'")})
        assert_raises(path, load, "was changed after it was written")
    del header["checksums"]  # of an older version
    text = json.dumps(header).encode()
    rewrite(path, {**contents, "header.npy": npy((len(text),), text, "'|u1'")})
    load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"k": 0}, {"k": 7}, {"k": -1}, {"k": 2.0}, {"k": "2"}, {"k": None}, {"k": True}, {"k": 10**400}, {"k": [2]},
        {"reg": -1e-3}, {"reg": float("nan")}, {"reg": float("inf")}, {"reg": "0.1"}, {"reg": None}, {"reg": True},
        {"reg": [1e-3]}, {"metric": "nearest"}, {"metric": ["cosine"]}, {"metric": None},
        {"reg": {"name": "TraceRidge", "strength": -1}}, {"reg": {"name": "TraceRidge", "strength": "1"}},
        {"reg": {"name": "TraceRidge", "power": 1}}, {"reg": {"name": "dataclass"}}, {"reg": {"name": []}}, {"reg": {}},
        {"reg": {"name": "CrossValidatedRidge", "features": 0}}, {"reg": 10**400}, {"reg": 0},
    ],
    ids=str,
)  # fmt: skip
def test_parameters_that_no_map_has_raise(tmp_path, changes):
    path = tmp_path / "map.npz"
    archive.write(path, "out-of-sample map", 2, 2, serving.maps.pack(KNOWN), **{"k": 2, "reg": 1e-3, **changes, "d": 1})
    if changes == {"reg": 0}:  # no ridge is needed for two neighbors in two dimensions
        assert serving.load_map(path).reg == 0
    else:
        assert_raises(path, serving.load_map, "holds no valid map")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("embedding", np.full((6, 1), np.nan)),
        ("points", np.full((6, 2), np.inf, np.float32)),
        ("embedding", np.ones((5, 1))),
        ("embedding", np.ones(6)),
        ("points", np.ones((6, 2, 1))),
        ("points", np.ones((6, 2)) + 0j),
        ("points", np.full((6, 2), "one")),
        ("points", np.zeros((6, 2), "M8[s]")),
        ("points", np.zeros((6, 0))),
        ("indices", np.full((6, 1), 6)),
        ("indices", np.ones((6, 1))),
        ("indices", np.ones((5, 1), int)),
        ("distances", np.full((6, 1), np.nan)),
        ("distances", np.ones((6, 2))),
        ("mask", np.zeros((6, 1), bool)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}{value.shape}",
)
def test_arrays_that_no_map_has_raise(tmp_path, name, value):
    content = io.BytesIO()
    np.save(content, value)
    for loader in ("load_map", "load_model"):
        write, load, _ = LOADERS[loader]
        path = tmp_path / f"{loader}.npz"
        write(path)
        header = json.loads(members(path)["header.npy"][128:])
        header["dtypes"][f"map/{name}"] = str(value.dtype)
        del header["checksums"]  # as of an attacker, who could also write others
        text = json.dumps(header).encode()
        changed = {f"map/{name}.npy": content.getvalue(), "header.npy": npy((len(text),), text, "'|u1'")}
        rewrite(path, {**members(path), **changed})
        assert_raises(path, load, "holds no valid map")


def test_points_and_embeddings_with_nan_are_not_saved(tmp_path):
    invalid = serving.OutOfSampleMap(X, np.full((6, 1), np.nan), k=2)
    with pytest.raises(ValueError, match=r"Its embedding.*NaN"):
        serving.save_map(tmp_path / "map.npz", invalid)
    assert list(tmp_path.iterdir()) == []
