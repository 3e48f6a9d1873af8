"""Run the command `jaxlle` as `python -m jaxlle`."""

from .cli import command

command()
