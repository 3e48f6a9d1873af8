"""A layer of local linear attention for Flax NNX."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from .._core.arrays import check_number
from .._core.checks import check_count
from .attention import Kernel, local_linear_attention
from .attention_solvers import SOFTMAX, TWELVE_STEPS, ConjugateGradients, NearestKeys


class LocalLinearAttention(nnx.Module):
    """Multi-head attention by `local_linear_attention`, with a trained ridge per head.

    Queries, keys and values are linear maps of the inputs, the outputs of the heads are concatenated, and a linear map follows.
    A head whose ridge grows in training approaches softmax attention.

    Attributes:
        ridge: the ridges of the heads, as logarithms.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxlle.nn import LocalLinearAttention
        >>> layer = LocalLinearAttention(16, 4, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((2, 10, 16)), is_causal=True).shape
        (2, 10, 16)
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        ridge: Any = 1e-2,
        kernel: Kernel = SOFTMAX,
        solver: ConjugateGradients | NearestKeys = TWELVE_STEPS,
        rngs: nnx.Rngs,
    ):
        """Create the layer.

        Args:
            features: width of the inputs and outputs, a multiple of the number of heads.
            heads: number of heads.
            ridge: initial ridge of every head, positive.
            kernel: as for `local_linear_attention`; constant in training.
            solver: as for `local_linear_attention`.
            rngs: random keys of the initial parameters.

        Raises:
            ValueError: if the width is not a multiple of the number of heads, or the ridge is not positive.
        """
        check_count(heads, "heads", 1, None, "number of attention heads")
        if check_count(features, "features", 1, None, "width of the inputs") % heads:
            raise ValueError(f"features = {features} is not a multiple of heads = {heads}.")
        check_number(ridge, "ridge", "positive", lambda number: number > 0)
        self.heads, self.kernel, self.solver = heads, nnx.data(kernel), solver
        self.query, self.key, self.value, self.out = (nnx.Linear(features, features, rngs=rngs) for _ in range(4))
        self.ridge = nnx.Param(jnp.full(heads, jnp.log(ridge)))

    def __call__(
        self,
        x: Float[Array, "b l c"],
        context: Float[Array, "b s c"] | None = None,
        *,
        mask: Any = None,
        is_causal: bool = False,
    ) -> Float[Array, "b l c"]:
        """Attend to the inputs, or to a context.

        Args:
            x: inputs, shape (batch, length, features).
            context: inputs of the keys and values; None for x.
            mask: True for keys that exist, shape (batch, keys).
            is_causal: whether a query uses only the keys up to its own place.

        Returns:
            Outputs of the shape of x.

        Raises:
            ValueError: as for `local_linear_attention`.
        """
        context = x if context is None else context

        def split(a: Any) -> Any:
            return a.reshape(*a.shape[:2], self.heads, -1)

        out = local_linear_attention(
            split(self.query(x)),
            split(self.key(context)),
            split(self.value(context)),
            ridge=jnp.exp(self.ridge[...]),
            kernel=self.kernel,
            solver=self.solver,
            mask=mask,
            is_causal=is_causal,
        )
        return self.out(out.reshape(x.shape))
