"""Where the names of classes and thumbnails are drawn: at or beside their points, hiding few points and not each other."""

from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke
from mpl_toolkits.mplot3d import Axes3D, proj3d
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from ._style import darker


class Page:
    """Points as they appear on the page, and the rectangles there that are taken.

    Attributes:
        flat: in the data coordinates of the Axes' plane, shape (n, 2). Differs from the points in three dimensions.
        points: in typographic points from the lower left corner of the figure, shape (n, 2).
        font: font size of the names of classes.
        image: side of a thumbnail, in typographic points.
        low, high: lower left and upper right corner of the Axes, in typographic points.
    """

    def __init__(self, ax: Any, points: np.ndarray):
        figure = ax.figure.figure
        figure.draw_without_rendering()  # settles the layout
        self.flat = points
        if isinstance(ax, Axes3D):
            self.flat = np.column_stack(
                proj3d.proj_transform(points[:, 0], points[:, 1], points[:, 2], ax.get_proj())[:2]
            )
        unit = 72 / figure.dpi
        self.points = ax.transData.transform(self.flat) * unit
        self.low, self.high = ax.get_window_extent().get_points() * unit
        side = float((self.high - self.low).min())
        self.font, self.image = float(np.clip(side / 40, 8, 13)), float(np.clip(side / 30, 11, 19))
        self._centers, self._sizes = np.zeros((0, 2)), np.zeros((0, 2))

    def free(self, centers: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Return which rectangles of a size lie within the Axes and overlap none that is taken."""
        inside = (centers >= self.low + size / 2) & (centers <= self.high - size / 2)
        apart = np.abs(centers[:, None] - self._centers) >= (self._sizes + size) / 2
        return inside.all(axis=-1) & apart.any(axis=-1).all(axis=-1)

    def take(self, center: np.ndarray, size: np.ndarray) -> None:
        """Mark a rectangle as taken."""
        self._centers, self._sizes = np.vstack([self._centers, center]), np.vstack([self._sizes, size])


def label_classes(ax: Any, page: Page, places: np.ndarray, members: np.ndarray, names: list[str], colors: Any) -> None:
    """Write the name of each class at one of its points, where the class is dense and other classes are not.

    Args:
        ax: the Axes.
        page: of the points.
        places: the points in the coordinates of the Axes, shape (n, 2) or (n, 3).
        members: class of each point, shape (n,).
        names: of the classes.
        colors: of the classes, shape (c, 4).
    """
    scores = prominence(page.points, members, len(names))
    best = [scores[members == c].max() for c in range(len(names))]
    for c in np.argsort(best)[::-1]:
        rows = np.flatnonzero(members == c)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        size = np.array([0.7 * len(names[c]) + 0.3, 1.1]) * page.font
        row = rows[np.argmax(page.free(page.points[rows], size))]  # the best one that is free, or else the best one
        page.take(page.points[row], size)
        text = ax.text(*places[row], names[c], color=darker(colors[c]), fontsize=page.font, fontweight="bold", zorder=6)
        text.set(horizontalalignment="center", verticalalignment="center_baseline", in_layout=False)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white", alpha=0.9)])


def prominence(points: np.ndarray, members: np.ndarray, count: int) -> np.ndarray:
    """Return, for each point, the density of its class there times the share of that class in the density of all."""
    bins, extent = 64, np.ptp(points, axis=0)
    cells = (points - points.min(axis=0)) / np.where(extent > 0, extent, 1) * (bins - 1)
    x, y = np.rint(cells).astype(int).T
    density = np.zeros((count, bins, bins))
    np.add.at(density, (members, x, y), 1)
    density = gaussian_filter(density, (0, 2, 2), mode="constant")
    return density[members, x, y] ** 2 / density.sum(axis=0)[x, y]


def place_images(ax: Any, page: Page, images: np.ndarray, count: int, colors: np.ndarray) -> None:
    """Draw the images of up to `count` points beside them, where they hide few points and neither labels nor each other.

    The points are chosen far from those already chosen, so that the images spread along the embedding.

    Args:
        ax: the Axes.
        page: of the points.
        images: one per point, shape (n, h, w).
        count: at most this many are drawn.
        colors: of the points, shape (n, 4).
    """
    points, side = page.points, page.image
    size = np.full(2, 1.1 * side)
    tree = KDTree(points)
    angles = np.arange(8) * np.pi / 4
    ring = np.column_stack([np.cos(angles), np.sin(angles)]) * side
    offsets = np.concatenate([ring, 1.5 * ring, 2 * ring])
    length = np.repeat([0, 1, 2], 8)  # a longer line must hide this many points less
    crowd = tree.query_ball_point(points, side, return_length=True)
    weight = np.clip(crowd / 4, 0.5, 1)  # outliers have to be farther away than typical points
    distance = 1e6 + np.linalg.norm(points - points.mean(axis=0), axis=1)
    low, high = float(images.min()), float(images.max())
    ink = bool(np.median(border(images)) < low + 0.05 * (high - low))
    while count > 0 and (weight * distance).max() > 1.3 * side:
        row = int((weight * distance).argmax())
        centers = points[row] + offsets
        hidden = tree.query_ball_point(centers, side / 2, p=np.inf, return_length=True) + length
        cost = np.where(page.free(centers, size), hidden, np.inf)
        best = int(cost.argmin())
        apart = np.linalg.norm(points - points[row], axis=1)
        if cost[best] > 2 + len(points) / 1000:
            distance[apart <= side / 2] = 0  # no place near here
            continue
        distance = np.minimum(distance, apart)
        page.take(centers[best], size)
        image = images[row].astype(np.float64)
        picture = _ink(image, darker(colors[row])) if ink else image
        zoom = side / max(image.shape)
        box = OffsetImage(picture, zoom=zoom, cmap="gray", norm=Normalize(low, high), interpolation="bilinear")
        _draw_image(ax, box, page.flat[row], offsets[best], colors[row]).patch.set_visible(not ink)
        count -= 1


def _draw_image(ax: Any, box: OffsetImage, place: np.ndarray, offset: np.ndarray, color: np.ndarray) -> Any:
    """Draw an image at an offset from its point, and a thin line between them."""
    line = {"arrowstyle": "-", "linewidth": 0.5, "color": darker(color), "alpha": 0.6, "shrinkA": 0, "shrinkB": 0}
    shown = AnnotationBbox(
        box,
        (float(place[0]), float(place[1])),
        (float(offset[0]), float(offset[1])),
        boxcoords="offset points",
        pad=0,
        bboxprops={"linewidth": 0.8, "edgecolor": color},
        arrowprops=line,
    )
    shown.set(in_layout=False, zorder=5)
    return ax.add_artist(shown)


def border(images: np.ndarray) -> np.ndarray:
    """Return the pixels at the edges of all images, shape (n (2 w + 2 h),)."""
    return np.concatenate([images[:, [0, -1], :].ravel(), images[:, :, [0, -1]].ravel()])


def _ink(image: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Return an image whose opacity is the value and whose color is constant, shape (h, w, 4)."""
    picture = np.tile(color, (*image.shape, 1))
    picture[..., 3] = (image - image.min()) / (np.ptp(image) or 1)
    return picture
