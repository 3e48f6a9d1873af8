"""Neighborhood batches that Grain reads ahead in threads, for data on disk."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from .._core.checks import check_count
from ..losses.batches import NeighborhoodBatch, NeighborhoodBatches
from ..neighbors import Neighbors

_STEPS = 2**62  # more than any run takes
_THREADS, _AHEAD = 2, 4  # batches are large, so that Grain's own defaults, 16 and 500, would fill the memory


class GrainStream:
    """A stream of the batches of a data set on disk, read ahead in threads by Grain, and divided among processes.

    The stream has the same batches as the `NeighborhoodBatches` that it reads. A batch depends on the number of its step only, so
    a run that is resumed from a checkpoint (`FitOptions`) continues with the next batch, and neither reads nor stores any other
    position. Each process reads its own part of each step's anchors, with all their neighbors.

    `dataset` can be extended by the transformations of Grain, such as ``stream.dataset.map(augment)``; the result is an iterable
    of batches, which `ParametricLLE.fit` accepts with ``steps_per_epoch=len(stream)``.

    Attributes:
        batches: the batches of this process.
        dataset: the `grain.MapDataset` of the batches of all steps, counted through all epochs.

    Example:
        >>> import pathlib, tempfile, jax, jaxlle, numpy as np
        >>> from flax import nnx
        >>> from jaxlle.nn import GrainStream, ParametricLLE
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "x.npy"
        >>> np.save(path, np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32))
        >>> x = np.load(path, mmap_mode="r")
        >>> model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=8)
        >>> stream = GrainStream(jaxlle.neighborhood_batches(x, *model.graph(x), batch_size=32))
        >>> len(model.fit(stream, epochs=2, progress=False))
        2
    """

    def __init__(self, batches: NeighborhoodBatches, *, sharding: Any = None, read: Any = None):
        """Create the stream.

        Args:
            batches: from `neighborhood_batches`, of a memory map, of `losses.RecordRows`, or of an array.
            sharding: a `grain.sharding.ShardOptions`, the part of the anchors to read. None for that of the batches if they are
                one of several shards, and otherwise for that of this process (`grain.sharding.ShardByJaxProcess`).
            read: a `grain.ReadOptions`: numbers of threads and of batches that are read ahead. None for 2 and 4.

        Raises:
            ModuleNotFoundError: if Grain is not installed (``pip install 'jaxlle[grain]'``).
            TypeError: for anything but `NeighborhoodBatches`.
            ValueError: if the batch size is not a multiple of the number of shards.
        """
        if find_spec("grain") is None:
            raise ModuleNotFoundError("Streams are read by Grain, which is not installed: pip install 'jaxlle[grain]'.")
        import grain

        if not isinstance(batches, NeighborhoodBatches):
            raise TypeError(
                f"batches is of type {type(batches).__name__}, but must be the value of jaxlle.neighborhood_batches, which "
                f"accepts a memory map, or jaxlle.losses.RecordRows of a data source of Grain."
            )
        if sharding is None and batches.num_shards == 1:
            sharding = grain.sharding.ShardByJaxProcess()
        if sharding is not None:
            batches = batches.with_shard(sharding.shard_index, sharding.shard_count)
        self.batches = batches
        self.dataset = grain.MapDataset.range(_STEPS).map(batches.batch)
        self._read = grain.ReadOptions(_THREADS, _AHEAD) if read is None else read

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[NeighborhoodBatch]:
        """Read the batches of the first epoch; those of all epochs are given by `start_at`."""
        return iter(self.dataset[: len(self)].to_iter_dataset(self._read))

    def start_at(self, step: int = 0) -> Iterator[NeighborhoodBatch]:
        """Read the batches of all epochs, starting at a step, in a `grain.DatasetIterator`."""
        step = check_count(step, "step", 0, _STEPS, "steps are counted from 0 through all epochs")
        return iter(self.dataset[step:].to_iter_dataset(self._read))

    def with_graph(self, neighbors: Neighbors, weights: Any) -> "GrainStream":
        """Return a stream of the same anchors with another graph of the same points (`NeighborhoodBatches.with_graph`)."""
        import grain

        batches = self.batches.with_graph(neighbors, weights)
        part = grain.sharding.ShardOptions(batches.shard, batches.num_shards)
        return GrainStream(batches, sharding=part, read=self._read)
