"""Benchmarks of losses, gradients and encoders: `python tests/benchmarks/learning.py [SECTION ...]`.

Sections: step, gradient, latency, encoder, explanation. The extras `data`, `plot` and `serve` are required. Times are
medians of alternating runs after compilation. Quote the ratios, because seconds vary on a shared machine.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sections import run

import jaxlle
from jaxlle import losses
from jaxlle.nn import ParametricLLE

K = 10
FIGURES = Path(__file__).parents[2] / "papers" / "figures"


def medians(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Return the median seconds of each function; they are called alternately after one call of each."""
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def digits() -> tuple[np.ndarray, np.ndarray]:
    data = jaxlle.datasets.mnist()
    return np.asarray(data.points, np.float32), np.asarray(data.labels)


def graph_of(x: Any, k: int = K, reg: float = 1e-3) -> tuple[jaxlle.Neighbors, jax.Array]:
    neighbors = jaxlle.knn(x, k)
    return neighbors, jaxlle.barycentric_weights(x, neighbors, reg=reg)


def perceptron(sizes: list[int], seed: int = 0, bias: float = 0.0) -> nnx.Sequential:
    rngs = nnx.Rngs(seed)
    layers: list[Any] = []
    for a, b in pairwise(sizes):
        layers += [nnx.Linear(a, b, bias_init=nnx.initializers.normal(bias), rngs=rngs), jnp.tanh]
    return nnx.Sequential(*layers[:-1])


def step() -> None:
    """Print the time of a training step with and without the LLE term, for the same points."""
    x, labels = digits()
    batches = jaxlle.neighborhood_batches(jnp.asarray(x), *graph_of(x), batch_size=256)
    batch = batches.batch(0)
    labels = jnp.asarray(labels)[batch.indices]

    def stepping(penalty: float) -> Callable[[], Any]:
        model = perceptron([784, 256, 10])
        optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

        def loss(model: nnx.Sequential, batch: jaxlle.losses.NeighborhoodBatch) -> jax.Array:
            logits = model(batch.points)
            task = optax.softmax_cross_entropy_with_integer_labels(logits[batch.anchors], labels[batch.anchors]).mean()
            if not penalty:
                return task
            near = logits[batch.gather]
            return task + penalty * losses.probability_lle_loss(logits[batch.anchors], near, batch.weights)

        @nnx.jit
        def one(model: nnx.Sequential, optimizer: nnx.Optimizer, batch: jaxlle.losses.NeighborhoodBatch) -> jax.Array:
            value, grads = nnx.value_and_grad(loss)(model, batch)
            optimizer.update(model, grads)
            return value

        return lambda: one(model, optimizer, batch)

    found = medians({"with": stepping(100.0), "without": stepping(0.0)}, runs=100)
    print(
        f"\na step of 256 anchors (k = {K}, {batch.points.shape[0]} points), MLP 784-256-10: with the LLE term on probabilities "
        f"{1e3 * found['with']:.2f} ms, without it {1e3 * found['without']:.2f} ms, ratio {found['with'] / found['without']:.3f}"
    )


def gradient() -> None:
    """Print the time of the gradient through lle(x) by the implicit rule and by JAX's rule for a dense eigh, n = 2,000."""
    n = 2000
    with jax.enable_x64(True):
        turn = 2 * np.pi * np.arange(n) / n
        circle = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        roll = np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), n).points, np.float64)
        pairs = np.random.default_rng(0).integers(n, size=(2, 500))
        print(f"\nd(squared distances of 500 pairs in lle(x))/dx, n = {n}, k = 12, float64")
        for name, x in {"Swiss roll": jnp.asarray(roll), "circle": jnp.asarray(circle)}.items():
            neighbors = jaxlle.knn(x, 12)

            def spread(y: jax.Array) -> jax.Array:
                return jnp.sum((y[pairs[0]] - y[pairs[1]]) ** 2)

            def implicit(x: jax.Array, neighbors: Any = neighbors) -> jax.Array:
                return spread(jaxlle.lle(x, 2, k=12, neighbors=neighbors).points)

            @jax.jit
            def dense(x: jax.Array, neighbors: Any = neighbors) -> jax.Array:
                weights = jaxlle.barycentric_weights(x, neighbors)
                b = jnp.eye(n).at[jnp.arange(n)[:, None], neighbors.indices].add(-weights)
                return spread(jnp.linalg.eigh(b.T @ b)[1][:, 1:3])

            grads = {"implicit": jax.grad(implicit), "eigh": jax.jit(jax.grad(dense))}
            values = {rule: np.asarray(grad(x)) for rule, grad in grads.items()}
            kinds = {rule: "finite" if np.isfinite(value).all() else "NaN" for rule, value in values.items()}
            difference = np.linalg.norm(values["implicit"] - values["eigh"]) / np.linalg.norm(values["implicit"])
            found = medians({rule: lambda grad=grad, x=x: grad(x) for rule, grad in grads.items()}, runs=3)
            print(
                f"{name:11} implicit {found['implicit']:.2f} s ({kinds['implicit']}), "
                f"eigh {found['eigh']:.2f} s ({kinds['eigh']}), ratio {found['eigh'] / found['implicit']:.1f}, "
                f"relative difference {difference:.1e}",
                flush=True,
            )


