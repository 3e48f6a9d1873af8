"""Where the training loop reads its batches: by the number of the step, or from any iterable in its order."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain, islice
from typing import Any

import jax
import numpy as np

from .._core.checks import all_finite, check_count, to_host_if_cheap
from ..losses.batches import NeighborhoodBatch, NeighborhoodBatches
from ..losses.reduce import check_weights
from ..neighbors import Neighbors
from ._fingerprint import checksum, fingerprint, model_settings
from .grain_stream import GrainStream

_ARRAYS = ("shape", "__array__", "__jax_array__", "__dataframe__", "__arrow_c_stream__")


def is_stream(x: Any) -> bool:
    """Return whether a value is an iterable of batches, and not points in any form."""
    if isinstance(x, list | tuple):
        return bool(x) and not hasattr(x, "_fields") and isinstance(x[0], NeighborhoodBatch)
    others = isinstance(x, str | bytes | Mapping | Set) or any(hasattr(x, name) for name in _ARRAYS)
    return isinstance(x, Iterable) and not others


def open_batches(batches: Any, steps_per_epoch: int | None) -> "IndexedBatches | SequentialBatches":
    """Return the reader of batches of any kind."""
    if isinstance(batches, NeighborhoodBatches | GrainStream):
        if steps_per_epoch is not None:
            raise ValueError(
                f"steps_per_epoch = {steps_per_epoch} is for other iterables: an epoch of these batches has {len(batches)} "
                f"steps, in which every point is an anchor once."
            )
        return IndexedBatches(batches)
    if not isinstance(batches, Iterable):
        raise TypeError(
            f"batches is of type {type(batches).__name__}, but must be an iterable of batches: pass "
            f"jaxlle.neighborhood_batches(x, neighbors, weights, batch_size=...)."
        )
    return SequentialBatches(batches, steps_per_epoch)


class IndexedBatches:
    """Batches that depend on the number of the step only, so that any epoch can be read without those before it."""

    def __init__(self, batches: NeighborhoodBatches | GrainStream):
        """Start before any epoch."""
        self._batches = batches
        self._reader: Iterator[NeighborhoodBatch] | None = None  # which reads ahead, also beyond the epoch

    def fingerprint(self, model: Any) -> dict[str, Any]:
        """Return what must be the same for a run to be resumed."""
        return fingerprint(model, self._batches.batches if isinstance(self._batches, GrainStream) else self._batches)

    def state(self) -> dict[str, Any]:
        """Return the position as JSON: nothing, because the number of the epoch determines it."""
        return {}

    def restore(self, loop: dict[str, Any]) -> None:
        """Continue after the epochs of a checkpoint."""

    def replace_graph(self, graph: tuple[Neighbors, Any] | None) -> None:
        """Use another graph from now on; None keeps the present one."""
        if graph is not None:
            neighbors, weights = graph
            check_weights(weights, neighbors.mask)  # here, because no check is possible in a compiled step
            self._batches, self._reader = self._batches.with_graph(neighbors, weights), None

    def epoch(self, epoch: int) -> Iterator[NeighborhoodBatch]:
        """Return the batches of an epoch, the one after the last."""
        size = len(self._batches)
        if isinstance(self._batches, NeighborhoodBatches):
            return map(self._batches.batch, range(epoch * size, (epoch + 1) * size))
        if self._reader is None:
            self._reader = self._batches.start_at(epoch * size)
        return islice(self._reader, size)


class SequentialBatches:
    """The batches of any iterable, in its order.

    Without `steps_per_epoch` an epoch is one pass over the iterable. With it, the iterable is one sequence, which is started
    again if it ends together with an epoch. A position is restored by `set_state` of the iterator, as Grain has it, or else by
    reading all batches before it.
    """

    def __init__(self, source: Iterable[Any], steps_per_epoch: int | None):
        """Open the iterable."""
        if steps_per_epoch is not None:
            check_count(steps_per_epoch, "steps_per_epoch", 1, None, "a number of batches")
        elif getattr(source, "__len__", int)() == sys.maxsize:  # a repeated dataset of Grain
            raise ValueError(
                "The stream repeats without end: pass steps_per_epoch, for example the length of one pass."
            )
        self._source, self._size = source, steps_per_epoch
        self._iterator = iter(source)
        self._steps: int | None = steps_per_epoch  # of every epoch, once it is known
        self._layout: Any = None  # of every batch

    @property
    def _is_read_once(self) -> bool:
        return self._iterator is self._source

    def fingerprint(self, model: Any) -> dict[str, Any]:
        """Return what must be the same for a run to be resumed: the settings and the first batch."""
        leaves = jax.tree.leaves(self._first())
        sums = {f"first batch, array {place} (checksum)": checksum(np.asarray(a)) for place, a in enumerate(leaves)}
        return {"steps_per_epoch": self._size, **sums, **model_settings(model)}

    def state(self) -> dict[str, Any]:
        """Return the position after an epoch as JSON."""
        position = None
        if self._size is not None and hasattr(self._iterator, "get_state"):
            position = self._iterator.get_state()  # pyright: ignore[reportAttributeAccessIssue]
        # The state of Grain's DataLoader is JSON in bytes.
        return {"stream": {"position": {"bytes": position.decode()} if isinstance(position, bytes) else position}}

    def restore(self, loop: dict[str, Any]) -> None:
        """Continue after the epochs of a checkpoint."""
        position = loop.get("stream", {}).get("position")
        if position is not None:
            state = position["bytes"].encode() if "bytes" in position else position
            self._iterator.set_state(state)  # pyright: ignore[reportAttributeAccessIssue]
        elif self._size is not None or self._is_read_once:
            for epoch in range(loop["epoch"]):
                for _ in self.epoch(epoch):
                    pass

    def replace_graph(self, graph: Any) -> None:
        """Raise unless there is no graph."""
        if graph is not None:
            raise ValueError(
                "graph returned neighbors, but the batches of a stream contain their own: change them in the stream, or train "
                "on points, on neighborhood_batches or on a GrainStream."
            )

    def epoch(self, epoch: int) -> Iterator[Any]:
        """Yield the batches of an epoch, validated."""
        count = 0
        for batch in self._batches_of(epoch):
            self._check(batch, f"Batch {count} of epoch {epoch}")
            yield batch
            count += 1
        if count == 0 or count != (self._steps or count):
            raise self._ended(epoch, count)
        self._steps = count

    def _batches_of(self, epoch: int) -> Iterator[Any]:
        if self._size is None:
            self._iterator = self._iterator if epoch == 0 or self._is_read_once else iter(self._source)
            return self._iterator
        first = list(islice(self._iterator, 1))
        if not first and not self._is_read_once:
            self._iterator = iter(self._source)
        return chain(first, islice(self._iterator, self._size - len(first)))

    def _first(self) -> Any:
        """Return the first batch, which is read again in its step."""
        read_once = self._is_read_once
        reader = self._iterator if read_once else iter(self._source)
        state = reader.get_state() if read_once and hasattr(reader, "get_state") else None  # pyright: ignore
        try:
            batch = next(reader)
        except StopIteration:
            raise self._ended(0, 0) from None
        if state is not None:
            reader.set_state(state)  # pyright: ignore[reportAttributeAccessIssue]
        elif read_once:
            self._source = self._iterator = chain([batch], reader)
        return batch

    def _ended(self, epoch: int, count: int) -> ValueError:
        if self._steps is not None and count > self._steps:
            return ValueError(
                f"Epoch {epoch} of the stream has {count} batches, but epoch 0 had {self._steps}: every pass must have the same "
                f"number, or pass steps_per_epoch."
            )
        needed = "at least one is needed" if self._steps is None else f"an epoch has {self._steps}"
        once = "it is an iterator, which can be read only once: " if self._is_read_once else ""
        return ValueError(
            f"The stream ended after {count} batches of epoch {epoch}, but {needed}: {once}pass an iterable that can be iterated "
            f"again or that repeats itself, fewer epochs, or fewer steps_per_epoch. The last complete epoch is in the checkpoint."
        )

    def _check(self, batch: Any, name: str) -> None:
        """Raise unless a batch has the arrays of the first one, and is consistent if it is a `NeighborhoodBatch`."""
        leaves, tree = jax.tree.flatten(batch)
        layout = tree, [(np.shape(a), str(getattr(a, "dtype", type(a).__name__))) for a in leaves]
        if self._layout is None:
            self._layout = layout
        elif layout != self._layout:
            raise ValueError(
                f"{name} has {_shown(batch, layout)}, but the first one had {_shown(batch, self._layout)}: give all batches the "
                f"same arrays, padded to one shape, because a step is compiled for every shape."
            )
        if isinstance(batch, NeighborhoodBatch):
            check_batch(batch, name)


def check_batch(batch: NeighborhoodBatch, name: str) -> None:
    """Raise for a batch of a stream whose arrays do not match, or are not finite.

    Points on an accelerator are not read, because this would delay the steps: NaN in them makes the loss NaN.
    """
    points, mask, where = (to_host_if_cheap(a) for a in (batch.points, batch.mask, batch.where))
    shapes = [tuple(np.shape(a)) for a in batch]
    (p, b, k) = (*shapes[0][:1], *shapes[4]) if len(shapes[0]) == 2 and len(shapes[4]) == 2 else (0, 0, 0)
    if shapes[1:] != [(p,), (p,), (b,), (b, k), (b, k), (b, k), (b,)] or 0 in (p, b, k):
        listed = ", ".join(f"{field} {shape}" for field, shape in zip(batch._fields, shapes, strict=True))
        raise ValueError(f"{name} has arrays whose shapes do not match ({listed}): see NeighborhoodBatch.")
    for field, counts in (("anchors", where), ("gather", mask & where[:, None])):
        positions = np.asarray(getattr(batch, field))[np.asarray(counts)]
        if positions.size and not 0 <= positions.min() <= positions.max() < p:
            raise ValueError(
                f"{name} has {field} from {positions.min()} to {positions.max()}, but {p} points: they are positions among the "
                f"points of the batch, not rows of the data."
            )
    check_weights(batch.weights, mask & where[:, None])
    if isinstance(points, np.ndarray) and not all_finite(points):
        rows = np.asarray(batch.indices)[~np.isfinite(points).all(axis=1)]
        raise ValueError(
            f"{name} has points that contain NaN or infinity: remove rows {rows[:8].tolist()} of the data."
        )


def _shown(batch: Any, layout: Any) -> str:
    """Return the arrays of a batch as text."""
    names = batch._fields if isinstance(batch, NeighborhoodBatch) and len(layout[1]) == len(batch) else None
    listed = [f"{dtype}{list(shape)}" for shape, dtype in layout[1]]
    return ", ".join(listed if names is None else [f"{a} {b}" for a, b in zip(names, listed, strict=True)])
