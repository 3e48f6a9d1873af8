"""A network that learns to embed: the cost of LLE as its loss."""

from collections.abc import Callable
from pathlib import Path
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
from ..neighbors import Neighbors, knn
from ..weights import barycentric_weights
from . import last_layer
from .head import OrthonormalHead
from .records import Checkpoints, MetricsLog, show

Graph = tuple[Neighbors, Float[Array, "n k"]]
Metrics = dict[str, float | int]


class ParametricLLE(nnx.Module):
    """An encoder trained so that its outputs are a locally linear embedding, with a decoder if one is given.

    Minimises ``mean_i |z_i - sum_j w_ij z_{n_ij}|^2 + penalty(step) mean_i |x_i - decoder(z_i)|^2`` over white z
    (`OrthonormalHead`) by mini-batches that carry their neighbourhoods. The minimum over all functions is the embedding of
    `lle`; a network also maps new points. A module like any other: ``model(x)`` is differentiable, and `train_step` is the
    loop's body.

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
        reg: float = 1e-3,
        decoder: nnx.Module | None = None,
        penalty: float | optax.Schedule = 1.0,
        optimizer: optax.GradientTransformation | None = None,
        momentum: float = 0.9,
    ):
        """Put the parts together.

        Args:
            encoder: any NNX module from (b, D) to (b, dim), in any precision.
            dim: dimensions of the embedding.
            k: neighbours a point.
            reg: strength of the weights' regularizer.
            decoder: any NNX module from (b, dim) to (b, D).
            penalty: weight of the decoder's error, or an Optax schedule of the step.
            optimizer: from Optax; None: adam(1e-3). On a densely sampled manifold the cost is 1e-7 and less; give Adam an eps
                below its gradient then, such as 1e-16.
            momentum: of the head's running statistics in training; `fit` ends by taking those of all points.
        """
        self.encoder, self.decoder = nnx.data(encoder), nnx.data(decoder)
        self.head = OrthonormalHead(dim, momentum=momentum)
        self.dim, self.k, self.reg = dim, k, reg
        self.penalty = penalty if callable(penalty) else optax.constant_schedule(penalty)
        self.optimizer = nnx.Optimizer(self, optax.adam(1e-3) if optimizer is None else optimizer, wrt=nnx.Param)
        self.step = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(self, x: Float[Array, "b D"], where: Any = None) -> Float[Array, "b d"]:
        """Return the embedding of points; in training, the rows named by `where` count for the head's statistics."""
        return self.head(self.encoder(x), where)  # pyright: ignore[reportCallIssue]

    def graph(self, x: Any) -> Graph:
        """Return neighbours and weights of the points."""
        neighbors = knn(x, self.k)
        return neighbors, barycentric_weights(x, neighbors, reg=self.reg)

    def fit(
        self,
        x: Any,
        *,
        epochs: int,
        batch_size: int = 256,
        graph: Callable[[int], Graph | None] | None = None,
        patience: int | None = None,
        key: Array | None = None,
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 1,
        metrics_path: str | Path | None = None,
        progress: bool = True,
    ) -> list[Metrics]:
        """Train: a loop over `train_step`, to copy where it is not what is wanted.

        Args:
            x: points, shape (n, D).
            epochs: in all, those of a checkpoint included.
            batch_size: anchors a step.
            graph: called with each epoch's number, and with the first after a resume; what it returns replaces the graph, None
                keeps it. A refresh on a schedule; no gradient passes through it.
            patience: epochs without a new lowest cost after which to stop; None never does.
            key: decides the batches.
            checkpoint_dir: where to save, and where to resume from if something is there.
            checkpoint_every: epochs between checkpoints.
            metrics_path: file for one line of JSON an epoch, with TensorBoard events beside it if tensorboardX is installed.
            progress: draw a line on the terminal.

        Returns:
            One dictionary an epoch of this call: its number, the step, and the means of `train_step`'s metrics.

        Raises:
            ValueError: for bad points, an encoder of the wrong output size, a batch smaller than the head's width, a damaged
                or foreign checkpoint; FloatingPointError if the loss is no longer finite.
        """
        batches = self._batches(x, batch_size, key)
        history = []
        with Checkpoints(checkpoint_dir) as saved:
            run = saved.restore(self) or {"epoch": 0, "best": float("inf"), "waited": 0}
            self.train()
            with MetricsLog(metrics_path, run["epoch"]) as log:
                for epoch in range(run["epoch"], epochs):
                    if patience is not None and run["waited"] > patience:
                        break
                    batches = _refreshed(batches, None if graph is None else graph(epoch), key)
                    metrics = self._epoch(batches, epoch)
                    waited = 0 if metrics["cost"] < run["best"] else run["waited"] + 1
                    run = {"epoch": epoch + 1, "best": min(run["best"], metrics["cost"]), "waited": waited}
                    log.write(metrics)
                    history.append(metrics)
                    if (epoch + 1) % checkpoint_every == 0 or epoch + 1 == epochs:
                        saved.save(epoch + 1, self, run)
                    if progress:
                        show(epoch, epochs, metrics)
        self.eval()
        self._calibrate(x)
        return history

    def partial_fit(self, x: Any, *, graph: Graph | None = None) -> Metrics:
        """Take one step on points that are a batch of their own, all of them anchors.

        Args:
            x: points, shape (b, D), with their neighbours among them.
            graph: their neighbours and weights, if known.

        Returns:
            The metrics of `train_step`.

        Raises:
            ValueError: as `fit`.
        """
        batches = self._batches(x, x.shape[0], None, graph)
        self.train()
        metrics = train_step(self, batches.batch(0))
        self.eval()
        return {name: float(value) for name, value in metrics.items()}

    def solve_last_layer(self, x: Any, *, alignment: Alignment | None = None) -> float:
        """Give the encoder the last layer of least cost for its features, in closed form.

        With H the features that go into the layer, its matrix minimises ``|(I - W) H A|^2`` over white ``H A``: neighbourhood
        preserving embedding (`linear_projection`) in feature space. No training reaches a lower cost by this layer, and
        a wide network needs hardly any: ask for this after a short training, or of random features.

        Args:
            x: points, shape (n, D).
            alignment: of these points, by any variant; None: of LLE with the model's k and reg.

        Returns:
            The cost of the white outputs, as `train_step` reports it.

        Raises:
            ValueError: for bad points or alignments, an encoder that does not end in an `nnx.Linear`, or features that span
                fewer than dim dimensions.

        Example:
            >>> import jax, jaxlle
            >>> from flax import nnx
            >>> from jaxlle.nn import ParametricLLE
            >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points / 10
            >>> network = nnx.Sequential(nnx.Linear(3, 64, rngs=nnx.Rngs(0)), jax.numpy.tanh)
            >>> model = ParametricLLE(nnx.Sequential(network, nnx.Linear(64, 2, rngs=nnx.Rngs(1))), 2, k=12)
            >>> model.solve_last_layer(x) < 1e-3
            True
        """

        def solve(features: last_layer.Features) -> tuple[np.ndarray, float]:
            blocks = weights_alignment(*self.graph(x)) if alignment is None else alignment
            return last_layer.least_cost(features, blocks, self.dim)

        return self._put_last(x, solve)

    def match_embedding(self, x: Any, embedding: Any) -> float:
        """Give the encoder the last layer whose outputs are nearest to a given embedding, by least squares.

        The exact embedding of `lle` follows each point's own weights, and a network may trade some of it for a lower cost
        elsewhere; where its features can say that embedding, this says it, and new points are mapped with it. The outputs
        stay white: of the embedding they take its span, not its scale.

        Args:
            x: points, shape (n, D).
            embedding: theirs, by any method, shape (n, dim).

        Returns:
            The share of the embedding's variance that the outputs miss, its directions made white first.

        Raises:
            ValueError: for bad points, an embedding of another shape or of fewer dimensions than it has columns, and as
                `solve_last_layer`.

        Example:
            >>> import jax, jaxlle
            >>> from flax import nnx
            >>> from jaxlle.nn import ParametricLLE
            >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points / 10
            >>> network = nnx.Sequential(nnx.Linear(3, 128, rngs=nnx.Rngs(0)), jax.numpy.tanh)
            >>> model = ParametricLLE(nnx.Sequential(network, nnx.Linear(128, 2, rngs=nnx.Rngs(1))), 2, k=12)
            >>> model.match_embedding(x, jaxlle.lle(x, 2, k=12, reg=0.1).points) < 0.1
            True
        """
        with jax.enable_x64(True):  # solved on the host in float64, so that an exact one keeps its digits
            embedding = np.asarray(as_points(embedding, "embedding"))
        if embedding.shape != (wanted := (np.shape(x)[0], self.dim)):
            raise ValueError(
                f"embedding has shape {embedding.shape}, but these points with dim = {self.dim} ask for {wanted}."
            )
        return self._put_last(x, lambda features: last_layer.least_squares(features, embedding))

    def transform(self, x: Any, *, block: int = 4096) -> Float[Array, "n d"]:
        """Embed points, a block at a time; new ones as well as those of the training.

        Args:
            x: points, shape (n, D).
            block: points at a time.

        Returns:
            Embedding, shape (n, dim), with (1/n) Z^T Z = I on the training data.

        Raises:
            ValueError: for bad points.
        """
        x = as_points(x)
        self.eval()
        return jnp.concatenate([_encode(self, jnp.asarray(x[i : i + block])) for i in range(0, x.shape[0], block)])

    def inverse(self, z: Any) -> Float[Array, "n D"]:
        """Decode points of the embedding.

        Args:
            z: shape (n, dim).

        Returns:
            Points in data space, shape (n, D).

        Raises:
            ValueError: without a decoder, or for bad points.
        """
        if self.decoder is None:
            raise ValueError(
                "There is no decoder: pass decoder=, or use jaxlle.inverse_transform with the training data."
            )
        self.eval()
        return _decode(self, jnp.asarray(as_points(z, "z")))

    def _put_last(self, x: Any, solve: Callable[[last_layer.Features], tuple[np.ndarray, float]]) -> float:
        body, layer = last_layer.split_last(self.encoder)
        x = self._checked(x)
        self.eval()
        features = last_layer.decompose(body, x, self.dim)
        matrix, found = solve(features)
        last_layer.put(layer, matrix, features.mean)
        self._calibrate(x)
        return found

    def _batches(self, x: Any, batch_size: int, key: Array | None, graph: Graph | None = None) -> NeighborhoodBatches:
        x = self._checked(x)
        if batch_size < self.dim:
            raise ValueError(
                f"batch_size = {batch_size} is smaller than dim = {self.dim}: a batch must span the embedding."
            )
        return _of_graph(x, self.graph(x) if graph is None else graph, min(batch_size, x.shape[0]), key)

    def _checked(self, x: Any) -> Any:
        x = as_points(x)
        found = jax.eval_shape(lambda a: self.encoder(a), jax.ShapeDtypeStruct(x[:1].shape, jnp.float32)).shape  # pyright: ignore
        if found != (1, self.dim):
            raise ValueError(
                f"The encoder returns outputs of shape {found} for one point, but dim = {self.dim} asks for (1, {self.dim})."
            )
        return x

    def _calibrate(self, x: Any, block: int = 4096) -> None:
        """Give the head the statistics of all points in place of running ones, which remember a network on its way."""
        x, total, square = as_points(x), 0.0, 0.0
        for i in range(0, x.shape[0], block):
            y = np.asarray(_features(self, jnp.asarray(x[i : i + block])), np.float64)
            total, square = total + y.sum(axis=0), square + y.T @ y
        mean = total / x.shape[0]
        covariance = square / x.shape[0] - np.outer(mean, mean)
        self.head.mean[...], self.head.covariance[...] = jnp.float32(mean), jnp.float32(covariance)

    def _epoch(self, batches: NeighborhoodBatches, epoch: int) -> Metrics:
        steps = range(epoch * len(batches), (epoch + 1) * len(batches))
        found = jax.device_get([train_step(self, batches.batch(step)) for step in steps])
        means = {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}
        if not np.isfinite(means["loss"]):
            raise FloatingPointError(
                f"The loss is {means['loss']} in epoch {epoch}: lower the learning rate, or resume earlier."
            )
        return {"epoch": epoch, "step": int(self.step[...]), **means}


