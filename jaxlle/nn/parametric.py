"""A network that computes a locally linear embedding: the cost of LLE is its loss."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from .._core.points import as_points
from ..alignment import Alignment, weights_alignment
from ..losses import lle_loss, participation_ratio
from ..losses.batches import NeighborhoodBatch, NeighborhoodBatches, neighborhood_batches
from ..losses.reduce import check_weights
from ..neighbors import knn
from ..regularizers import Regularizer
from ..weights import barycentric_weights
from . import last_layer
from ._fingerprint import STEPS, compared_updates
from .evaluation import BLOCK_ROWS, evaluate, evaluate_blocks
from .grain_stream import GrainStream
from .head import OrthonormalHead, calibrate, calibrate_by
from .streams import is_stream
from .training import DEFAULT_OPTIONS, FitOptions, Graph, Metrics, train


class ParametricLLE(nnx.Module):
    """An encoder whose outputs are trained to be a locally linear embedding, optionally with a decoder.

    Minimizes ``mean_i |z_i - sum_j w_ij z_{n_ij}|^2 + penalty(step) mean_i |x_i - decoder(z_i)|^2`` over white z
    (`OrthonormalHead`), in mini-batches that contain the neighbors of their anchors. The minimum of the first term over all
    functions is the embedding of `lle`; a network also maps new points. ``model(x)`` is differentiable, as for any other NNX
    module, and `train_step` is the body of the training loop (`train`).

    Example:
        >>> import jax, optax
        >>> from flax import nnx
        >>> from jaxlle.nn import ParametricLLE
        >>> x = jax.random.normal(jax.random.key(0), (64, 3))
        >>> model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=8, optimizer=optax.adam(1e-2))
        >>> history = model.fit(x, epochs=2, batch_size=32, progress=False)
        >>> len(history), model.transform(x).shape
        (2, (64, 2))
    """

    def __init__(
        self,
        encoder: nnx.Module,
        dim: int,
        *,
        k: int,
        reg: float | Regularizer = 1e-3,
        decoder: nnx.Module | None = None,
        penalty: float | optax.Schedule = 1.0,
        optimizer: optax.GradientTransformation | None = None,
        momentum: float = 0.9,
    ):
        """Create the model.

        Args:
            encoder: any NNX module from (b, D) to (b, dim), in any precision.
            dim: dimension of the embedding.
            k: number of neighbors per point.
            reg: strength of the trace ridge of the weights, or an object of `jaxlle.regularizers`.
            decoder: any NNX module from (b, dim) to (b, D).
            penalty: factor of the decoder's error, or an Optax schedule of the step.
            optimizer: from Optax; None for adam(1e-3). On a densely sampled manifold the cost is 1e-7 or less; Adam then needs
                an eps below the size of the gradient, such as 1e-16.
            momentum: of the head's running averages in training; at its end, `fit` replaces these by the statistics of all
                points.
        """
        self.encoder, self.decoder = nnx.data(encoder), nnx.data(decoder)
        self.head = OrthonormalHead(dim, momentum=momentum)
        self.dim, self.k, self.reg = dim, k, reg
        self.penalty = penalty if callable(penalty) else optax.constant_schedule(penalty)
        self.optimizer = nnx.Optimizer(self, optax.adam(1e-3) if optimizer is None else optimizer, wrt=nnx.Param)
        self.step = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(self, x: Float[Array, "b D"], where: Any = None) -> Float[Array, "b d"]:
        """Return the embedding of points; in training, the rows with `where` True count for the head's statistics."""
        return self.head(self.encoder(x), where)  # pyright: ignore[reportCallIssue]

    def graph(self, x: Any) -> Graph:
        """Return neighbors and weights of the points."""
        neighbors = knn(x, self.k)
        return neighbors, barycentric_weights(x, neighbors, reg=self.reg)

    def fit(
        self,
        x: Any,
        *,
        epochs: int,
        batch_size: int | None = None,
        graph: Callable[[int], Graph | None] | None = None,
        key: Array | None = None,
        steps_per_epoch: int | None = None,
        progress: bool = True,
        options: FitOptions = DEFAULT_OPTIONS,
    ) -> list[Metrics]:
        """Train the model: `train` with `train_step`, on batches of the points and their graph, or on given batches.

        Afterwards the statistics of the head are those of all points; of the anchors of one epoch if x is an iterable of
        batches; and running averages if it is an iterator, which cannot be read again.

        Args:
            x: points, shape (n, D). Or batches: a `NeighborhoodBatches` value, a `GrainStream`, or any iterable of values of
                `NeighborhoodBatch`, all of the same shapes.
            epochs: total number of epochs, those of a restored checkpoint included.
            batch_size: anchors per step; None for 256. Not for batches, which have a size.
            graph: called with the number of each epoch, the first after resuming included; the neighbors and weights that it
                returns replace the graph, None keeps it. It is not differentiated. Not for other iterables of batches.
            key: random key for the order of the batches. Not for batches, which have an order.
            steps_per_epoch: number of batches per epoch of an iterable; None for one pass over it. See `train`.
            progress: whether to print a line of progress on a terminal.
            options: early stopping, checkpoints and a file of metrics.

        Returns:
            One dictionary per epoch of this call: the number of the epoch, the number of steps so far, and the means of the
            metrics of `train_step`.

        Raises:
            ValueError: for bad points, an encoder of the wrong output size, a batch size smaller than dim, a damaged
                checkpoint, one of another architecture, or one of a run with other points, neighbors, weights, batch size, key
                or `checkpoint_settings` (see `train`); for batches, as `train`, and with a batch size or a key;
                FloatingPointError if the loss is not finite.
        """
        if is_stream(x):
            given = {"batch_size": batch_size, "key": key}
            if any(value is not None for value in given.values()):
                names = " and ".join(name for name, value in given.items() if value is not None)
                raise ValueError(
                    f"{names} cannot be chosen for a stream of batches: choose it where the stream is made."
                )
            batches = x
        else:
            if steps_per_epoch is not None:
                raise ValueError(
                    f"steps_per_epoch = {steps_per_epoch} is for iterables of batches: the points and batch_size determine it."
                )
            x = self._check_points(x)
            batches = self._batches(x, 256 if batch_size is None else batch_size, key=key)
        history = train(
            self,
            _checked_step,
            batches,
            epochs=epochs,
            graph=graph,
            steps_per_epoch=steps_per_epoch,
            progress=progress,
            options=options,
        )
        data = batches.batches if isinstance(batches, GrainStream) else batches
        if isinstance(data, NeighborhoodBatches):
            calibrate(self.head, self.encoder, data.x)
        elif (reader := iter(data)) is not data:
            calibrate_by(self.head, self._anchor_features(islice(reader, steps_per_epoch)))
        return history

    def _anchor_features(self, batches: Iterable[NeighborhoodBatch]) -> Iterator[np.ndarray]:
        for batch in batches:
            y = evaluate(self.encoder, jnp.asarray(batch.points))
            yield np.asarray(y)[np.asarray(batch.anchors)[np.asarray(batch.where)]]

    def checkpoint_settings(self) -> dict[str, Any]:
        """Return the settings that must be the same for a run to be resumed from a checkpoint.

        The optimizer and the schedule of the penalty are functions. They are represented by their values for test gradients and
        at steps from 0 to 100,000.

        Returns:
            Numbers, strings and lists of numbers by name.
        """
        settings = {
            "k": self.k,
            "reg": repr(self.reg) if callable(self.reg) else float(self.reg),
            "momentum": self.head.momentum,
            "optimizer (test updates)": compared_updates(self.optimizer, self),
        }
        if self.decoder is not None:
            settings["penalty"] = np.asarray([self.penalty(jnp.asarray(step)) for step in STEPS], float).tolist()
        return settings

    def partial_fit(self, x: Any, *, graph: Graph | None = None) -> Metrics:
        """Take one step on points that form a batch, all of them anchors.

        Args:
            x: points, shape (b, D), which include the neighbors of all of them.
            graph: their neighbors and weights, if known.

        Returns:
            The metrics of `train_step`.

        Raises:
            ValueError: as for `fit`.
        """
        x = self._check_points(x)
        batches = self._batches(x, x.shape[0], graph=graph)
        self.train()
        metrics = train_step(self, batches.batch(0))
        self.eval()
        return {name: float(value) for name, value in metrics.items()}

    def solve_last_layer(self, x: Any, *, alignment: Alignment | None = None) -> float:
        """Set the encoder's last layer to the one of least cost for its features: `nn.solve_last_layer`.

        Args:
            x: points, shape (n, D).
            alignment: of these points, by any variant; None for that of LLE with the model's k and reg.

        Returns:
            The cost of the white outputs, as `train_step` computes it.

        Raises:
            ValueError: as for `nn.solve_last_layer`.
        """
        x = self._check_points(x)
        self.eval()
        alignment = weights_alignment(*self.graph(x)) if alignment is None else alignment
        cost = last_layer.solve_last_layer(self.encoder, x, alignment)
        calibrate(self.head, self.encoder, x)
        return cost

    def match_embedding(self, x: Any, embedding: Any) -> float:
        """Set the encoder's last layer to the one whose outputs are closest to an embedding: `nn.match_embedding`.

        Args:
            x: points, shape (n, D).
            embedding: of these points, by any method, shape (n, dim).

        Returns:
            The share of the variance of the whitened embedding that the outputs do not explain.

        Raises:
            ValueError: as for `nn.match_embedding`.
        """
        x = self._check_points(x)
        self.eval()
        unexplained = last_layer.match_embedding(self.encoder, x, embedding)
        calibrate(self.head, self.encoder, x)
        return unexplained

    def transform(self, x: Any, *, block: int = BLOCK_ROWS) -> Float[Array, "n d"]:
        """Embed training points or new points, in blocks.

        Args:
            x: points, shape (n, D).
            block: number of points per block.

        Returns:
            Embedding, shape (n, dim), with (1/n) Z^T Z = I on the training data.

        Raises:
            ValueError: for bad points.
        """
        x = as_points(x)
        self.eval()
        return jnp.concatenate(list(evaluate_blocks(self, x, block)))

    def inverse_transform(self, z: Any) -> Float[Array, "n D"]:
        """Map points of the embedding to data space by the decoder.

        Args:
            z: points of the embedding, shape (n, dim).

        Returns:
            Points in data space, shape (n, D).

        Raises:
            ValueError: if there is no decoder, or for bad points.
        """
        if self.decoder is None:
            raise ValueError(
                "There is no decoder: pass decoder=, or use jaxlle.inverse_transform with the training data."
            )
        self.eval()
        return evaluate(self.decoder, jnp.asarray(as_points(z, "z")))

    def _check_points(self, x: Any) -> Any:
        """Validate points, and that the encoder maps them to dim outputs."""
        x = as_points(x)
        found = jax.eval_shape(lambda a: self.encoder(a), jax.ShapeDtypeStruct(x[:1].shape, jnp.float32)).shape  # pyright: ignore
        if found != (1, self.dim):
            raise ValueError(
                f"The encoder returns outputs of shape {found} for one point, but dim = {self.dim} requires (1, {self.dim})."
            )
        return x

    def _batches(
        self, x: Any, batch_size: int, *, key: Array | None = None, graph: Graph | None = None
    ) -> NeighborhoodBatches:
        if batch_size < self.dim:
            raise ValueError(
                f"batch_size = {batch_size} is smaller than dim = {self.dim}: a batch must span the embedding."
            )
        neighbors, weights = self.graph(x) if graph is None else graph
        check_weights(weights, neighbors.mask)  # here, because no check is possible in the compiled step
        return neighborhood_batches(x, neighbors, weights, batch_size=min(batch_size, x.shape[0]), key=key)


