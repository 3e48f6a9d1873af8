"""Products that determine a result: at the highest precision in the source of every module and in every traced public function.

A product defaults to TF32 on recent GPUs and to bfloat16 on TPUs, with which neighbors, weights and singular vectors are wrong.
"""

import ast
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from traced_functions import SPECIAL, examples, function_cases, public_functions, runs_on_the_host, split_arguments

import jaxlle

ROOT = Path(jaxlle.__file__).parent
PRODUCTS = {
    *("dot", "vdot", "inner", "matmul", "einsum", "tensordot", "vecdot", "matvec", "vecmat", "multi_dot"),
    *("matrix_power", "convolve", "correlate", "dot_general", "conv_general_dilated", "cov", "corrcoef", "polyval"),
}
DEVICE_MODULES = ("jnp", "jax.numpy", "jnp.linalg", "jax.numpy.linalg", "lax", "jax.lax")
HIGHEST = ("lax.Precision.HIGHEST", "jax.lax.Precision.HIGHEST", "'highest'")
# Functions whose operator @ multiplies NumPy or SciPy matrices.
ON_THE_HOST = {
    "_factors.py": {"pseudo_inverse", "prescribed_inverse", "project_out_host", "apply", "_is_accurate"},
    "_projection.py": {"plan", "_project", "_basis"},
    "head.py": {"calibrate_by"},
    "last_layer.py": {"_least_cost", "_least_squares", "_assign"},
    "prescribed.py": {"residual"},
    "_sparse.py": {"block"},
    "sparse.py": {"_lanczos", "_grams_of"},
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
    traced, static = split_arguments(name, function)
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
FUNCTIONS = function_cases(QUICK)


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_products_of_public_functions_have_the_highest_precision(name, function):
    out = trace(name, function)
    if isinstance(out, TypeError):
        assert runs_on_the_host(out), out
        return
    assert [eqn for eqn in products(out.jaxpr) if not is_precise(eqn)] == []