def latency() -> None:
    """Print the latency of one vector in an exported encoder and in an exported out-of-sample map."""
    x, _ = digits()
    encoder = perceptron([784, 256, 2])
    known = jaxlle.serving.OutOfSampleMap(jnp.asarray(x), jaxlle.lle(x, 2, k=12).points, k=12)
    print("\none vector of 784 through an exported map, 1,000 calls")
    with tempfile.TemporaryDirectory() as folder:
        for name, function in {"encoder 784-256-2": encoder, "out-of-sample map, bank of 5,000": known}.items():
            file = Path(folder) / "map.bin"
            file.write_bytes(jaxlle.serving.export_map(function, 784, rows=1))
            call = jaxlle.serving.load_exported(file)
            one = jnp.asarray(x[:1] + 0.01)
            jax.block_until_ready(call(one))
            times = []
            for _ in range(1000):
                start = time.perf_counter()
                jax.block_until_ready(call(one))
                times.append(1e6 * (time.perf_counter() - start))
            size = file.stat().st_size / 2**20
            middle, late = np.percentile(times, [50, 99])
            print(f"{name:33} {middle:7.0f} us median, {late:7.0f} us at the 99th percentile; file {size:.1f} MiB")


def ceiling(alignment: jaxlle.Alignment, parameters: np.ndarray, exact: np.ndarray) -> float:
    """Return the cosine between the exact subspace and that of least cost among polynomials of degree 8 in the parameters.

    It bounds what a smooth function of the data can reach: the exact embedding also follows the individual weights of each point.
    """
    unit = 2 * (parameters - parameters.min(axis=0)) / np.ptp(parameters, axis=0) - 1
    terms = [np.polynomial.legendre.legvander(column, 8) for column in unit.T]
    basis = np.stack([terms[0][:, i] * terms[1][:, j] for i in range(9) for j in range(9 - i)], axis=1)
    basis = np.linalg.qr(basis)[0]
    image = np.asarray(alignment.matvec(jnp.asarray(basis)))
    best = basis @ np.linalg.eigh(image.T @ image)[1][:, 1:3]
    return cosine(best, exact)


def cosine(y: Any, exact: Any) -> float:
    """Return the smallest cosine of the principal angles between two subspaces."""
    bases = [np.linalg.qr(np.asarray(a, np.float64) - np.asarray(a, np.float64).mean(axis=0))[0] for a in (y, exact)]
    return float(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).min())


def unexplained(known: Any, new: Any, joint: np.ndarray) -> float:
    """Return the share of the variance of the held-out rows, in the exact embedding of all rows, that a map does not explain.

    The images are aligned by the affine map that fits the training rows best.
    """
    count = len(known)
    known, new = (np.column_stack([np.asarray(a, np.float64), np.ones(len(a))]) for a in (known, new))
    residuals = joint[count:] - new @ np.linalg.lstsq(known, joint[:count], rcond=None)[0]
    return float((residuals**2).sum() / ((joint[count:] - joint[count:].mean(axis=0)) ** 2).sum())


def train_encoder(x: jax.Array, alignment: jaxlle.Alignment, *, width: int, steps: int, seed: int) -> ParametricLLE:
    """Train a perceptron with two hidden layers on the cost of an alignment, by full batches, Adam and a cosine decay."""
    # The cost is near 1e-7, so its gradient is far below the default eps of Adam.
    rule = optax.adam(optax.cosine_decay_schedule(1e-2, max(steps, 1)), b2=0.99, eps=1e-16)
    network = perceptron([3, width, width, 2], seed, bias=1.0)  # without a bias the network starts as an odd function
    model = ParametricLLE(network, 2, k=K, optimizer=rule, momentum=0.0)

    def loss(model: ParametricLLE, x: jax.Array, alignment: jaxlle.Alignment) -> jax.Array:
        return losses.alignment_loss(model(x)[alignment.indices], alignment.blocks)

    @nnx.jit
    def step(model: ParametricLLE, x: jax.Array, alignment: jaxlle.Alignment) -> None:
        model.optimizer.update(model, nnx.grad(loss)(model, x, alignment))

    model.train()
    for _ in range(steps):
        step(model, x, alignment)
    model.eval()
    return model


GRAPHS: dict[str, Callable[[Any], jaxlle.Alignment]] = {
    "LLE, k = 20, reg 0.1": lambda x: jaxlle.lle_alignment(x, k=20, reg=0.1),
    "modified LLE, k = 12": lambda x: jaxlle.modified_alignment(x, 2, k=12),
    "LLE, k = 12, reg 0.001": lambda x: jaxlle.lle_alignment(x, k=12, reg=1e-3),
}


