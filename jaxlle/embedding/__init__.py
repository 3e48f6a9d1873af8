r"""Stage 3: the embedding, from the bottom singular vectors of an alignment.

$$\min_Y \lVert B Y \rVert^2 \quad \text{subject to} \quad Y^\top Y = I, \quad 1^\top Y = 0$$

(Roweis and Saul 2000, equation 2). The columns of Y are the right singular vectors of B with the smallest singular values
beyond that of the constant vector. An `Embedding` also contains the singular values, the residuals, the gap to the next
singular value, the number of connected components and the convergence of the solver, and outside `jit` a warning names the
cause of an unreliable result.

| function | purpose |
| --- | --- |
| `embed` | embed the points of an alignment |
| `EmbedOptions` | scaling, disconnected graphs, duplicates, random key and block size, for `embed` and all variants |
| `embed_components` | embed each connected component separately |
| `diagnose` | a `Diagnosis` of an embedding, as numbers, text and figure |
| `isometric_map` | a linear map that gives an embedding the distances of the data |

`DisconnectedGraphError` is raised for a disconnected graph if the options require a connected one. Embeddings are
differentiable as subspaces; see `jaxlle.derivatives`. The solvers are in `jaxlle.solvers`.
"""

from .._core.calls import explain_calls
from .diagnosis import Diagnosis, diagnose
from .embed import DisconnectedGraphError, Embedding, EmbedOptions, embed, embed_components
from .isometry import isometric_map

__all__ = [
    "Diagnosis",
    "DisconnectedGraphError",
    "EmbedOptions",
    "Embedding",
    "diagnose",
    "embed",
    "embed_components",
    "isometric_map",
]

explain_calls(__name__)
