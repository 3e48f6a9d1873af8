"""Stage 3: the embedding, from the bottom singular vectors of an alignment."""

from .diagnosis import Diagnosis, diagnose
from .embed import DisconnectedGraphError, Embedding, embed, embed_components
from .isometry import isometric_map

__all__ = [
    "Diagnosis",
    "DisconnectedGraphError",
    "Embedding",
    "diagnose",
    "embed",
    "embed_components",
    "isometric_map",
]
