"""Threads on cores of the user's choice: a robot's control loop keeps the others to itself.

Runtimes start their threads where nobody sees them, so the process's threads are listed before and
after a session opens; what was born in between belongs to it. (Linux: every thread has a number,
and an affinity that can be set and read back.)
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.runtimes.session import INPUT, Session

_TASKS = Path("/proc/self/task")
_CORES = frozenset(os.sched_getaffinity(0)) if sys.platform == "linux" else frozenset[int]()
"""Of the process, before any of its threads was pinned by us."""


_ANSWERS = 8
_SHARED: set[int] = set()  # OpenVINO's: its models share most of their threads


def thread_ids() -> frozenset[int]:
    """The system's numbers of this process's threads; empty where it doesn't tell."""
    if not _TASKS.exists():
        return frozenset()
    return frozenset(int(task.name) for task in _TASKS.iterdir())


def threads_since(known: frozenset[int], runtime: str) -> frozenset[int]:
    """The threads that a runtime works with: those born since `known` was listed.

    OpenVINO's models share theirs, so those of its earlier models are among them.
    """
    alive = thread_ids()
    if runtime != "openvino":
        return alive - known
    _SHARED.update(alive - known)
    _SHARED.intersection_update(alive)
    return frozenset(_SHARED)


def check_pin(pin: Sequence[int], threads: int | None) -> tuple[int, ...]:
    """The cores to pin to, one for each thread.

    Raises:
        ConfigError: the system can't pin; a core that the process may not run on, or the same one
            twice; more or fewer cores than `threads`, where both are given.
    """
    cores = tuple(pin)
    if not cores:
        return cores
    if not _CORES:
        raise ConfigError(f"pin={cores} needs Linux, got {sys.platform}; leave pin out.")
    if not set(cores) <= _CORES or len(set(cores)) < len(cores):
        raise ConfigError(
            f"expected pin to name different cores among {sorted(_CORES)}, which this process may "
            f"run on, got {cores}."
        )
    if threads is not None and threads != len(cores):
        raise ConfigError(
            f"expected a core in pin for each thread, got pin={cores} and threads={threads}."
        )
    return cores


def warm_up(session: Session, dtype: np.dtype | type = np.uint8) -> None:
    """Answer until no more threads are born: OpenVINO's start when they are first needed."""
    empty_B3HW = np.zeros(session.inputs[INPUT], dtype)
    before: frozenset[int] | None = None
    for _ in range(_ANSWERS):
        if before == (before := thread_ids()):
            return
        session.run(empty_B3HW)


def pin_session(
    session: Session, cores: tuple[int, ...], started: Callable[[], frozenset[int]]
) -> Session:
    """Pin a session: whoever calls it to the first core, its own threads to the others.

    The calling thread computes too. It is pinned at its first call and stays so after it.

    Args:
        session: just opened and warmed up.
        cores: from `check_pin`, not empty.
        started: lists the threads that the runtime has started so far.

    Returns:
        The session, whose facts tell under "pinned" the cores that were read back.

    Raises:
        ConfigError: the system refused, or threads left the cores that they were given.
    """
    first, others = {cores[0]}, set(cores[1:] or cores)
    for _ in range(_ANSWERS):
        # A thread may start another, which inherits its cores, while we are at it: so look again.
        threads = started()
        found = [_set_cores(thread, others) for thread in threads]
        if all(own <= others for own in found):
            break
    else:
        raise ConfigError(
            f"could not pin to the cores {cores}: the runtime's threads keep going back to "
            f"{sorted(set().union(*found))}."
        )
    watched = _ANSWERS

    def run(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal watched, threads
        if os.sched_getaffinity(0) != first:
            os.sched_setaffinity(0, first)
        known = thread_ids() if watched else None
        answers = session.run(images_B3HW)
        if known is not None:  # on a busy machine the runtime may start some of its threads late
            watched -= 1
            threads |= thread_ids() - known
        for thread in threads:  # OpenVINO's set their own cores once they come to run
            _set_cores(thread, others)
        return answers

    pinned = sorted(first.union(*found))
    return replace(session, run=run, facts={**session.facts, "pinned": pinned})


def _set_cores(thread: int, cores: set[int]) -> set[int]:
    """Pin a thread where it isn't yet, and tell where it was before; nowhere if it has ended."""
    try:
        before = os.sched_getaffinity(thread)
        if not before <= cores:
            os.sched_setaffinity(thread, cores)
    except ProcessLookupError:
        return set()
    except OSError as error:
        raise ConfigError(f"could not pin to the cores {cores}: {error.strerror}.") from error
    return before


@contextlib.contextmanager
def born_on(cores: tuple[int, ...]) -> Iterator[None]:
    """Threads that are made inside start on `cores`, if there are any: they inherit that."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def unpin_this_thread() -> None:
    """Let the calling thread run on all cores again; a new thread inherits its maker's pinning."""
    if _CORES:
        os.sched_setaffinity(0, _CORES)
