r"""The operator of every variant: one small linear map for each neighborhood, stored as a sparse matrix.

The block of point i acts on the m members of its neighborhood,

$$(B y)_i = \text{block}_i \; y_{N_i}, \qquad \lVert B Y \rVert^2 = \operatorname{tr}(Y^\top M Y), \quad M = B^\top B .$$

In LLE a block is the row $[1, -w_i]$, so $B = I - W$. Other variants have several rows per block. The matrix $M$ is never
formed, because it has the squared condition number of $B$, which in float32 leaves no correct digits.

| name | purpose |
| --- | --- |
| `Alignment` | indices and blocks; products with B and its transpose; conversion to dense and SciPy sparse form |
| `PreparedAlignment` | an alignment with its entries also sorted by column, for many products |
| `weights_alignment` | the alignment I - W of given weights |
| `laplacian_alignment` | the graph Laplacian in the same form, for comparison |
| `connected_components`, `Components` | the connected components of the graph |
| `graph_width` | an estimate of the size of sparse factors, from which a solver is selected |

The alignments of the variants, such as `jaxlle.lle_alignment`, are in `jaxlle.variants`.
"""

from .._core.calls import explain_calls
from .connectivity import Components, connected_components, graph_width
from .laplacian import laplacian_alignment
from .operator import Alignment, PreparedAlignment, weights_alignment

__all__ = [
    "Alignment",
    "Components",
    "PreparedAlignment",
    "connected_components",
    "graph_width",
    "laplacian_alignment",
    "weights_alignment",
]

explain_calls(__name__)
