"""`stream`: a camera, a video or any frames -> answers on the newest frame, each with its age.

A robot that answers every frame falls behind as soon as answers take longer than frames. So a
thread reads all the time and only its newest frame waits; a frame that is replaced before the
network is free counts as dropped. Nothing ends early in silence: a frame that can't be decoded is
skipped and counted, a camera that stops raises, and a file that has fewer frames than it announces
is told at its end.
"""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.segmentation import Segmentation
from maskwright.runtimes.capture import Frame, Source, camera_number, from_camera, from_video
from maskwright.runtimes.pinning import unpin_this_thread
from maskwright.runtimes.pixels import ColourOrder
from maskwright.runtimes.predictor import Predictor
from maskwright.runtimes.tiling import Tiled

TIMEOUT = 10.0
"""Seconds without a frame after which a camera or an address has stopped."""

_PATIENCE = 5.0
"""Seconds that closing waits for a camera that hangs; its thread ends with the process."""

_TOLERATED = 0.01
"""Share of its announced frames that a file may lack and only warn: containers round their length,
and edit lists cut the first frames."""


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """One answer.

    Attributes:
        frame: uint8 [H, W, 3] as it was read: BGR of a camera or video, else as the iterator gave.
        found: what the network sees in it, in its pixels.
        number: of the frame, counted from 0 over all that came, dropped and damaged ones included.
        time: seconds from the recording's start; of a camera or an iterator, from the arrival of
            its first frame to that of this one.
        age: seconds from the frame's arrival to this answer.
        dropped: frames dropped so far.
        damaged: frames before this one that could not be decoded.
    """

    frame: np.ndarray
    found: Segmentation
    number: int
    time: float
    age: float
    dropped: int
    damaged: int


@dataclass(frozen=True)
class _Arrival:
    frame: np.ndarray
    number: int
    time: float
    at: float
    damaged: int


def stream(
    source: int | Path | str | Iterable[np.ndarray],
    predictor: Predictor | Tiled,
    *,
    colour_order: ColourOrder | None = None,
    drop: bool = True,
    reuse: bool = False,
    every: int = 1,
    timeout: float = TIMEOUT,
) -> Stream:
    """Answer a camera's, a video's or an iterator's frames.

        with stream(0, load("model.mask")) as results:
            for result in results:
                steer(result.found, result.age)

    Args:
        source: a camera as a number or "/dev/video0"; path of a video, which plays at its own speed
            where frames are dropped; an address such as "rtsp://..." or "http://..."; or frames,
            which `predict` takes.
        predictor: from `load`, or `Tiled` of it.
        colour_order: of an iterator's frames, "rgb" or "bgr" (OpenCV's). It must be told: frames
            of the wrong order look like frames, and are answered wrongly without an error. Cameras
            and videos are "bgr" by their reader.
        drop: keep only the newest frame. False answers every frame, and the source waits.
        reuse: write every answer into the one before, so that answers allocate no arrays: a
            result's `found` holds until the next result is asked for.
        every: answer each so-manieth frame only, beginning with the first; all are read.
        timeout: seconds without a frame after which a camera or an address has stopped. A file and
            an iterator may take their time.

    Returns:
        An iterator of `StreamResult` that ends with the source. Leaving its `with`, or `close()`,
        stops the reading thread and frees the camera. At a file's end a `UserWarning` tells of
        frames that were damaged and skipped, or of a few that are missing.

    Raises:
        DataError: no such camera or video, or one that can't be read. While iterating, after the
            frames that came: the camera or address stopped or is silent for `timeout`, the file
            has fewer frames than it announces (by 1 % and more than one), or a frame is no image.
        ConfigError: a source, colour order, `every` or `timeout` that is none.
    """
    if colour_order not in (None, "rgb", "bgr"):
        raise ConfigError(f"expected colour_order 'rgb' or 'bgr', got {colour_order!r}.")
    check_settings(every, timeout)
    order: ColourOrder = "bgr"
    if isinstance(source, int | str | Path) and not isinstance(source, bool):
        if colour_order == "rgb":
            raise ConfigError(
                f"expected colour_order 'bgr' or none for {source}, whose frames OpenCV reads as "
                "BGR, got 'rgb'; leave it out."
            )
        frames = open_source(source, paced=drop, timeout=timeout)
    elif isinstance(source, Iterable) and not isinstance(source, np.ndarray):
        if colour_order is None:
            raise ConfigError(
                "expected the colour_order of the iterator's frames, got none; pass "
                'colour_order="bgr" for frames from OpenCV, "rgb" for others.'
            )
        order = colour_order
        frames = Source(frames=_checked(iter(source)), close=lambda: None)
    else:
        raise ConfigError(
            "expected a camera's number, a video's path or an iterator of frames, got "
            f"{'a ' if source is not None else ''}{type(source).__name__}; give one frame to "
            "predict."
        )
    return Stream(
        frames,
        predictor,
        colour_order=order,
        drop=drop,
        reuse=reuse,
        every=every,
        timeout=timeout if frames.live else None,
    )


def check_settings(every: int, timeout: float) -> None:
    """Refuse values that make no sense.

    Raises:
        ConfigError: `every` below 1, or a timeout that isn't above 0 and finite.
    """
    if every < 1:
        raise ConfigError(f"expected every 1 (all frames) or more, got {every}.")
    if not (timeout > 0 and math.isfinite(timeout)):
        raise ConfigError(f"expected a timeout of more than 0 seconds, got {timeout}.")


