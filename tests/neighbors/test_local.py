"""Local neighborhood selection: comparison with Dijkstra, a fold, and invalid arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

import jaxlle


def sheets(n=150, apart=0.12, seed=0):
    """Return two parallel sheets that are close enough for nearest neighbors on the other sheet."""
    rng = np.random.default_rng(seed)
    flat = np.column_stack([rng.uniform(size=n), rng.uniform(size=n)])
    over = np.column_stack([rng.uniform(size=n), rng.uniform(size=n)])
    return np.concatenate([np.insert(flat, 2, 0, axis=1), np.insert(over, 2, apart, axis=1)])


def by_dijkstra(x, k_min, k_max, detour):
    far = cdist(x, x)
    near = np.argsort(far + np.diag(np.full(len(x), np.inf)), axis=1, kind="stable")[:, :k_max]
    linked = np.zeros(far.shape, bool)
    np.put_along_axis(linked, near[:, :k_min], True, axis=1)
    edges = np.where(linked | linked.T, far, 0)
    keep = np.zeros(near.shape, bool)
    for i, ids in enumerate(near):
        members = np.concatenate([[i], ids])
        length = dijkstra(edges[np.ix_(members, members)], directed=False, indices=0)[1:]
        keep[i] = (length <= detour * far[i, ids]) | (np.arange(k_max) < k_min)
    return near, keep


def test_selected_neighbors_match_dijkstra(x64):
    x = sheets()
    near, keep = by_dijkstra(x, 5, 16, 1.3)
    found = jaxlle.neighbors.local_neighborhoods(x, k_min=5, k_max=16)
    np.testing.assert_array_equal(found.indices, near)
    np.testing.assert_array_equal(found.mask, keep)
    np.testing.assert_allclose(found.distances, np.sort(cdist(x, x), axis=1)[:, 1:17], rtol=1e-9)
    assert 0.2 < keep.mean() < 0.95
    blocked = jaxlle.neighbors.local_neighborhoods(x, k_min=5, k_max=16, block_bytes=50_000)
    np.testing.assert_array_equal(blocked.mask, keep)


def test_neighbors_across_a_fold_are_removed_and_neighbors_on_a_plane_are_kept():
    x = sheets().astype(np.float32)
    found = jaxlle.neighbors.local_neighborhoods(x, k_min=5, k_max=16)
    across = np.asarray(found.indices) // 150 != np.arange(300)[:, None] // 150
    kept = np.asarray(found.mask)
    assert kept[across].mean() < 0.5 * kept[~across].mean()
    plane = jaxlle.neighbors.local_neighborhoods(x[:150, :2], k_min=6, k_max=16, detour=1.5)
    assert float(plane.mask.mean()) > 0.9


def test_selection_runs_under_jit_and_vmap_and_invalid_arguments_raise():
    x = jnp.asarray(np.stack([sheets(40, seed=s) for s in range(2)]), jnp.float32)
    select = lambda x: jaxlle.neighbors.local_neighborhoods(x, k_min=4, k_max=10)  # noqa: E731
    batched = jax.jit(jax.vmap(select))(x)
    for i in range(2):
        np.testing.assert_array_equal(batched.mask[i], select(x[i]).mask)
    for options, message in (
        ({"k_min": 0, "k_max": 5}, "k_min = 0"),
        ({"k_min": 6, "k_max": 5}, "at most k_max = 5"),
        ({"k_min": 4, "k_max": 80}, "k_max = 80"),
        ({"k_min": 4, "k_max": 9, "detour": 0.9}, "detour = 0.9"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxlle.neighbors.local_neighborhoods(x[0], **options)
