"""Locks that end with the process that holds them: one program at a time writes to a folder.

They are advisory and the system's own (flock), so that a killed program leaves none behind. Where
the system or the file system has none (Windows, some network drives), nothing is held.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from maskwright.core.errors import MaskwrightError, could_not_write

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LOCKS = fcntl is not None
"""Whether this system has them."""


def take_lock(handle: int) -> bool:
    """Lock an open file or folder until it is closed; False where another holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextlib.contextmanager
def alone_in(folder: Path | str) -> Iterator[None]:
    """Hold a folder for what is written inside; it is made if need be.

    What was made for this is removed again where nothing was written.

    Raises:
        MaskwrightError: another program (or another call in this one) writes there at this moment,
            or the folder can't be made.
    """
    folder = Path(folder)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise could_not_write(folder, error) from error
    handle = _open_folder(folder)
    try:
        if handle is not None and not take_lock(handle):
            raise MaskwrightError(
                f"another program is writing to {folder} at this moment; wait until it has ended, "
                "or choose another folder."
            )
        yield
    finally:
        if handle is not None:
            os.close(handle)
        with contextlib.suppress(OSError):  # not empty, as a rule
            for place in made:
                place.rmdir()


def alone(argument: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Hold the folder that a function is given as `argument` while it runs: see `alone_in`."""

    def hold(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def held(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with alone_in(signature.bind(*args, **kwargs).arguments[argument]):
                return function(*args, **kwargs)

        return held

    return hold


def _open_folder(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY)
    except OSError:  # Windows, or a folder that may be written but not read
        return None