def open_source(source: int | Path | str, *, paced: bool, timeout: float) -> Source:
    """A camera, a video or an address as `stream` takes it; errors as of `stream`."""
    number = source if isinstance(source, int) else camera_number(source)
    if number is not None:
        return from_camera(number, timeout)
    return from_video(str(source), paced=paced, timeout=timeout)


class Stream:
    """An iterator of `StreamResult`; made by `stream`.

    Attributes:
        read: frames read so far.
        dropped: those of them that were replaced before the network was free.
        damaged: frames that came but could not be decoded; they are not among `read`.
        announced: how many frames the file says it has; None for cameras and iterators.
        colour_order: of the frames.
        rate: frames a second, where the source tells.
        live: whether the source has no end of its own: a camera, or an address of one.
        name: of the source, as messages tell it.
    """

    def __init__(
        self,
        source: Source,
        predictor: Predictor | Tiled,
        *,
        colour_order: ColourOrder,
        drop: bool,
        reuse: bool,
        every: int = 1,
        timeout: float | None = None,
    ) -> None:
        self.read = 0
        self.dropped = 0
        self.damaged = 0
        self.announced = source.announced
        self.colour_order: ColourOrder = colour_order
        self.rate = source.rate
        self.live = source.live
        self.name = source.name
        self._source = source
        self._predictor = predictor
        self._drop = drop
        self._reuse = reuse
        self._every = every
        self._timeout = timeout
        self._out: Segmentation | None = None
        self._changed = threading.Condition()
        self._newest: _Arrival | None = None
        self._began: float | None = None
        self._heard = 0.0
        self._ended = False
        self._closing = False
        self._failure: BaseException | None = None
        self._reader = threading.Thread(target=self._work, name="maskwright-stream", daemon=True)
        self._reader.start()

    def __iter__(self) -> Iterator[StreamResult]:
        return self

    def __next__(self) -> StreamResult:
        arrival = self._take()
        fits = self._out is not None and self._out.size == arrival.frame.shape[:2]
        found = self._predictor.predict(
            arrival.frame, colour_order=self.colour_order, out=self._out if fits else None
        )
        if self._reuse:
            self._out = found
        return StreamResult(
            frame=arrival.frame,
            found=found,
            number=arrival.number,
            time=arrival.time,
            age=time.perf_counter() - arrival.at,
            dropped=self.dropped,
            damaged=arrival.damaged,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and free the source; closing twice does nothing."""
        with self._changed:
            self._closing = True
            self._newest = None
            self._changed.notify_all()
        if self._reader is not threading.current_thread():
            self._reader.join(_PATIENCE)

    def _take(self) -> _Arrival:
        began = time.perf_counter()
        with self._changed:
            while self._newest is None and not self._ended and not self._closing:
                left = None
                if self._timeout is not None:  # since the last frame, one to be answered or not
                    left = max(began, self._heard) + self._timeout - time.perf_counter()
                if left is not None and left <= 0:
                    self._closing = True
                    raise DataError(
                        f"{self.name} stopped after {self.read} frames: none came for "
                        f"{self._timeout:g} s; check its cable or network, or raise timeout."
                    )
                self._changed.wait(left)
            arrival, self._newest = self._newest, None
            self._changed.notify_all()
            if arrival is not None:
                return arrival
            failure, self._failure = self._failure, None
            closed, self._closing = self._closing, True
        if closed:
            raise StopIteration
        if failure is not None:
            raise failure
        self._tell_the_end()
        raise StopIteration

    def _tell_the_end(self) -> None:
        """Hold what came against what was announced.

        Raises:
            DataError: the file is cut off.
        """
        came = self.read + self.damaged
        announced = came if self.announced is None else self.announced
        missing = max(0, announced - came)
        if not missing and not self.damaged:
            return
        told = f"{self.name}: {self.read} of {announced} announced frames came whole"
        if self.announced is None:
            told = f"{self.name}: {self.read} of {came} frames came whole"
        told += f"; damaged and skipped: {self.damaged}" if self.damaged else ""
        told += f"; missing at the end: {missing}" if missing else ""
        if missing > max(1, _TOLERATED * announced):
            raise DataError(f"{told}. The file is cut off or damaged; copy it again.")
        warnings.warn(f"{told}.", stacklevel=4)

    def _work(self) -> None:
        unpin_this_thread()
        try:
            for frame in self._source.frames:
                if not self._put(frame):
                    break
        except BaseException as error:  # whatever it is, it belongs to whoever iterates
            self._failure = error
        finally:
            self._source.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame) -> bool:
        """Count a frame, and hand it over where it is to be answered; False once closed."""
        now = time.perf_counter()
        number = self.read + self.damaged
        with self._changed:
            if self._closing:
                return False
            if frame.pixels is None:
                self.damaged += 1
                return True
            self._heard = now
            if number % self._every:
                self.read += 1
                return True
            while not self._drop and self._newest is not None and not self._closing:
                self._changed.wait()
            if self._closing:
                return False
            if self._began is None:
                self._began = now
            self.read += 1
            self.dropped += self._newest is not None
            at = now - self._began if frame.time is None else frame.time
            self._newest = _Arrival(frame.pixels, number, at, now, self.damaged)
            self._changed.notify_all()
        return True


def _checked(frames: Iterator[object]) -> Iterator[Frame]:
    for number, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray):
            raise DataError(
                f"expected frame {number} of the stream to be a numpy array [height, width, 3], "
                f"got {type(frame).__name__}."
            )
        yield Frame(pixels=frame)
