"""Interruption of a command by Ctrl-C (SIGINT): at any moment it ends with status 130, and its message states what was written.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a destructor or a callback, such as that of XLA in
every garbage collection, the exception is printed and lost; here it is raised again a moment later. Libraries also turn it into
errors of their own. The handler therefore keeps a record, which is consulted before files are replaced and at the end. While
Python shuts down, threads of XLA may still compute, which ends in a segmentation fault; the process ends without that.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

STATUS = 130
CLOSED = 141  # 128 and the number of SIGPIPE, which ends other tools when the reader of their pipe ends


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
            self._report, sys.unraisablehook = sys.unraisablehook, self._repeat

    def _handle(self, *_: object) -> None:
        self.happened = True
        if self.ending:
            os._exit(STATUS)
        if not self._held:
            raise KeyboardInterrupt

    def _repeat(self, lost: "sys.UnraisableHookArgs") -> None:
        """Interrupt the main thread again soon after Python has lost the exception; ignore what destructors raise then."""
        if not self.happened:
            self._report(lost)
        if not self.happened or lost.exc_type is not KeyboardInterrupt or not hasattr(signal, "pthread_kill"):
            return
        main = threading.main_thread().ident  # whose sleep or system call only a signal of its own ends
        timer = threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT))
        timer.daemon = True
        timer.start()

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
    """End the process at once, with a status, 130 if it is interrupted before it ends, or 141 if nobody reads the rest.

    Nothing remains to be done: files are complete, and the threads of XLA, which may still compute, hold no results.
    """
    current.ending = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            status = status or CLOSED
        except (
            OSError,
            ValueError,
            AttributeError,
        ):  # no stream, or one that cannot be written: there is nobody to read it
            pass
    os._exit(STATUS if current.happened else status)
