"""Guided LLE: compared with a dense eigenproblem, over the range of the guidance, and for every form of labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import jaxlle
from jaxlle.metrics import subspace_angle


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(90, 4))
    return x, (x[:, 0] + x[:, 1] ** 2 > 0.5).astype(int)


def label_kernel(labels):
    h = np.eye(len(labels)) - 1 / len(labels)
    k = h @ (labels[:, None] == labels[None, :]) @ h
    return k / np.linalg.norm(k, 2)


@pytest.mark.slow
def test_with_all_modes_the_embedding_spans_the_bottom_eigenvectors_of_the_guided_matrix(x64, data):
    x, labels = data
    alignment = jaxlle.lle_alignment(x, k=8)
    b = np.asarray(alignment.to_dense())
    plain = jaxlle.embed(alignment, 2)
    guided = 0.7 * b.T @ b - 0.3 * float(plain.singular_values[1]) ** 2 * label_kernel(labels)
    centered = scipy.linalg.null_space(np.ones((1, 90)))
    values, vectors = scipy.linalg.eigh(centered.T @ guided @ centered)
    out = jaxlle.variants.guided_embed(alignment, labels, 2, guidance=0.3, modes=89)
    assert subspace_angle(out.embedding.points, centered @ vectors[:, :2]) < 1e-6
    y = np.asarray(out.embedding.points)
    np.testing.assert_allclose(np.diag(y.T @ guided @ y), values[:2], atol=1e-12)
    np.testing.assert_allclose(out.dependence, np.diag(y.T @ label_kernel(labels) @ y), atol=1e-10)
    np.testing.assert_allclose(out.embedding.singular_values, np.linalg.norm(b @ y, axis=0), rtol=1e-8)
    assert (out.embedding.residuals < 1e-8).all()
    few = jaxlle.variants.guided_embed(alignment, labels, 2, guidance=0.3, modes=20)
    left = guided @ np.asarray(few.embedding.points)
    theta = np.einsum("nc,nc->c", left, few.embedding.points)
    np.testing.assert_allclose(
        few.embedding.residuals, np.linalg.norm(left - theta * np.asarray(few.embedding.points), axis=0), rtol=1e-6
    )


@pytest.mark.slow
def test_stronger_guidance_increases_both_dependence_and_cost(data):
    x, labels = data[0].astype(np.float32), data[1]
    outs = [jaxlle.variants.guided_lle(x, labels, 2, k=8, guidance=g) for g in (0.0, 0.5, 0.95)]
    assert subspace_angle(outs[0].embedding.points, jaxlle.lle(x, 2, k=8).points) < 1e-2
    shares = [float(out.dependence.sum()) for out in outs]
    costs = [float((out.embedding.singular_values**2).sum()) for out in outs]
    assert shares == sorted(shares)
    assert costs == sorted(costs)
    accuracy = [jaxlle.metrics.label_accuracy(out.embedding.points, labels, k=5) for out in outs]
    assert accuracy[2] > accuracy[0]


@pytest.mark.slow
def test_labels_are_names_features_or_missing(x64, data):
    x, labels = data
    alignment = jaxlle.lle_alignment(x, k=8)
    base = jaxlle.variants.guided_embed(alignment, labels, 2)
    names = jaxlle.variants.guided_embed(alignment, np.array(["no", "yes"])[labels], 2)
    np.testing.assert_allclose(names.embedding.points, base.embedding.points, atol=1e-12)
    one_hot = jaxlle.variants.guided_embed(alignment, np.eye(2)[labels], 2)
    np.testing.assert_allclose(one_hot.embedding.points, base.embedding.points, atol=1e-9)
    target = jaxlle.variants.guided_embed(alignment, 7 * x[:, :1] + 3, 2, guidance=0.9)
    assert target.dependence[0] > 0.5  # regression: the first column depends on the target
    some = jaxlle.variants.guided_embed(alignment, np.where(np.arange(90) < 60, labels, -1), 2, guidance=0.9)
    assert some.dependence[0] > jaxlle.variants.guided_embed(alignment, labels, 2, guidance=0.0).dependence[0]


@pytest.mark.slow
def test_guided_lle_runs_under_jit_and_vmap_in_float32(data):
    x, labels = jnp.asarray(data[0], jnp.float32), data[1]

    def fit(g):
        return jaxlle.variants.guided_lle(x, labels, 2, k=8, guidance=g)

    many = jax.jit(jax.vmap(fit))(jnp.array([0.2, 0.6]))
    assert many.embedding.points.dtype == jnp.float32
    for g, y in zip((0.2, 0.6), many.embedding.points, strict=True):
        assert subspace_angle(y, fit(g).embedding.points) < 1e-2


def test_invalid_arguments_of_guided_lle_raise(data):
    x, labels = data[0].astype(np.float32), data[1]
    for g in (-0.1, 1.0):
        with pytest.raises(ValueError, match="guidance = "):
            jaxlle.variants.guided_lle(x, labels, 2, k=8, guidance=g)
    with pytest.raises(ValueError, match="modes = 1"):
        jaxlle.variants.guided_embed(jaxlle.lle_alignment(x, k=8), labels, 2, modes=1)
    with pytest.raises(ValueError, match="labels contains NaN"):
        jaxlle.variants.guided_lle(x, np.full((90, 1), np.nan, np.float32), 2, k=8)
