"""Selection of candidates by groups: the values of top-k for any number of columns, within the limits of a GPU's kernel."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jaxlle
from jaxlle.neighbors import _products, _selection

ROWS = 5
select = jax.jit(_selection._largest, static_argnames=("sizes", "count"))


def blocks(columns, ties):
    """Return rows of distinct values, or of few values and infinities."""
    rng = np.random.default_rng(columns)
    if not ties:
        return rng.permuted(np.tile(np.arange(columns, dtype=np.float32), (ROWS, 1)), axis=1)
    return np.where(rng.random((ROWS, columns)) < 0.1, -np.inf, rng.integers(0, 4, (ROWS, columns))).astype(np.float32)


@pytest.mark.parametrize(("columns", "sizes", "count"), [(40, (), 7), (1003, (8, 8), 5), (515, (64,), 8)])
def test_the_largest_values_are_found_in_groups_of_any_sizes_and_in_columns_without_a_group(columns, sizes, count):
    for ties in (False, True):
        values = blocks(columns, ties)
        best, found = map(np.asarray, select(values, sizes=sizes, count=count))
        np.testing.assert_array_equal(best, -np.sort(-values, axis=1)[:, :count])
        np.testing.assert_array_equal(np.take_along_axis(values, found, axis=1), best)
        assert all(len(set(row)) == count for row in found.tolist())


def test_a_search_selects_the_same_values_on_every_platform():
    columns, count = 20_001, 16
    values, (cpu, accelerator) = blocks(columns, ties=False), _selection.group_sizes(columns, count)
    assert cpu == (8, 8, 8)
    assert accelerator == ()
    best, found = jax.jit(_selection.largest, static_argnames="count")(values, count=count)
    np.testing.assert_array_equal(best, -np.sort(-values, axis=1)[:, :count])
    np.testing.assert_array_equal(found, np.argsort(-values, axis=1)[:, :count])
    np.testing.assert_array_equal(found, select(values, sizes=accelerator, count=count)[1])


def test_both_selections_fit_the_kernel_of_a_gpu_wherever_rows_are_long_enough():
    most, least = _selection.TOP_MAX_COUNT, _selection.TOP_MIN_COLUMNS
    for count in range(1, 41):
        for columns in (count, 1000, 5000, 16_384, 70_000, 10**6, 10**7):
            cpu, accelerator = _selection.group_sizes(columns, count)
            assert columns // np.prod(cpu, dtype=int) >= min(columns, count)
            if count > most:
                assert accelerator == cpu
                continue
            assert len(accelerator) <= 1
            for size in accelerator:
                assert columns // size >= least <= size * count
            assert accelerator or columns < least * 2 * least / count


def top_sizes(d, k):
    """Return (columns, count) of the selections by products in a search of 70,000 points inside jit, for a GPU."""
    x = jax.ShapeDtypeStruct((70_000, d), jnp.float32)
    text = export.export(jax.jit(lambda x: jaxlle.knn(x, k)), platforms=("cuda",))(x).mlir_module()
    found = re.findall(r'"chlo\.top_k".*?k = (\d+) : .*tensor<(\d+)x(\d+)xf32>\) -> ', text)
    # Repairs by differences select from all points for a few rows, in which ties are ordered.
    return {(int(columns), int(count)) for count, rows, columns in found if int(rows) > 8}


def test_a_search_of_twelve_neighbors_asks_the_kernel_of_a_gpu_for_sixteen_of_at_least_1024_columns():
    sizes = top_sizes(20, 12)
    assert len(sizes) == 2
    assert {count for _, count in sizes} == {16}
    assert min(columns for columns, _ in sizes) >= 1024


def test_spare_candidates_are_limited_by_the_kernel_unless_rows_would_be_uncertain():
    assert [_products.spare_for_kernel(k) for k in (1, 10, 11, 12, 13, 14, 15, 40)] == [4, 4, 4, 3, 2, 4, 4, 4]


def test_points_and_norms_are_prepared_without_copies():
    n, d = 5003, 40
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    points = jnp.asarray(x)
    prepared = _products.prepare(points, jaxlle.distances.euclidean)
    assert prepared.factor.unsafe_buffer_pointer() == points.unsafe_buffer_pointer()
    np.testing.assert_allclose(prepared.squares, (x.astype(np.float64) ** 2).sum(axis=1), rtol=1e-5)
    shape = jax.ShapeDtypeStruct((20 * n, d), np.float32)
    plan = _products._squared_norms.lower(shape).compile().memory_analysis()
    assert plan.temp_size_in_bytes < 20 * n * d * 4 / 2
    text = export.export(_products._squared_norms, platforms=("cuda",))(shape).mlir_module()
    assert "dot_general" not in text  # a factor of a product would be in memory; a sum is fused with the squares


@pytest.mark.parametrize("wide", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_searches_with_the_spare_candidates_of_a_kernel_are_exact(wide, monkeypatch):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(0, 2, (150, 20)), rng.normal(size=(150, 20))]).astype(
        np.float64
    )  # ties and copies
    x[40:60] = x[40]
    with jax.enable_x64(wide):
        points = jaxlle.neighbors.prepare_points(x if wide else x.astype(np.float32))
        expected = jaxlle.knn(points, 13)
        monkeypatch.setattr(_selection, "group_sizes", lambda columns, count: ((), (4,)) if columns > 99 else ((), ()))
        monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
        found = jax.jit(partial(jaxlle.knn, k=13))(points)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)
