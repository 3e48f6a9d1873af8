"""LLE with the points distributed over a device mesh: several GPUs, a TPU slice, or several hosts.

The points are distributed over the devices, and no device holds all of them. In the neighbor search copies of the shards travel
around the ring of devices. The weights are computed from Gram matrices, which are sums over features, so that a few features of
all points are gathered at a time. The solver distributes its vectors, and gathers eight columns at a time. The neighbors are
those of `jaxlle.knn`; the other results equal those of one device up to rounding. Results are replicated on every device. If the
number of points is not divisible by the number of devices, it is padded.

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
device, up to one block of `block_bytes`; the terms without p do not fall with more devices:

| stage | bytes |
| --- | --- |
| neighbors | 4 n (3 d + 5 k) / p |
| weights | 4 n (8 + (2 d + k^2 / 2 + 4 k) / p) |
| solver | 4 n (25 + (d + 500) / p) |

The neighbors and the alignment, which are replicated on every device, take up to 4 n (4 k + 2) bytes more during the solver. For
10,000,000 x 128 and k = 12 the programs plan for 2.1, 2.0 and 3.7 GiB on 8 devices, and 1.1, 1.2 and 2.3 GiB on 16
(tests/benchmarks/mesh.py). Landmarks that are not chosen at random gather the leading coordinates of all points.

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
