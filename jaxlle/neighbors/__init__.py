r"""Stage 1: the neighborhood of every point.

For points $x_1, \dots, x_n$ the stage returns the indices and the distances of the k nearest other points,

$$N_i = \operatorname{arg\,min}_{J \not\ni i,\ |J| = k} \sum_{j \in J} d(x_i, x_j),$$

as `Neighbors(indices[n, k], distances[n, k], mask[n, k])`. A point is never its own neighbor, by index, and ties are ordered by
index. Euclidean and cosine neighbors are selected by matrix products with a bound on the rounding error and measured again by
differences, so they are exact at any offset and scale of the data. `knn` and `jaxlle.barycentric_weights` also accept sparse
matrices of SciPy, which are never made dense.

| function | neighborhoods |
| --- | --- |
| `knn` | the k nearest points, for the metrics euclidean, cosine, manhattan, chebyshev, precomputed, or any JAX function |
| `radius_neighbors` | all points within a radius |
| `local_neighborhoods` | a number of neighbors for each point, smaller where the data bend |
| `approximate_knn` | approximate neighbors, as `ApproximateNeighbors` with the measured recall |
| `InvertedFile`, `NearestNeighborDescent`, `ApproxMinK` | its methods: on any device, on the host, and for TPUs |
| `as_neighbors` | a graph from faiss, pynndescent, cuVS or scikit-learn, after validation |
| `save`, `load` | a graph in a file |
| `prepare_points`, `Points` | points, validated, centered and scaled once; every stage accepts them in place of an array |

The selection criterion of `local_neighborhoods` is a definition of this library, because the texts of the papers on it were not
available; see its documentation. Neighborhoods that depend on labels, on geodesic or on deformed distances are in
`jaxlle.variants`, and the connectivity of a graph in `jaxlle.alignment`.
"""

from .._core.calls import explain_calls
from .._core.points import Points, prepare_points
from .approx_min_k import ApproxMinK
from .approximate import ApproximateNeighbors, approximate_knn
from .descent import NearestNeighborDescent
from .exact import knn
from .graph import Neighbors, as_neighbors, load, save
from .inverted_file import InvertedFile
from .local import local_neighborhoods
from .radius import radius_neighbors

__all__ = [
    "ApproxMinK",
    "ApproximateNeighbors",
    "InvertedFile",
    "NearestNeighborDescent",
    "Neighbors",
    "Points",
    "approximate_knn",
    "as_neighbors",
    "knn",
    "load",
    "local_neighborhoods",
    "prepare_points",
    "radius_neighbors",
    "save",
]

explain_calls(__name__)
