"""Memory of each device of a mesh for 10,000,000 points of 128 features, from the compiled programs; nothing is run."""

import os
import subprocess
import sys

N, D, K = 10_000_000, 128, 12


def print_plans(count: int) -> None:
    """Compile the programs of the stages for `count` simulated devices, and print their plans."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    from jaxlle import Alignment, Neighbors, distances
    from jaxlle._core.blocks import BLOCK_BYTES
    from jaxlle.regularizers import TraceRidge
    from jaxlle.sharding import _mesh, _search, _weights, solver
    from jaxlle.solvers import Hints, Landmark

    mesh = _mesh.with_auto_axes(jax.make_mesh((count,), ("points",)))

    def shape(*sizes: int, dtype: type = jnp.float32) -> jax.ShapeDtypeStruct:
        spec = P("points") if sizes else P()
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=NamedSharding(mesh, spec))

    x, ids, key = shape(N, D), shape(N, K, dtype=jnp.int32), jax.random.key_data(jax.random.key(0))
    alignment = Alignment(shape(N, K + 1, dtype=jnp.int32), shape(N, 1, K + 1))
    lowered = {
        "search": _search._knn.lower(x, N, K, distances.euclidean, mesh, BLOCK_BYTES),
        "weights": _weights._solve_weights.lower(
            x, N, Neighbors(ids, None), TraceRidge(1e-3), shape(), mesh, BLOCK_BYTES
        ),
        "solver": solver._solve.lower(alignment, Hints(x, None), N, 3, key, Landmark(), mesh),
    }
    for stage, program in lowered.items():
        plan = program.compile().memory_analysis()
        sizes = plan.argument_size_in_bytes, plan.output_size_in_bytes, plan.temp_size_in_bytes
        parts = ", ".join(
            f"{name} {size / 2**30:.2f}"
            for name, size in zip(("arguments", "results", "temporary"), sizes, strict=True)
        )
        print(f"{count} devices, {stage}: {sum(sizes) / 2**30:.2f} GiB per device ({parts})", flush=True)


if __name__ == "__main__":
    if "--here" in sys.argv:
        print_plans(int(sys.argv[1]))
    else:
        for count in sys.argv[1:] or ("8", "16"):
            flags = f"--xla_force_host_platform_device_count={count}"
            subprocess.run(
                [sys.executable, __file__, count, "--here"],
                env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
                check=True,
            )
