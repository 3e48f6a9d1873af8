"""The training loop: a plain function over a step, with checkpoints, a log of metrics and early stopping."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from .._core.checks import check_count
from ..losses.batches import NeighborhoodBatches
from ..neighbors import Neighbors
from .checkpoints import checkpoint_manager, restore_checkpoint, save_checkpoint
from .grain_stream import GrainStream
from .metrics_log import MetricsLog, show_progress
from .streams import open_batches

Graph = tuple[Neighbors, Float[Array, "n k"]]
Metrics = dict[str, float | int]
Step = Callable[[Any, Any], dict[str, Array]]


@dataclass(frozen=True)
class FitOptions:
    """Options of `train` and `ParametricLLE.fit` that a short run does not need.

    Attributes:
        patience: number of epochs without a new lowest cost after which training stops; None for no early stopping.
        checkpoint_dir: directory to save to, and to resume from if it contains a checkpoint; None for no checkpoints. A run is
            resumed only with the same data, graph and settings. The number of epochs and these options may differ.
        checkpoint_every: number of epochs between checkpoints.
        metrics_path: file to which one line of JSON per epoch is written, with TensorBoard events next to it if tensorboardX is
            installed; None for no file.

    Raises:
        ValueError: if patience or checkpoint_every is less than 1.
    """

    patience: int | None = None
    checkpoint_dir: str | Path | None = None
    checkpoint_every: int = 1
    metrics_path: str | Path | None = None

    def __post_init__(self) -> None:
        """Validate the numbers of epochs."""
        if self.patience is not None:
            check_count(self.patience, "patience", 1, None, "a number of epochs; None for no early stopping")
        check_count(self.checkpoint_every, "checkpoint_every", 1, None, "a number of epochs")


DEFAULT_OPTIONS = FitOptions()


def train(
    model: Any,
    step: Step,
    batches: NeighborhoodBatches | GrainStream | Iterable[Any],
    *,
    epochs: int,
    graph: Callable[[int], Graph | None] | None = None,
    steps_per_epoch: int | None = None,
    progress: bool = True,
    options: FitOptions = DEFAULT_OPTIONS,
) -> list[Metrics]:
    """Train a model by steps on batches: the loop of `ParametricLLE.fit`, for a step of your own.

    Args:
        model: a `ParametricLLE`, or any NNX module with a variable `step` that counts the steps; changed in place. If it has a
            method `checkpoint_settings`, a run is resumed only if the numbers or strings that it returns by name are the same.
        step: takes one optimization step, in place, and returns scalars, "loss" and "cost" among them, such as `train_step`.
        batches: from `neighborhood_batches`, or a `GrainStream` of them. Or any other iterable of batches, whose arrays have the
            same shapes in all batches; they are what `step` takes, not necessarily a `NeighborhoodBatch`.
        epochs: total number of epochs, those of a restored checkpoint included.
        graph: called with the number of each epoch, the first after resuming included; the neighbors and weights that it
            returns replace those of the batches, None keeps them.
        steps_per_epoch: for an iterable of batches. None: an epoch is one pass over it. A number: an epoch consists of the next
            so many batches; an iterable that ends together with an epoch is iterated again. When a run is resumed, an iterator
            with `get_state` and `set_state` (Grain) continues at its position, and of any other iterable, the same from its
            beginning, the batches before the position are read and ignored.
        progress: whether to print a line of progress on a terminal.
        options: early stopping, checkpoints and a file of metrics.

    Returns:
        One dictionary per epoch of this call: the number of the epoch, the number of steps so far, and the means of the scalars
        that `step` returns.

    Raises:
        TypeError: for batches that cannot be iterated.
        ValueError: for a damaged checkpoint, one of another architecture, one of a run with other points, neighbors, weights,
            batches (size, key, number of points, shards) or settings of the model, or a bad graph; for an iterable that ends
            within an epoch, whose batches change their arrays or shapes, or contain positions out of range, weights that do not
            sum to one or points that are not finite. Points, neighbors and weights are compared bit by bit (of arrays of more
            than 16 MiB, evenly spaced rows): to resume on another kind of device, which may round the weights differently, save
            them with the data. Of an iterable, the first batch is compared. `step` and `graph` are functions and are not.
        FloatingPointError: if the loss is not finite.

    Example:
        >>> import jax, jaxlle
        >>> from flax import nnx
        >>> from jaxlle.nn import ParametricLLE, train, train_step
        >>> x = jax.random.normal(jax.random.key(0), (64, 3))
        >>> model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=8)
        >>> batches = jaxlle.neighborhood_batches(x, *model.graph(x), batch_size=32)
        >>> history = train(model, train_step, batches, epochs=2, progress=False)
        >>> [metrics["step"] for metrics in history]
        [2, 4]
    """
    history = []
    with checkpoint_manager(options.checkpoint_dir) as manager:
        reader = open_batches(batches, steps_per_epoch)
        run = {} if manager is None else reader.fingerprint(model)
        new_run = {"epoch": 0, "best": float("inf"), "waited": 0, "replaced": False}
        loop = start = restore_checkpoint(manager, model, run) or new_run
        reader.restore(loop)
        model.train()
        with MetricsLog(options.metrics_path, loop["epoch"]) as log:
            for epoch in range(loop["epoch"], epochs):
                if options.patience is not None and loop["waited"] >= options.patience:
                    break
                new = None if graph is None else graph(epoch)
                if new is None and loop is start and loop["replaced"]:
                    raise ValueError(
                        f"Checkpoint {epoch} was saved with a graph that `graph` had returned, but on resuming there is none: "
                        f"`graph` must return it for epoch {epoch} as well."
                    )
                reader.replace_graph(new)
                metrics = train_epoch(model, step, reader.epoch(epoch), epoch)
                waited = 0 if metrics["cost"] < loop["best"] else loop["waited"] + 1
                loop = {
                    "epoch": epoch + 1,
                    "best": min(loop["best"], metrics["cost"]),
                    "waited": waited,
                    "replaced": loop["replaced"] or new is not None,
                    **reader.state(),
                }
                log.write(metrics)
                history.append(metrics)
                if (epoch + 1) % options.checkpoint_every == 0 or epoch + 1 == epochs:
                    save_checkpoint(manager, epoch + 1, model, loop, run)
                if progress:
                    show_progress(epoch, epochs, metrics)
    model.eval()
    return history


def train_epoch(model: Any, step: Step, batches: Iterable[Any], epoch: int) -> Metrics:
    """Take the steps of one epoch; return its number, the number of steps so far, and the means of the steps' scalars."""
    scalars = jax.device_get([step(model, batch) for batch in batches])
    means = {name: float(np.mean([metrics[name] for metrics in scalars])) for name in scalars[0]}
    if not np.isfinite(means["loss"]):
        raise FloatingPointError(
            f"The loss is {means['loss']} in epoch {epoch}: lower the learning rate, and train with another "
            f"checkpoint_dir, because a checkpoint is resumed only with the same optimizer."
        )
    return {"epoch": epoch, "step": int(model.step[...]), **means}
