"""Cameras and videos as iterators of BGR frames, with errors that say what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Source:
    """Frames, and how to free where they come from.

    Attributes:
        frames: one after the other; the thread that reads also closes.
        close: called once, when reading ends.
    """

    frames: Iterator[np.ndarray]
    close: Callable[[], None]


def from_camera(number: int) -> Source:
    """Open a camera and read its first frame, so that a camera that gives none is told at once.

    Raises:
        DataError: there is none of this number, another program uses it, or it gives no frames.
            While reading: it stopped.
    """
    if number < 0:
        raise DataError(f"expected a camera's number, 0 or more, got {number}.")
    capture = cv2.VideoCapture(number)
    # A queue of old frames in the driver would add to every age; drivers without one ignore this.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    done, first = capture.read() if capture.isOpened() else (False, None)
    if not done or first is None:
        capture.release()
        raise DataError(
            f"camera {number} gives no frames; check that it is plugged in (/dev/video{number} on "
            "Linux), that no other program uses it, and its permissions."
        )

    def frames() -> Iterator[np.ndarray]:
        frame: np.ndarray | None = first
        count = 0
        while frame is not None:
            yield frame
            count += 1
            done, frame = capture.read()
            frame = frame if done else None
        raise DataError(f"camera {number} stopped after {count} frames; check its cable.")

    return Source(frames=frames(), close=capture.release)


def from_video(path: Path | str, *, paced: bool) -> Source:
    """Open a video file, or a network address that OpenCV reads.

    Args:
        path: or an address with "://" in it, which comes at its own speed.
        paced: release each frame when it is due by the file's frames a second, as a camera would;
            False reads as fast as the frames are taken.

    Raises:
        DataError: it doesn't exist, or is no video that can be read.
    """
    live = "://" in str(path)
    if not live and not Path(path).is_file():
        raise DataError(f"{path} does not exist or is no file; check the path of the video.")
    capture = cv2.VideoCapture(str(path))
    done, first = capture.read() if capture.isOpened() else (False, None)
    if not done or first is None:
        capture.release()
        raise DataError(
            f"{path} is not a video that can be read; expected MP4, AVI or another that OpenCV's "
            "ffmpeg knows. Open it in a player, or copy it again."
        )
    rate = capture.get(cv2.CAP_PROP_FPS)
    seconds = 1 / rate if paced and not live and rate > 0 else 0.0

    def frames() -> Iterator[np.ndarray]:
        frame: np.ndarray | None = first
        due = time.perf_counter()
        while frame is not None:
            time.sleep(max(0.0, due - time.perf_counter()))
            yield frame
            due += seconds
            done, frame = capture.read()
            frame = frame if done else None

    return Source(frames=frames(), close=capture.release)
