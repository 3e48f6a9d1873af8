"""A trained module as a file: its arrays by name, without the optimizer's, and the data that it goes with."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .. import serving
from .._core import archive

_KIND = "model"
_VERSION = 1
_READABLE_FROM = 1
_LEFT_OUT = nnx.Any(nnx.optimizer.OptState, nnx.RngState)  # serve training alone, and go with a checkpoint


def save_model(path: str | Path, model: nnx.Module, known: serving.OutOfSampleMap | None = None) -> None:
    """Save what a trained module computes with, to a .npz file without pickles, whole or not at all.

    All variables but the optimizer's and random states: parameters, the head's running statistics, the step. Training goes
    on from a checkpoint (`ParametricLLE.fit`); this is for what comes after.

    Args:
        path: the file, with the suffix .npz.
        model: a `ParametricLLE`, or any NNX module.
        known: the training data with their embedding, to keep beside it: for `drift`, `inverse_transform` without a decoder,
            `explanation.explain`.

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
    arrays = {f"state/{name}": a for name, a in by_name(nnx.state(model, nnx.Not(_LEFT_OUT))).items()}
    facts = {} if known is None else serving.metadata(known)
    arrays |= {} if known is None else serving.pack(known)
    archive.write(path, _KIND, _VERSION, _READABLE_FROM, arrays, **facts)


def load_model(path: str | Path, model: nnx.Module) -> serving.OutOfSampleMap | None:
    """Put a saved state into a module built like the saved one, and set it to evaluation.

    Args:
        path: the file that `save_model` wrote.
        model: of the same architecture; changed in place, or left as it is if the file does not fit.

    Returns:
        The training data with their embedding, if they were saved.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is truncated, holds no model or one of another architecture, or needs a later jaxlle.

    Example:
        >>> import pathlib, tempfile
        >>> from flax import nnx
        >>> from jaxlle.nn import load_model
        >>> load_model(pathlib.Path(tempfile.mkdtemp()) / "none.npz", nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
        Traceback (most recent call last):
        FileNotFoundError: There is no file ...
    """
    header, arrays = archive.read(path, _KIND, _VERSION)
    found = {name.removeprefix("state/"): a for name, a in arrays.items() if name.startswith("state/")}
    state = nnx.state(model, nnx.Not(_LEFT_OUT))
    check_layout(layout(found), layout(by_name(state)), f"The model in {path}")
    pure = nnx.to_pure_dict(state)
    filled = jax.tree_util.tree_map_with_path(lambda at, _: jnp.asarray(found[_name(at)]), pure)
    nnx.replace_by_pure_dict(state, filled)
    nnx.update(model, state)
    model.eval()
    known = {name: a for name, a in arrays.items() if name.startswith("map/")}
    return serving.unpack(header, known) if known else None


def by_name(state: Any) -> dict[str, Any]:
    """Return every array of a state by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(state))
    return {_name(path): leaf for path, leaf in leaves}


def layout(arrays: dict[str, Any]) -> dict[str, str]:
    """Return the shape and dtype of arrays by name."""
    return {name: f"{jnp.asarray(a).dtype}{list(a.shape)}" for name, a in arrays.items()}


def check_layout(held: dict[str, str], wanted: dict[str, str], what: str) -> None:
    """Raise for arrays that are not those of a model, with the first that differs."""
    for name in sorted(held.keys() | wanted.keys()):
        there, here = held.get(name, "absent"), wanted.get(name, "absent")
        if there != here:
            raise ValueError(
                f"{what} cannot be restored into this model: {name} is {there} there and {here} here. Build the model as it "
                f"was, or name another place."
            )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
