"""One function over many items in several processes, results in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_in_order(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, at_once: int = 8
) -> Iterator[Result]:
    """`work` on each item; with one worker in this process.

    Args:
        work: picklable if workers > 1.
        items: what to work on, picklable then, too.
        workers: processes.
        at_once: so many items, at most, go to a process and come back together.

    Raises:
        Exception: whatever `work` raises; the items after it may be done or not.
    """
    if workers == 1 or len(items) < 2:
        yield from map(work, items)
        return
    # Fresh processes: a fork of one that runs threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield from pool.map(work, items, chunksize=min(at_once, -(-len(items) // workers)))
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed can't end its workers: they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
