"""What `embed` and `report` share: their options, the stages in a row, and the rows that describe the result."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ._methods import METHODS, Asked, solver_of
from ._watch import Watch


class Made(NamedTuple):
    """What came of the stages.

    Attributes:
        parts: the embeddings, one unless the parts of the graph are separate.
        neighbors: of the metric, or of the method.
        alignment: None for a method that is not taken apart.
        projection: the linear map of a method that has one.
        rows: what there is to say of the choice of k.
    """

    parts: tuple
    neighbors: Any
    alignment: Any
    projection: Any
    rows: list[tuple[str, str]]


def add_options(command: Any, methods: Sequence[str], parts: Sequence[str]) -> None:
    """Add the options that say what is embedded and how."""
    command.add_argument("data", help="mnist, digits, swiss_roll, s_curve, ... or a .npy, .npz or .csv file")
    command.add_argument("--method", default="standard", choices=methods, help="variant of LLE (standard)")
    command.add_argument("--dim", type=int, default=2, help="dimensions of the embedding (2)")
    command.add_argument("--k", type=_whole_or_auto, default=12, help="neighbours a point, or auto (12)")
    command.add_argument("--reg", type=float, default=1e-3, help="strength of the regularizer (1e-3)")
    command.add_argument("--alpha", type=float, default=1.0, help="of supervised: 1 keeps classes apart, 0 not (1)")
    metrics = "euclidean, cosine, manhattan, chebyshev or precomputed (euclidean)"
    command.add_argument("--metric", default="euclidean", help=metrics)
    command.add_argument("--solver", default="auto", choices=["auto", "dense", "sparse", "landmark"], help="(auto)")
    apart = "what to do with a graph that falls apart (warn)"
    command.add_argument("--components", default="warn", choices=parts, help=apart)
    kinds = ["data", "float32", "float64"]
    command.add_argument("--precision", default="data", choices=kinds, help="(the data's own)")
    command.add_argument("--points", type=int, help="size of a built-in manifold (2000)")
    command.add_argument("--seed", type=int, default=0, help="of built-in manifolds and of the solver's start (0)")
    command.add_argument("--labels", help="array (.npz) or column (.csv) with the labels")
    command.add_argument("--cache", type=Path, help="folder that keeps compiled programs for the next run")


def _whole_or_auto(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}, nor is it auto") from None


def use_cache(folder: Path | None) -> None:
    """Keep compiled programs in a folder."""
    import jax

    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def compute(options: argparse.Namespace, data: Any, watch: Watch) -> Made:
    """Run the stages of the method that was asked for."""
    import jax

    from .._core.checks import check_dim

    method, labels = METHODS[options.method], _check_method(options, data)
    k, rows = _neighbour_count(options, data.points, watch)
    asked = Asked(data.points, labels, k, options)
    check_dim(options.dim, k, data.points.shape, options.metric)
    with watch.stage("neighbours") as progress:
        asked = asked._replace(neighbors=jax.block_until_ready(_find(asked, progress)))
    if method.align is not None:
        with watch.stage("weights"):
            asked = asked._replace(alignment=jax.block_until_ready(method.align(asked)))
    projection = None
    with watch.stage("embedding"):
        if method.project is not None:
            projection = method.project(asked)
            parts = (projected(asked.alignment, projection, data.points),)
        else:
            parts = (method.embed(asked),) if method.embed is not None else _bottom(asked)
        return Made(jax.block_until_ready(parts), asked.neighbors, asked.alignment, projection, rows)


def _check_method(options: argparse.Namespace, data: Any) -> Any:
    """Return the labels, or say what the method needs that there is not."""
    method = METHODS[options.method]
    if not method.takes_metric and options.metric != "euclidean":
        raise ValueError(
            f"--method {options.method} measures Euclidean distances: --metric {options.metric} is not for it."
        )
    if (method.project or method.embed) and options.components == "separate":
        raise ValueError(f"--method {options.method} does not embed parts one by one: leave --components separate out.")
    if method.uses_labels and (data.labels is None or data.labels.dtype.kind == "f"):
        raise ValueError(
            f"--method {options.method} needs a class for every point: name a column or array of whole numbers or words "
            f"with --labels, or take a data set that has them (digits, mnist)."
        )
    return data.labels


def _neighbour_count(options: argparse.Namespace, x: Any, watch: Watch) -> tuple[int, list[tuple[str, str]]]:
    """Return k, and what to report if it was chosen."""
    if options.k != "auto":
        return options.k, []
    import jax

    from ..choosing import auto_grid

    if options.metric != "euclidean":
        raise ValueError(f"--k auto compares Euclidean neighbourhoods: give a number with --metric {options.metric}.")
    with watch.stage("choice of k") as progress:
        key = jax.random.key(options.seed)
        grid = auto_grid(x, options.dim, reg=options.reg, key=key, progress=progress)
    k, _ = grid.best()
    tried = ", ".join(map(str, grid.ks))
    return k, [("k", f"{k}, of least Procrustes statistic of plain LLE among {tried}")]


def _find(asked: Asked, progress: Any) -> Any:
    from ..neighbors import knn
    from ..neighbors.graph import warn_of_duplicates

    method = METHODS[asked.options.method]
    if method.neighbors is not None:
        return method.neighbors(asked)
    neighbors = knn(asked.x, asked.k, metric=asked.options.metric, progress=progress)
    warn_of_duplicates(neighbors)
    return neighbors


def _bottom(asked: Asked) -> tuple:
    """Embed by the bottom of the alignment's spectrum."""
    import jax

    from ..embedding import embed, embed_components

    options = asked.options
    common: dict[str, Any] = {
        "solver": solver_of(options),
        "key": jax.random.key(options.seed),
        "points": None if options.metric == "precomputed" else asked.x,
    }
    if options.components == "separate":
        return embed_components(asked.alignment, options.dim, **common)
    return (embed(asked.alignment, options.dim, disconnected=options.components, **common),)


