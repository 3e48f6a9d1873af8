"""The variants that can be asked for by name, each as what it does in place of plain LLE's stages."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """What the stages of a method are given.

    Attributes:
        x: the points, or distances with the precomputed metric.
        labels: of the points; None if there are none.
        k: neighbours a point.
        options: of the command.
        neighbors: once they are found.
        alignment: once it is made.
    """

    x: Any
    labels: Any
    k: int
    options: Any
    neighbors: Any = None
    alignment: Any = None

    @property
    def graph(self) -> dict[str, Any]:
        """Return what every alignment takes."""
        return {"k": self.k, "metric": self.options.metric, "neighbors": self.neighbors}


class Method(NamedTuple):
    """A variant of LLE.

    Attributes:
        align: makes the alignment; None for a variant that is not taken apart.
        neighbors: finds them; None for those of the metric.
        project: makes a linear map from the alignment.
        embed: makes the embedding; None for the bottom of the alignment's spectrum, by the solver that was asked for.
        uses_reg: whether `--reg` matters.
        uses_labels: whether labels are needed.
        takes_metric: whether other metrics than the Euclidean can be asked for.
    """

    align: Callable[[Asked], Any] | None = None
    neighbors: Callable[[Asked], Any] | None = None
    project: Callable[[Asked], Any] | None = None
    embed: Callable[[Asked], Any] | None = None
    uses_reg: bool = True
    uses_labels: bool = False
    takes_metric: bool = False


def _standard(asked: Asked) -> Any:
    from ..variants.standard import lle_alignment

    return lle_alignment(asked.x, reg=asked.options.reg, **asked.graph)


def _modified(asked: Asked) -> Any:
    from ..variants.modified import modified_alignment

    return modified_alignment(asked.x, asked.options.dim, reg=asked.options.reg, **asked.graph)


def _hessian(asked: Asked) -> Any:
    from ..variants.hessian import hessian_alignment

    return hessian_alignment(asked.x, asked.options.dim, **asked.graph)


def _ltsa(asked: Asked) -> Any:
    from ..variants.ltsa import ltsa_alignment

    return ltsa_alignment(asked.x, asked.options.dim, **asked.graph)


def _supervised_neighbors(asked: Asked) -> Any:
    from ..variants.supervised import Shift, supervised_neighbors

    return supervised_neighbors(asked.x, asked.labels, asked.k, rule=Shift(asked.options.alpha))


def _linear(asked: Asked) -> Any:
    from ..variants.linear import linear_projection

    return linear_projection(asked.alignment, asked.x, asked.options.dim)


def _orthogonal(asked: Asked) -> Any:
    from ..variants.linear import orthogonal_projection

    return orthogonal_projection(asked.alignment, asked.x, asked.options.dim)


def _discriminant(asked: Asked) -> Any:
    from ..variants.linear import discriminant_projection

    return discriminant_projection(asked.alignment, asked.x, asked.labels, asked.options.dim)


def _landmark(asked: Asked) -> Any:
    import jax

    from .._core.points import standardize
    from ..variants.landmarks import landmark_embed

    points, key = standardize(asked.x).points, jax.random.key(asked.options.seed)
    return landmark_embed(asked.alignment, asked.options.dim, points=points, key=key).embedding


def _robust(asked: Asked) -> Any:
    import jax

    from ..variants.robust import robust_lle

    options = asked.options
    key, apart = jax.random.key(options.seed), options.components
    how: dict[str, Any] = {"reg": options.reg, "solver": solver_of(options), "disconnected": apart, "key": key}
    return robust_lle(asked.x, options.dim, k=asked.k, **how)


def solver_of(options: Any) -> Any:
    """Return the solver that was asked for."""
    from .. import solvers

    named = {"dense": solvers.DenseQR(), "sparse": solvers.SparseLU(), "landmark": solvers.Landmark()}
    return named.get(options.solver, "auto")


METHODS = {
    "standard": Method(_standard, takes_metric=True),
    "modified": Method(_modified, takes_metric=True),
    "hessian": Method(_hessian, takes_metric=True, uses_reg=False),
    "ltsa": Method(_ltsa, takes_metric=True, uses_reg=False),
    "supervised": Method(_standard, neighbors=_supervised_neighbors, uses_labels=True),
    "robust": Method(embed=_robust),
    "landmark": Method(_standard, embed=_landmark),
    "npe": Method(_standard, project=_linear),
    "lltsa": Method(_ltsa, project=_linear, uses_reg=False),
    "onpp": Method(_standard, project=_orthogonal),
    "discriminant": Method(_standard, project=_discriminant, uses_labels=True),
}
