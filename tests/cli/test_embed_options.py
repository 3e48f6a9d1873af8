"""Every option of the commands that changes a result gives the result of the function with that option."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from cli_helpers import row, run
from helpers import restored_cache_settings

import jaxlle
from jaxlle import EmbedOptions, variants
from jaxlle.solvers import Landmark, SparseLU

K, REG, SEED = 9, 0.02, 3


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """Save points with labels of two classes, and return the file, the points and the labels."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    labels = np.arange(60) % 2
    path = tmp_path_factory.mktemp("data") / "x.npz"
    np.savez(path, x=x, y=labels)
    return path, x, labels


def embedded(capsys, tmp_path, path, *options):
    """Run `jaxlle embed` with other values than the defaults, and return the saved arrays and the report."""
    out = tmp_path / "a.npz"
    command = ("embed", path, "--k", K, "--reg", REG, "--seed", SEED, "--dim", 3, *options, "--out", out)
    status, text, err = run(capsys, *command)
    assert (status, err) == (0, "")
    with np.load(out) as saved:
        return dict(saved), text


def options(**given):
    return {"k": K, "solver": SparseLU(), "options": EmbedOptions(key=jax.random.key(SEED)), **given}


METHODS = {
    "standard": lambda x, y: jaxlle.lle(x, 3, metric="manhattan", **options(reg=REG)),
    "modified": lambda x, y: jaxlle.modified_lle(x, 3, metric="manhattan", **options(reg=REG)),
    "ltsa": lambda x, y: jaxlle.ltsa(x, 3, metric="manhattan", **options()),
    "robust": lambda x, y: variants.robust_lle(x, 3, **options(reg=REG)),
    "supervised": lambda x, y: variants.supervised_lle(x, y, 3, rule=variants.Shift(0.05), **options(reg=REG)),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_options_of_a_method_are_those_of_its_function(capsys, tmp_path, points, method):
    path, x, labels = points
    metric = ("--metric", "manhattan") if method in ("standard", "modified", "ltsa") else ()
    given = ("--method", method, "--solver", "sparse", "--alpha", 0.05, *metric)
    saved, text = embedded(capsys, tmp_path, path, *given)
    expected = METHODS[method](x, labels)
    np.testing.assert_allclose(saved["points"], expected.points, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(saved["singular_values"], expected.singular_values, rtol=1e-4)
    metric_name = metric[1] if metric else "euclidean"
    neighbors = jaxlle.knn(x, K, metric=metric_name)
    if method == "supervised":
        neighbors = variants.supervised_neighbors(x, labels, K, rule=variants.Shift(0.05))
    condition = np.asarray(jaxlle.weights.local_condition(x, neighbors, reg=REG))
    assert row(text, "local condition") == f"median {np.median(condition):.3g}, largest {condition.max():.3g}"


def test_the_landmarks_follow_from_the_seed(capsys, tmp_path, points, monkeypatch):
    keys, landmark_embed = [], variants.landmark_embed

    def recorded(*arguments, options, **given):
        keys.append(options.key)
        return landmark_embed(*arguments, options=options, **given)

    monkeypatch.setattr("jaxlle.variants.landmarks.landmark_embed", recorded)
    path, x, _ = points
    saved, _ = embedded(capsys, tmp_path, path, "--method", "landmark")
    assert keys == [jax.random.key(SEED)]
    expected = variants.landmark_lle(x, 3, k=K, reg=REG).embedding.points  # every point is a landmark
    np.testing.assert_allclose(saved["points"], expected, rtol=1e-3, atol=1e-4)


def test_the_name_of_a_solver_selects_it_and_components_are_an_option_of_the_embedding():
    from jaxlle.cli._methods import embed_options, solver_of

    solvers = {"dense": jaxlle.solvers.DenseQR(), "sparse": SparseLU(), "landmark": Landmark(), "auto": "auto"}
    for name, solver in solvers.items():
        assert solver_of(SimpleNamespace(solver=name)) == solver
    for components, expected in (("separate", "warn"), ("auto", "largest"), ("largest", "largest"), ("error", "error")):
        found = embed_options(SimpleNamespace(components=components, seed=SEED))
        assert found.disconnected == expected
        assert found.key == jax.random.key(SEED)


def test_a_folder_keeps_compiled_programs(capsys, tmp_path, points):
    with restored_cache_settings():
        embedded(capsys, tmp_path, points[0], "--solver", "sparse", "--cache", tmp_path / "kept")
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "kept")


@pytest.mark.slow
def test_programs_are_kept_by_default_but_not_in_place_of_a_configured_folder(capsys, tmp_path, points, monkeypatch):
    monkeypatch.setattr(jaxlle.compilation, "default_folder", lambda: tmp_path / "default")
    with restored_cache_settings():
        configured = jax.config.jax_compilation_cache_dir
        embedded(capsys, tmp_path, points[0])
        assert jax.config.jax_compilation_cache_dir == configured
        jax.config.update("jax_compilation_cache_dir", None)
        embedded(capsys, tmp_path, points[0], "--no-cache")
        assert jax.config.jax_compilation_cache_dir is None
        assert not (tmp_path / "default").exists()
        embedded(capsys, tmp_path, points[0])
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "default")


@pytest.mark.slow
def test_without_a_writable_folder_the_command_continues(capsys, tmp_path, points, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(jaxlle.compilation, "default_folder", lambda: tmp_path / "file" / "folder")
    with restored_cache_settings():
        jax.config.update("jax_compilation_cache_dir", None)
        status, _, err = run(capsys, "embed", points[0], "--k", K, "--quiet")
        assert status == 0
        assert err.startswith("jaxlle: compiled programs are not kept (")
        assert jax.config.jax_compilation_cache_dir is None