def encoder(
    n: int = 5000,
    held_out: int = 1000,
    width: int = 128,
    steps: Any = (0, 600),
    seeds: int = 3,
    graphs: Any = tuple(GRAPHS),
) -> list[dict[str, float]]:
    """Print how close an encoder comes to the exact embedding of a Swiss roll, and how it maps held-out points."""
    roll = jaxlle.datasets.swiss_roll(jax.random.key(0), n + held_out)
    x = np.asarray(roll.points)
    x = (x - x[:n].mean(axis=0)) / x[:n].std()  # for the network; LLE is invariant to it
    print(
        f"\nMLP 3-{width}-{width}-2 on {n:,} points of a Swiss roll, full-batch steps; {held_out:,} points held out\n"
        "smallest cosine with the exact embedding; share, in %, of the variance of the exact embedding of all points that is\n"
        "not explained at the held-out points; both again with the last layer of least cost (`solve_last_layer`) and with the\n"
        f"layer closest to the exact embedding of the {n:,} points (`match_embedding`)"
    )
    rows = []
    for name in graphs:
        with jax.enable_x64(True):
            wide = x.astype(np.float64)
            alignment = GRAPHS[name](wide[:n])
            exact = np.asarray(jaxlle.embed(alignment, 2).points)
            joint = np.asarray(jaxlle.embed(GRAPHS[name](wide), 2).points)
            best = ceiling(alignment, np.asarray(roll.parameters[:n], np.float64), exact)
        barycentric = jaxlle.transform(x[n:], x[:n], exact.astype(np.float32), k=12)
        known = {
            "ceiling": best,
            "transform": unexplained(exact, barycentric, joint),
            "exact": unexplained(exact, exact, np.concatenate([joint[:n], joint[:n]])),
        }
        print(
            f"{name}: the smooth map of least cost has cosine {best:.4f}; not explained: by transform "
            f"{100 * known['transform']:.4f} %, by the exact embedding of the {n:,} at its own points "
            f"{100 * known['exact']:.4f} %"
        )
        alignment = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32) if a.dtype == np.float64 else a, alignment)
        for count, seed in ((count, seed) for count in steps for seed in range(seeds)):
            start = time.perf_counter()
            model = train_encoder(jnp.asarray(x[:n]), alignment, width=width, steps=count, seed=seed)
            row = {"steps": count, **known}
            for kind in ("encoder", "solved", "matched"):
                if kind == "solved":
                    model.solve_last_layer(x[:n], alignment=alignment)
                elif kind == "matched":
                    model.match_embedding(x[:n], exact)
                z = np.asarray(model.transform(x))
                row[kind], row[f"{kind} cosine"] = unexplained(z[:n], z[n:], joint), cosine(z[:n], exact)
            rows.append(row)
            summary = "; ".join(
                f"{kind} {row[kind + ' cosine']:.5f}, {100 * row[kind]:.4f} %"
                for kind in ("encoder", "solved", "matched")
            )
            print(f"{count:5} steps, seed {seed}: {summary}; {time.perf_counter() - start:.0f} s", flush=True)
    return rows


def explanation() -> None:
    """Print how well neighbors explain the logits of a digit classifier on held-out digits, and draw some of them."""
    import matplotlib

    matplotlib.use("Agg")
    data = jaxlle.datasets.digits()
    x, labels = (data.points / 16).astype(np.float32), jnp.asarray(data.labels)
    known, new = x[:1500], x[1500:]
    model = perceptron([64, 64, 10])
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    def loss(model: nnx.Sequential) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(jnp.asarray(known)), labels[:1500]).mean()

    @nnx.jit
    def one(model: nnx.Sequential, optimizer: nnx.Optimizer) -> None:
        optimizer.update(model, nnx.grad(loss)(model))

    for _ in range(200):
        one(model, optimizer)
    out = jaxlle.explanation.explain(model, new, known, 12)
    explained = out.contributions.sum(axis=1).argmax(axis=1)
    predicted = out.outputs.argmax(axis=1)
    print(
        f"\nclassifier 64-64-10 of the 1,797 digits, {len(new)} held out: "
        f"accuracy {float((predicted == labels[1500:]).mean()):.3f}; "
        f"the contributions of 12 neighbors give the same class for {float((explained == predicted).mean()):.3f}; the median "
        f"residual is {float(jnp.median(out.output_residuals / out.spreads)):.2f} of the spread of the logits"
    )
    rows = np.array([int(np.argmax(np.asarray(predicted) == digit)) for digit in (0, 3, 4, 8)])
    picked = jax.tree.map(lambda a: a[rows], out)
    sensitivity = jaxlle.explanation.jacobian(model, new[rows])
    figure = jaxlle.plot.explanation(picked, new[rows], known, (8, 8), jacobian=sensitivity, count=5)
    figure.savefig(FIGURES / "explanation.png")
    print(
        f"the digits, the sensitivity of their logits, and the neighbors that explain them: {FIGURES / 'explanation.png'}"
    )


SECTIONS = {f.__name__: f for f in (step, gradient, latency, encoder, explanation)}


if __name__ == "__main__":
    run(SECTIONS)
