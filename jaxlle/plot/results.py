"""Drawings of results: spectra, grids of k and reg, diagnoses and explanations."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure

from .._core.arrays import read_floats
from .._core.checks import check_count
from ..choosing import Grid, edges_of_grid
from ..embedding import Diagnosis, Embedding
from ..explanation import Explanation
from ._style import DPI, PALETTE, SCALE, darker, new_axes, points_to_draw, remove_frame
from .scatter import embedding


def spectrum(values: Any, dim: int | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw singular values on a logarithmic scale and mark the gap behind the first `dim`.

    Args:
        values: an Embedding, a `solvers.Spectrum`, or singular values, shape (count,).
        dim: number of columns of the embedding, less than count; None for no mark. An Embedding has only the values of its
            columns: its relative gap is written at the last of them.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if values are not a vector, or there is no gap behind dim.

    Example:
        >>> import jaxlle
        >>> ax = jaxlle.plot.spectrum([1e-4, 2e-4, 3e-3], 2)
        >>> ax.get_yscale(), ax.texts[0].get_text()
        ('log', 'gap 0.0028')
    """
    s = np.asarray(read_floats(getattr(values, "singular_values", values), "values"), np.float64)
    if s.ndim != 1 or s.size == 0:
        raise ValueError(f"Singular values have shape (count,), got {s.shape}.")
    if dim is not None and not isinstance(values, Embedding):
        check_count(dim, "dim", 1, len(s) - 1, f"of {len(s)} values the gap lies behind 1 to {len(s) - 1}")
    ax = new_axes(ax, (6.0, 4.0))
    remove_frame(ax, keep=("left", "bottom"))
    number = np.arange(1, len(s) + 1)
    floor = max(1e-20 * float(s.max()), np.finfo(np.float64).tiny)  # where a zero is drawn
    shown = np.maximum(s, floor)
    ax.semilogy(number, shown, "o-", color=PALETTE[0], linewidth=0.8, markersize=4)
    if isinstance(values, Embedding):
        _write_beside(ax, f"relative gap {float(values.gap):.2g}", len(s), float(shown[-1]))
    elif dim is not None:
        ax.axvspan(dim, dim + 1, color="0.93", zorder=0)
        _write_beside(ax, f"gap {s[dim] - s[dim - 1]:.2g}", dim + 1, float(np.sqrt(shown[dim - 1] * shown[dim])))
    ax.set(xlabel="number (constant vector excluded)", ylabel="singular value")
    ax.set_xticks(number[:: max(1, len(s) // 10)])
    return ax


def _write_beside(ax: Axes, text: str, x: int, y: float) -> None:
    ax.annotate(text, (x, y), (6, 0), textcoords="offset points", va="center", fontsize="small", color="0.3")


def grid(grid: Grid, criterion: str = "procrustes", *, ax: Axes | None = None) -> Axes:
    """Draw one criterion of a grid as curves over k, one for each reg, and mark the best pair.

    A grid with one k is drawn over reg. Curves have gaps where the graph is disconnected, which is noted below; the label of the
    best pair states if it is at an end of the grid, beyond which there may be a better one.

    Args:
        grid: from `jaxlle.choose`.
        criterion: "procrustes", "residual_variance" or "preservation".
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: for an unknown criterion, or if no graph is connected.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> jaxlle.plot.grid(jaxlle.choose(x, 2, ks=[6, 12])).get_xlabel()
        'k'
    """
    k, reg = grid.best(criterion)
    values = np.where(grid.num_components == 1, getattr(grid, criterion), np.nan)
    row, column = int(np.searchsorted(grid.ks, k)), int(np.searchsorted(grid.regs, reg))
    ax = new_axes(ax, (6.4, 4.4))
    remove_frame(ax, keep=("left", "bottom"))
    over_k = len(grid.ks) > 1 or len(grid.regs) == 1
    along, others, curves = (grid.ks, grid.regs, values.T) if over_k else (grid.regs, grid.ks, values)
    best = (row, column) if over_k else (column, row)
    colors = [PALETTE[0]] if len(others) == 1 else SCALE(np.linspace(0, 1, len(others)))
    for curve, color in zip(curves, colors, strict=True):
        ax.plot(along, curve, "o-", color=color, linewidth=1.2, markersize=4, clip_on=False)
    ax.plot(
        along[best[0]], values[row, column], "o", color=PALETTE[4], markersize=11, fillstyle="none", markeredgewidth=2
    )
    text = (f"k = {k}" if len(others) == 1 else f"k = {k}, reg = {reg:.3g}") if over_k else f"reg = {reg:.3g}"
    note = "" if not edges_of_grid(grid, criterion) else ", at the end of the grid"
    side = "left" if best[0] < len(along) / 2 else "right"
    style: dict[str, Any] = {"textcoords": "offset points", "ha": side, "va": "top", "fontweight": "bold"}
    ax.annotate(text + note, (along[best[0]], float(values[row, column])), (0, -12), **style, color=PALETTE[4])
    if not over_k:
        ax.set_xscale("log")
    ax.set_xticks(along, [f"{value:.3g}" for value in along], minor=False)
    ax.minorticks_off()
    ax.margins(x=0.08, y=0.2)
    if len(others) > 1:
        _label_curves(ax, [f"reg = {value:.3g}" for value in others], curves, colors)
    missing = grid.ks[np.isnan(values).all(axis=1)]
    if len(missing):
        text = f"disconnected: k = {', '.join(map(str, missing))}"
        ax.text(0, 1, text, transform=ax.transAxes, va="top", fontsize="small", color="0.5")
    ax.set(xlabel="k" if over_k else "reg", ylabel=criterion.replace("_", " "))
    return ax


def _label_curves(ax: Axes, names: list[str], curves: np.ndarray, colors: Any) -> None:
    """Write the name of each curve at the right side, near its last value but apart from the other names."""
    low, high = ax.get_ylim()
    ends = [curve[~np.isnan(curve)][-1] if not np.isnan(curve).all() else high for curve in curves]
    height = low
    for i in np.argsort(ends):
        height = max(float(ends[i]), height + 0.08 * (high - low))
        place = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": "small"}
        ax.text(1.01, height, names[i], color=darker(to_rgba_array(colors[i]))[0], **place)


def diagnosis(result: Diagnosis, y: Any, *, values: Any = None) -> Figure:
    """Draw a diagnosis: the error at each point, the in-degrees, the condition of the local problems, and the spectrum.

    Args:
        result: from `jaxlle.diagnose`.
        y: the diagnosed embedding, or other points at which to draw the errors, shape (n, c).
        values: singular values to draw, of which the first are those of the embedding: for example those of an embedding with
            more columns, so that the gap is visible. None draws those of the embedding.

    Returns:
        The figure.

    Raises:
        ValueError: if the points do not match.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> alignment = jaxlle.lle_alignment(x, k=10)
        >>> out = jaxlle.embed(alignment, 2)
        >>> len(jaxlle.plot.diagnosis(jaxlle.diagnose(alignment, out), out).axes)
        5
    """
    y = points_to_draw(y)
    if len(y) != len(result.error):
        raise ValueError(f"y has {len(y)} rows, but {len(result.error)} points were diagnosed: pass their embedding.")
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), dpi=DPI, layout="constrained")
    floor = max(float(result.error.max()) * 1e-6, float(np.finfo(result.error.dtype).tiny))
    embedding(y, color=np.log10(np.maximum(result.error, floor)), title="share of the cost", ax=axes[0, 0])
    figure.axes[-1].set_ylabel("logarithm (base 10)")  # of the color bar
    for ax in axes.ravel()[1:3]:
        remove_frame(ax, keep=("left", "bottom"))
    low, high = int(result.in_degree.min()), int(result.in_degree.max())
    step = 1 + (high - low) // 40
    axes[0, 1].hist(result.in_degree, bins=np.arange(low, high + step + 1, step) - 0.5, color=PALETTE[0])
    axes[0, 1].set(title="in-degree", xlabel="neighborhoods that contain the point", ylabel="points")
    axes[1, 0].set_title("condition of the local problems")
    if result.condition is None:
        remove_frame(axes[1, 0])
        axes[1, 0].text(0.5, 0.5, "not computed: diagnose was\ngiven no x and neighbors", ha="center", color="0.5")
    else:
        axes[1, 0].hist(np.log10(result.condition), bins=40, color=PALETTE[0])
        axes[1, 0].set(xlabel="logarithm (base 10)", ylabel="points")
    values, dim = (result.singular_values, None) if values is None else (values, len(result.singular_values))
    spectrum(values, dim, ax=axes[1, 1]).set_title("singular values")
    axes[1, 1].set_ylabel("")
    return figure


def explanation(
    found: Explanation,
    z: Any,
    bank: Any,
    image_shape: tuple[int, int],
    *,
    jacobian: Any = None,
    output: int | None = None,
    count: int = 4,
) -> Figure:
    """Draw how the outputs for images are explained by known images.

    Each row shows one image with its output; the pixels that raise (red) and lower (blue) this output, according to the slopes
    along the data and, if given, the derivative of the map; and the neighbors with the largest contributions to the output.

    Args:
        found: from `jaxlle.explanation.explain`.
        z: the explained images, shape (q, d).
        bank: the known images, shape (n, d).
        image_shape: height and width, with product d.
        jacobian: from `jaxlle.explanation.jacobian`, shape (q, c, d).
        output: number of the output; None takes the largest output of each image.
        count: number of neighbors to show.

    Returns:
        The figure.

    Raises:
        ValueError: if the images do not match, or there is no such output.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 6))
        >>> out = jaxlle.explanation.explain(lambda x: x[:, :2], x[:3], x[3:], 5)
        >>> len(jaxlle.plot.explanation(out, x[:3], x[3:], (2, 3)).axes)
        18
    """
    z, bank = points_to_draw(z), points_to_draw(bank)
    f = np.asarray(found.outputs)
    if z.shape != (len(f), bank.shape[1]) or image_shape[0] * image_shape[1] != z.shape[1]:
        raise ValueError(
            f"{len(f)} explained images of shape {image_shape} do not match z of shape {z.shape} and a bank of {bank.shape}."
        )
    if output is not None:
        check_count(output, "output", 0, f.shape[1] - 1, f"the map has {f.shape[1]} outputs, counted from 0")
    count = check_count(count, "count", 0, None, "number of neighbors to show")
    if len(bank) <= int(np.asarray(found.neighbors.indices).max()):
        raise ValueError(
            f"bank has {len(bank)} rows, but the explanation refers to more: pass the bank that was explained."
        )
    chosen = f.argmax(axis=1) if output is None else np.full(len(f), output)
    maps = {"slopes": found.slopes} if jacobian is None else {"slopes": found.slopes, "Jacobian": jacobian}
    count = min(count, found.weights.shape[1])
    columns = 1 + len(maps) + count
    size = 1.2 * columns, 1.45 * len(f) + 0.4
    figure, axes = plt.subplots(len(f), columns, figsize=size, dpi=DPI, squeeze=False, layout="constrained")
    for row, (places, c) in enumerate(zip(axes, chosen, strict=True)):
        pictures = {name: np.asarray(values)[row, c] for name, values in maps.items()}
        _explained_row(places, found, row, int(c), z, bank, list(pictures.values()), image_shape)
    _explanation_headings(axes, list(maps))
    return figure


def _explained_row(
    axes: Any, found: Explanation, row: int, c: int, z: Any, bank: Any, maps: list, shape: tuple[int, int]
) -> None:
    axes[0].imshow(z[row].reshape(shape), cmap="gray_r")
    axes[0].set_title(f"$f_{{{c}}}$ = {float(found.outputs[row, c]):.3g}", fontsize="small")
    for ax, values in zip(axes[1:], maps, strict=False):
        reach = float(np.abs(values).max()) or 1.0
        ax.imshow(values.reshape(shape), cmap="RdBu_r", vmin=-reach, vmax=reach)
    shares = np.asarray(found.contributions)[row, :, c]
    near = axes[1 + len(maps) :]
    for ax, j in zip(near, np.argsort(-np.abs(shares), kind="stable")[: len(near)], strict=True):
        ax.imshow(bank[int(found.neighbors.indices[row, j])].reshape(shape), cmap="gray_r")
        ax.set_title(f"{shares[j]:+.3g}", fontsize="small")
    for ax in axes:
        remove_frame(ax)


def _explanation_headings(axes: Any, maps: list[str]) -> None:
    """Write what the columns show above the first row, and what the colors mean below the last."""
    texts = ["output", *maps, "contributions of neighbors"]
    for column, text in enumerate(texts[: axes.shape[1]]):
        place = {"xycoords": "axes fraction", "xytext": (0, 20), "textcoords": "offset points"}
        heading = axes[0, column].annotate(text, (0, 1), **place, fontsize="small", fontweight="bold")
        heading.set_in_layout(column != 1 + len(maps))  # this one extends over the next columns
    axes[-1, 1].set_xlabel("red raises it,\nblue lowers it", fontsize="small", loc="left")
