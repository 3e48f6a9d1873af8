"""Losses for networks: arrays in, an array out, so any model and any training loop can use them.

| loss | what it asks of the outputs |
| --- | --- |
| `lle_loss`, `alignment_loss` | each is the combination of its neighbours that the weights (any variant's blocks) name |
| `batch_lle_loss` | the same, with neighbours and weights found inside the batch |
| `probability_lle_loss` | the same for class probabilities: labels spread over unlabelled neighbours |
| `rebuild_loss`, `fit_rebuilding_map` | the neighbours' outputs rebuild each input; the linear map that does it best |
| `spectral_loss` | the features' graph has small bottom eigenvalues |
| `isometry_loss` | distances to neighbours are those of the data |
| `laplacian_loss`, `margin_loss`, `embednn_loss`, `lle_margin_loss` | neighbours close, others at a margin |
| `variance_hinge`, `covariance_penalty`, `log_det_penalty` | guards: the outputs do not collapse |
| `relative_cost`, `participation_ratio` | to watch, not to minimise: they show collapse |

Conventions. Half precisions are computed in float32. `where[b]` says which anchors count, `mask[b, k]` which neighbours exist;
what is masked may be anything, NaN too. `reduction` is "mean" or "sum" over anchors, or "none". `axis_name` sums over the
devices of a `jax.shard_map` (or a named `vmap`) before dividing, so the value is that of the whole batch. Everything runs
under jit, vmap and grad, with finite gradients where points coincide.

In any framework. A loss of arrays goes wherever outputs are; neighbours and weights are found once:

    >>> import jax, jax.numpy as jnp, jaxlle
    >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 60).points
    >>> neighbors = jaxlle.knn(x, 8)
    >>> weights = jaxlle.barycentric_weights(x, neighbors)
    >>> def loss(y):
    ...     return jaxlle.losses.lle_loss(y, y[neighbors.indices], weights) + jaxlle.losses.log_det_penalty(y)

Bare arrays:

    >>> jax.grad(lambda a: loss(x @ a["w"]))({"w": jnp.eye(3)[:, :2]})["w"].shape
    (3, 2)

Flax Linen (Flax NNX: `jaxlle.nn`):

    >>> from flax import linen
    >>> model = linen.Dense(2)
    >>> jax.grad(lambda p: loss(model.apply(p, x)))(model.init(jax.random.key(0), x))["params"]["kernel"].shape
    (3, 2)

Equinox:

    >>> import equinox
    >>> model = equinox.nn.Linear(3, 2, key=jax.random.key(0))
    >>> equinox.filter_grad(lambda m: loss(jax.vmap(m)(x)))(model).weight.shape
    (2, 3)
"""

from .batches import NeighborhoodBatch, NeighborhoodBatches, neighborhood_batches
from .decoding import fit_rebuilding_map, rebuild_loss
from .guards import covariance_penalty, log_det_penalty, participation_ratio, relative_cost, variance_hinge
from .pairs import embednn_loss, isometry_loss, laplacian_loss, lle_margin_loss, margin_loss
from .reconstruction import alignment_loss, batch_lle_loss, lle_loss, probability_lle_loss
from .reduce import Reduction
from .spectral import spectral_loss

__all__ = [
    "NeighborhoodBatch",
    "NeighborhoodBatches",
    "Reduction",
    "alignment_loss",
    "batch_lle_loss",
    "covariance_penalty",
    "embednn_loss",
    "fit_rebuilding_map",
    "isometry_loss",
    "laplacian_loss",
    "lle_loss",
    "lle_margin_loss",
    "log_det_penalty",
    "margin_loss",
    "neighborhood_batches",
    "participation_ratio",
    "probability_lle_loss",
    "rebuild_loss",
    "relative_cost",
    "spectral_loss",
    "variance_hinge",
]
