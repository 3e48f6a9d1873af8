"""LLE with the points distributed over a device mesh: several GPUs, a TPU slice, or several hosts.

Each device computes the neighbors and the weights of its shard of the points, and holds all points once and its shard of every
vector of the solver. The stages are those of a single device inside `jax.shard_map`. The results equal those of one device up
to rounding and are replicated on every device. If the number of points is not divisible by the number of devices, it is padded.

One GPU needs no mesh: `jaxlle.lle` runs on it. On one host, a node of several GPUs or a TPU slice, a mesh over all devices is
sufficient:

    >>> import jax, jaxlle
    >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
    >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
    >>> jaxlle.sharding.lle(x, 2, k=12, mesh=mesh).solver
    'ShardedLandmark'

On several hosts, every process calls ``jax.distributed.initialize(...)`` first, creates the same mesh over all devices, and
runs the same program with the same data (a NumPy array on every host, or a global `jax.Array`). On a TPU slice the call needs
no arguments. Under SLURM it needs none with one process per GPU, and ``local_device_ids=list(range(8))`` with one process per
node of eight GPUs, which holds the data once per node. Notebook 07 has a program, a SLURM script and a command for TPU slices.

# Memory

With n points of d features, k neighbors and p devices, in float32, the compiled programs plan for about these bytes on every
device; the terms without p do not fall with more devices:

| stage | bytes |
| --- | --- |
| neighbors | 4 n (2 d + d / p + 2 k), and one block of `block_bytes` |
| weights | less than the neighbors |
| solver | 4 n (d + 2 k + 200 + 200 / p) |

# If a host fails

The others end with an error after the heartbeat timeout of JAX, an argument of ``jax.distributed.initialize`` (100 seconds by
default), and no host returns a partial result. JAX cannot replace a process, so all are started again, by the scheduler or by
hand. Save the graph with `jaxlle.neighbors.save`, so that the new run can start from `jaxlle.neighbors.load`.

# Tests

The tests use eight simulated devices and two real processes (tests/test_sharding.py, tests/test_guide_of_hosts.py). The module
has not been tested on accelerators yet.
"""

from .._core.calls import explain_calls
from .solver import ShardedLandmark
from .stages import embed, knn, lle

__all__ = ["ShardedLandmark", "embed", "knn", "lle"]

explain_calls(__name__)
