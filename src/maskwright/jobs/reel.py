"""An annotated video: pictures at a steady rate, playable, and known to be whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from maskwright.core.errors import MaskwrightError

RATE = 25.0
"""Frames a second where the source doesn't tell."""

_LITTLE = 1 << 24  # free bytes below which a disk is taken for full


class Reel:
    """Writes an MPEG-4 video; each picture has a place, and stands until the next one's.

    So a video keeps its length where frames were damaged or dropped.

    Attributes:
        written: frames in the video.
    """

    def __init__(self, path: Path, rate: float | None) -> None:
        """Prepare the video; it is opened with the first picture, whose size it takes.

        Args:
            path: ".mp4".
            rate: frames a second.
        """
        self.written = 0
        self._path = path
        # MPEG-4 counts time in 1/65535 s at the finest: two digits are what it can hold.
        self._rate = round(rate, 2) if rate is not None and 0.1 <= rate <= 500 else RATE
        self._writer: Any = None
        self._size = (0, 0)
        self._last: np.ndarray | None = None

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self._rate

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.release()

    def add(self, picture_HW3: np.ndarray, place: int) -> None:
        """Add a picture.

        Args:
            picture_HW3: uint8 RGB; one of another size than the first is scaled to it.
            place: its number in the video; the picture before it stands until then. One that isn't
                beyond the last is left out: its place is taken.

        Raises:
            MaskwrightError: the video can't be written.
        """
        if self._writer is None:
            self._open(picture_HW3)
        if place < self.written:
            return
        while self._last is not None and self.written < place:
            self._write(self._last)
        self._last = self._fitted(picture_HW3)
        self._write(self._last)

    def finish(self) -> None:
        """Close the video, and see that it holds what was written.

        Raises:
            MaskwrightError: it doesn't; OpenCV doesn't tell of a full disk.
        """
        if self._writer is None:
            raise MaskwrightError("expected at least one picture for the video, got none.")
        self._writer.release()
        check = cv2.VideoCapture(str(self._path))
        found = check.get(cv2.CAP_PROP_FRAME_COUNT) if check.isOpened() else 0
        readable = check.isOpened() and check.read()[0]
        check.release()
        if not readable or found != self.written:
            full = shutil.disk_usage(self._path.parent).free < _LITTLE
            raise MaskwrightError(
                f"expected {self.written} frames in the written video, but {found:.0f} can be "
                f"read; {'the disk is full: free some space, or ' if full else ''}leave the video "
                "out with --no-video."
            )

    def _open(self, picture_HW3: np.ndarray) -> None:
        height, width = picture_HW3.shape[:2]
        self._size = (height + height % 2, width + width % 2)  # MPEG-4 has even sides only
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._path), code, self._rate, self._size[::-1])
        if not self._writer.isOpened():
            raise MaskwrightError(
                f"OpenCV can't write a video of {width}x{height} at {self._rate:g} frames a "
                "second; leave it out with --no-video."
            )

    def _fitted(self, picture_HW3: np.ndarray) -> np.ndarray:
        """BGR of the video's size; an odd side gets its last row or column twice."""
        height, width = picture_HW3.shape[:2]
        below, beside = self._size[0] - height, self._size[1] - width
        bgr_HW3 = cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR)
        if below in (0, 1) and beside in (0, 1):
            return cv2.copyMakeBorder(bgr_HW3, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        return cv2.resize(bgr_HW3, self._size[::-1], interpolation=cv2.INTER_AREA)

    def _write(self, bgr_HW3: np.ndarray) -> None:
        self._writer.write(bgr_HW3)
        self.written += 1
