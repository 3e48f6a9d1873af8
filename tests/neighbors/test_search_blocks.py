"""Blocks of queries on accelerators: their size, and a host that does not wait for them."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxlle
from jaxlle._core.blocks import BLOCK_BYTES, device_limit
from jaxlle.neighbors import blockwise


def devices(*memory_stats):
    """Return what `device_limit` reads of devices, one for each of the statistics."""
    return [SimpleNamespace(memory_stats=lambda stats=stats: stats) for stats in memory_stats]


def test_the_default_limit_of_a_block_is_a_share_of_the_memory_of_the_smallest_device():
    large, small = {"bytes_limit": 80 * 2**30}, {"bytes_limit": 2**30}
    assert device_limit(BLOCK_BYTES, devices(large)) == 2**31
    assert device_limit(BLOCK_BYTES, devices(large, {"bytes_limit": 40 * 2**30})) == 2**30
    assert device_limit(BLOCK_BYTES, devices(large, small)) == BLOCK_BYTES
    assert device_limit(BLOCK_BYTES, devices({"bytes_in_use": 1})) == BLOCK_BYTES
    assert device_limit(BLOCK_BYTES, devices(None)) == BLOCK_BYTES  # a CPU
    assert device_limit(BLOCK_BYTES, jax.devices("cpu")) == BLOCK_BYTES
    assert device_limit(2**20, devices(large)) == 2**20  # the limit of a user


@pytest.fixture
def events(monkeypatch):
    """Search as on an accelerator with blocks of 16 rows; return the list of blocks that are dispatched and of waits for one."""
    happened, block, add = [], blockwise._block, blockwise._ProgressCounter.add

    def dispatched(*args):
        happened.append("block")
        return block(*args)

    def reported(counter, rows):
        happened.append("wait")
        add(counter, rows)

    def fail(value):
        raise AssertionError("the host waited for a block")

    monkeypatch.setattr(blockwise, "on_cpu", lambda x: False)
    monkeypatch.setattr(blockwise, "device_limit", lambda limit, x: 8 * 90 * 16)
    monkeypatch.setattr(blockwise, "_block", dispatched)
    monkeypatch.setattr(blockwise._ProgressCounter, "add", reported)
    monkeypatch.setattr(jax, "block_until_ready", fail)
    return happened


def test_the_host_waits_for_no_block_before_the_last_is_dispatched(events):
    x = np.random.default_rng(0).normal(size=(90, 20)).astype(np.float32)
    points = jaxlle.neighbors.prepare_points(x)
    found = jaxlle.knn(points, 5, algorithm="brute")
    assert events == ["block"] * 6 + ["wait"]
    far = np.linalg.norm(x[:, None].astype(np.float64) - x, axis=2)
    np.fill_diagonal(far, np.inf)
    np.testing.assert_array_equal(found.indices, np.argsort(far, axis=1, kind="stable")[:, :5])

    events.clear()
    seen = []
    again = jaxlle.knn(points, 5, algorithm="brute", progress=lambda *done: seen.append(done))
    assert events == ["block", "block", *["wait", "block"] * 4, "wait", "wait"]  # always one block ahead
    assert seen == [(16, 90), (32, 90), (48, 90), (64, 90), (80, 90), (90, 90)]
    np.testing.assert_array_equal(again.indices, found.indices)
