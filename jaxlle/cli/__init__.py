"""The command `jaxlle`: a file for each of its commands."""

from ._main import main as main
