"""Folders of PNG and JPEG images."""

import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .._core.archive import check_memory
from .data import Data
from .options import ReadOptions

_SUFFIXES = (".png", ".jpg", ".jpeg")
_GRAY = ("1", "L", "LA", "I", "I;16", "F")  # modes of Pillow
_SWAPPED = (5, 6, 7, 8)  # orientations of EXIF with exchanged axes
_ORIENTATION = 0x0112


def read_images(folder: Path, options: ReadOptions, max_bytes: int | None) -> Data:
    """Return the images of a folder as points in [0, 1], with the names of its subfolders as labels.

    Raises:
        ModuleNotFoundError: if Pillow is not installed.
        ValueError: if there are no images, images beside subfolders of images, images of several sizes without
            `options.size`, a damaged image without `options.missing = "drop"`, or too many for the memory.
    """
    paths = _find(folder)
    if not find_spec("PIL"):
        raise ModuleNotFoundError(f"{folder} has images, which Pillow reads: pip install 'jaxlle[images]'.")
    damaged: dict[Path, str] = {}
    heads = {path: head for path in paths if (head := _attempt(_head, path, damaged)) is not None}
    _check_damaged(damaged, paths, options)
    sizes = Counter(size for size, _ in heads.values())
    height, width = _one_size(sizes, heads, folder, options)
    color = any(mode not in _GRAY for _, mode in heads.values())
    shape = (height, width, 3) if color else (height, width)
    count = sum(path.stat().st_size for path in paths)
    check_memory(folder, count, 4 * len(heads) * int(np.prod(shape)), max_bytes, "or give a smaller ReadOptions.size")
    points = np.empty((len(heads), *shape), np.float32)
    kept = []
    for path in heads:
        pixels = _attempt(lambda path: _pixels(path, (width, height), color), path, damaged)
        if pixels is not None:
            points[len(kept)] = pixels
            kept.append(path)
        elif options.missing != "drop":
            break
    _check_damaged(damaged, paths, options)
    labels = None if paths[0].parent == folder else np.array([path.parent.name for path in kept])
    rows = None if not damaged else np.array([row for row, path in enumerate(paths) if path not in damaged])
    notes = (f"{len(damaged)} of {len(paths)} images (damaged: {_shown(damaged)})",) if damaged else ()
    flat = points[: len(kept)].reshape(len(kept), -1)
    return Data(flat, labels, shape, folder.resolve().name, left_out=notes, rows=rows)


def _find(folder: Path) -> list[Path]:
    """Return the images of a folder, or of its subfolders, sorted by name."""
    direct = sorted(_images(folder))
    nested = [path for child in sorted(folder.iterdir()) if child.is_dir() for path in sorted(_images(child))]
    if direct and nested:
        raise ValueError(
            f"{folder} has {len(direct)} images beside {len(nested)} in subfolders, which name their classes: move the former "
            f"into a subfolder."
        )
    if not direct and not nested:
        raise ValueError(
            f"{folder} has no images: neither the folder nor a subfolder contains a .png, .jpg or .jpeg file. Give another "
            f"folder, or convert the images."
        )
    return direct or nested


def _images(folder: Path) -> Iterator[Path]:
    """Yield the images directly in a folder, without the hidden files of file managers."""
    for path in folder.iterdir():
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def _attempt(read: Any, path: Path, damaged: dict[Path, str]) -> Any:
    """Return what `read` returns for an image; for a damaged one record the reason and return None."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return read(path)
    except MemoryError:
        raise
    except Exception as error:  # of many types
        damaged[path] = (str(error).splitlines() or [type(error).__name__])[0].replace(repr(str(path)), "it")
        return None


def _open(path: Path) -> Any:
    from PIL import Image

    return Image.open(path, formats=("PNG", "JPEG"))  # not the decoders of other formats


def _head(path: Path) -> tuple[tuple[int, int], str]:
    """Return the height and width of an image as it is shown, and its mode, from its header."""
    with _open(path) as image:
        width, height = image.size
        swapped = image.getexif().get(_ORIENTATION) in _SWAPPED
        return ((width, height) if swapped else (height, width)), image.mode


def _pixels(path: Path, size: tuple[int, int], color: bool) -> np.ndarray:
    """Return the values of an image in [0, 1], of shape (h, w) or (h, w, 3); transparent pixels are white."""
    from PIL import Image, ImageOps

    with _open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits
            image = Image.fromarray(np.asarray(image, np.float32) / 257)
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB" if color else "L" if image.mode != "F" else "F")
        if image.size != size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        return np.clip(np.asarray(image, np.float32) / 255, 0, 1)


def _one_size(
    sizes: Counter, heads: dict[Path, tuple[tuple[int, int], str]], folder: Path, options: ReadOptions
) -> tuple[int, int]:
    """Return the height and width of all images."""
    if options.size is not None:
        return (options.size, options.size) if isinstance(options.size, int) else options.size
    if len(sizes) == 1:
        return next(iter(sizes))
    (usual, count), *_ = sizes.most_common()
    other = next(path for path, (size, _) in heads.items() if size != usual)
    height, width = heads[other][0]
    raise ValueError(
        f"{folder} has images of {len(sizes)} sizes: {count} of {len(heads)} have {usual[1]} x {usual[0]} pixels, but "
        f"{other.name} has {width} x {height}. Resize them by giving one size in ReadOptions.size."
    )


def _check_damaged(damaged: dict[Path, str], paths: list[Path], options: ReadOptions) -> None:
    if damaged and options.missing != "drop":
        path, reason = next(iter(damaged.items()))
        raise ValueError(
            f'{path} is not a valid PNG or JPEG image ({reason}): replace it, or leave it out by ReadOptions(missing="drop").'
        )
    if len(damaged) == len(paths):
        raise ValueError(f"{paths[0].parent} has only damaged images ({_shown(damaged)}): replace them.")


def _shown(damaged: dict[Path, str]) -> str:
    names = [path.name for path in damaged]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
