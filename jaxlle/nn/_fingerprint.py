"""What a checkpoint belongs to: a summary of the data, the graph and the settings of a run, and its comparison."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .._core.points import working_dtype
from ..losses.batches import NeighborhoodBatches

STEPS = (0, 10, 100, 1_000, 10_000, 100_000)  # where schedules are compared
_SCALES = (
    1e-12,
    1e-8,
    1e-4,
    1.0,
    1e4,
)  # of the test gradients, because clipping and Adam's eps act at some scales only
_CHECKED_BYTES = 1 << 24  # of each array; larger ones are represented by evenly spaced rows
_TOLERANCE = 1e-4  # of numbers that another device or version may round differently


def fingerprint(model: Any, batches: NeighborhoodBatches) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed, by name, as JSON.

    Args:
        model: its method `checkpoint_settings`, if it has one, returns numbers, strings or lists of numbers by name.
        batches: the data with the graph, as at the start of the run.

    Returns:
        Sizes, the parameters of the batches, checksums of the points, the neighbors and the weights, the settings of the model.
    """
    x, graph = batches.x, batches.neighbors
    mask = True if graph.mask is None else _rows(graph.mask)
    return {
        "number of points": x.shape[0],
        "number of features": x.shape[1],
        "neighbors per point": graph.indices.shape[1],
        "batch_size": batches.batch_size,
        "max_points": batches.max_points,
        "num_shards": batches.num_shards,
        "key": list(batches.seed),
        "points (checksum)": checksum(_floats(_rows(x))),
        "neighbors (checksum)": checksum(np.where(mask, _rows(graph.indices).astype(np.int64), -1)),
        "weights (checksum)": checksum(np.where(mask, _floats(_rows(batches.weights)), 0)),
        **model_settings(model),
    }


def model_settings(model: Any) -> dict[str, Any]:
    """Return the settings of a model that must be the same for a run to be resumed."""
    return model.checkpoint_settings() if hasattr(model, "checkpoint_settings") else {}


def check_fingerprint(saved: dict[str, Any], given: dict[str, Any], source: str) -> None:
    """Raise unless two fingerprints are the same; the message contains every difference."""
    names = [*given, *(name for name in saved if name not in given)]
    pairs = [(name, saved.get(name, "absent"), given.get(name, "absent")) for name in names]
    differences = [_difference(*pair) for pair in pairs if not _same(*pair[1:])]
    if differences:
        raise ValueError(
            f"{source} was saved by a run with other data or settings and cannot be resumed: {'; '.join(differences)}. Pass the "
            f"same data, graph and settings, or another checkpoint_dir to start a new run."
        )


def compared_updates(optimizer: nnx.Optimizer, model: nnx.Module) -> list[float] | None:
    """Return the updates of an optimizer for test gradients.

    An optimizer of Optax consists of functions, so its settings can be compared only by what it computes. It is applied to
    parameters with the structure of the model's and at most two entries per axis.

    Args:
        optimizer: of the model.
        model: with the parameters that are optimized.

    Returns:
        One number per test gradient; None for an optimizer that needs more than gradients and parameters.
    """
    params = nnx.as_pure(nnx.state(model, optimizer.wrt))  # as Flax passes them to the optimizer
    small = jax.tree.map(lambda a: jnp.ones([min(size, 2) for size in a.shape], a.dtype), params)

    def updates(count: Any, scale: Any) -> Any:
        """Return two updates from a new state at a count of steps."""
        state, out = jax.tree.map(lambda a: count if _is_count(a) else a, optimizer.tx.init(small)), []
        for factor in (1, 3):
            gradient = jax.tree.map(lambda a, factor=factor: jnp.full_like(a, factor * scale), small)
            update, state = optimizer.tx.update(gradient, state, small)
            means = [jnp.mean(leaf, dtype=jnp.float32) for leaf in jax.tree.leaves(update)]
            out.append(sum((place + 1) * mean for place, mean in enumerate(means)))
        return jnp.stack(out)

    grid = jnp.meshgrid(jnp.asarray(STEPS, jnp.int32), jnp.asarray(_SCALES, jnp.float32), indexing="ij")
    try:
        return np.asarray(jax.jit(jax.vmap(updates))(*(a.ravel() for a in grid))).ravel().tolist()
    except Exception:  # whatever an optimizer raises that needs, for example, the value of the loss
        return None


def _is_count(a: Any) -> bool:
    return jnp.ndim(a) == 0 and jnp.issubdtype(jnp.asarray(a).dtype, jnp.signedinteger)


def _rows(a: Any) -> np.ndarray:
    """Return an array, or evenly spaced rows of a large one; of a memmap only these are read."""
    n = a.shape[0]
    most = max(1, _CHECKED_BYTES // max(1, a.nbytes // n))
    return np.asarray(a[:] if n <= most else a[np.linspace(0, n - 1, most).astype(np.int64)])


def _floats(rows: np.ndarray) -> np.ndarray:
    """Return rows in the precision of the computation, in which NumPy and JAX arrays of the same numbers are equal."""
    return np.asarray(rows, working_dtype(rows))


def checksum(rows: np.ndarray) -> str:
    """Return a checksum of the dtype, the shape and the numbers of an array."""
    return hashlib.sha256(f"{rows.dtype.name}{rows.shape}".encode() + np.ascontiguousarray(rows).tobytes()).hexdigest()


def _same(saved: Any, given: Any) -> bool:
    if isinstance(saved, list) and isinstance(given, list):
        return len(saved) == len(given) and bool(_close(saved, given).all())
    return saved == given


def _close(saved: list[Any], given: list[Any]) -> np.ndarray:
    if all(isinstance(value, int) for value in saved + given):
        return np.asarray(saved) == np.asarray(given)
    return np.isclose(saved, given, rtol=_TOLERANCE, atol=0, equal_nan=True)


def _difference(name: str, saved: Any, given: Any) -> str:
    """Describe a difference; of long lists only the first number that differs."""
    if isinstance(saved, list) and isinstance(given, list) and len(saved) == len(given):
        at = int(np.argmin(_close(saved, given)))
        return f"{name} has {_short(saved[at])} in the checkpoint and {_short(given[at])} here (number {at} of {len(saved)})"
    return f"{name} is {_short(saved)} in the checkpoint and {_short(given)} here"


def _short(value: Any) -> str:
    """Return a value as text: numbers with six digits, the length of a list, and the beginning of a checksum."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"a list of {len(value)} numbers"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
