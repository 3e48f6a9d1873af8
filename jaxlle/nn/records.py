"""What a training run leaves behind: metrics as JSON lines or TensorBoard events, and checkpoints."""

import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from flax import nnx

from .saving import by_name, check_layout, layout

_FORMAT = 2  # 1 named arrays in another way


class MetricsLog:
    """Append one line of JSON an epoch to a file, and TensorBoard events beside it if tensorboardX is installed."""

    def __init__(self, path: str | Path | None, first_epoch: int):
        """Open the file, keeping the epochs before the first; a line cut short by a kill goes."""
        self._path = None if path is None else Path(path)
        self._events = None
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_metrics(self._path) if line["epoch"] < first_epoch]
        draft = self._path.with_suffix(self._path.suffix + ".part")
        draft.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(draft, self._path)
        self._events = _event_writer(self._path.parent)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        if self._events is not None:
            self._events.close()

    def write(self, metrics: dict[str, Any]) -> None:
        """Write one epoch's metrics."""
        if self._path is None:
            return
        with self._path.open("a") as file:
            file.write(json.dumps(metrics) + "\n")
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(name, value, int(metrics["step"]))
            self._events.flush()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the epochs of a metrics file; none if there is no file."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    out = []
    for number, line in enumerate(lines):
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise ValueError(
                    f"Line {number + 1} of {path} is not JSON: move the file away to start a new one."
                ) from None
    return out


class Checkpoints:
    """Orbax checkpoints of a module's whole state with what a loop must know to go on."""

    def __init__(self, directory: str | Path | None, keep: int = 2):
        """Open a directory, or do nothing with None."""
        self._manager = None
        if directory is not None:
            import orbax.checkpoint as ocp

            options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
            self._manager = ocp.CheckpointManager(Path(directory).absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        if self._manager is not None:
            self._manager.close()

    def save(self, epoch: int, module: nnx.Module, progress: dict[str, Any]) -> None:
        """Save the state after an epoch; a kill meanwhile leaves the last one as it was."""
        if self._manager is None:
            return
        import orbax.checkpoint as ocp

        state = nnx.to_pure_dict(nnx.state(module))
        meta = {"format": _FORMAT, "arrays": layout(by_name(nnx.state(module))), **progress}
        self._manager.save(
            epoch, args=ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
        )
        self._manager.wait_until_finished()

    def restore(self, module: nnx.Module) -> dict[str, Any] | None:
        """Put the last complete checkpoint into the module and return its progress; None if there is none."""
        epoch = None if self._manager is None else self._manager.latest_step()
        if self._manager is None or epoch is None:
            return None
        import orbax.checkpoint as ocp

        try:
            meta = self._manager.restore(epoch, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
        except Exception as error:
            raise ValueError(_unreadable(self._manager.directory, epoch, error)) from error
        if meta["format"] != _FORMAT:
            raise ValueError(f"Checkpoint {epoch} is of format {meta['format']}; this jaxlle reads format {_FORMAT}.")
        state = nnx.state(module)
        pure = nnx.to_pure_dict(state)
        check_layout(meta["arrays"], layout(by_name(state)), f"Checkpoint {epoch} in {self._manager.directory}")
        target = ocp.args.StandardRestore(pure)
        try:
            pure = self._manager.restore(epoch, args=ocp.args.Composite(state=target))["state"]
        except Exception as error:
            raise ValueError(_unreadable(self._manager.directory, epoch, error)) from error
        nnx.replace_by_pure_dict(state, pure)
        nnx.update(module, state)
        return meta


def _unreadable(directory: Any, epoch: int, error: Exception) -> str:
    return (
        f"Checkpoint {epoch} in {directory} cannot be restored (it is damaged): remove its folder to resume from "
        f"the one before, or name another directory. {type(error).__name__}: {str(error)[:200]}"
    )


def show(epoch: int, epochs: int, metrics: dict[str, Any]) -> None:
    """Draw one line of progress over the last, on a terminal."""
    if sys.stderr.isatty():
        end = "\n" if epoch + 1 == epochs else ""
        print(f"\repoch {epoch + 1}/{epochs}  cost {metrics['cost']:.4g}", end=end, file=sys.stderr, flush=True)


def _event_writer(directory: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    # The name tells the second only: another run begun within it would write over the events of the one before.
    return SummaryWriter(str(directory), filename_suffix=f".{uuid4().hex[:8]}")
