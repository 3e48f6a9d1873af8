"""The losses in several frameworks: Flax Linen, Equinox, and arrays without a framework."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxlle
from jaxlle import losses


@pytest.fixture(scope="module")
def ring():
    """Return an ellipse in space."""
    t = 2 * np.pi * (np.arange(64) + 0.2 * np.random.default_rng(0).random(64)) / 64
    return np.stack([2 * np.cos(t), np.sin(t), np.sin(t) + np.cos(t)], axis=1).astype(np.float32)


def descend(loss, params):
    """Take steps of Adam, as in any framework of pure functions; return the values of the loss."""
    optimizer = optax.adam(3e-2)

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    state, values = optimizer.init(params), []
    for _ in range(40):
        params, state, value = step(params, state)
        values.append(float(value))
    return values


def cost_of(ring, function):
    neighbors = jaxlle.knn(ring, 6)
    weights = jaxlle.barycentric_weights(ring, neighbors)

    def loss(params):
        y = function(params, jnp.asarray(ring))
        return losses.lle_loss(y, y[neighbors.indices], weights) + losses.log_det_penalty(y)

    return loss


def test_linen_uses_the_same_losses(ring):
    from flax import linen

    model = linen.Dense(2)
    values = descend(cost_of(ring, model.apply), model.init(jax.random.key(0), ring))
    assert values[-1] < 0.5 * values[0]


def test_equinox_uses_the_same_losses(ring):
    equinox = pytest.importorskip("equinox")
    params, static = equinox.partition(equinox.nn.Linear(3, 2, key=jax.random.key(0)), equinox.is_array)
    values = descend(cost_of(ring, lambda p, x: jax.vmap(equinox.combine(p, static))(x)), params)
    assert values[-1] < 0.5 * values[0]


def test_arrays_without_a_framework_use_the_same_losses(ring):
    values = descend(cost_of(ring, lambda p, x: x @ p["w"]), {"w": 0.1 * jax.random.normal(jax.random.key(0), (3, 2))})
    assert values[-1] < 0.5 * values[0]
