r"""The variants of locally linear embedding. Each makes an alignment; solvers, derivatives, losses and extensions are shared.

Every variant gives each neighborhood a block that is zero on functions that the variant regards as flat, and embeds by the
bottom singular vectors of all blocks:

$$\min_Y \sum_i \lVert \text{block}_i \, Y_{N_i} \rVert^2 \quad \text{subject to} \quad Y^\top Y = I, \quad 1^\top Y = 0 .$$

# Variants and the origin of their equations

Equations are those of the cited paper unless the last column states another source. Where the text of a paper was not
available, the equations are taken from public code or are a definition of this library.

| variant | functions | origin |
| --- | --- | --- |
| LLE | `lle`, `lle_alignment` | Roweis and Saul (2000), Science 290:2323 |
| LLE from distances | `jaxlle.weights.distance_weights`; `lle(..., metric="precomputed")` | Saul and Roweis (2003), JMLR 4:119, section 4.1 |
| modified LLE; it uses `reg` | `modified_lle`, `modified_alignment` | Zhang and Wang (2006), NIPS 19:1593 |
| Hessian LLE, in any dimension | `hessian_lle`, `hessian_alignment` | Donoho and Grimes (2003), PNAS 100:5591 |
| local tangent space alignment | `ltsa`, `ltsa_alignment` | Zhang and Zha (2004), SIAM J. Sci. Comput. 26:313 |
| LDR-LLE: weights in local tangent coordinates, without a ridge | `ldr_lle`, `ldr_alignment` | Goldberg and Ritov (2008), Machine Learning 77:1, from memory; verified as the limit of a vanishing ridge |
| kernel LLE, and user-defined metrics; differentiable in their parameters | `kernel_lle`, `kernel_alignment`, `jaxlle.weights.kernel_weights`, `jaxlle.weights.metric_weights` | DeCoste (2001); Zhao and Zhang (2012) |
| linear maps NPE, LLTSA, ONPP | `npe`, `lltsa`, `onpp`, `linear_projection`, `orthogonal_projection`, `LinearMap` | He, Cai, Yan and Zhang (2005), ICCV; Zhang, Yang, Zhao and Ge (2007), Neurocomputing 70:1547; Kokiopoulou and Saad (2007), IEEE TPAMI 29:2143 |
| linear map of the founding article | `reconstruction_map` | the objective of the article, in closed form by reduced-rank regression (Izenman 1975) |
| discriminant linear map, by class means or by pairs of different classes | `discriminant_projection` | definition of this library, after Li, Lin, Yan and Xu (2008) |
| supervised LLE: by classes, or by class probabilities, with some points unlabeled | `supervised_lle`, `supervised_neighbors`, `Shift` | de Ridder and Duin (2002), verified in public code; for probabilities a definition of this library, after Zhao and Zhang (2009) |
| enhanced supervised LLE | `supervised_lle` with `Warp` | Zhang (2009), Pattern Recognition Letters 30:1208, verified in public code |
| LLE guided by labels (HSIC) | `guided_lle`, `guided_embed`, `GuidedEmbedding` | criterion of Barshan et al. (2011), read in the authors' code; the weighting of the two terms is a definition of this library, with the aim of Alipanahi and Ghodsi (2011) |
| semi-supervised LLE: coordinates, targets or classes of some points are known | `jaxlle.semisupervised.propagate` with the alignment of any variant | Yang, Fu, Zha and Barlow (2006), ICML; derived here and verified in public code |
| different data sets, of which some points are known to correspond | `jaxlle.semisupervised.align` with alignments of any variant | Ham, Lee and Saul (2005), AISTATS; Wang and Mahadevan (2009), AAAI Fall Symposium; both cited from memory, and tested against dense eigenproblems |
| robust LLE | `robust_lle`, `reliability` | Chang and Yeung (2006), Pattern Recognition 39:1053, verified in public code |
| weighted LLE | `weighted_alignment` | the cost of Chang and Yeung (2006); Mekuz, Bauckhage and Tsotsos (2005) was not available |
| convex weights | `jaxlle.weights.simplex_weights` | Saul and Roweis (2003) |
| deformed distances | `deformed_neighbors` | moments derived here, after Zhou and Chen (2006) and Pan, Ge and Al Mamun (2009) |
| locally linear landmarks | `landmark_lle`, `landmark_embed`, `LandmarkEmbedding` | Vladymyrov and Carreira-Perpinan (2013), ECML PKDD, equations 3 to 5 |
| Nystrom extension of landmarks | `nystrom_lle` | Bengio et al. (2004), NIPS 16, section 3.4 |
| incremental LLE | `incremental_lle`, `add_points`, `refit`, `IncrementalEmbedding` | after a summary of Kouropteva, Okun and Pietikainen (2005), whose problem the least squares solve where the added points do not lower the cost |
| iterative LLE | `iterative_lle`, `IterativeEmbedding` | after a summary of Kong, Ding, Huang and Nie (2012), ICML; its documentation lists the differences |
| ISOLLE: neighbors by geodesic distance | `isolle`, `geodesic_neighbors` | Varini, Degenhard and Nattkemper (2006), Neurocomputing 69:1768, verified in public code |
| generative LLE: random weights, and the spread of the embedding under them | `generative_lle`, `weight_posterior`, `WeightPosterior`, `GenerativeEmbedding` | Ghojogh, Ghodsi, Karray and Crowley (2021), arXiv 2104.01525; its documentation lists the differences |
| several views of the same points: averaged weights | `multiview_lle`, `average_alignments` | Rodosthenous, Shahrezaei and Evangelou (2024), PeerJ Computer Science 10:e1993, read in the authors' code |
| several views: joint features, or added costs | `fuse_views`, `stack_alignments` | definition of this library; Sun et al. (2009) was not available |

# Transformations

Data sets, `reg` and keys can be batched. This call embeds 64 data sets of 200 points:

    >>> import jax, jax.numpy as jnp, jaxlle
    >>> many = jax.vmap(lambda key: jaxlle.datasets.swiss_roll(key, 200).points)(jax.random.split(jax.random.key(0), 64))
    >>> jax.vmap(lambda x: jaxlle.lle(x, 2, k=12).points)(many).shape
    (64, 200, 2)

Embeddings are differentiable as subspaces (`jaxlle.derivatives`), and targets propagated by `jaxlle.semisupervised` as they are; the tests
compare the derivatives of every variant with finite differences. Landmark and incremental embeddings raise instead. A function
of an embedding that no rotation changes has a gradient:

    >>> def spread(x):
    ...     y = jaxlle.lle(x, 2, k=12).points
    ...     return jnp.sum((y[0] - y[1]) ** 2)
    >>> bool(jnp.isfinite(jax.grad(spread)(many[0])).all())
    True
"""  # noqa: E501

