"""The benchmark of accelerators: what its bounds count, and that one section that fails does not end the others."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from helpers import keeping_programs
from jax import lax

FOLDER = Path(__file__).parent / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


def imported(name):
    return importlib.import_module(name)


def square(a):
    return jnp.matmul(a, a, precision="highest")


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def count(function, *shapes, steps=(), platform="cuda"):
    """Return the cost on a device of 2 and 4 operations and 8 bytes per second, and 100 seconds per row."""
    roofline = imported("roofline")
    rates = roofline.Rates(exact=2.0, quick=4.0, memory=8.0, row=100.0, capacity=0.0, source="")
    return roofline.cost(function, *shapes, platform=platform, rates=rates, steps=steps)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_loop_of_products_counts_every_step(platform):
    def loop(a):
        return lax.fori_loop(0, 7, lambda _, a: square(a), a)

    found = count(loop, shape(10, 10), platform=platform)
    assert (found.flops, found.bytes, found.kernels) == (7 * 2000, 7 * 1200, 7)
    assert found.seconds == pytest.approx(7 * 2000 / 2, rel=1e-6)  # the operations take longer than the bytes


def test_the_operations_of_a_batch_of_products_are_those_of_the_analysis_of_xla():
    def product(a, b):
        return jnp.einsum("bik,bjk->bij", a, b, precision="highest")

    shapes = shape(3, 5, 7), shape(3, 4, 7)
    analysis = jax.jit(product).lower(*shapes).cost_analysis()
    assert count(product, *shapes).flops == analysis["flops"] == 2 * 3 * 5 * 4 * 7


def test_a_product_at_the_default_precision_takes_the_quick_rate_and_memory_limits_thin_products():
    assert count(lambda a: a @ a, shape(10, 10)).seconds == pytest.approx(2000 / 4, rel=1e-6)
    assert count(lambda a: jnp.sum(a), shape(100)).seconds == pytest.approx(
        (100 + 1 + 1) * 4 / 8, rel=1e-6
    )  # with its start


def test_loops_whose_number_of_steps_depends_on_data_take_the_given_numbers_in_order():
    def loops(a, n):
        a = lax.fori_loop(0, n, lambda _, a: square(a), a)
        return lax.fori_loop(0, n, lambda _, a: jnp.sort(a), a)

    shapes = shape(10, 10), shape(dtype=jnp.int32)
    assert count(loops, *shapes).kernels == 0
    assert count(loops, *shapes, steps=[3]).flops == 3 * 2000
    assert count(loops, *shapes, steps=[3, 5]).kernels == 3 + 5


def test_rows_are_counted_by_their_indices_elementwise_operations_are_fused_and_the_longest_branch_counts():
    found = count(lambda a, ids: a[ids], shape(50, 8), shape(6, dtype=jnp.int32))
    assert (found.rows, found.bytes) == (6, 6 * 8 * 4 + 6 * 4)
    assert found.seconds == pytest.approx(6 * 100, rel=1e-6)
    assert count(lambda a: jnp.tanh(2 * a) + 1, shape(50, 8)).kernels == 0

    def branches(a, i):
        return lax.switch(i, [lambda a: a, square, lambda a: a + 1], a)

    assert count(branches, shape(10, 10), shape(dtype=jnp.int32)).flops == 2000


def test_devices_are_recognized_by_their_names_in_jax():
    roofline = imported("roofline")
    names = {"NVIDIA H100 80GB HBM3": "H100", "NVIDIA H200": "H200", "TPU v5 lite": "TPU v5e", "TPU v5": "TPU v5p"}
    for kind, name in names.items():
        assert roofline.published(kind) == roofline.PEAKS[name]
    assert roofline.published("cpu") is None


def test_a_section_that_fails_is_reported_and_the_others_run(monkeypatch, capsys):
    accelerator = imported("accelerator")

    def fails(size):
        raise MemoryError("the device ran out of memory")

    sections = {"first": fails, "second": lambda size: print("second ran")}
    monkeypatch.setattr(accelerator, "SECTIONS", sections)
    assert accelerator.main(["--here"]) == 1
    printed = capsys.readouterr().out
    assert "first: MemoryError" in printed
    assert "the device ran out of memory" in printed
    assert printed.endswith("second ran\n")


def test_sections_end_with_their_time_and_their_status_is_reported(capsys):
    accelerator = imported("accelerator")
    assert accelerator.run_apart(["device"], 0.001).startswith("stopped after")
    assert accelerator.run_apart(["unknown"], 60) == "failed with status 2"
    assert accelerator.main(["--minutes", "0"]) == len(accelerator.SECTIONS)
    assert capsys.readouterr().out.count("no time is left") == len(accelerator.SECTIONS)


def script(*arguments, **environment):
    command = [sys.executable, str(FOLDER / "accelerator.py"), *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


@pytest.mark.slow
def test_the_script_prints_every_row_at_a_small_size(tmp_path):
    printed = script("--small", "--minutes", "30", **keeping_programs(tmp_path))  # its sections are processes
    for stage in ("search", "weights", "Landmark"):
        times = rf"{stage}, second call +[\d.e+-]+ s +[\d.e+-]+ s +\d+%"
        plan = rf"{stage} +arguments [\d.]+, results [\d.]+, temporary [\d.]+; compiled in [\d.]+ s"
        assert len(re.findall(times, printed)) == len(re.findall(plan, printed)) == 2
    assert len(re.findall(r"whole fit, after compilation +[\d.e+-]+ s", printed)) == 2
    assert len(re.findall("^with(out it| the LLE loss) .* s ", printed, re.MULTILINE)) == 2
    assert len(re.findall(r"angle [\d.e-]+, expected rounding", printed)) == 2
    assert len(re.findall(r"with.*: start|with.* start [\d.]+, first fit", printed)) == 2
    assert " NO" not in printed
    assert "0 of 7 sections failed" in printed


@pytest.mark.slow
def test_an_estimate_counts_the_products_of_all_pairs_and_those_that_fill_the_last_block():
    printed = script("--estimate", "H100")
    flops = [float(found) for found in re.findall(r"^search +([\d.]+)", printed, re.MULTILINE)]
    pairs = [2 * 7e4**2 * 784 / 1e12, 2 * 1e12 * 64 / 1e12]
    assert all(0.999 * all_pairs < found < 1.05 * all_pairs for found, all_pairs in zip(flops, pairs, strict=True))
