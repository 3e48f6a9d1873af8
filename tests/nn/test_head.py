"""The orthonormal head: white outputs, its derivative, degenerate features, several devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxlle.nn import OrthonormalHead


def correlated(rows=200):
    y = np.random.default_rng(0).normal(size=(rows, 3)) @ np.array([[3, 1, 0], [0, 0.1, 2], [0, 0, 0.5]]) + 50
    return jnp.asarray(y, jnp.float32)


@pytest.mark.slow
def test_the_head_whitens_and_computes_the_same_function_in_evaluation():
    head, y = OrthonormalHead(3, eps=1e-7), correlated()
    z = head(y)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(3), atol=2e-2)
    for _ in range(30):
        trained = head(y)
    head.eval()
    np.testing.assert_allclose(head(y), trained, atol=1e-4)
    np.testing.assert_allclose(head(y[:2]), trained[:2], atol=1e-4)  # each output depends on its own row only
    head.train()
    head(y + 1)  # after many steps the running mean moves by 1 - momentum of the difference
    np.testing.assert_allclose(head.mean[...] - y.mean(axis=0), 0.1, atol=1e-3)


@pytest.mark.slow
def test_the_gradient_with_respect_to_the_scale_of_the_features_is_zero():
    graph, state = nnx.split(OrthonormalHead(3))

    def loss(scale):
        z = nnx.merge(graph, state, copy=True)(scale * correlated())
        return jnp.mean(jnp.abs(z[1:] - z[:-1]) ** 2)

    value, slope = jax.value_and_grad(loss)(1.0)
    assert abs(slope) < 1e-3 * value


def test_the_gradient_does_not_favor_features_that_grow_faster_than_the_running_averages():
    head = OrthonormalHead(3, momentum=0.99)
    for _ in range(100):
        head(correlated())
    graph, state = nnx.split(head)

    def loss(stretch):  # whitening by the statistics of the batch is invariant to linear maps of its features
        z = nnx.merge(graph, state, copy=True)(correlated() @ (2 * jnp.eye(3) + stretch))
        return jnp.mean(jnp.sum((z[1:] - z[:-1]) ** 2, axis=1))

    value, slope = jax.value_and_grad(loss)(jnp.zeros((3, 3)))
    assert np.abs(np.trace(slope)) < 1e-2 * value


@pytest.mark.parametrize("degrade", [lambda y: 0 * y, lambda y: y.at[:, 1].set(y[:, 0]), lambda y: y.at[:, 2].set(7.0)])
def test_constant_and_repeated_features_have_finite_values_and_gradients(degrade):
    graph, state = nnx.split(OrthonormalHead(3))

    def loss(y):
        return jnp.sum(nnx.merge(graph, state, copy=True)(y) ** 3)

    with jax.debug_nans(True):
        value, grad = jax.value_and_grad(loss)(degrade(correlated()))
    assert np.isfinite(value)
    assert np.isfinite(grad).all()


@pytest.mark.slow
def test_devices_share_the_statistics_of_the_head():
    graph, state = nnx.split(OrthonormalHead(3, axis_name="devices"))
    y = correlated()
    parts = jax.vmap(lambda a: nnx.merge(graph, state, copy=True)(a), axis_name="devices")(y.reshape(4, 50, 3))
    np.testing.assert_allclose(parts.reshape(200, 3), OrthonormalHead(3)(y), atol=1e-3)


def test_a_small_batch_and_another_width_raise():
    with pytest.raises(ValueError, match="cannot span 3 features"):
        OrthonormalHead(3)(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="whitens 3 features"):
        OrthonormalHead(3)(jnp.ones((9, 2)))