@nnx.jit
def train_step(model: ParametricLLE, batch: NeighborhoodBatch) -> dict[str, Array]:
    """Take one step of the model's optimizer on a batch.

    Args:
        model: in training mode; changed in place.
        batch: from `neighborhood_batches`.

    Returns:
        Scalars: loss, cost (of LLE), error (of the decoder), directions (that the encoder's features use: see
        `losses.participation_ratio`).

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
            off = jnp.sum((batch.points - model.decoder(z)) ** 2, axis=1)  # pyright: ignore[reportCallIssue]
            error = jnp.sum(jnp.where(anchors, off, 0)) / jnp.maximum(anchors.sum(), 1)
        total = cost + model.penalty(model.step[...]) * error
        directions = participation_ratio(features, where=anchors)
        return total, {"loss": total, "cost": cost, "error": error, "directions": directions}

    (_, metrics), grads = nnx.value_and_grad(loss, has_aux=True)(model)
    model.optimizer.update(model, grads)
    model.step[...] = model.step[...] + 1
    return metrics


@nnx.jit
def _encode(model: ParametricLLE, x: Array) -> Array:
    return model(x)


@nnx.jit
def _features(model: ParametricLLE, x: Array) -> Array:
    return model.encoder(x)  # pyright: ignore[reportCallIssue]


@nnx.jit
def _decode(model: ParametricLLE, z: Array) -> Array:
    return model.decoder(z)  # pyright: ignore


def _refreshed(batches: NeighborhoodBatches, graph: Graph | None, key: Array | None) -> NeighborhoodBatches:
    return batches if graph is None else _of_graph(batches.x, graph, batches.batch_size, key)


def _of_graph(x: Any, graph: Graph, batch_size: int, key: Array | None) -> NeighborhoodBatches:
    neighbors, weights = graph
    check_weights(weights, neighbors.mask)  # here, for inside the jitted step nobody would say so
    return neighborhood_batches(x, neighbors, weights, batch_size=batch_size, key=key)
