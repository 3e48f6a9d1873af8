"""Small data for the valid calls, computed by NumPy: points on a curved sheet, their graph, weights and embedding.

The entries of the points are multiples of 1/64 between -2 and 2, which float16 represents exactly; 64 times them are integers.
"""

import numpy as np

import jaxlle

RNG = np.random.default_rng(11)
N, D, C, K, B = 24, 3, 2, 6, 5


def _on_grid(values):
    return np.round(values * 64) / 64


def _sheet():
    u, v = np.meshgrid(np.linspace(-1.5, 1.5, 6), np.linspace(-0.9, 0.9, 4), indexing="ij")
    u, v = (a.ravel() + RNG.uniform(-0.12, 0.12, N) for a in (u, v))
    return _on_grid(np.stack([u, v, 0.35 * u**2 - 0.2 * v**2], axis=1))


def _distances(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))


def _weights(points, indices, reg=1e-3):
    out = np.empty(indices.shape)
    for i, ids in enumerate(indices):
        steps = points[ids] - points[i]
        gram = steps @ steps.T
        solution = np.linalg.solve(gram + reg * np.trace(gram) * np.eye(len(ids)), np.ones(len(ids)))
        out[i] = solution / solution.sum()
    return out


X = _sheet()
NEW = _on_grid(X[:B] + RNG.uniform(-0.1, 0.1, (B, D)))
LENGTHS = _distances(X, X)
ORDER = np.argsort(LENGTHS + np.diag(np.full(N, -1.0)), axis=1, kind="stable")[:, 1 : K + 1]
GRAPH = jaxlle.Neighbors(ORDER.astype(np.int32), np.take_along_axis(LENGTHS, ORDER, axis=1))
WEIGHTS = _weights(X, ORDER)
INDICES = np.concatenate([np.arange(N, dtype=np.int32)[:, None], GRAPH.indices], axis=1)
BLOCKS = np.concatenate([WEIGHTS.sum(axis=1, keepdims=True), -WEIGHTS], axis=1)[:, None]
ALIGNMENT = jaxlle.Alignment(INDICES, BLOCKS)

DENSE = np.zeros((N, N))
np.put_along_axis(DENSE, INDICES, BLOCKS[:, 0], axis=1)
_, VALUES, _RIGHT = np.linalg.svd(DENSE)
Y = _RIGHT[::-1][1 : C + 1].T
SINGULAR = VALUES[::-1][1 : C + 1]
EMBEDDING = jaxlle.Embedding(
    points=Y,
    singular_values=SINGULAR,
    residuals=np.zeros(C),
    gap=np.asarray(VALUES[::-1][C + 1] - SINGULAR[-1]),
    num_components=np.asarray(1, np.int32),
    converged=np.asarray(True),
    rows=np.arange(N, dtype=np.int32),
    solver="numpy",
)

QUERIES = np.argsort(_distances(NEW, X), axis=1, kind="stable")[:, :K].astype(np.int32)
QUERY_GRAPH = jaxlle.Neighbors(QUERIES, np.take_along_axis(_distances(NEW, X), QUERIES, axis=1))
LABELS = (X[:, 0] > 0).astype(np.int64) + 1
MASK = np.ones((N, K), bool)
MASK[::3, -1] = False
