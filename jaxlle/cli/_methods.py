"""The variants that --method selects, each as the functions that replace stages of plain LLE."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Request(NamedTuple):
    """The input of the stages of a method.

    Attributes:
        x: the points, or distances with the precomputed metric.
        labels: labels of the points, or None.
        k: number of neighbors per point.
        args: the arguments of the command.
        neighbors: the neighborhoods, after the first stage.
        alignment: the alignment, after the second stage.
    """

    x: Any
    labels: Any
    k: int
    args: Any
    neighbors: Any = None
    alignment: Any = None

    @property
    def graph(self) -> dict[str, Any]:
        """Return the arguments that describe the graph to the alignments."""
        return {"k": self.k, "metric": self.args.metric, "neighbors": self.neighbors}


class Method(NamedTuple):
    """A variant of LLE.

    Attributes:
        align: computes the alignment; None for a variant without a separate alignment.
        neighbors: finds the neighborhoods; None for the nearest neighbors in the metric.
        project: computes a linear map from the alignment.
        embed: computes the embedding; None for the bottom singular vectors of the alignment, by the solver of --solver.
        uses_reg: whether --reg is used.
        uses_labels: whether labels are required.
        takes_metric: whether metrics other than the Euclidean are supported.
    """

    align: Callable[[Request], Any] | None = None
    neighbors: Callable[[Request], Any] | None = None
    project: Callable[[Request], Any] | None = None
    embed: Callable[[Request], Any] | None = None
    uses_reg: bool = True
    uses_labels: bool = False
    takes_metric: bool = False


def solver_of(args: Any) -> Any:
    """Return the solver of --solver."""
    from .. import solvers

    named = {"dense": solvers.DenseQR(), "sparse": solvers.SparseLU(), "landmark": solvers.Landmark()}
    return named.get(args.solver, "auto")


def embed_options(args: Any) -> Any:
    """Return the options of --components and --seed."""
    import jax

    from ..embedding import EmbedOptions

    disconnected: Any = {"auto": "largest", "separate": "warn"}.get(args.components, args.components)
    return EmbedOptions(disconnected=disconnected, key=jax.random.key(args.seed))


def _standard(request: Request) -> Any:
    from ..variants.standard import lle_alignment

    return lle_alignment(request.x, reg=request.args.reg, **request.graph)


def _modified(request: Request) -> Any:
    from ..variants.modified import modified_alignment

    return modified_alignment(request.x, request.args.dim, reg=request.args.reg, **request.graph)


def _hessian(request: Request) -> Any:
    from ..variants.hessian import hessian_alignment

    return hessian_alignment(request.x, request.args.dim, **request.graph)


def _ltsa(request: Request) -> Any:
    from ..variants.ltsa import ltsa_alignment

    return ltsa_alignment(request.x, request.args.dim, **request.graph)


def _supervised_neighbors(request: Request) -> Any:
    from ..variants.supervised import Shift, supervised_neighbors

    return supervised_neighbors(request.x, request.labels, request.k, rule=Shift(request.args.alpha))


def _linear(request: Request) -> Any:
    from ..variants.linear import linear_projection

    return linear_projection(request.alignment, request.x, request.args.dim)


def _orthogonal(request: Request) -> Any:
    from ..variants.linear import orthogonal_projection

    return orthogonal_projection(request.alignment, request.x, request.args.dim)


def _discriminant(request: Request) -> Any:
    from ..variants.discriminant import discriminant_projection

    return discriminant_projection(request.alignment, request.x, request.labels, request.args.dim)


def _landmark(request: Request) -> Any:
    import jax

    from ..embedding import EmbedOptions
    from ..variants.landmarks import landmark_embed

    options = EmbedOptions(key=jax.random.key(request.args.seed))
    return landmark_embed(request.alignment, request.args.dim, points=request.x, options=options).embedding


def _robust(request: Request) -> Any:
    from ..variants.robust import robust_lle

    args = request.args
    solver, options = solver_of(args), embed_options(args)
    return robust_lle(request.x, args.dim, k=request.k, reg=args.reg, solver=solver, options=options)


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