def _checked_step(model: ParametricLLE, batch: NeighborhoodBatch) -> dict[str, Array]:
    """Take one step on a batch, which a stream may yield as anything."""
    if not isinstance(batch, NeighborhoodBatch):
        raise TypeError(
            f"The stream yields values of type {type(batch).__name__}, but must yield values of "
            f"jaxlle.losses.NeighborhoodBatch: use train with a step of your own for other batches."
        )
    return train_step(model, batch)


@nnx.jit
def train_step(model: ParametricLLE, batch: NeighborhoodBatch) -> dict[str, Array]:
    """Take one step of the model's optimizer on a batch.

    Args:
        model: in training mode; changed in place.
        batch: from `neighborhood_batches`.

    Returns:
        Scalars: "loss", "cost" (of LLE), "error" (of the decoder), "directions" (the effective dimension of the encoder's
        outputs, `losses.participation_ratio`).

    Example:
        >>> import jax, jaxlle
        >>> from flax import nnx
        >>> from jaxlle.nn import ParametricLLE, train_step
        >>> x = jax.random.normal(jax.random.key(0), (64, 3))
        >>> model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=8)
        >>> batches = jaxlle.neighborhood_batches(x, *model.graph(x), batch_size=32)
        >>> sorted(train_step(model, batches.batch(0)))
        ['cost', 'directions', 'error', 'loss']
    """

    def loss(model: ParametricLLE) -> tuple[Array, dict[str, Array]]:
        anchors = jnp.zeros(batch.valid.shape, bool).at[batch.anchors].max(batch.where)
        features = model.encoder(batch.points)  # pyright: ignore[reportCallIssue]
        z = model.head(features, anchors)
        cost = lle_loss(z[batch.anchors], z[batch.gather], batch.weights, mask=batch.mask, where=batch.where)
        error = jnp.zeros(())
        if model.decoder is not None:
            errors = jnp.sum((batch.points - model.decoder(z)) ** 2, axis=1)  # pyright: ignore[reportCallIssue]
            error = jnp.sum(jnp.where(anchors, errors, 0)) / jnp.maximum(anchors.sum(), 1)
        total = cost + model.penalty(model.step[...]) * error
        directions = participation_ratio(features, where=anchors)
        return total, {"loss": total, "cost": cost, "error": error, "directions": directions}

    (_, metrics), grads = nnx.value_and_grad(loss, has_aux=True)(model)
    model.optimizer.update(model, grads)
    model.step[...] = model.step[...] + 1
    return metrics
