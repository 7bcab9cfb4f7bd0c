"""Cameras, videos and addresses as iterators of BGR frames, with errors that say what is missing.

Damage is seen where the decoder refuses a frame. What it conceals (H.264 and its kin guess the
missing blocks) comes as a frame like any other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import DataError

VIDEO_SUFFIXES = frozenset(
    {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".wmv",
     ".flv", ".3gp", ".ogv", ".mjpg", ".mjpeg"}
)  # fmt: skip

_TRIES = 100
"""Failed reads in a row after which a source without a known length is taken to have ended."""

_MOST_TRIES = 100_000
"""Whatever length a damaged header announces: less than a second of reading past the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What a source gives.

    Attributes:
        pixels: uint8 [H, W, 3], or None where a frame came that can't be decoded.
        time: seconds from the recording's start; None where the source doesn't tell.
    """

    pixels: np.ndarray | None
    time: float | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Frames, and how to free where they come from.

    Attributes:
        frames: one after the other; the thread that reads also closes.
        close: called once, when reading ends.
        name: for messages.
        announced: how many frames the file says it has.
        rate: frames a second, where the source tells.
        live: it comes at its own speed and has no end.
    """

    frames: Iterator[Frame]
    close: Callable[[], None]
    name: str = "the iterator"
    announced: int | None = None
    rate: float | None = None
    live: bool = False


def camera_number(source: Path | str) -> int | None:
    """The number of a camera: "0", "/dev/video0", or a link to that; None for anything else."""
    text = str(source)
    if re.fullmatch(r"\d{1,4}", text) and not Path(text).exists():
        return int(text)
    if text.startswith("/dev/"):
        found = re.fullmatch(r"/dev/video(\d+)", str(Path(text).resolve()))
        return int(found[1]) if found else None
    return None


def is_video(source: Path | str) -> bool:
    """Whether this names a video, a camera or an address, and not a photo or a folder."""
    if "://" in str(source) or camera_number(source) is not None:
        return True
    return Path(source).suffix.lower() in VIDEO_SUFFIXES and not Path(source).is_dir()


def from_camera(number: int, timeout: float) -> Source:
    """Open a camera and read its first frame, so that a camera that gives none is told at once.

    Args:
        number: as the system counts them.
        timeout: seconds without a frame after which it has stopped.

    Raises:
        DataError: there is none of this number, another program uses it, or it gives no frames.
            While reading: it stopped.
    """
    if number < 0:
        raise DataError(f"expected a camera's number, 0 or more, got {number}.")
    name = f"camera {number}"
    capture = cv2.VideoCapture(number)
    # A queue of old frames in the driver would add to every age; drivers without one ignore this.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    frames = _begun(
        capture,
        _reads(capture, _TRIES, timeout, timed=False),
        f"{name} gives no frames; check that it is plugged in (/dev/video{number} on Linux), that "
        "no other program uses it, and its permissions.",
    )
    return Source(
        frames=_endless(frames, name, "check its cable"),
        close=capture.release,
        name=name,
        rate=_rate(capture),
        live=True,
    )


def from_video(path: Path | str, *, paced: bool, timeout: float) -> Source:
    """Open a video file, or a network address that OpenCV reads.

    Args:
        path: or an address with "://" in it, which comes at its own speed.
        paced: release each frame when it is due by the file's frames a second, as a camera would;
            False reads as fast as the frames are taken.
        timeout: seconds without a frame after which an address has stopped.

    Raises:
        DataError: it doesn't exist, or is no video that can be read. While reading: an address
            without an announced end stopped.
    """
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise DataError(f"{path} does not exist or is no file; check the path of the video.")
    capture = _open_address(str(path), timeout) if remote else cv2.VideoCapture(str(path))
    announced = _announced(capture)
    live = remote and announced is None
    tries = _TRIES if announced is None else min(announced + 1, _MOST_TRIES)
    frames = _begun(
        capture,
        _reads(capture, tries, timeout if remote else None, timed=not live),
        f"{path} gives no frame within {timeout:g} s; check the address, the network, and that the "
        "camera sends MJPEG, H.264 or another form that OpenCV's ffmpeg knows."
        if remote
        else f"{path} is not a video that can be read; expected MP4, AVI or another that OpenCV's "
        "ffmpeg knows. Open it in a player, or copy it again.",
    )
    rate = _rate(capture)
    if live:
        frames = _endless(frames, str(path), "check the camera and the network")
    elif paced and rate:
        frames = _paced(frames, 1 / rate)
    return Source(
        frames=frames,
        close=capture.release,
        name=str(path),
        announced=announced,
        rate=rate,
        live=live,
    )


def _open_address(address: str, timeout: float) -> Any:
    limit = max(1, round(1000 * timeout))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
    return cv2.VideoCapture(address, cv2.CAP_ANY, limits)


def _announced(capture: Any) -> int | None:
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)  # far below 0 for what has no end
    return int(count) if 0 < count < 2**53 else None


def _rate(capture: Any) -> float | None:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 0 < rate < 1e4 else None


def _reads(capture: Any, tries: int, timeout: float | None, *, timed: bool) -> Iterator[Frame]:
    """Read until `tries` reads in a row fail, or none succeeds within `timeout`.

    Reads that fail before one that succeeds were damaged frames; those at the end are none.
    """
    failed, since = 0, time.perf_counter()
    while failed < tries and (timeout is None or time.perf_counter() - since < timeout):
        done, pixels = capture.read()
        if not done or pixels is None:
            failed += 1
            continue
        for _ in range(failed):
            yield Frame(pixels=None)
        at = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if timed else None
        yield Frame(pixels=pixels, time=at)
        failed, since = 0, time.perf_counter()


def _begun(capture: Any, frames: Iterator[Frame], otherwise: str) -> Iterator[Frame]:
    """The same frames, the first one read already; raises `otherwise` where there is none."""
    first = next(frames, None) if capture.isOpened() else None
    if first is None:
        capture.release()
        raise DataError(otherwise)
    return chain([first], frames)


def _endless(frames: Iterator[Frame], name: str, advice: str) -> Iterator[Frame]:
    count = 0
    for frame in frames:
        yield frame
        count += frame.pixels is not None
    raise DataError(f"{name} stopped after {count} frames; {advice}.")


def _paced(frames: Iterator[Frame], seconds: float) -> Iterator[Frame]:
    due = time.perf_counter()
    for frame in frames:
        time.sleep(max(0.0, due - time.perf_counter()))
        yield frame
        due += seconds
