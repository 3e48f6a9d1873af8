"""Files of trained modules: their arrays by name, without those of the optimizer, and the training data."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .._core import archive
from ..serving import OutOfSampleMap, maps
from .feature_memory import MemoryState

_KIND = "model"
_TRAINING_ONLY = nnx.Any(nnx.optimizer.OptState, nnx.RngState, MemoryState)  # part of checkpoints instead


def save_model(path: str | Path, model: nnx.Module, known: OutOfSampleMap | None = None) -> None:
    """Save a trained module to a .npz file without pickles.

    All variables except the optimizer's, random states and a `FeatureMemory` are saved: parameters, the head's running averages,
    the step. The file is for the use of a trained model; training is resumed from a checkpoint (`FitOptions`). The file is
    written completely or not at all; a symbolic link is written through.

    Args:
        path: file name with the suffix .npz.
        model: a `ParametricLLE`, or any NNX module.
        known: the training data with their embedding, to be saved in the same file, for `extension.drift`,
            `inverse_transform` without a decoder, and `explanation.explain`.

    Raises:
        ValueError: for another suffix.

    Example:
        >>> import pathlib, tempfile, jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxlle.nn import load_model, save_model
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.npz"
        >>> save_model(path, nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
        >>> other = nnx.Linear(3, 2, rngs=nnx.Rngs(1))
        >>> load_model(path, other)
        >>> bool(jnp.array_equal(other.kernel[...], nnx.Linear(3, 2, rngs=nnx.Rngs(0)).kernel[...]))
        True
    """
    arrays = {f"state/{name}": a for name, a in arrays_by_name(nnx.state(model, nnx.Not(_TRAINING_ONLY))).items()}
    metadata = {} if known is None else maps.metadata(known)
    arrays |= {} if known is None else maps.pack(known)
    archive.write(path, _KIND, maps.VERSION, maps.readable_from(metadata), arrays, **metadata)


def load_model(path: str | Path, model: nnx.Module, *, max_bytes: int | None = None) -> OutOfSampleMap | None:
    """Restore a saved state into a module of the same architecture, and set the module to evaluation mode.

    Args:
        path: file written by `save_model`.
        model: of the same architecture; changed in place, or unchanged if an error is raised.
        max_bytes: largest number of bytes that the arrays may take in memory. None: 256 MiB, or 100 times the size of the file
            if that is more, which no file written by `save_model` exceeds.

    Returns:
        The training data with their embedding; None if they were not saved.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: for a file that is truncated, larger than `max_bytes`, contains no model or one of another architecture, was
            changed after it was written, or requires a later version of jaxlle, or for training data that are no valid map
            (`serving.load_map`).

    Example:
        >>> import pathlib, tempfile
        >>> from flax import nnx
        >>> from jaxlle.nn import load_model
        >>> load_model(pathlib.Path(tempfile.mkdtemp()) / "none.npz", nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
        Traceback (most recent call last):
        FileNotFoundError: There is no file ...
    """
    state = nnx.state(model, nnx.Not(_TRAINING_ONLY))
    required = array_layout(arrays_by_name(state))
    names = {f"state/{name}" for name in required} | maps.MAP_ARRAYS
    header, arrays = archive.read(path, _KIND, maps.VERSION, wanted=names.__contains__, max_bytes=max_bytes)
    found = {name.removeprefix("state/"): a for name, a in arrays.items() if name.startswith("state/")}
    listed = {
        name.removeprefix("state/"): str(dtype) for name, dtype in header["dtypes"].items() if name.startswith("state/")
    }
    unknown = {name: dtype for name, dtype in listed.items() if name not in required}
    check_layout({**unknown, **array_layout(found)}, required, f"The model in {path}")
    known = {name: a for name, a in arrays.items() if name in maps.MAP_ARRAYS}
    known = maps.unpack(path, header, known) if known else None
    pure = nnx.to_pure_dict(state)
    filled = jax.tree_util.tree_map_with_path(lambda at, _: jnp.asarray(found[_name(at)]), pure)
    nnx.replace_by_pure_dict(state, filled)
    nnx.update(model, state)
    model.eval()
    return known


def arrays_by_name(state: Any) -> dict[str, Any]:
    """Return the arrays of a state by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(state))
    return {_name(path): leaf for path, leaf in leaves}


def array_layout(arrays: dict[str, Any]) -> dict[str, str]:
    """Return the shape and dtype of arrays by name."""
    return {name: f"{jnp.asarray(a).dtype}{list(a.shape)}" for name, a in arrays.items()}


def check_layout(saved: dict[str, str], required: dict[str, str], source: str) -> None:
    """Raise if saved arrays are not those of a model; the message names the first that differs."""
    for name in sorted(saved.keys() | required.keys()):
        there, here = saved.get(name, "absent"), required.get(name, "absent")
        if there != here:
            raise ValueError(
                f"{source} cannot be restored into this model: {name} is {there} in the saved state and {here} in the "
                f"model. Create the model with "
                f"the same architecture, or use another location."
            )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
