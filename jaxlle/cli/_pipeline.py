"""The stages that `embed` and `report` run, for any method: neighbors, weights, embedding."""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import _outputs
from ._data import has_coordinates, is_sparse, load_data
from ._methods import METHODS, Method, Request, embed_options, solver_of
from ._timing import StageTimer

SEPARATE = 4  # components that --components auto embeds separately; of more it embeds the largest


class Result(NamedTuple):
    """The result of the stages.

    Attributes:
        embeddings: one embedding, or one per component if they are embedded separately, the largest first.
        neighbors: the neighborhoods.
        alignment: None for a method without a separate alignment.
        projection: the linear map, for a method that has one.
        k_rows: rows of the report on the choice of k, if it was automatic.
    """

    embeddings: tuple
    neighbors: Any
    alignment: Any
    projection: Any
    k_rows: list[tuple[str, str]]


@contextmanager
def run_stages(args: argparse.Namespace, suffixes: tuple[str, ...]) -> Iterator[tuple[Any, Result, StageTimer]]:
    """Load the data and run the stages of the method that the arguments name, in the precision of the data.

    Yields the data, the result and the timer. First checks that the file of --out, of one of the types `suffixes`, and the
    figure can be written; prints the warnings at the end.
    """
    _outputs.check_output(args.out, suffixes, "--out", args.data)
    _outputs.check_plot(args)
    with _outputs.print_warnings(args.precision), StageTimer(args.quiet) as timer:
        data, x64 = load_data(args, timer)
        import jax

        with jax.enable_x64(x64):
            yield data, compute(args, data, timer), timer


def compute(args: argparse.Namespace, data: Any, timer: StageTimer) -> Result:
    """Find the neighbors, compute the weights, and embed."""
    import jax

    from .._core.checks import check_dim

    method = METHODS[args.method]
    _check_method(args, data)
    k, k_rows = _choose_k(args, data.points, timer)
    check_dim(args.dim, k, data.points.shape, args.metric)
    request = Request(data.points, data.labels, k, args)
    with timer.stage("neighbors") as progress:
        request = request._replace(neighbors=jax.block_until_ready(_find_neighbors(request, progress)))
    if method.align is not None:
        with timer.stage("weights"):
            request = request._replace(alignment=jax.block_until_ready(method.align(request)))
    with timer.stage("embedding"):
        projection = None if method.project is None else method.project(request)
        embeddings = jax.block_until_ready(_embed(request, method, projection, has_coordinates(args, data)))
    return Result(embeddings, request.neighbors, request.alignment, projection, k_rows)


def _check_method(args: argparse.Namespace, data: Any) -> None:
    """Raise if the method does not support the metric or separate components, or if it lacks labels."""
    method = METHODS[args.method]
    if is_sparse(data) and (args.method != "standard" or args.k == "auto"):
        option = f"--method {args.method}" if args.method != "standard" else "--k auto"
        raise ValueError(
            f"{option} needs dense points, and {data.name} is sparse: use --method standard with a number of neighbors, or "
            f"reduce the columns by TruncatedSVD of scikit-learn and save the result by numpy.save."
        )
    if not method.takes_metric and args.metric != "euclidean":
        raise ValueError(
            f"--method {args.method} supports only --metric euclidean, but --metric {args.metric} was given."
        )
    if (method.project or method.embed) and args.components == "separate":
        raise ValueError(
            f"--method {args.method} cannot embed components separately: remove --components separate, or choose "
            "another method."
        )
    if method.uses_labels and (data.labels is None or data.labels.dtype.kind == "f"):
        raise ValueError(
            f"--method {args.method} needs one class label per point: name a column or an array of integers or strings "
            "with --labels, or use a data set that has labels (digits, mnist)."
        )


def _choose_k(args: argparse.Namespace, x: Any, timer: StageTimer) -> tuple[int, list[tuple[str, str]]]:
    """Return k, and rows of the report if it was chosen automatically."""
    if args.k != "auto":
        return args.k, []
    import jax

    from ..choosing import auto_grid

    if args.metric != "euclidean":
        raise ValueError(f"--k auto compares Euclidean neighborhoods: give a number with --metric {args.metric}.")
    with timer.stage("choice of k") as progress:
        key = jax.random.key(args.seed)
        grid = auto_grid(x, args.dim, reg=args.reg, key=key, progress=progress)
    k, _ = grid.best()
    compared = ", ".join(map(str, grid.ks))
    return k, [("k", f"{k}, with the smallest Procrustes statistic of plain LLE among {compared}")]


def _find_neighbors(request: Request, progress: Any) -> Any:
    from ..neighbors import knn
    from ..neighbors.graph import warn_of_duplicates

    method = METHODS[request.args.method]
    if method.neighbors is not None:
        return method.neighbors(request)
    neighbors = knn(request.x, request.k, metric=request.args.metric, progress=progress)
    warn_of_duplicates(neighbors)
    return neighbors


def _embed(request: Request, method: Method, projection: Any, coordinates: bool) -> tuple:
    """Embed by the method's own function, by its linear map, or by the bottom singular vectors of the alignment."""
    from ..embedding import embed, embed_components

    if projection is not None:
        return (_map_embedding(request.alignment, projection, request.x),)
    args = request.args
    if method.embed is not None:
        return (method.embed(request),)
    points = request.x if coordinates else None
    _choose_components(args, request.alignment)
    solver, options = solver_of(args), embed_options(args)
    if args.components == "separate":
        return embed_components(request.alignment, args.dim, solver=solver, options=options, points=points)
    return (embed(request.alignment, args.dim, solver=solver, options=options, points=points),)


def _choose_components(args: argparse.Namespace, alignment: Any) -> None:
    """Replace --components auto: few components are embedded separately, and of many the largest; with a warning."""
    from ..alignment import connected_components
    from ..warnings import DisconnectedGraphWarning

    if args.components != "auto":
        return
    sizes = connected_components(alignment).sizes
    count, one = len(sizes), not args.separable or args.save is not None
    several = not one and count <= SEPARATE and sizes.min() > args.dim
    args.components = "warn" if count == 1 else "separate" if several else "largest"
    if count > 1:
        listed = ", ".join(map(str, sizes[:8])) + (", ..." if count > 8 else "")
        done = (
            "Each is embedded separately"
            if several
            else f"Only the largest is embedded, {sizes[0]} of {sizes.sum()} points"
        )
        warnings.warn(
            f"The neighborhood graph is disconnected: it has {count} components of {listed} points. {done}. Raise k to connect "
            f"them, or choose by --components.",
            DisconnectedGraphWarning,
            stacklevel=2,
        )


def _map_embedding(alignment: Any, projection: Any, x: Any) -> Any:
    """Return the image of a linear map as an `Embedding`, with the cost and the residual of its normalized columns."""
    import jax.numpy as jnp

    from ..alignment import connected_components
    from ..embedding import Embedding

    points = projection.transform(x)
    unit = points - points.mean(axis=0)
    unit = unit / jnp.linalg.norm(unit, axis=0)
    image = alignment.matvec(unit)
    values = jnp.linalg.norm(image, axis=0)
    return Embedding(
        points=points,
        singular_values=values,
        residuals=jnp.linalg.norm(alignment.rmatvec(image) - unit * values**2, axis=0),
        gap=jnp.full((), jnp.nan, points.dtype),  # a gap of the alignment's spectrum is not one of the map's problem
        num_components=jnp.asarray(len(connected_components(alignment).closed), jnp.int32),
        converged=jnp.isfinite(points).all(),
        rows=jnp.arange(len(points), dtype=jnp.int32),
        solver="linear map",
    )
