"""The command `jaxlle`: one file per subcommand, each with `add` for its arguments and `run`."""

from ._main import command as command
from ._main import main as main
