"""Drawings of embeddings, aligned sets, neighbor graphs, spectra, grids, diagnoses and explanations, with Matplotlib.

The functions that draw one panel take `ax` and return it; the others return a figure. Panels have no frame, classes are labeled
where they lie, and figures made here have 200 dots per inch (pass `dpi=200` to `savefig` for figures of your own). The colors
are shared: `PALETTE` for classes and lines, viridis for continuous values, red and blue for positive and negative values.
"""

from .._core.calls import explain_calls
from . import _style
from .interactive import interactive
from .pointwise import diagnostic, summary
from .results import diagnosis, explanation, grid, spectrum
from .scatter import embedding, neighbor_graph, pairs

PALETTE = _style.PALETTE
"""Ten colors of classes and lines, in order; they differ in lightness and for each common kind of color blindness."""

__all__ = [
    "PALETTE",
    "diagnosis",
    "diagnostic",
    "embedding",
    "explanation",
    "grid",
    "interactive",
    "neighbor_graph",
    "pairs",
    "spectrum",
    "summary",
]

explain_calls(__name__)
