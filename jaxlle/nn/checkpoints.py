"""Orbax checkpoints of the whole state of a module, together with the state of the training loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flax import nnx

from ._fingerprint import check_fingerprint
from .saving import array_layout, arrays_by_name, check_layout

_FORMAT = 3  # format 1 named the arrays differently; format 2 contained no fingerprint of the run


@contextmanager
def checkpoint_manager(directory: str | Path | None, keep: int = 2) -> Iterator[Any]:
    """Open a directory that keeps the last `keep` checkpoints; for None, yield None, with which nothing is saved."""
    if directory is None:
        yield None
        return
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
    manager = ocp.CheckpointManager(Path(directory).absolute(), options=options)
    try:
        yield manager
    finally:
        manager.close()


def save_checkpoint(manager: Any, epoch: int, module: nnx.Module, loop: dict[str, Any], run: dict[str, Any]) -> None:
    """Save the state after an epoch; an interruption while saving leaves the previous checkpoint intact.

    Args:
        manager: from `checkpoint_manager`; None to save nothing.
        epoch: number of completed epochs.
        module: all its variables are saved, those of the optimizer and random states included.
        loop: state of the training loop, as JSON.
        run: fingerprint of the data, the graph and the settings, as JSON.
    """
    if manager is None:
        return
    import orbax.checkpoint as ocp

    state = nnx.state(module)
    meta = {"format": _FORMAT, "arrays": array_layout(arrays_by_name(state)), "run": run, **loop}
    arguments = ocp.args.Composite(state=ocp.args.StandardSave(nnx.to_pure_dict(state)), meta=ocp.args.JsonSave(meta))
    manager.save(epoch, args=arguments)
    manager.wait_until_finished()


def restore_checkpoint(manager: Any, module: nnx.Module, run: dict[str, Any]) -> dict[str, Any] | None:
    """Restore the last complete checkpoint.

    Args:
        manager: from `checkpoint_manager`, or None.
        module: of the same architecture; changed in place, or unchanged if an error is raised.
        run: fingerprint of the data, the graph and the settings of this run.

    Returns:
        The state of the training loop; None if there is no checkpoint.

    Raises:
        ValueError: for a damaged checkpoint, one of another format, one of another architecture, or one of a run with other data,
            graph or settings; the message contains the differences.
    """
    if manager is None or (epoch := manager.latest_step()) is None:
        return None
    import orbax.checkpoint as ocp

    meta = _restore(manager, epoch, "meta", ocp.args.JsonRestore())
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != _FORMAT:
        raise ValueError(
            f"Checkpoint {epoch} in {manager.directory} is of format {found}; this jaxlle reads format {_FORMAT}: use "
            f"another directory to start a new run."
        )
    state, source = nnx.state(module), f"Checkpoint {epoch} in {manager.directory}"
    if not all(isinstance(meta.get(name), dict) for name in ("arrays", "run")):
        raise ValueError(f"{source} lacks the description of its arrays or of its run: remove its folder.")
    check_layout(meta["arrays"], array_layout(arrays_by_name(state)), source)
    check_fingerprint(meta["run"], run, source)
    restored = _restore(manager, epoch, "state", ocp.args.StandardRestore(nnx.to_pure_dict(state)))
    nnx.replace_by_pure_dict(state, restored)
    nnx.update(module, state)
    return meta


def _restore(manager: Any, epoch: int, name: str, arguments: Any) -> Any:
    """Return one item of a checkpoint; whatever error Orbax raises for a damaged one becomes a ValueError."""
    import orbax.checkpoint as ocp

    try:
        return manager.restore(epoch, args=ocp.args.Composite(**{name: arguments}))[name]
    except Exception as error:
        raise ValueError(
            f"Checkpoint {epoch} in {manager.directory} cannot be restored (it is damaged): remove its folder to resume from "
            f"the one before, or use another directory. {type(error).__name__}: {str(error)[:200]}"
        ) from error
