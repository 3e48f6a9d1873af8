"""Calls that neither have the right answer nor raise an error of jaxlle's own, and why that is right."""

from typing import NamedTuple


class Documented(NamedTuple):
    """Changes of an argument that need no right answer.

    Attributes:
        function: the name of a function, or the beginning of the names of several.
        path: of the argument, or of the arguments that contain it; empty for all arguments.
        changes: names of changes; empty for all.
        reason: why.
    """

    function: str
    path: tuple
    changes: tuple
    reason: str


_SPARSE = "sparse points are accepted, and give the answer of the dense ones: tests/neighbors/test_sparse.py"

DOCUMENTED = (
    Documented("distances.", (), (), "metrics are evaluated inside the search, on pairs of rows that were validated"),
    Documented(
        "derivatives.subspace", (), (), "a rule of differentiation: it returns its arguments, and is called by `embed`"
    ),
    Documented(
        "neighbors.as_neighbors",
        ("indices",),
        ("a negative number", "the smallest integer"),
        "negative indices mean that there is no neighbor, as in the results of faiss",
    ),
    Documented("variants.lle", ("x",), ("a sparse matrix",), _SPARSE),
    Documented("weights.local_condition", ("x",), ("a sparse matrix",), _SPARSE),
    Documented("extension.training_residuals", ("x",), ("a sparse matrix",), _SPARSE),
    Documented("plot.explanation", ("count",), ("zero",), "no neighbors are shown, only the point and its outputs"),
    Documented("choosing.choose", (), ("one number",), "one k or one reg is a grid of one"),
    Documented("semisupervised.propagate", ("trust",), ("one number",), "one trust is that of all known points"),
    Documented("semisupervised.align", ("trust",), ("one number",), "one trust is that of all pairs"),
    Documented(
        "losses.probability_lle_loss", (), ("minus infinity",), "a logit of minus infinity is the probability 0"
    ),
)
