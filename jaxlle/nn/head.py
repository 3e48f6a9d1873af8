"""A layer whose outputs are white, in training and after."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, Bool, Float

from ..losses.guards import covariance
from ..losses.reduce import AxisName, blank, count_anchors, sum_devices, widen


class OrthonormalHead(nnx.Module):
    """Whiten features: ``z = (y - m) L^-T`` with ``L L^T = C``, so that (1/n) Z^T Z = I and the outputs cannot collapse.

    The constraint of locally linear embedding as a layer (SpectralNet, Shaham et al. 2018, orthonormalises each batch by itself
    in training and by the last batch afterwards). Mean m and covariance C are running averages that take the current
    batch in, the same in training and evaluation, so both compute the same function. The Jacobian, though, is
    that of whitening by the batch's own statistics, which is zero in every direction that only maps y linearly: taken of the
    running ones it would reward features for growing faster than their averages follow, without end. C gets a ridge in
    proportion to its trace, so the Cholesky factor exists for dead and repeated features too; all of it in float32.

    Attributes:
        use_running_average: True in evaluation; set by `model.eval()` and `model.train()`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxlle.nn import OrthonormalHead
        >>> z = OrthonormalHead(2)(5 + jax.random.normal(jax.random.key(0), (100, 2)) @ jnp.array([[3.0, 1.0], [0.0, 0.1]]))
        >>> bool(jnp.allclose(z.T @ z / 100, jnp.eye(2), atol=0.1))
        True
    """

    def __init__(self, width: int, *, momentum: float = 0.9, eps: float = 1e-4, axis_name: AxisName = None):
        """Make the head.

        Args:
            width: number of features, in and out.
            momentum: share of the past in the running averages, once there is that much of it. Averages over more steps than
                the features take to move are of features that are gone.
            eps: ridge on the covariance, relative to its mean diagonal.
            axis_name: mapped axis of devices whose batches are one.
        """
        self.width, self.momentum, self.eps, self.axis_name = width, momentum, eps, axis_name
        self.use_running_average = False
        self.mean = nnx.BatchStat(jnp.zeros(width))
        self.covariance = nnx.BatchStat(jnp.eye(width))
        self.count = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(self, y: Float[Array, "b d"], where: Bool[ArrayLike, " b"] | None = None) -> Float[Array, "b d"]:
        """Whiten features; in training, take their statistics in.

        Args:
            y: features, shape (b, width).
            where: True where a row counts for the statistics, shape (b,); all rows are whitened.

        Returns:
            White features in at least float32, shape (b, width).

        Raises:
            ValueError: for features of another width, or in training for a batch smaller than it.
        """
        (y,) = widen(y)
        if y.ndim != 2 or y.shape[1] != self.width:
            raise ValueError(f"The head whitens {self.width} features, but got outputs of shape {y.shape}.")
        if self.use_running_average:
            return _whiten(y, self.mean[...], self.covariance[...], self.eps)
        if y.shape[0] < self.width and self.axis_name is None:
            raise ValueError(
                f"A batch of {y.shape[0]} rows cannot span {self.width} features: use a larger batch or a narrower head."
            )
        count = count_anchors(y, where, self.axis_name)
        mean = sum_devices(blank(y, where).sum(axis=0), self.axis_name) / count
        spread = covariance(y, where, self.axis_name)
        # Plain averages while there is little past.
        share = jnp.maximum(1 / (self.count[...] + 1.0), 1 - self.momentum)
        new_mean = self.mean[...] + share * (mean - self.mean[...])
        new_spread = self.covariance[...] + share * (spread - self.covariance[...])
        self.mean[...], self.covariance[...] = lax.stop_gradient(new_mean), lax.stop_gradient(new_spread)
        self.count[...] = self.count[...] + 1
        z, alone = _whiten(y, new_mean, new_spread, self.eps), _whiten(y, mean, spread, self.eps)
        return lax.stop_gradient(z - alone) + alone  # the value of one with the gradient of the other


def _whiten(y: Float[Array, "b d"], mean: Array, spread: Array, eps: float) -> Float[Array, "b d"]:
    d = y.shape[1]
    # The second ridge is for features that are all constant.
    ridge = eps * jnp.trace(spread) / d + jnp.finfo(spread.dtype).tiny ** 0.5
    factor = jnp.linalg.cholesky(spread + ridge * jnp.eye(d, dtype=spread.dtype))
    return solve_triangular(factor, (y - mean).T, lower=True).T
