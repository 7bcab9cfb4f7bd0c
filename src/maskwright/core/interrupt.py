"""Ctrl-C (and SIGTERM) that waits for a step's end, so that what is saved then is whole."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType


def end_like_interrupt() -> None:
    """Let SIGTERM, as service managers and `kill` send it, end this process as Ctrl-C does.

    Processes that are forked from this one end at once, as they would without it.
    """
    own = os.getpid()

    def end(_signal: int, frame: FrameType | None) -> None:
        if os.getpid() != own:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # ignored, as a shell has it for what runs in the background
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)

    with contextlib.suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, end)


class HeldInterrupt:
    """While it is entered, the first Ctrl-C is remembered; a second one interrupts at once.

    Where Ctrl-C doesn't come to this thread, or has a handler that isn't Python's own, nothing is
    changed.
    """

    def __init__(self) -> None:
        self._asked = False
        self._open = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold Ctrl-C back inside."""
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        try:
            signal.signal(signal.SIGINT, self._remember)
        except ValueError:  # not the main thread
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let it interrupt inside: what runs there leaves no state half changed."""
        self._open = True
        try:
            self.check()
            yield
        finally:
            self._open = False

    def check(self, any_of: Callable[[bool], bool] = bool) -> None:
        """Raise what was held back.

        Args:
            any_of: whether it came to any of the processes, given whether it came to this one.

        Raises:
            KeyboardInterrupt: Ctrl-C came in the meantime.
        """
        if any_of(self._asked):
            self._asked = False
            raise KeyboardInterrupt

    def _remember(self, _signal: int, _frame: FrameType | None) -> None:
        if self._open or self._asked:
            self._asked = False
            raise KeyboardInterrupt
        self._asked = True
