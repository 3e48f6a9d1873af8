"""Memory: with a small `block_bytes`, no array of a computation is larger than its input or its result."""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import extension, metrics

N, K = 300, 8
X = jnp.asarray(np.random.default_rng(0).normal(size=(N, 3)), jnp.float32)
Y = X[:, :2]
EMBEDDING = jaxlle.Embedding(
    Y, jnp.ones(2), jnp.zeros(2), jnp.ones(()), jnp.ones((), jnp.int32), jnp.array(True), jnp.arange(N), "none"
)
TRACED = {
    "transform": lambda x, **b: jaxlle.transform(x, X, Y, k=K, **b),
    "inverse_transform": lambda x, **b: jaxlle.inverse_transform(x[:, :2], Y, X, k=K, **b),
    "project": lambda x, **b: extension.project(x, X, K, **b).points,
    "eigenfunction_transform": lambda x, **b: extension.eigenfunction_transform(x, X, EMBEDDING, k=K, **b),
    "tangent_transform": lambda x, **b: extension.tangent_transform(x, X, Y, k=K, **b),
    "explain": lambda x, **b: jaxlle.explanation.explain(lambda a: a[:, :2], x, X, K, **b).slopes,
    "kernel_map": lambda x, **b: extension.kernel_map(x, Y, k=K, num_landmarks=K, **b).coefficients,
    "trustworthiness": lambda x, **b: metrics.trustworthiness(x, Y, k=K, **b),
    "continuity": lambda x, **b: metrics.continuity(x, Y, k=K, **b),
    "residual_variance": lambda x, **b: metrics.residual_variance(x, Y, **b),
    "local_procrustes": lambda x, **b: metrics.local_procrustes(x, Y, k=K, **b),
    "preservation_error": lambda x, **b: metrics.preservation_error(x, Y, k=K, **b),
}


def largest(function):
    """Return the size of the largest array that a function of the points computes."""

    def sizes(jaxpr):
        for eqn in jaxpr.eqns:
            yield from (v.aval.size for v in eqn.outvars if hasattr(v.aval, "size"))
            for value in eqn.params.values():
                for inner in value if isinstance(value, tuple | list) else [value]:
                    inner = getattr(inner, "jaxpr", inner)
                    if hasattr(inner, "eqns"):
                        yield from sizes(inner)

    return max(sizes(jax.make_jaxpr(function)(X).jaxpr))


@pytest.mark.parametrize("name", TRACED)
def test_a_small_block_bounds_every_array_of_a_traced_computation(name):
    bound = N * K * 3  # the coordinates of all neighbors
    assert largest(partial(TRACED[name], block_bytes=1)) <= bound
    assert largest(TRACED[name]) > 10 * bound


HOST = {
    "trustworthiness": lambda **b: metrics.trustworthiness(X, Y, k=K, **b),
    "coranking": lambda **b: metrics.coranking(X, Y, **b).auc,
    "rank_errors": lambda **b: metrics.relative_rank_errors(X, Y, k=K, **b),
    "density": lambda **b: metrics.density_divergence(X, Y, sigma=0.1, **b),
}


@pytest.mark.parametrize("module", HOST)
def test_the_number_of_rows_of_a_block_follows_from_its_size_on_the_host(module, monkeypatch):
    named = importlib.import_module(f"jaxlle.metrics.{module}")
    function, sizes = named.row_blocks, []

    def recorded(n, block_bytes, *arguments):
        sizes.append(block_bytes)
        return function(n, 2**20, *arguments)  # the same blocks, so that nothing is compiled twice

    monkeypatch.setattr(named, "row_blocks", recorded)
    for block_bytes in (2**20, 2**10):
        HOST[module](block_bytes=block_bytes)
        assert sizes[-1] <= block_bytes
    assert sizes[0] > 2**15
