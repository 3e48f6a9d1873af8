"""Numbers of new points: functions compile few programs for many of them, and padding does not change their results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import extension
from jaxlle._core import ladder
from jaxlle.neighbors import blockwise

ONE_RUNG = (73, 80, 76, 79)  # numbers of rows that are padded to 80


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, new = (rng.normal(size=(count, 20)).astype(np.float32) for count in (150, 80))
    new[1] = x[7]
    return x, jaxlle.lle(x, 2, k=6), new


def distances_between(a, b):
    return np.sqrt(((a[:, None] - b) ** 2).sum(-1))


def inner(a, b):
    return jnp.dot(a, b)


def maps(x, embedding):
    """Return functions of new points by name."""
    y = np.asarray(embedding.points)
    kernels = extension.kernel_map(x, y, num_landmarks=20)
    line = jaxlle.variants.linear.LinearMap(x[:20, :2], x[0], 1.0, y[0], y[0])
    few, between = x[:, :3], distances_between(x, x)
    return {
        "transform": lambda z: extension.transform(z, x, y, k=6),
        "transform few features": lambda z: extension.transform(np.asarray(z)[:, :3], few, y, k=6),
        "transform distances": lambda z: extension.transform(
            distances_between(np.asarray(z), x), between, y, k=6, metric="precomputed"
        ),
        "inverse transform": lambda z: extension.inverse_transform(np.asarray(z)[:, :2], y, x, k=6),
        "project": lambda z: extension.project(z, x, 6, y),
        "drift": lambda z: extension.drift(z, x, 6, reference=np.linspace(0, 3, 10)),
        "eigenfunction": lambda z: extension.eigenfunction_transform(z, x, embedding, k=6),
        "tangent": lambda z: extension.tangent_transform(z, x, y, k=6),
        "kernel map": kernels.transform,
        "linear map": line.transform,
        "knn": lambda z: jaxlle.knn(x, 6, query=z),
        "knn cosine": lambda z: jaxlle.knn(x, 6, query=z, metric="cosine"),
        "kernel weights": lambda z: jaxlle.weights.kernel_weights(x, jaxlle.knn(x, 6, query=z), inner, query=z),
        "weights of the points": lambda z: jaxlle.barycentric_weights(
            np.asarray(z)[:, :3], jaxlle.knn(np.asarray(z)[:, :3], 6)
        ),
        "saved map": lambda z: jaxlle.serving.OutOfSampleMap(x, y, k=6)(z),
    }


def test_every_number_of_rows_up_to_the_next_size_uses_the_same_programs(data, compiled):
    x, embedding, new = data
    for name, function in maps(x, embedding).items():
        for convert in (np.asarray, jnp.asarray):
            first, *others = (convert(new[:count]) for count in ONE_RUNG)
            function(first)
            compiled.clear()
            for z in others:
                assert jax.tree.leaves(function(z))[0].shape[0] == z.shape[0], name
            assert not compiled, (name, convert, compiled)


@pytest.mark.slow
def test_estimators_compile_nothing_for_another_number_of_rows(data, compiled):
    x, _, new = data
    for estimator in (
        jaxlle.sklearn.LocallyLinearEmbedding(n_neighbors=6),
        jaxlle.sklearn.KernelLocallyLinearEmbedding(n_neighbors=6),
    ):
        estimator.fit(x)
        estimator.transform(new[:73])
        compiled.clear()
        assert all(estimator.transform(new[:count]).shape == (count, 2) for count in ONE_RUNG)
        assert not compiled


@pytest.mark.slow
def test_the_results_are_those_without_padding_up_to_rounding(data, compiled, monkeypatch):
    """On some processors the order of the sums of a matrix product depends on its number of rows."""
    x, embedding, new = data
    programs = set()
    for name, function in maps(x, embedding).items():
        padded = function(new[:76])
        with monkeypatch.context() as patch:
            for module in (ladder, blockwise):
                patch.setattr(module, "padded_count", lambda n: n)
            compiled.clear()
            expected = function(new[:76])
            programs |= set(compiled)
        for got, want in zip(jax.tree.leaves(padded), jax.tree.leaves(expected), strict=True):
            if jnp.issubdtype(got.dtype, jnp.floating):
                np.testing.assert_allclose(got, want, atol=1e-6 * np.abs(want).max(), err_msg=name)
            else:
                np.testing.assert_array_equal(got, want, err_msg=name)
    assert len(programs) > 5  # those for 76 rows are others


@pytest.mark.slow
def test_derivatives_outside_jit_are_those_under_jit(data):
    x, y, new = data[0][:, :3], data[0][:, 3:5], data[2][:, :3]

    def f(y, z):
        return (extension.transform(z, x, y, k=6, reg=0.1) ** 2).sum()

    for argument in range(2):  # with respect to y, the new points are concrete
        derivative = jax.grad(f, argument)
        got, want = derivative(y, new[:5]), jax.jit(derivative)(y, new[:5])
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * float(jnp.abs(want).max()))


def test_progress_counts_the_given_rows(data):
    x, _, new = data
    calls = []
    jaxlle.knn(x, 6, query=new[:73], progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (73, 73)


def test_errors_count_the_given_rows(data):
    x, embedding, new = data
    zero = new[:73].copy()
    zero[0] = 0
    with pytest.raises(ValueError, match=r"^1 rows of query are zero"):
        extension.transform(zero, x, embedding.points, k=6, metric="cosine")
