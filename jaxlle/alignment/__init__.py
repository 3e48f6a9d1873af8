"""The sparse operator that carries every variant, and the connectivity of its graph."""

from .connectivity import Components, connected_components, graph_width
from .operator import Alignment, PreparedAlignment, weights_alignment

__all__ = [
    "Alignment",
    "Components",
    "PreparedAlignment",
    "connected_components",
    "graph_width",
    "weights_alignment",
]
