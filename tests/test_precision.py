"""Products that determine a result: at the highest precision in the source of every module and in every traced public function.

A product defaults to TF32 on recent GPUs and to bfloat16 on TPUs, with which neighbors, weights and singular vectors are wrong.
"""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import Alignment, Neighbors

ROOT = Path(jaxlle.__file__).parent
PRODUCTS = {
    *("dot", "vdot", "inner", "matmul", "einsum", "tensordot", "vecdot", "matvec", "vecmat", "multi_dot"),
    *("matrix_power", "convolve", "correlate", "dot_general", "conv_general_dilated", "cov", "corrcoef", "polyval"),
}
DEVICE_MODULES = ("jnp", "jax.numpy", "jnp.linalg", "jax.numpy.linalg", "lax", "jax.lax")
HIGHEST = ("lax.Precision.HIGHEST", "jax.lax.Precision.HIGHEST", "'highest'")
# Functions whose operator @ multiplies NumPy or SciPy matrices. One more is a kernel of sparse matrices for CPUs.
ON_THE_HOST = {
    "_columns.py": {"product"},
    "_factors.py": {"pseudo_inverse", "prescribed_inverse", "project_out_host", "apply", "_is_accurate"},
    "_projection.py": {"plan", "_project", "_basis"},
    "head.py": {"calibrate"},
    "last_layer.py": {"_least_cost", "_least_squares", "_assign"},
    "prescribed.py": {"residual"},
    "sparse.py": {"_lanczos"},
}


def functions_of(tree):
    """Yield every node of a syntax tree with the name of the innermost function that contains it."""

    def visit(node, name):
        name = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else name
        yield node, name
        for child in ast.iter_child_nodes(node):
            yield from visit(child, name)

    return visit(tree, "")


def imprecise(path):
    """Return the products of a file that leave the precision to the device."""
    found, precise = [], set()
    for node, function in functions_of(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            given = [ast.unparse(word.value) for word in node.keywords if word.arg == "precision"]
            if given and given[0] in HIGHEST:
                precise.add(node.func)
        elif isinstance(node, ast.Attribute) and node.attr in PRODUCTS and ast.unparse(node.value) in DEVICE_MODULES:
            if node not in precise:  # a call is visited before the function that it calls
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            found += [f"{path.name}:{node.lineno} @ in {function}"] * (function not in ON_THE_HOST.get(path.name, ()))
    return found


def test_every_product_in_the_source_names_the_highest_precision():
    assert [line for path in sorted(ROOT.rglob("*.py")) for line in imprecise(path)] == []


def test_the_search_of_the_source_finds_products(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "def f(a, b):\n"
        "    jnp.dot(a, b, precision=lax.Precision.HIGHEST)\n"
        "    jnp.einsum('ij,jk', a, b)\n"
        "    lax.dot_general(a, b, precision=lax.Precision.DEFAULT)\n"
        "    g = jnp.inner\n"
        "    return np.dot(a, b) + a @ b\n"
    )
    assert [line.split()[0] for line in imprecise(path)] == ["a.py:3", "a.py:4", "a.py:5", "a.py:6"]


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


def test_every_public_function_has_example_values():
    arrays, others = examples()
    for name, function in public_functions():
        required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
        missing = {p for p in required if p not in {*arrays, *others, *SPECIAL.get(name, {})}}
        assert not missing, f"{name} has new required parameters {missing}: add values to `examples`."


def products(jaxpr):
    """Yield the products of a traced function, those inside inner functions and loops included."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
            yield eqn
        for value in jax.tree.leaves(eqn.params, is_leaf=lambda v: hasattr(v, "jaxpr") or hasattr(v, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from products(inner)


def is_precise(eqn):
    precision = eqn.params["precision"]
    integers = all(not jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in eqn.invars)
    return integers or (precision is not None and all(p == jax.lax.Precision.HIGHEST for p in precision))


def trace(name, function):
    """Return the jaxpr of a function at example values of its required parameters, or the error of a function of the host."""
    arrays, others = examples()
    special = SPECIAL.get(name, {})
    required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    chosen = {p: special[p] if p in special else arrays.get(p, others.get(p)) for p in {*required, *special}}
    traced = {p: value for p, value in chosen.items() if p in arrays and p not in ("known",)}
    static = {p: value for p, value in chosen.items() if p not in traced}
    try:
        return jax.make_jaxpr(lambda given: function(**given, **static))(traced)
    except TypeError as error:
        return error


QUICK = {
    "variants.lle",
    "variants.modified_alignment",
    "variants.hessian_alignment",
    "extension.transform",
    "metrics.trustworthiness",
}
FUNCTIONS = [
    pytest.param(*pair, id=pair[0], marks=() if pair[0] in QUICK else pytest.mark.slow) for pair in public_functions()
]


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_products_of_public_functions_have_the_highest_precision(name, function):
    out = trace(name, function)
    if isinstance(out, TypeError):
        assert any(word in str(out) for word in ("jit", "host", "trace")), out
        return
    assert [eqn for eqn in products(out.jaxpr) if not is_precise(eqn)] == []
