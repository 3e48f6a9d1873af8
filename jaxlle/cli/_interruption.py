"""Interruption of a command by Ctrl-C (SIGINT): at any moment it ends with status 130, and its message states what was written.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a callback of C++ or a destructor the exception is
printed and lost, and while Python shuts down it meets threads of XLA that still compute, which ends in a segmentation fault. The
handler installed here therefore also keeps a record, which is consulted before files are replaced and at the end, and the process
ends without shutting Python down.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

STATUS = 130


class Interruption:
    """The record of one run of a command.

    Attributes:
        happened: whether the process was interrupted.
        written: whether files were replaced.
        ending: whether nothing remains to be done, so that an interruption ends the process at once.
    """

    def __init__(self) -> None:
        self.happened = self.written = self.ending = False
        self._held = 0

    def install(self) -> None:
        """Handle SIGINT, unless the process was started with SIGINT ignored, as by nohup."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._handle)

    def _handle(self, *_: object) -> None:
        self.happened = True
        if self.ending:
            os._exit(STATUS)
        if not self._held:
            raise KeyboardInterrupt

    def message(self) -> str:
        """Return what is reported."""
        return f"interrupted; {'the files were written' if self.written else 'nothing was written'}."

    @contextmanager
    def held(self) -> Iterator[None]:
        """Postpone an interruption while files are replaced, so that all of them are replaced or none."""
        if self.happened and not self._held:
            raise KeyboardInterrupt
        self._held += 1
        try:
            yield
            self.written = True
        finally:
            self._held -= 1
        if self.happened and not self._held:
            raise KeyboardInterrupt


current = Interruption()


def leave(status: int) -> NoReturn:
    """End the process at once, with a status, or 130 if it is interrupted before it ends.

    Nothing remains to be done: files are complete, and the threads of XLA, which may still compute, hold no results.
    """
    current.ending = True
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # a closed pipe or none: there is nobody to read it
            stream.flush()
    os._exit(STATUS if current.happened else status)
