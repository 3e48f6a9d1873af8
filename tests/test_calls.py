"""Calls that do not fit: names of scikit-learn, arguments by position, traced integers, and values of the wrong kind."""

import inspect
import pickle

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from every_input import verdicts
from every_input.attacks import Tensor
from every_input.calls import CALLS
from every_input.data import ALIGNMENT, EMBEDDING, GRAPH, WEIGHTS, X, Y
from every_input.outcomes import outcome

import jaxlle
from jaxlle import variants
from jaxlle.sklearn import LocallyLinearEmbedding

X32 = X.astype(np.float32)
NOT_WRAPPED = {  # they are called inside a search, or are no plain functions
    "compilation.cache_bytes",
    "compilation.default_folder",
    "compilation.enable_compilation_cache",
    "derivatives.subspace",
    "derivatives.tangent_solver",
    "distances.chebyshev",
    "distances.cosine",
    "distances.euclidean",
    "distances.manhattan",
    "nn.train_step",
}
FUNCTIONS = {name: f for name, f in verdicts.public_functions().items() if name not in NOT_WRAPPED}


@pytest.fixture(autouse=True, scope="module")
def as_users_call():
    """Switch the run-time checks of annotations off, which users do not have, and which would answer for the library."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def message(function, *args, **kwargs):
    """Return the text of the error of a call, which jaxlle raises itself."""
    kind, text = outcome(lambda: function(*args, **kwargs), {})
    assert kind == "error", text
    return text


def test_every_public_function_lists_its_arguments_for_an_unknown_one_and_for_too_many_by_position():
    for name, function in FUNCTIONS.items():
        text = message(function, no_such_argument=1)
        for parameter in inspect.signature(function).parameters:
            assert parameter in text, name
        assert "by position, but got 30 arguments" in message(function, *range(30)), name


def test_functions_stay_what_they_were():
    for name, function in FUNCTIONS.items():
        module, attribute = name.split(".")
        assert function.__doc__ == inspect.unwrap(function).__doc__
        assert function.__name__ == attribute
        assert pickle.loads(pickle.dumps(function)) is function, name
        assert (
            getattr(jaxlle, attribute, function) in (function, getattr(jaxlle, module)) or attribute in jaxlle.__all__
        )
    assert jaxlle.lle is variants.lle
    assert list(inspect.signature(jaxlle.lle).parameters)[:3] == ["x", "dim", "k"]
    assert LocallyLinearEmbedding(n_neighbors=4).get_params()["n_neighbors"] == 4
    # Errors that are raised inside a function are those of the function.
    with pytest.raises(TypeError, match=r"^lle\(\) missing 1 required positional argument: 'dim'"):
        jaxlle.lle(X32)


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        (lambda: jaxlle.lle(X32, n_components=2, n_neighbors=6), ["n_components: it is called dim", "called k here"]),
        (lambda: jaxlle.lle(X32, 2, K=6), ["K: it is called k here"]),
        (lambda: jaxlle.lle(X32, 2, random_state=0), ["random_state: pass options=EmbedOptions(key=jax.random.key(0))"]),
        (lambda: jaxlle.lle(X32, 2, disconnected="error"), ["pass options=EmbedOptions(disconnected=...)"]),
        (lambda: jaxlle.lle(X32, 2, method="modified"), ["jaxlle.modified_lle"]),
        (lambda: jaxlle.lle(X32, 2, eigen_solver="dense"), ["it is called solver here"]),
        (lambda: jaxlle.lle(X32, 2, nieghbors=GRAPH), ["(is neighbors meant?)"]),
        (lambda: jaxlle.choose(X32, 2, k=6), ["k: it is called ks here"]),
        (lambda: jaxlle.barycentric_weights(X32, n_neighbors=6), ["pass neighbors=jaxlle.knn(x, k)"]),
        (lambda: jaxlle.datasets.swiss_roll(n_samples=9, random_state=0), ["called n here", "key=jax.random.key(0)"]),
        (lambda: LocallyLinearEmbedding(k=6), ["LocallyLinearEmbedding has no argument k: it is called n_neighbors here"]),
        (lambda: jaxlle.EmbedOptions(seed=0), ["EmbedOptions has no argument seed: it is called key here"]),
        (lambda: jaxlle.EmbedOptions(*"abcdef"), ["EmbedOptions takes only scaling, ", "got 6 arguments"]),
        (lambda: jaxlle.lle(X32, 2, 6), ["takes only x and dim by position, but got 3 arguments", "such as k=6"]),
        (lambda: jaxlle.lle_alignment(X32, 6), ["takes only x by position", "such as k=6"]),
        (lambda: jaxlle.choose(X32, 2, [6, 8]), ["such as ks=..."]),
        (lambda: jaxlle.lle(X32, 2, options={"key": 0}), ["options is of type dict", "pass EmbedOptions(...)"]),
        (lambda: jaxlle.lle(X32, 2, options=None), ["options is of type NoneType"]),
        (lambda: jaxlle.datasets.swiss_roll(3, 9), ["key is the integer 3", "pass jax.random.key(3)"]),
        (lambda: jaxlle.embed(ALIGNMENT, 2, options=jaxlle.EmbedOptions(key=0)), ["integer 0"]),
        (lambda: jaxlle.lle(X32, 2, solver=jaxlle.solvers.SparseLU), ["pass SparseLU()"]),
        (lambda: jaxlle.lle(X32, 2, neighbors=6), ["pass jaxlle.knn(x, k)"]),
        (lambda: jaxlle.barycentric_weights(X32, GRAPH.indices), ["convert indices by jaxlle.neighbors.as_neighbors"]),
        (lambda: jaxlle.weights_alignment(GRAPH, GRAPH), ["compute weights", "jaxlle.barycentric_weights(x, neighbors)"]),
        (lambda: jaxlle.neighborhood_batches(X32, GRAPH, GRAPH, batch_size=4), ["jaxlle.barycentric_weights"]),
        (lambda: jaxlle.weights_alignment(WEIGHTS, GRAPH), ["neighbors is of type ndarray"]),
        (lambda: jaxlle.losses.lle_loss(Y, GRAPH, WEIGHTS), ["y[neighbors.indices]"]),
        (lambda: jaxlle.transform(X32[:2], X32, EMBEDDING, k=6), ["y is a value of type Embedding", "(points, "]),
        (lambda: jaxlle.embed(X32, 2), ["must be an Alignment value, such as that of lle_alignment"]),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_by_what_to_write(call, texts):
    text = message(call)
    for part in texts:
        assert part in text


def test_a_tensor_that_numpy_cannot_read_is_answered_by_its_conversion():
    for text in (message(jaxlle.lle, Tensor(X32), 2), message(jaxlle.knn, Tensor(X32), 3)):
        assert "x cannot be read as an array" in text
        assert "pass x.detach().cpu().numpy()" in text
    assert "pass x.detach().cpu().float().numpy()" in message(jaxlle.lle, Tensor(X32, bfloat16=True), 2)
    assert "reg = " in message(jaxlle.lle, X32, 2, k=6, reg=Tensor(np.float32(0.1)))


def test_a_real_tensor_that_requires_gradients_or_is_bfloat16():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.tensor(X32)
    assert np.array_equal(jaxlle.knn(x, 3).indices, jaxlle.knn(X32, 3).indices)
    assert "pass x.detach().cpu().numpy()" in message(jaxlle.knn, x.clone().requires_grad_(), 3)
    assert "pass x.detach().cpu().float().numpy()" in message(jaxlle.knn, x.bfloat16(), 3)
    assert "reg = " in message(jaxlle.lle, X32, 2, k=6, reg=torch.tensor(0.1, requires_grad=True))


INTEGERS = [
    pytest.param(name, argument, id=f"{name}-{argument}", marks=() if argument == "k" else pytest.mark.exhaustive)
    for name in CALLS
    if not {"neighbors", "graph"} & set(verdicts.built(name).arguments)
    for argument, value in verdicts.built(name).arguments.items()
    if isinstance(value, int) and not isinstance(value, bool) and not name.startswith("serving.export_")
]


@pytest.mark.parametrize(("name", "argument"), INTEGERS)
def test_vmap_over_an_integer_raises_and_names_the_alternatives(name, argument):
    arguments, found = verdicts.converted(verdicts.built(name).arguments, np.float32), []

    def call(value):
        found.append(verdicts.answer(name, {**arguments, argument: value}, False))
        return value

    jax.vmap(call)(jnp.array([arguments[argument]] * 2))
    kind, text = found[0]
    assert kind == "error"
    assert "traced, by jit, vmap or grad" in text
    assert "call the function once for each value" in text


def test_vmap_over_the_grid_of_choose_raises():
    with pytest.raises(TypeError, match="ks is traced, by jit, vmap or grad, but its values are needed on the host"):
        jax.vmap(lambda k: jaxlle.choose(X32, 2, ks=k).procrustes)(jnp.arange(5, 7))
