"""Example arguments of every public function that can be traced, for tests of the programs that it gives."""

import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import Alignment, Neighbors

N, D, K, DIM = 40, 20, 6, 2
RNG = np.random.default_rng(0)


def square(a, b):
    return jnp.sum((a - b) ** 2)


def examples():
    """Return a value for every required parameter of the public functions, by its name."""
    x = RNG.normal(size=(N, D)).astype(np.float32)
    y = RNG.normal(size=(N, DIM)).astype(np.float32)
    ids = (np.arange(N)[:, None] + 1 + np.arange(K)) % N
    neighbors = Neighbors(jnp.asarray(ids, jnp.int32), jnp.ones((N, K)))
    weights = np.full((N, K), 1 / K, np.float32)
    blocks = np.concatenate([np.ones((N, 1, 1), np.float32), -weights[:, None]], axis=2)
    alignment = Alignment(jnp.concatenate([jnp.arange(N)[:, None], neighbors.indices], axis=1), jnp.asarray(blocks))
    around = y[ids]
    scalars = jnp.ones(()), jnp.ones((), jnp.int32), jnp.ones((), bool)
    embedding = jaxlle.embedding.Embedding(jnp.asarray(y), *jnp.ones((2, DIM)), *scalars, jnp.arange(N), "DenseQR")
    arrays = {
        **dict.fromkeys(("x", "points", "x_new", "z", "bank", "truth"), x),
        **dict.fromkeys(("y", "y_new", "vectors", "logits"), y),
        **dict.fromkeys(("y_neighbors", "y_others", "logits_neighbors"), around),
        "a": y,
        "b": y[::-1].copy(),
        "alignment": alignment,
        "alignments": [alignment, alignment],
        "blocks": blocks,
        "cost": np.float32(1),
        "directions": x,
        "distances": np.ones((N, K), np.float32),
        "embedding": embedding,
        "impostors": jaxlle.losses.Impostors(around),
        "gram": np.tile(np.eye(K, dtype=np.float32), (N, 1, 1)),
        "neighbors": neighbors,
        "scores": np.ones(N, np.float32),
        "sigma": np.float32(1),
        "values": np.ones(DIM, np.float32),
        "views": [x, y],
        "weights": weights,
        "x_neighbors": x[ids],
        "y_neighborhoods": np.concatenate([y[:, None], around], axis=1),
    }
    others = {
        "batch_size": 8,
        "count": 5,
        "dim": DIM,
        "function": lambda a: a[:, :DIM] * 2,
        "k": K,
        "k_max": K,
        "k_min": 3,
        "kernel": lambda a, b: jnp.sum(a * b),
        "key": jax.random.key(0),
        "known": np.arange(N),
        "labels": np.arange(N) % 2,
        "linear_solver": jaxlle.derivatives.DenseInverse(),
        "metric": square,
        "n": N,
        "num_landmarks": 20,
        "radius": 1.0,
        "row": 3,
        "solver": jaxlle.solvers.DenseQR(),
    }
    return arrays, others


# Other arguments of single functions: those of the same name mean something else, or the default cannot be traced.
SPECIAL = {
    **{
        f"distances.{name}": {"a": np.ones(D, np.float32), "b": np.zeros(D, np.float32)}
        for name in dir(jaxlle.distances)
    },
    "derivatives.subspace": {"alignment": examples()[0]["alignment"]},
    "extension.inverse_transform": {"y_new": examples()[0]["y"]},
    "losses.reconstruction_loss": {"x": examples()[0]["y"]},
    "neighbors.radius_neighbors": {"max_neighbors": 5},
    "variants.deformed_neighbors": {"pool": 10},
    "semisupervised.align": {"pairs": np.arange(0, N, 8)[:, None].repeat(2, axis=1)},
    "semisupervised.classify": {"known": np.arange(9), "labels": np.arange(9) % 2, "classes": np.arange(2)},
    "semisupervised.leave_one_out": {"known": np.arange(9), "targets": examples()[0]["y"][:9]},
    "semisupervised.propagate": {"known": np.arange(9), "targets": examples()[0]["y"][:9]},
    "weights.distance_weights": {"distances": np.ones((N, N), np.float32)},
}
# These read or write files, draw, train a given network, or run over a mesh (tests/test_sharding.py): the search of the source
# covers them.
OUTSIDE = ("jaxlle.nn.", "jaxlle.plot.", "jaxlle.serving.", "jaxlle.sharding.", "jaxlle.sklearn.", "jaxlle.cli.")
WITHOUT_ARRAYS = {
    "digits",
    "load",
    "mnist",
    "deformed_digits",
    "save",
    "Reduction",
    "Solver",
    "tangent_solver",
    "choose",
}
ON_HOST_VALUES = {
    "add_points",
    "refit",
    "diagnose",
    "connected_components",
    "graph_width",
    "as_neighbors",
    "explain",
    "influence",
}
SKIPPED = WITHOUT_ARRAYS | ON_HOST_VALUES


def public_functions():
    """Yield the names and the public functions of all modules."""
    found = {}
    for info in pkgutil.walk_packages(jaxlle.__path__, "jaxlle."):
        if f"{info.name}.".startswith(OUTSIDE) or any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isfunction(inspect.unwrap(value)) and name not in SKIPPED:
                found.setdefault(value, f"{info.name.removeprefix('jaxlle.')}.{name}")
    return sorted((name, function) for function, name in found.items())


def function_cases(quick):
    """Return the public functions as parameters of a test, slow but for those whose names are in `quick`."""
    return [
        pytest.param(*pair, id=pair[0], marks=() if pair[0] in quick else pytest.mark.slow)
        for pair in public_functions()
    ]


def split_arguments(name, function):
    """Return the example values of the required parameters of a function: the arrays to trace, and the others."""
    arrays, others = examples()
    special = SPECIAL.get(name, {})
    required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    chosen = {p: special[p] if p in special else arrays.get(p, others.get(p)) for p in {*required, *special}}
    traced = {p: value for p, value in chosen.items() if p in arrays and p != "known"}
    return traced, {p: value for p, value in chosen.items() if p not in traced}


def runs_on_the_host(error):
    """Return whether a function says that it cannot be traced."""
    return any(word in str(error) for word in ("jit", "host", "trace"))
