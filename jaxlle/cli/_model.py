"""Models in files: the out-of-sample map of an embedding, with what is needed to read new data and to compare them.

The file is one of `jaxlle.serving.save_map` with further entries, so that `jaxlle.serving.load_map` reads it in Python.
"""

import argparse
import math
from pathlib import Path
from typing import Any, NamedTuple

from ._methods import METHODS
from ._outputs import check_output
from ._pipeline import Result

LEVEL = 0.99  # quantile of the training residuals above which a row is outside
_FAR = (
    2  # a share of 1 - LEVEL is outside without drift, and a row far away has a residual that is several times as large
)
_ENTRY = "data"  # of the header
_SCALING = ("scaling/shift", "scaling/factor")
_RESIDUALS = "drift/residuals"
_PROJECTION = "projection/"
_WORDS, _WEIGHTS = "documents/words", "documents/weights"
_SCALINGS = ("standard", "robust", "unit")


class Model(NamedTuple):
    """A model of `jaxlle embed --save`, or a map of `jaxlle.serving.save_map`.

    Attributes:
        known: the out-of-sample map.
        method: the method of the embedding, or None if the file does not name it.
        columns: names of the columns of the table that are the features, or of the column of documents, or None.
        image_shape: shape of an image if the points are images, or None.
        scaling: the scaling of the columns, or None.
        residuals: the training residuals, shape (n,), or None if the file has none.
        projection: the linear map, for a method that has one.
        vocabulary: the words of documents, or None.
    """

    known: Any
    method: str | None
    columns: tuple[str, ...] | None
    image_shape: tuple[int, ...] | None
    scaling: Any
    residuals: Any
    projection: Any
    vocabulary: Any

    @property
    def wide(self) -> bool:
        """Return whether the embedding is of dtype float64."""
        return self.known.embedding.dtype.itemsize == 8

    def transform(self, points: Any) -> Any:
        """Embed new points by the linear map, if there is one, or by the weights of their neighbors."""
        return self.known(points) if self.projection is None else self.projection.transform(points)

    def drift(self, points: Any) -> tuple[Any, Any]:
        """Compare new points with the data of the model.

        Returns:
            The `extension.Drift`, and whether each residual is more than `_FAR` times as large as 99 % of the training residuals.
        """
        import numpy as np

        from ..extension import drift, training_residuals

        known, reference = self.known, self.residuals
        bank = _prepare(known)
        if reference is None:
            reference = training_residuals(bank, known.k, reg=known.reg)
        found = drift(points, bank, known.k, level=LEVEL, reg=known.reg, reference=reference)
        return found, np.asarray(found.residuals) > _FAR * np.quantile(reference, LEVEL)


def check_save(args: argparse.Namespace) -> None:
    """Raise before the computation if the result has no map of new points."""
    if args.save is None:
        return
    check_output(args.save, (".npz",), "--save", args.data)
    if args.out is not None and args.out.resolve() == args.save.resolve():
        raise ValueError(f"--out and --save are both {args.out}: choose another name for one of them.")
    if args.metric == "precomputed":
        raise ValueError(
            "--save needs points, because new points are compared with them: --metric precomputed has none."
        )
    if args.components == "separate":
        raise ValueError("--save needs one embedding: use --components largest in place of separate.")


def save_model(path: Path, args: argparse.Namespace, data: Any, result: Result) -> None:
    """Save the map of new points with the columns and the scaling of the data, and the training residuals."""
    import numpy as np

    from ..extension import training_residuals
    from ..serving import maps

    k = int(result.neighbors.indices.shape[1])
    known = maps.OutOfSampleMap(data.points, result.embeddings[0], k, args.reg, metric=args.metric)
    arrays: dict[str, Any] = {_RESIDUALS: training_residuals(_prepare(known), k, reg=args.reg)}
    if data.vocabulary is not None:
        arrays[_WORDS] = np.frombuffer("\n".join(data.vocabulary.words).encode(), np.uint8)
        arrays[_WEIGHTS] = data.vocabulary.weights
    if data.scaling is not None:
        arrays |= dict(zip(_SCALING, data.scaling[1:], strict=True))
    if result.projection is not None:
        arrays |= {_PROJECTION + name: np.asarray(value) for name, value in result.projection._asdict().items()}
    description = {
        "method": args.method,
        "columns": None if data.columns is None else list(data.columns),
        "image_shape": None if data.image_shape is None else list(map(int, data.image_shape)),
        "scaling": None if data.scaling is None else data.scaling.kind,
    }
    maps.write_map(path, known, arrays, {_ENTRY: description})