def projected(alignment: Any, projection: Any, x: Any) -> Any:
    """Return the image of a linear map as an embedding: what its unit columns cost, and how far they are from free."""
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
        gap=jnp.full((), jnp.nan, points.dtype),  # the cut is in the map's problem, not in the alignment's
        num_components=jnp.asarray(len(connected_components(alignment).closed), jnp.int32),
        converged=jnp.isfinite(points).all(),
        rows=jnp.arange(len(points), dtype=jnp.int32),
        solver="linear map",
    )


def describe(options: argparse.Namespace, data: Any, made: Made) -> list[tuple[str, str]]:
    """Return the rows on the method, the data and the number of parts."""
    out, (n, d), parts = made.parts[0], data.points.shape, made.parts
    components = str(int(out.num_components))
    if len(parts) > 1:
        components = f"{len(parts)}, embedded one by one; below, the largest, of {len(out.rows)} points"
    elif len(out.rows) < n:
        components = f"the largest alone is embedded: {len(out.rows)} of {n} points"
    return [
        ("method", options.method),
        *made.rows,
        ("data", f"{data.name}: {n} x {d}, {data.points.dtype}; computed in {out.points.dtype}"),
        ("solver", out.solver + ("" if bool(out.converged) else ", NOT converged")),
        ("components", components),
    ]


def quality(options: argparse.Namespace, data: Any, made: Made, watch: Watch) -> list[tuple[str, str]]:
    """Return the rows on how good the (largest) embedding is."""
    import numpy as np

    from .. import metrics

    out = made.parts[0]
    rows, kept, y = [], np.asarray(out.rows), np.asarray(out.points)
    with watch.stage("quality") as progress:
        near = min(made.neighbors.indices.shape[1], (len(kept) - 1) // 2)
        if options.metric != "precomputed" and near > 0:
            value = float(metrics.trustworthiness(data.points[kept], y, k=near, progress=progress))
            rows.append(("trustworthiness", f"{value:.4f} (k = {near})"))
        if data.labels is not None and data.labels.dtype.kind != "f" and len(kept) > 10:
            value = metrics.label_accuracy(y, data.labels[kept], k=10)
            seen = ", which saw the labels" if METHODS[options.method].uses_labels else ""
            rows.append(("label accuracy", f"{value:.4f} (10 nearest neighbours in {options.dim} dimensions{seen})"))
    return rows


def print_rows(rows: list[tuple[str, str]], watch: Watch, files: Sequence[tuple[str, Path | None]]) -> None:
    """Print a report with the time that its stages took and the files that it wrote."""
    from rich.console import Console
    from rich.text import Text

    times = ", ".join(f"{name} {t:.2f} s" for name, t in watch.times.items())
    rows = [*rows, ("time", f"{times}; in all {sum(watch.times.values()):.2f} s")]
    rows += [(name, str(path)) for name, path in files if path is not None]
    console = Console()
    for name, value in rows:
        console.print(Text.assemble((f"{name:<17}", "bold"), value), soft_wrap=True)
