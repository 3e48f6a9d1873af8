"""PARDISO in place of SuperLU: the same factors, embeddings and messages, where pypardiso is installed."""

import gc
import sys
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_array, eye_array, random_array

import jaxlle
from jaxlle.metrics import subspace_angle
from jaxlle.solvers import Landmark, SparseLU, _choice, _pardiso
from jaxlle.solvers._factors import _factor

installed = pytest.mark.skipif(not _pardiso.has_pardiso(), reason="pypardiso (the extra mkl) is not installed")


@pytest.fixture
def general():
    """Return a regular matrix whose pattern is not symmetric."""
    return csr_array(random_array((300, 300), density=0.02, rng=0) - 4 * eye_array(300))


@pytest.fixture
def for_any_size(monkeypatch):
    monkeypatch.setattr(_pardiso, "_MIN_POINTS", 1)


@installed
@pytest.mark.parametrize("columns", [(), (1,), (3,)])
def test_solutions_with_a_matrix_and_its_transpose_are_exact(general, columns):
    b = np.random.default_rng(0).normal(size=(300, *columns))
    factors = _pardiso.factorize(general, positive=False)
    for trans, dense in (("N", general.toarray()), ("T", general.toarray().T)):
        np.testing.assert_allclose(factors.solve(b, trans), np.linalg.solve(dense, b), rtol=1e-10, atol=1e-12)


@installed
def test_solutions_are_exact_for_matrices_of_many_sizes():
    """MKL's algorithms do not all give right solutions for all of them."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 600))
        matrix = csr_array(random_array((n, n), density=min(1, 6 / n), rng=rng) - 20 * eye_array(n))
        factors = _pardiso.factorize(matrix, positive=False)
        for shape in ((n,), (n, 1), (n, 4)):
            b = rng.normal(size=shape)
            np.testing.assert_allclose(matrix @ factors.solve(b, "N"), b, atol=1e-12)
            np.testing.assert_allclose(matrix.T @ factors.solve(b, "T"), b, atol=1e-12)


@installed
def test_a_positive_definite_matrix_has_a_factor_of_its_own_kind(general):
    matrix = (general.T @ general).tocsr()
    b = np.random.default_rng(0).normal(size=300)
    factors = _pardiso.factorize(matrix, positive=True)
    np.testing.assert_allclose(factors.solve(b, "N"), np.linalg.solve(matrix.toarray(), b), rtol=1e-9, atol=1e-12)


@installed
def test_a_matrix_that_needs_pivoting_or_is_singular_or_indefinite_has_no_factors(general):
    def factors(dense, positive=False):
        return _pardiso.factorize(csr_array(np.asarray(dense, float)), positive)

    assert factors([[2, 1], [1, 2]]) is not None
    assert factors([[1, 2], [0.5, 1]]) is None  # of rank one
    assert factors([[0, 1], [1, 0]]) is None  # without a diagonal
    assert factors([[1, 1], [0, 0]]) is None  # with an empty row
    assert factors([[2, 1], [1, 2]], positive=True) is not None
    assert factors([[1, 2], [2, 1]], positive=True) is None


@installed
def test_the_memory_of_factors_is_released_with_them(general, monkeypatch):
    phases, call = [], _pardiso._call
    monkeypatch.setattr(_pardiso, "_call", lambda *args: phases.append(args[5]) or call(*args))
    factors = _pardiso.factorize(general, positive=False)
    gone = weakref.ref(factors)
    solve = factors.solve
    del factors
    gc.collect()
    assert gone() is not None  # a solve keeps the factors
    del solve
    gc.collect()
    assert gone() is None
    assert phases == [12, -1]


@installed
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")  # of the disconnected graph
@pytest.mark.parametrize(
    "make",
    [
        lambda x: jaxlle.lle_alignment(x, k=8),
        lambda x: jaxlle.ltsa_alignment(x, 2, k=10),
        lambda x: jaxlle.lle_alignment(np.concatenate([x[:200], x[200:] + 50]), k=8),
        lambda x: jaxlle.ltsa_alignment(np.pad(x[:, :2], ((0, 0), (0, 1))), 2, k=10),
    ],
    ids=["lle", "ltsa", "disconnected", "flat"],
)
def test_embeddings_equal_those_of_superlu(make, x64, monkeypatch, for_any_size):
    x = np.random.default_rng(0).random((400, 3))
    alignment = make(x)
    used = []
    factorize = _pardiso.factorize
    monkeypatch.setattr(_pardiso, "factorize", lambda *args: used.append(args) or factorize(*args))
    out = jaxlle.embed(alignment, 2, solver=SparseLU())
    assert len(used) == 1
    monkeypatch.setattr(_pardiso, "has_pardiso", lambda: False)
    other = jaxlle.embed(alignment, 2, solver=SparseLU())
    np.testing.assert_allclose(out.singular_values, other.singular_values, rtol=1e-7, atol=1e-9)
    assert subspace_angle(out.points, other.points) < 1e-5
    assert int(out.num_components) == int(other.num_components)


@installed
def test_two_factorizations_give_the_same_bits(for_any_size):
    x = np.random.default_rng(0).random((3000, 4), np.float32)
    alignment = jaxlle.lle_alignment(x, k=10)
    first, second = (jaxlle.embed(alignment, 2, solver=SparseLU()).points for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_it_is_used_from_five_thousand_points_on_and_pivoting_is_left_to_superlu(general, monkeypatch, for_any_size):
    monkeypatch.setattr(_pardiso, "has_pardiso", lambda: True)
    monkeypatch.setattr(_pardiso, "factorize", lambda matrix, positive: None)
    assert _factor(general, None, False) is None  # without factors, so that the next attempt pivots
    b = np.ones(300)
    np.testing.assert_allclose(_factor(general, None, True)(b, "N"), np.linalg.solve(general.toarray(), b), rtol=1e-9)
    monkeypatch.setattr(_pardiso, "_MIN_POINTS", 5000)
    assert [_pardiso.is_used(n) for n in (4999, 5000)] == [False, True]
    np.testing.assert_allclose(_factor(general, None, False)(b, "N"), np.linalg.solve(general.toarray(), b), rtol=1e-9)


def test_a_library_that_cannot_be_loaded_is_an_error_with_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypardiso", None)
    _pardiso._library.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'jaxlle\[mkl\]', or uninstall pypardiso"):
        _pardiso._library()


def test_auto_factorizes_graphs_with_it_that_are_too_wide_without_pymetis(monkeypatch):
    monkeypatch.setattr(_choice, "has_metis", lambda: False)
    alignment = jaxlle.lle_alignment(np.random.default_rng(0).random((100, 3), np.float32), k=8)
    monkeypatch.setattr(_choice, "graph_width", lambda alignment: (_choice._WIDTH - 1) * 100 ** (1 / 3))
    for used, kind in ((False, Landmark), (True, SparseLU)):
        monkeypatch.setattr(_pardiso, "is_used", lambda n, used=used: used)
        assert isinstance(jaxlle.solvers.choose(alignment), kind)
