"""The ladder of sizes: its bounds, and calls with padded rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlle._core.ladder import call_padded, padded_count


def test_sizes_exceed_the_count_by_at_most_twelve_percent_beyond_64_rows():
    counts = np.arange(1, 20_000)
    sizes = np.array([padded_count(int(count)) for count in counts])
    assert (sizes >= counts).all()
    assert (sizes[64:] <= 1.12 * counts[64:]).all()
    assert sizes[:9].tolist() == [1, 2, 4, 4, 8, 8, 8, 8, 16]
    assert sizes[:64].max() == 64
    assert len(np.unique(sizes[:5000])) < 50
    assert all(padded_count(int(size)) == size for size in np.unique(sizes))


def test_the_function_receives_copies_of_the_first_row_and_the_results_of_the_given_rows_are_returned():
    seen = []

    def function(rows, factor):
        seen.append(jax.tree.map(np.asarray, rows))
        return {"sums": rows[0].sum(axis=1) + rows[1], "rows": factor * rows[0]}

    x, number = np.arange(10.0, dtype=np.float32).reshape(5, 2), jnp.arange(5)
    out = call_padded(function, (x, number), 3)
    np.testing.assert_array_equal(out["sums"], x.sum(axis=1) + np.arange(5))
    np.testing.assert_array_equal(out["rows"], 3 * x)
    np.testing.assert_array_equal(seen[0][0], np.concatenate([x, x[[0, 0, 0]]]))
    np.testing.assert_array_equal(seen[0][1], [0, 1, 2, 3, 4, 0, 0, 0])


@pytest.mark.parametrize("transformation", [jax.jit, jax.vmap, lambda f: jax.grad(lambda x: f(x).sum())])
def test_traced_rows_keep_their_number(transformation):
    counts = []

    def function(rows):
        counts.append(rows.shape[0])
        return rows**2

    x = jnp.ones((2, 5, 3))
    x = x if transformation is jax.vmap else x[0]
    assert transformation(lambda rows: call_padded(function, rows))(x).shape == x.shape
    assert counts == [5]
    assert jax.jit(lambda a: call_padded(lambda rows, a: rows * a, np.ones((5, 1)), a))(2.0).shape == (5, 1)


def test_the_result_is_on_the_device_of_the_rows():
    x = jax.device_put(jnp.ones((5, 3)), jax.devices()[0])
    assert x.committed
    assert call_padded(lambda rows: rows, x).committed
    assert not call_padded(lambda rows: rows, jnp.ones((5, 3))).committed
