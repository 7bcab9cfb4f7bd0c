"""A function's answer from a fresh process: its memory and threads are its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, ParamSpec, TypeVar

from maskwright.core.errors import ConfigError

_P = ParamSpec("_P")
_T = TypeVar("_T")


def alone(function: Callable[_P, _T], *arguments: _P.args, **settings: _P.kwargs) -> _T:
    """Call it in a process that is started for it, with what can be pickled.

    Raises:
        ConfigError: the process ended without an answer; what the function raises, too.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        answer = process.submit(function, *arguments, **settings)
        try:
            return answer.result()
        except BrokenProcessPool:
            name: Any = getattr(function, "__name__", function)
            raise ConfigError(
                f"expected an answer of {name}, but its process ended without one; the system "
                "kills processes that take too much memory."
            ) from None


def height_width(text: str) -> tuple[int, int]:
    """ "360x480" -> (360, 480), as a type of argparse's options.

    Raises:
        ValueError: it is something else.
    """
    height, width = map(int, text.split("x"))
    return height, width