def _prepare(known: Any) -> Any:
    """Return the prepared points of a map."""
    from .._core.points import prepare_points
    from .._core.sparse import is_sparse, prepare_sparse

    return (prepare_sparse if is_sparse(known.points) else prepare_points)(known.points, metric=known.metric)


def load_model(path: Path) -> Model:
    """Load and validate a model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, holds no out-of-sample map, was changed after it was written, needs a later version
            of jaxlle, or its entries do not match.
    """
    from ..serving import maps
    from ..variants.linear import LinearMap

    fields = [_PROJECTION + name for name in LinearMap._fields]
    known, header, arrays = maps.read_map(path, [*_SCALING, _RESIDUALS, _WORDS, _WEIGHTS, *fields])
    described = header.get(_ENTRY, {})
    try:
        if not isinstance(described, dict):
            raise ValueError("its description is not a dictionary")
        vocabulary = _vocabulary(arrays, known.points.shape[1])
        linear = [arrays[name] for name in fields if name in arrays]
        return Model(
            known,
            _method(described.get("method")),
            _columns(described.get("columns"), known.points.shape[1] if vocabulary is None else 1),
            _image_shape(described.get("image_shape"), known.points.shape[1]),
            _scaling(described.get("scaling"), arrays, known.points.shape[1]),
            _residuals(arrays.get(_RESIDUALS), known.points.shape[0]),
            _projection(linear, (known.points.shape[1], known.embedding.shape[1])),
            vocabulary,
        )
    except ValueError as error:
        raise ValueError(f"{path} holds no valid model: {error}. Save it again by jaxlle embed --save.") from error


def _method(name: Any) -> str | None:
    if name is not None and name not in METHODS:
        raise ValueError(f"its method {name!r} is not known")
    return name


def _columns(names: Any, features: int) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not isinstance(names, list) or len(names) != features or not all(isinstance(name, str) for name in names):
        raise ValueError(f"it does not name {features} column{'s' if features > 1 else ''} as its features")
    return tuple(names)


def _image_shape(sides: Any, features: int) -> tuple[int, ...] | None:
    if sides is None:
        return None
    valid = isinstance(sides, list) and len(sides) in (2, 3) and all(isinstance(s, int) and s > 0 for s in sides)
    if not valid or math.prod(sides) != features:
        raise ValueError(f"{sides!r} is not the shape of images of {features} values")
    return tuple(sides)


def _scaling(kind: Any, arrays: dict[str, Any], features: int) -> Any:
    import numpy as np

    from ..datasets import Scaling

    if kind is None:
        return None
    shift, factor = (_numbers(arrays.get(name), (features,), name) for name in _SCALING)
    if kind not in _SCALINGS or not np.all(factor > 0):
        raise ValueError(f"the scaling {kind!r} is not known, or does not have positive factors")
    return Scaling(kind, shift, factor)


def _residuals(values: Any, rows: int) -> Any:
    return None if values is None else _numbers(values, (rows,), "training residuals")


def _projection(fields: list[Any], shape: tuple[int, int]) -> Any:
    from ..variants.linear import LinearMap

    if not fields:
        return None
    shapes = (shape, shape[:1], (), shape[1:], shape[1:])
    if len(fields) != len(shapes):
        raise ValueError("its linear map is not complete")
    return LinearMap(*(_numbers(a, s, "linear map") for a, s in zip(fields, shapes, strict=True)))


def _vocabulary(arrays: dict[str, Any], features: int) -> Any:
    import numpy as np

    from ..datasets import Vocabulary

    words = arrays.get(_WORDS)
    if words is None:
        return None
    weights = _numbers(arrays.get(_WEIGHTS), (features,), "weights of words")
    try:
        found = np.array(bytes(words).decode().split("\n"))
    except UnicodeDecodeError:
        found = np.array([""])
    if len(found) != features or len(set(found.tolist())) < features:
        raise ValueError(f"it does not have a different word for each of {features} features")
    return Vocabulary(found, weights)


def _numbers(values: Any, shape: tuple[int, ...], name: str) -> Any:
    """Return finite numbers of a shape; raise if they are not."""
    import numpy as np

    if values is None or values.shape != shape or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise ValueError(f"the {name} are not finite numbers of shape {shape}")
    return values
