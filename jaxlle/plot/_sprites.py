"""Thumbnails of many images in one picture, of which a page shows one at a time."""

import io
from typing import NamedTuple

import numpy as np

from ._placement import border

_PIXELS = 10_000_000  # of all thumbnails together
_LARGEST = 96  # side of a thumbnail
_SHOWN = 72  # side at which a page shows small images


class Sprites(NamedTuple):
    """Thumbnails, one per image, in the order of the images by rows of the sheet.

    Attributes:
        png: the sheet, a PNG file.
        columns: how many thumbnails a row of the sheet has.
        height, width: size at which a thumbnail is shown, in pixels of the page.
        sheet_width: width at which the sheet is shown, so that thumbnails have that size.
    """

    png: bytes
    columns: int
    height: int
    width: int
    sheet_width: int

    def places(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the left and upper side of each of n thumbnails on the sheet as shown, in pixels."""
        row, column = np.divmod(np.arange(n), self.columns)
        return (column * self.width).astype(np.int32), (row * self.height).astype(np.int32)


def make_sprites(images: np.ndarray) -> Sprites:
    """Return thumbnails of gray or color images, shape (n, h, w) or (n, h, w, 3).

    Values are scaled from the range of all images, except for bytes. Gray images on a black background are inverted, as ink on
    paper. Large images, and those of many points, are made smaller, so that the sheet has at most some 10 million pixels.
    """
    from PIL import Image

    n, (h, w) = len(images), images.shape[1:3]
    factor = min(1.0, _LARGEST / max(h, w), float(np.sqrt(_PIXELS / (n * h * w))))
    low, high = (0.0, 255.0) if images.dtype == np.uint8 else (float(images.min()), float(images.max()))
    inverted = images.ndim == 3 and bool(np.median(border(images)) < low + 0.05 * (high - low))
    height, width = max(1, round(h * factor)), max(1, round(w * factor))
    columns = int(np.ceil(np.sqrt(n * height / width)))
    shape = (-(-n // columns) * height, columns * width, *images.shape[3:])
    sheet = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        values = (image.astype(np.float32) - low) * (255 / ((high - low) or 1))
        values = np.rint(np.clip(255 - values if inverted else values, 0, 255)).astype(np.uint8)
        if factor < 1:
            values = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.LANCZOS))
        row, column = divmod(i, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = values
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", compress_level=9)
    zoom = max(1, _SHOWN // max(height, width))
    return Sprites(file.getvalue(), columns, height * zoom, width * zoom, columns * width * zoom)
