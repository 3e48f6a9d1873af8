"""Maps exported as ONNX models: equal results in ONNX Runtime at any number of rows, and errors for what has no translation."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from flax import nnx
from jax import lax

from jaxlle.nn import ParametricLLE
from jaxlle.regularizers import AbsoluteRidge, CrossValidatedRidge, MeanTraceRidge
from jaxlle.serving import OutOfSampleMap, export_onnx, onnx_models

pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
NEW = np.concatenate([X[:4], RNG.normal(size=(20, 3)).astype(np.float32)])
IMAGES = RNG.normal(size=(9, 64)).astype(np.float32)


def assert_runs_alike(function, x, rows=None):
    """Compare a function in JAX with its export in ONNX Runtime, for one row and for all rows."""
    session = onnxruntime.InferenceSession(
        export_onnx(function, x.shape[1], rows=rows), providers=["CPUExecutionProvider"]
    )
    assert [(given.name, given.shape[1]) for given in session.get_inputs()] == [("x", x.shape[1])]
    for part in (x,) if rows else (x[:1], x):
        (found,) = session.run(["y"], {"x": part})
        known = isinstance(function, OutOfSampleMap)  # the others as one program, instead of one per operation
        expected = np.asarray(function(part) if known else jax.jit(lambda a: function(a))(part))
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


class Convolutional(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(1, 4, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.second = nnx.Conv(4, 4, (2, 2), kernel_dilation=2, feature_group_count=2, padding="VALID", rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x.reshape(-1, 8, 8, 1))))
        x = self.second(nnx.max_pool(x, (2, 2)) + nnx.avg_pool(x, (2, 2), padding="VALID"))
        return self.last(self.dropout(x.reshape(x.shape[0], -1)))


class Transformer(nnx.Module):
    def __init__(self, rngs):
        self.patches = nnx.Conv(1, 8, (4, 4), strides=4, rngs=rngs)
        self.token = nnx.Param(jnp.ones((1, 1, 8)))
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(num_heads=2, in_features=8, rngs=rngs, decode=False)
        self.mlp = nnx.Linear(8, 8, rngs=rngs)

    def __call__(self, x):
        x = self.patches(x.reshape(-1, 8, 8, 1)).reshape(x.shape[0], 4, 8)
        x = jnp.concatenate([jnp.broadcast_to(self.token[...], (x.shape[0], 1, 8)), x], axis=1)
        x = x + self.attention(self.norm(x))
        return (x + nnx.gelu(self.mlp(x)))[:, 0]


def test_a_trained_encoder_gives_the_same_embedding():
    layers = nnx.Linear(3, 16, rngs=nnx.Rngs(0)), nnx.gelu, nnx.Linear(16, 2, rngs=nnx.Rngs(1))
    model = ParametricLLE(nnx.Sequential(*layers), 2, k=6)
    model.fit(X, epochs=1, batch_size=20, progress=False)
    assert_runs_alike(model, NEW)
    model.train()
    with pytest.raises(ValueError, match=r"call model\.eval\(\)"):
        export_onnx(model, 3)


@pytest.mark.parametrize("kind", [Convolutional, Transformer])
def test_convolutions_and_attention_give_the_same_features(kind):
    model = kind(nnx.Rngs(0))
    model.eval()
    assert_runs_alike(model, IMAGES)
    if kind is Convolutional:
        model.train()
        with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
            export_onnx(model, 64)


@pytest.mark.parametrize(
    "metric", ["euclidean", "manhattan", "chebyshev", "cosine", lambda a, b: jnp.abs(a - b).sum() + 1]
)
def test_an_out_of_sample_map_gives_the_same_embedding(metric):
    assert_runs_alike(OutOfSampleMap(X, X[:, :2] ** 2, k=6, reg=1e-2, metric=metric), NEW)


def test_maps_agree_for_many_features_far_queries_and_every_ridge():
    wide = RNG.normal(size=(200, 40)).astype(np.float32)
    known = OutOfSampleMap(wide, wide[:, :2], k=8, reg=1e-2)
    assert_runs_alike(known, np.concatenate([wide[:3], RNG.normal(size=(20, 40)).astype(np.float32), 50 + wide[:2]]))
    assert_runs_alike(OutOfSampleMap(X, X[:, :2], k=3, reg=MeanTraceRidge(1e-2)), NEW)
    assert_runs_alike(OutOfSampleMap(100 * X, X, k=6, reg=AbsoluteRidge(50.0)), 100 * NEW)


def test_a_new_point_that_equals_a_row_keeps_its_embedding_bit_for_bit():
    # The center of the grid, 2^26 + 12, is no number of float32, in which numbers of this size are 8 apart.
    grid = np.stack(np.meshgrid(*[8.0 * np.arange(4)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)
    for metric, x, y in (("euclidean", 2**26 + grid, grid), ("cosine", X + 7, X)):
        session = onnxruntime.InferenceSession(export_onnx(OutOfSampleMap(x, y, k=6, metric=metric), 3))
        np.testing.assert_array_equal(session.run(["y"], {"x": x})[0], y)


ONE_COLUMN = {
    "rounding": lambda a, b, z: (
        jnp.round(jnp.floor(4 * a) + 0.5) + lax.round(jnp.ceil(b) / 2, lax.RoundingMethod.AWAY_FROM_ZERO)
    ),
    "exponentials": lambda a, b, z: jnp.expm1(a) + jnp.log1p(jnp.abs(b)) + jnp.exp2(a) + lax.rsqrt(1 + b**2),
    "activations": lambda a, b, z: (
        jax.nn.elu(a) + jax.nn.softplus(b) + jax.nn.gelu(a, approximate=False) + jax.nn.silu(b)
    ),
    "trigonometry": lambda a, b, z: jnp.sin(a) * jnp.cos(b) + jnp.arctan(a) + jnp.sinh(b) + lax.erfc(a),
    "powers": lambda a, b, z: jnp.abs(a) ** 1.5 + a**3 + jnp.square(b) + jnp.sign(a) * jnp.cbrt(2.0),
    "comparisons": lambda a, b, z: 1.0 * ((a > b) & (b != 0) | ~(a <= 1)) + jnp.where(jnp.isfinite(a / 0), b, a),
    "clipping": lambda a, b, z: jnp.clip(a, -0.5, 0.5) + jnp.minimum(a, b) + jnp.fmod(a, 0.3),
    "statistics": lambda a, b, z: a - z.mean() + z.std(axis=0)[1] + jax.nn.logsumexp(z, axis=1) + z.min(axis=1),
    "reductions": lambda a, b, z: (
        z.prod(axis=1) + z.argmax(axis=1) - z.argmin(axis=1) + (z > 0).all(axis=1) + (z > 1).any(axis=1)
    ),
    "shapes": lambda a, b, z: (
        jnp.cumsum(z, axis=1)[:, 1] + z[:, ::-1][:, 0] + jnp.pad(z, ((0, 0), (1, 2)))[:, 3] + z[:, 0:3:2][:, 1]
    ),
    "rows": lambda a, b, z: (
        jnp.arange(z.shape[0]) / z.shape[0] + jnp.tile(z, (2, 1)).reshape(2, -1, 3).sum(axis=(0, 2))
    ),
    "parts": lambda a, b, z: (
        jnp.split(z, 3, axis=1)[1][:, 0] + jnp.stack([a, b]).max(axis=0) + jnp.linalg.norm(z, axis=1)
    ),
    "lookup": lambda a, b, z: jnp.take(jnp.arange(5.0), (9 * a).astype(int), mode="clip"),
    "filled": lambda a, b, z: jnp.take(jnp.arange(6.0).reshape(3, 2), (3 * a).astype(int), axis=0, fill_value=-7)[:, 1],
    "inner lookup": lambda a, b, z: jnp.take(z[:, :, None] * jnp.arange(2.0), jnp.array([[2, 0]]), axis=1)[:, 0, 1, 1],
    "lookup of columns": lambda a, b, z: jax.vmap(lambda i: jnp.take(jnp.arange(6.0).reshape(2, 3), i, axis=1))(
        z.argmax(axis=1)
    )[:, 1],
    "sorted": lambda a, b, z: jnp.take_along_axis(z, lax.top_k(z, 2)[1], axis=1)[:, 1] - lax.top_k(-z, 3)[0][:, 2],
    "products": lambda a, b, z: (
        jnp.einsum("ni,nj,ij->n", z, z, jnp.eye(3) + 1) + jnp.einsum("ni,mi->nm", z, X[:5]).sum(axis=1)
    ),
}


def test_every_kind_of_operation_gives_the_same_values():
    def columns(z):
        return jnp.stack([function(z[:, 0], z[:, 1], z) for function in ONE_COLUMN.values()], axis=1)

    assert_runs_alike(columns, NEW)


def test_a_fixed_number_of_rows_and_constant_outputs_are_exported():
    assert_runs_alike(lambda z: z.reshape(2, 12, 3).sum(axis=0), NEW, rows=24)
    assert_runs_alike(lambda z: jnp.ones((4, 2)), NEW)
    assert_runs_alike(lambda z: z, NEW)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: jnp.sort(z, axis=1), r"primitive 'sort' of JAX to float32\[rows,3\]"),
        (lambda z: lax.scan(lambda c, a: (c + a, c), z[:, 0], z.T)[0], "primitive 'scan'"),
        (lambda z: jnp.arctan2(z, 2 * z), "primitive 'atan2'"),
        (lambda z: z.astype(int) & 1, "primitive 'and'"),
        (lambda z: z.astype(jnp.bfloat16), "computes in bfloat16, for which"),
        (lambda z: (z, z), "returns 2 arrays"),
        (
            lambda z: jnp.concatenate([z, z[:1]]) * 1.0 + jnp.zeros((z.shape[0] + 1, 1)),
            r"size rows \+ 1, which is no multiple",
        ),
        (lambda z: z if z.shape[0] > 5 else 2 * z, "pass the OutOfSampleMap itself if it is a map"),
        (OutOfSampleMap(X, X, k=6, reg=CrossValidatedRidge(features=3)), "primitive 'cond'|primitive 'eigh'"),
        (OutOfSampleMap(X[:, :2], X, k=6), "3 columns"),
        (OutOfSampleMap(scipy.sparse.csr_array(X), X, k=6), "map of sparse points cannot be exported"),
        (
            OutOfSampleMap(np.ones((60, 60)), X, k=6, metric="precomputed"),
            "map of precomputed distances cannot be exported",
        ),
    ],
)
def test_what_cannot_be_exported_raises_with_the_reason(function, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(function, 3)


def test_models_that_are_too_large_and_a_missing_package_raise(monkeypatch):
    monkeypatch.setattr(onnx_models, "_LARGEST", 100)
    with pytest.raises(ValueError, match="2 GiB that an ONNX file can hold"):
        export_onnx(lambda z: z @ jnp.ones((3, 20)), 3)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'jaxlle\[onnx\]'"):
        export_onnx(lambda z: z, 3)
