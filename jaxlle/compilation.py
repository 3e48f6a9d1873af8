"""Keeping compiled programs between processes: JAX compiles a program for every shape, which takes most of the first fit."""

from pathlib import Path

_MAX_BYTES = 2**30  # default limit of the folder


def enable_compilation_cache(folder: str | Path | None = None, *, max_bytes: int = _MAX_BYTES) -> Path:
    """Keep the compiled programs of this process, and load those of earlier ones, in a folder.

    It sets the persistent compilation cache of JAX to keep all programs; by default JAX keeps none, and with a folder only those
    that took a second to compile. Call it at any time; it applies to programs that are compiled afterwards. The command
    `jaxlle` calls it unless JAX already has a folder, such as that of JAX_COMPILATION_CACHE_DIR.

    Programs are loaded as they are, so that the folder must be writable by trusted users only.

    Args:
        folder: where to keep the programs, created if necessary; None for `default_folder`.
        max_bytes: limit of the size of the folder; the programs that have not been used for longest are deleted.

    Returns:
        The folder.

    Raises:
        ValueError: if max_bytes is not positive.
        OSError: if the folder cannot be created.

    Example:
        >>> import tempfile, jax, jaxlle
        >>> folder = jaxlle.enable_compilation_cache(tempfile.mkdtemp())
        >>> jax.jit(lambda x: 3 * x)(1.0).block_until_ready().item()
        3.0
        >>> jaxlle.compilation.cache_bytes(folder) > 0
        True
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    from ._core.checks import check_count

    check_count(max_bytes, "max_bytes", 1, None, "a limit in bytes")
    path = default_folder() if folder is None else Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, value in (
        ("jax_compilation_cache_dir", str(path)),
        ("jax_compilation_cache_max_size", int(max_bytes)),
        ("jax_persistent_cache_min_compile_time_secs", 0.0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX reads these settings once, at the first compilation
    return path


def default_folder() -> Path:
    """Return the folder of compiled programs in the user's cache folder of the operating system.

    Example:
        >>> import jaxlle
        >>> jaxlle.compilation.default_folder().name
        'compiled'
    """
    import platformdirs

    return Path(platformdirs.user_cache_dir("jaxlle", appauthor=False)) / "compiled"


def cache_bytes(folder: str | Path) -> int:
    """Return the size of the files in a folder; 0 if it does not exist.

    Example:
        >>> import tempfile, jaxlle
        >>> jaxlle.compilation.cache_bytes(tempfile.mkdtemp())
        0
    """
    return sum(path.stat().st_size for path in Path(folder).glob("*") if path.is_file())
