"""Programs for GPUs and TPUs, compiled up to the machine code: they can be lowered, precise, and free of calls to the host."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from traced_functions import function_cases, runs_on_the_host, split_arguments

import jaxlle
from jaxlle._core.blocks import cache_budget, map_rows
from jaxlle.neighbors import approx_min_k, inverted_file
from jaxlle.solvers import Landmark

ALL = ("cpu", "cuda", "tpu")
QUICK = {
    "extension.transform",
    "losses.lle_loss",
    "metrics.trustworthiness",
    "neighbors.knn",
    "variants.lle",
    "weights.barycentric_weights",
}
FUNCTIONS = function_cases(QUICK)


def lower(function, platforms, *arguments):
    """Return the program of a function for some platforms as text."""
    return export.export(jax.jit(function), platforms=platforms)(*arguments).mlir_module()


def assert_precise_and_on_the_device(text):
    products = [line for line in text.splitlines() if re.search(r"stablehlo\.(dot_general|convolution)", line)]
    imprecise = [line for line in products if "HIGHEST" not in line and re.search(r"-> tensor<[^>]*f\d+>", line)]
    assert imprecise == []
    assert "callback" not in text


@pytest.mark.slow_cases("variants.lle")
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_public_functions_lower_for_every_platform_at_the_highest_precision(name, function):
    traced, static = split_arguments(name, function)
    arrays, structure = jax.tree.flatten(traced)

    def call(*arrays):
        return function(**structure.unflatten(arrays), **static)

    try:
        text = lower(call, ALL, *arrays)
    except TypeError as error:
        if not runs_on_the_host(error):
            raise
        return
    assert_precise_and_on_the_device(text)
    with jax.enable_x64(True):
        wide = [a.astype(np.float64) if np.asarray(a).dtype == np.float32 else a for a in arrays]
        assert_precise_and_on_the_device(lower(call, ("cuda",), *wide))


def test_the_check_finds_imprecise_products_and_calls_of_the_host():
    shape = jax.ShapeDtypeStruct((3, 3), jnp.float32)
    with pytest.raises(AssertionError):
        assert_precise_and_on_the_device(lower(lambda a: a @ a, ("cuda",), shape))
    assert_precise_and_on_the_device(lower(partial(jnp.matmul, precision="highest"), ("cuda",), shape, shape))
    text = jax.jit(lambda a: jax.pure_callback(np.sin, shape, a)).lower(shape).as_text()
    with pytest.raises(AssertionError):
        assert_precise_and_on_the_device(text)


def embed(x):
    return jaxlle.lle(x, 2, k=10, solver=Landmark()).points


@pytest.mark.slow
def test_landmark_and_its_gradient_lower_for_every_platform():
    x = jax.ShapeDtypeStruct((3000, 20), jnp.float32)
    value_and_gradient = jax.value_and_grad(lambda x: (embed(x) ** 4).sum())
    assert_precise_and_on_the_device(lower(value_and_gradient, (*ALL, "rocm"), x))


def test_approximate_searches_lower_for_every_platform():
    x = jax.ShapeDtypeStruct((4000, 20), jnp.float32)
    sizes = inverted_file._Sizes(lists=20, capacity=100, probes=4, sampled=640, iterations=2)
    by_lists = partial(inverted_file._search, k=6, sizes=sizes, block_bytes=2**20)
    selected = partial(approx_min_k._search, k=6, recall=0.9, block_bytes=2**20)
    for text in (lower(by_lists, ALL, x, jax.random.key(0)), lower(selected, ALL, x)):
        assert_precise_and_on_the_device(text)


def test_a_prepared_product_holds_no_array_of_all_terms():
    alignment = jaxlle.Alignment(jnp.zeros((2000, 7), jnp.int32), jnp.zeros((2000, 1, 7)))
    text = lower(lambda a, z: a.prepare().rmatvec(z), ALL, alignment, jax.ShapeDtypeStruct((2000, 8), jnp.float32))
    sizes = [np.prod([int(n) for n in shape.split("x")[:-1]]) for shape in re.findall(r"tensor<([\dx]+xf32)>", text)]
    assert 2000 * 8 <= max(sizes) < 2000 * 7 * 8  # the table of slabs, of at most 20 entries per column, is the largest


def test_the_size_of_blocks_is_that_of_the_platform_for_which_a_program_is_compiled():
    x = jax.ShapeDtypeStruct((1000, 4), jnp.float32)

    def double(x):
        return map_rows(lambda row: 2 * row, x, cache_budget(2**27), 2**16)

    assert "stablehlo.while" in lower(double, ("cpu",), x)  # 64 rows of 2^16 bytes fit in the cache
    assert "stablehlo.while" not in lower(double, ("cuda",), x)
    assert {"stablehlo.while", "stablehlo.case"} <= set(re.findall(r"stablehlo\.\w+", lower(double, ALL, x)))
    values = jnp.arange(4000.0).reshape(1000, 4)
    np.testing.assert_array_equal(double(values), 2 * values)
    for transform in (jax.jit, jax.vmap):
        given = values if transform is jax.jit else values[None]
        np.testing.assert_array_equal(transform(double)(given), 2 * given)
    np.testing.assert_array_equal(jax.grad(lambda a: double(a).sum())(values), jnp.full_like(values, 2))


@pytest.mark.slow
def test_a_search_inside_jit_has_larger_blocks_on_an_accelerator():
    x = jax.ShapeDtypeStruct((6000, 40), jnp.float32)

    def products(platform):
        shapes = re.findall(
            r"dot_general.*-> tensor<(\d+)x6000xf32>", lower(lambda x: jaxlle.knn(x, 10), (platform,), x)
        )
        return max(map(int, shapes))

    assert products("cpu") < products("cuda") == products("tpu")
