"""Flax NNX: an encoder that is trained on the cost of LLE, a layer that prevents collapse, and local linear attention.

The functions of `jaxlle.losses` take arrays, so that they work with any framework and in your own training step. This package
adds what is specific to Flax NNX:

| name | purpose |
| --- | --- |
| `ParametricLLE` | an encoder, optionally with a decoder, whose outputs are a locally linear embedding; `fit` and `transform` |
| `OrthonormalHead` | a layer with white outputs, which cannot collapse |
| `train_step` | one optimization step of `ParametricLLE` on a batch |
| `train`, `FitOptions` | the training loop for any step, with early stopping, checkpoints and a file of metrics |
| `GrainStream` | batches of data on disk, read ahead by Grain and divided among processes |
| `FeatureMemory`, `MemoryNeighborhoods` | the latest features of all points or of a queue, with the LLE loss over them |
| `solve_last_layer` | set an encoder's last layer to the one of least cost, in closed form |
| `match_embedding` | set it to the one closest to a given embedding, by least squares |
| `fit_targets` | train any module on propagated targets (`jaxlle.semisupervised`), weighted by confidence |
| `fit_with_alignment` | train it on a few targets and the cost of an alignment, in mini-batches |
| `fit_jointly`, `Coupling`, `JointFit` | train it and propagate targets in turn |
| `SquaredError`, `CrossEntropy`, `Steps` | the loss and the steps of these three |
| `save_model`, `load_model` | files of trained models, without pickles |
| `local_linear_attention`, `LocalLinearAttention` | attention that is exact on linear functions; its weights are those of LLE |
| `SoftmaxKernel`, `GaussianKernel` | its weights of the keys before the regression |
| `ConjugateGradients`, `NearestKeys` | its solvers, with all keys and with the k of largest weight |

A custom loss needs only a step of its own:

    >>> import jax, jaxlle, optax
    >>> from flax import nnx
    >>> from jaxlle.nn import ParametricLLE, train
    >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 60).points
    >>> model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=8, optimizer=optax.adam(1e-2))
    >>> def loss(model, batch):
    ...     y = model(batch.points)
    ...     return jaxlle.losses.laplacian_loss(y[batch.anchors], y[batch.gather], mask=batch.mask, where=batch.where)
    >>> @nnx.jit
    ... def step(model, batch):
    ...     value, gradient = nnx.value_and_grad(loss)(model, batch)
    ...     model.optimizer.update(model, gradient)
    ...     return {"loss": value, "cost": value}
    >>> batches = jaxlle.neighborhood_batches(x, *model.graph(x), batch_size=20)
    >>> len(train(model, step, batches, epochs=3, progress=False))
    3
"""

from .._core.calls import explain_calls
from .attention import local_linear_attention
from .attention_layer import LocalLinearAttention
from .attention_solvers import ConjugateGradients, GaussianKernel, NearestKeys, SoftmaxKernel
from .feature_memory import FeatureMemory, MemoryNeighborhoods
from .grain_stream import GrainStream
from .head import OrthonormalHead
from .last_layer import match_embedding, solve_last_layer
from .objectives import CrossEntropy, SquaredError, Steps
from .parametric import ParametricLLE, train_step
from .saving import load_model, save_model
from .semisupervised import Coupling, JointFit, fit_jointly, fit_targets, fit_with_alignment
from .training import FitOptions, train

__all__ = [
    "ConjugateGradients",
    "Coupling",
    "CrossEntropy",
    "FeatureMemory",
    "FitOptions",
    "GaussianKernel",
    "GrainStream",
    "JointFit",
    "LocalLinearAttention",
    "MemoryNeighborhoods",
    "NearestKeys",
    "OrthonormalHead",
    "ParametricLLE",
    "SoftmaxKernel",
    "SquaredError",
    "Steps",
    "fit_jointly",
    "fit_targets",
    "fit_with_alignment",
    "load_model",
    "local_linear_attention",
    "match_embedding",
    "save_model",
    "solve_last_layer",
    "train",
    "train_step",
]

explain_calls(__name__)
