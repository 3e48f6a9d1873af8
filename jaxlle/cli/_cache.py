"""The folder in which the commands keep compiled programs."""

import argparse
import sys


def keep_programs(args: argparse.Namespace) -> None:
    """Keep the compiled programs in the folder of --cache, or in that of JAX's configuration, or in the default one."""
    import jax

    from .. import compilation

    if args.no_cache or (args.cache is None and jax.config.jax_compilation_cache_dir):  # pyright: ignore
        return
    try:
        compilation.enable_compilation_cache(args.cache)
    except OSError as error:
        if args.cache is not None:
            raise
        print(f"jaxlle: compiled programs are not kept ({error}); --no-cache avoids this message.", file=sys.stderr)
