"""Random data, methods, sizes and dtypes: embeddings compared with scikit-learn and with short references in NumPy.

The default run tries the first cases; ``pytest -m exhaustive tests/test_random_cases.py`` tries the others, 300 in all.
"""

from typing import NamedTuple

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.manifold import LocallyLinearEmbedding

import jaxlle

QUICK, ALL = 6, 300
EPS = {dtype: float(np.finfo(dtype).eps) for dtype in (np.float32, np.float64)}


class Case(NamedTuple):
    """Points, and the arguments of one fit."""

    x: np.ndarray
    method: str
    dim: int
    k: int
    reg: float
    dtype: type


def drawn(seed):
    rng = np.random.default_rng(seed)
    method = rng.choice(["standard", "ltsa", "modified", "hessian"])
    n, d, dim, k = rng.choice([40, 70, 110]), rng.choice([2, 3, 8, 20]), rng.choice([1, 2]), rng.choice([7, 12])
    reg = rng.choice([1e-3, 1e-2, 1e-1])
    if method == "modified":
        # The modified LLE of scikit-learn has no other reg, and bounds s_i by k - 1 instead of k - dim.
        dim, reg = 1, 1e-3
    if rng.random() < 0.5:
        u = rng.uniform(size=(n, 2))  # a curved surface with noise
        x = np.column_stack([np.sin(3 * u[:, 0]), np.cos(3 * u[:, 0]), u[:, 1], *(0.05 * rng.normal(size=(17, n)))])
        x = x[:, :d] @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    else:
        x = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d)
    x = x * 10.0 ** rng.integers(-6, 7)
    dtype = rng.choice([np.float32, np.float64])
    return Case(x.astype(dtype), method, int(dim), int(k), float(reg), dtype)


def neighbors_of(x, k):
    distances = cdist(x, x)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :k]


def standard_matrix(x, k, reg):
    b = np.eye(len(x))
    for i, ids in enumerate(neighbors_of(x, k)):
        z = x[ids] - x[i]
        gram = z @ z.T
        w = np.linalg.solve(gram + reg * np.trace(gram) * np.eye(k), np.ones(k))
        b[i, ids] -= w / w.sum()
    return b.T @ b


def tangent_matrix(x, k, dim):
    m = np.zeros((len(x), len(x)))
    for ids in neighbors_of(x, k):
        u = np.linalg.svd(x[ids] - x[ids].mean(axis=0))[0][:, :dim]
        g = np.column_stack([np.full(k, k**-0.5), u])
        m[np.ix_(ids, ids)] += np.eye(k) - g @ g.T
    return m


def hessian_matrix(x, k, dim):
    m = np.zeros((len(x), len(x)))
    for ids in neighbors_of(x, k):
        u = np.linalg.svd(x[ids] - x[ids].mean(axis=0))[0][:, :dim]
        products = [u[:, a] * u[:, b] for a in range(dim) for b in range(a, dim)]
        q = np.linalg.qr(np.column_stack([np.ones(k), u, *products]))[0][:, dim + 1 :]
        m[np.ix_(ids, ids)] += q @ q.T
    return m


def bottom(matrix, dim):
    """Return the embedding, and the smaller gap of the singular values of B around it, relative to the largest."""
    values, vectors = np.linalg.eigh(matrix)
    singular = np.sqrt(np.maximum(values, 0))
    return vectors[:, 1 : dim + 1], np.diff(singular)[[0, dim]].min() / singular[-1]


def fitted(case):
    """Return the embedding by jaxlle, and its own measure of the gap."""
    name = {"standard": "lle", "ltsa": "ltsa", "modified": "modified_lle", "hessian": "hessian_lle"}[case.method]
    options = {"reg": case.reg} if case.method in ("standard", "modified") else {"include_self": False}
    with jax.enable_x64(case.dtype == np.float64):
        out = getattr(jaxlle, name)(case.x, case.dim, k=case.k, **options)
    return np.asarray(out.points, np.float64), min(float(out.gap), float(out.singular_values[0]))


def sine(a, b):
    """Return the sine of the largest angle between the spans of the columns."""
    a, b = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    return np.linalg.norm(b - a @ (a.T @ b), 2)


@pytest.mark.slow_cases("1", "2", "4", "5")
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize(
    "seed", [pytest.param(s, marks=() if s < QUICK else pytest.mark.exhaustive) for s in range(ALL)]
)
def test_random_cases_match_scikit_learn_and_numpy(seed):
    case = drawn(seed)
    x, dim, k = case.x.astype(np.float64), case.dim, case.k
    out, gap = fitted(case)
    assert np.isfinite(out).all()
    matrix = {
        "standard": lambda: standard_matrix(x, k, case.reg),
        "ltsa": lambda: tangent_matrix(x, k, dim),
        "hessian": lambda: hessian_matrix(x, k, dim),
    }
    expected = []
    if case.method in matrix:
        vectors, gap = bottom(matrix[case.method](), dim)
        expected.append(vectors)
    if case.method != "hessian":  # that of scikit-learn is LTSA for more neighbors than functions
        fit = LocallyLinearEmbedding(
            n_neighbors=k, n_components=dim, method=case.method, reg=case.reg, eigen_solver="dense"
        ).fit(x)
        expected.append(fit.embedding_)
    # The references square the gap, because they compute with M; float32 rounds x, whose gap is not squared.
    allowed = 1e-9 + 20 * EPS[np.float64] / max(gap, 1e-12) ** 2
    if case.dtype == np.float32:
        allowed += 1e-5 + EPS[np.float32] / max(gap, 1e-12)
    if allowed > 0.05:
        pytest.skip("the gap is too small: rounding errors determine the subspace")
    assert max(sine(y, out) for y in expected) < allowed
