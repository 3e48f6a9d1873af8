"""The metrics of a training run: a file of JSON lines, TensorBoard events, and a line of progress on the terminal."""

import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from .._core.atomic import replacing


class MetricsLog:
    """Append one line of JSON per epoch to a file, and TensorBoard events next to it if tensorboardX is installed."""

    def __init__(self, path: str | Path | None, first_epoch: int):
        """Open the file and keep the epochs before the first; a line truncated by an interruption is removed."""
        self._path = None if path is None else Path(path)
        self._events = None
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_metrics(self._path) if line["epoch"] < first_epoch]
        with replacing(self._path) as draft:
            draft.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._events = _event_writer(self._path.parent)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        if self._events is not None:
            self._events.close()

    def write(self, metrics: dict[str, Any]) -> None:
        """Write the metrics of one epoch."""
        if self._path is None:
            return
        with self._path.open("a") as file:
            file.write(json.dumps(metrics) + "\n")
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(name, value, int(metrics["step"]))
            self._events.flush()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the epochs of a metrics file, or an empty list if there is no file."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    out = []
    for number, line in enumerate(lines):
        try:
            metrics = json.loads(line)
            if not isinstance(metrics, dict) or not isinstance(metrics.get("epoch"), int):
                raise ValueError
            out.append(metrics)
        except (ValueError, RecursionError):
            if number < len(lines) - 1:  # only the last line can have been truncated by an interruption
                raise ValueError(
                    f"Line {number + 1} of {path} does not hold the metrics of an epoch: move the file away to start a new one."
                ) from None
    return out


def show_progress(epoch: int, epochs: int, metrics: dict[str, Any]) -> None:
    """Print the number and the cost of an epoch over the previous line, on a terminal only."""
    show_line(f"epoch {epoch + 1}/{epochs}  cost {metrics['cost']:.4g}", epoch + 1 == epochs)


def show_line(text: str, last: bool) -> None:
    """Print one line of progress over the previous one, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{text}", end="\n" if last else "", file=sys.stderr, flush=True)


def _event_writer(directory: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    # The default file name contains only the second, so that a run started within it would overwrite the events before.
    return SummaryWriter(str(directory), filename_suffix=f".{uuid4().hex[:8]}")
