r"""Losses for training networks: functions from arrays to an array, independent of the model and of the training loop.

The loss of LLE is the cost of an embedding, evaluated at the outputs of a model,

$$\frac{1}{b} \sum_i \Big\lVert y_i - \sum_j w_{ij} \, y_{n_{ij}} \Big\rVert^2 ,$$

with neighbors and weights that are computed once from the inputs (Roweis and Saul 2000, equation 2).

| function | the loss is small when |
| --- | --- |
| `lle_loss`, `alignment_loss` | outputs are the combinations of their neighbors given by the weights, or by any variant's blocks |
| `batch_lle_loss` | the same, with neighbors and weights computed within the batch |
| `probability_lle_loss` | the same for class probabilities, which propagates labels to unlabeled neighbors |
| `reconstruction_loss`, `fit_reconstruction_map` | the neighbors' outputs reconstruct each input; the linear map with the smallest loss |
| `spectral_loss` | the graph of the features has small bottom eigenvalues |
| `isometry_loss` | distances to neighbors equal those of the data |
| `laplacian_loss`, `margin_loss`, `embednn_loss` | neighbors are close; other points are at least a margin apart; both |
| `lle_margin_loss` | neighbors of the same class reconstruct each output; `Impostors`, points of other classes, are at least a margin apart |
| `variance_hinge`, `covariance_penalty`, `log_det_penalty` | the outputs have not collapsed: guards to add to the losses above |
| `relative_cost`, `participation_ratio` | quantities to monitor, not to minimize: they show collapse |

`neighborhood_batches` creates `NeighborhoodBatches`: mini-batches of static shape in which every anchor comes with its
neighbors. With `y = model(batch.points)` the loss of a `NeighborhoodBatch` is a function of `y[batch.anchors]`,
`y[batch.gather]` and `batch.weights`. The data may be a memory map, or records that are read one by one (`RecordRows`).

# Conventions

Half precision is computed in float32. `where[b]` selects the anchors that count and `mask[b, k]` the neighbors that exist;
masked entries may have any value, including NaN. NaN in any other entry of any argument raises a ValueError outside jit, and
makes the loss NaN inside jit. `Reduction`, the type of `reduction`, is "mean" or "sum" over anchors, or
"none". `axis_name` sums over the devices of a `jax.shard_map` (or a named `vmap`) before dividing, so that the value is that of
the whole batch. All functions run under jit, vmap and grad, with finite gradients where points coincide.

# Any framework

Neighbors and weights are computed once, and the loss is applied to the outputs:

    >>> import jax, jax.numpy as jnp, jaxlle
    >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 60).points
    >>> neighbors = jaxlle.knn(x, 8)
    >>> weights = jaxlle.barycentric_weights(x, neighbors)
    >>> def loss(y):
    ...     return jaxlle.losses.lle_loss(y, y[neighbors.indices], weights) + jaxlle.losses.log_det_penalty(y)

Arrays without a framework:

    >>> jax.grad(lambda a: loss(x @ a["w"]))({"w": jnp.eye(3)[:, :2]})["w"].shape
    (3, 2)

Flax Linen (for Flax NNX see `jaxlle.nn`):

    >>> from flax import linen
    >>> model = linen.Dense(2)
    >>> jax.grad(lambda p: loss(model.apply(p, x)))(model.init(jax.random.key(0), x))["params"]["kernel"].shape
    (3, 2)

Equinox:

    >>> import equinox
    >>> model = equinox.nn.Linear(3, 2, key=jax.random.key(0))
    >>> equinox.filter_grad(lambda m: loss(jax.vmap(m)(x)))(model).weight.shape
    (2, 3)
"""  # noqa: E501

from .._core.calls import explain_calls
from .batches import NeighborhoodBatch, NeighborhoodBatches, neighborhood_batches
from .guards import covariance_penalty, log_det_penalty, participation_ratio, relative_cost, variance_hinge
from .lle import alignment_loss, batch_lle_loss, lle_loss, probability_lle_loss
from .pairs import Impostors, embednn_loss, isometry_loss, laplacian_loss, lle_margin_loss, margin_loss
from .reconstruction import fit_reconstruction_map, reconstruction_loss
from .records import RecordRows
from .reduce import Reduction
from .spectral import spectral_loss

__all__ = [
    "Impostors",
    "NeighborhoodBatch",
    "NeighborhoodBatches",
    "RecordRows",
    "Reduction",
    "alignment_loss",
    "batch_lle_loss",
    "covariance_penalty",
    "embednn_loss",
    "fit_reconstruction_map",
    "isometry_loss",
    "laplacian_loss",
    "lle_loss",
    "lle_margin_loss",
    "log_det_penalty",
    "margin_loss",
    "neighborhood_batches",
    "participation_ratio",
    "probability_lle_loss",
    "reconstruction_loss",
    "relative_cost",
    "spectral_loss",
    "variance_hinge",
]

explain_calls(__name__)