from .._core.calls import explain_calls
from .deformed import deformed_neighbors
from .discriminant import discriminant_projection
from .fusion import average_alignments, fuse_views, multiview_lle, stack_alignments
from .generative import GenerativeEmbedding, WeightPosterior, generative_lle, weight_posterior
from .geodesic import geodesic_neighbors, isolle
from .guided import GuidedEmbedding, guided_embed, guided_lle
from .hessian import hessian_alignment, hessian_lle
from .incremental import IncrementalEmbedding, add_points, incremental_lle, refit
from .iterative import IterativeEmbedding, iterative_lle
from .kernel import kernel_alignment, kernel_lle
from .landmarks import LandmarkEmbedding, landmark_embed, landmark_lle, nystrom_lle
from .linear import (
    LinearMap,
    linear_projection,
    lltsa,
    npe,
    onpp,
    orthogonal_projection,
    reconstruction_map,
)
from .low_dimensional import ldr_alignment, ldr_lle
from .ltsa import ltsa, ltsa_alignment
from .modified import modified_alignment, modified_lle
from .robust import reliability, robust_lle, weighted_alignment
from .standard import lle, lle_alignment
from .supervised import Shift, Warp, supervised_lle, supervised_neighbors

__all__ = [
    "GenerativeEmbedding",
    "GuidedEmbedding",
    "IncrementalEmbedding",
    "IterativeEmbedding",
    "LandmarkEmbedding",
    "LinearMap",
    "Shift",
    "Warp",
    "WeightPosterior",
    "add_points",
    "average_alignments",
    "deformed_neighbors",
    "discriminant_projection",
    "fuse_views",
    "generative_lle",
    "geodesic_neighbors",
    "guided_embed",
    "guided_lle",
    "hessian_alignment",
    "hessian_lle",
    "incremental_lle",
    "isolle",
    "iterative_lle",
    "kernel_alignment",
    "kernel_lle",
    "landmark_embed",
    "landmark_lle",
    "ldr_alignment",
    "ldr_lle",
    "linear_projection",
    "lle",
    "lle_alignment",
    "lltsa",
    "ltsa",
    "ltsa_alignment",
    "modified_alignment",
    "modified_lle",
    "multiview_lle",
    "npe",
    "nystrom_lle",
    "onpp",
    "orthogonal_projection",
    "reconstruction_map",
    "refit",
    "reliability",
    "robust_lle",
    "stack_alignments",
    "supervised_lle",
    "supervised_neighbors",
    "weight_posterior",
    "weighted_alignment",
]

explain_calls(__name__)
