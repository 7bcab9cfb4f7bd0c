"""`stream`: a camera, a video or any frames -> answers on the newest frame, each with its age.

A robot that answers every frame falls behind as soon as answers take longer than frames. So a
thread reads all the time and only its newest frame waits; a frame that is replaced before the
network is free counts as dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.segmentation import Segmentation
from maskwright.runtimes.capture import Source, from_camera, from_video
from maskwright.runtimes.pinning import unpin_this_thread
from maskwright.runtimes.pixels import ColourOrder
from maskwright.runtimes.predictor import Predictor

_PATIENCE = 5.0
"""Seconds that closing waits for a camera that hangs; its thread ends with the process."""


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """One answer.

    Attributes:
        frame: uint8 [H, W, 3] as it was read: BGR of a camera or video, else as the iterator gave.
        found: what the network sees in it, in its pixels.
        number: of the frame, counted from 0 over all that were read, dropped ones included.
        age: seconds from the frame's arrival to this answer.
        dropped: frames dropped so far.
    """

    frame: np.ndarray
    found: Segmentation
    number: int
    age: float
    dropped: int


@dataclass(frozen=True)
class _Arrival:
    frame: np.ndarray
    number: int
    at: float


def stream(
    source: int | Path | str | Iterable[np.ndarray],
    predictor: Predictor,
    *,
    colour_order: ColourOrder | None = None,
    drop: bool = True,
    reuse: bool = False,
) -> Stream:
    """Answer a camera's, a video's or an iterator's frames.

        with stream(0, load("model.mask")) as results:
            for result in results:
                steer(result.found, result.age)

    Args:
        source: number of a camera; path of a video (or address, such as "rtsp://..."), which plays
            at its own speed where frames are dropped; or frames, which `predict` takes.
        predictor: from `load`.
        colour_order: of an iterator's frames: "rgb" unless given. A camera's and a video's are
            "bgr", whatever is given.
        drop: keep only the newest frame. False answers every frame, and the source waits.
        reuse: write every answer into the one before, so that answers allocate no arrays: a
            result's `found` holds until the next result is asked for.

    Returns:
        An iterator of `StreamResult` that ends with the source. Leaving its `with`, or `close()`,
        stops the reading thread and frees the camera.

    Raises:
        DataError: no such camera or video, or one that can't be read. While iterating: the camera
            stopped, or a frame is no image.
        ConfigError: a source or colour order that is none.
    """
    if colour_order not in (None, "rgb", "bgr"):
        raise ConfigError(f"expected colour_order 'rgb' or 'bgr', got {colour_order!r}.")
    order: ColourOrder = colour_order or "rgb"
    frames: Source
    if isinstance(source, bool) or source is None:
        raise ConfigError(f"expected a camera's number, a path or frames, got {source!r}.")
    if isinstance(source, int):
        frames, order = from_camera(source), "bgr"
    elif isinstance(source, str | Path):
        frames, order = from_video(source, paced=drop), "bgr"
    elif isinstance(source, Iterable) and not isinstance(source, np.ndarray):
        frames = Source(frames=iter(source), close=lambda: None)
    else:
        raise ConfigError(
            "expected a camera's number, a video's path or an iterator of frames, got "
            f"{type(source).__name__}; give one frame to predict."
        )
    return Stream(frames, predictor, colour_order=order, drop=drop, reuse=reuse)


class Stream:
    """An iterator of `StreamResult`; made by `stream`.

    Attributes:
        read: frames read so far.
        dropped: those of them that were replaced before the network was free.
    """

    def __init__(
        self,
        source: Source,
        predictor: Predictor,
        *,
        colour_order: ColourOrder,
        drop: bool,
        reuse: bool,
    ) -> None:
        self.read = 0
        self.dropped = 0
        self._source = source
        self._predictor = predictor
        self._order: ColourOrder = colour_order
        self._drop = drop
        self._reuse = reuse
        self._out: Segmentation | None = None
        self._changed = threading.Condition()
        self._newest: _Arrival | None = None
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
            arrival.frame, colour_order=self._order, out=self._out if fits else None
        )
        if self._reuse:
            self._out = found
        return StreamResult(
            frame=arrival.frame,
            found=found,
            number=arrival.number,
            age=time.perf_counter() - arrival.at,
            dropped=self.dropped,
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
        with self._changed:
            while self._newest is None and not self._ended and not self._closing:
                self._changed.wait()
            arrival, self._newest = self._newest, None
            self._changed.notify_all()
            if arrival is not None:
                return arrival
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopIteration

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

    def _put(self, frame: np.ndarray) -> bool:
        """Hand a frame over; False where the stream was closed."""
        arrival = _Arrival(_checked(frame, self.read), self.read, time.perf_counter())
        with self._changed:
            while not self._drop and self._newest is not None and not self._closing:
                self._changed.wait()
            if self._closing:
                return False
            self.read += 1
            self.dropped += self._newest is not None
            self._newest = arrival
            self._changed.notify_all()
        return True


def _checked(frame: object, number: int) -> np.ndarray:
    if isinstance(frame, np.ndarray):
        return frame
    raise DataError(
        f"expected frame {number} of the stream to be a numpy array [height, width, 3], got "
        f"{type(frame).__name__}."
    )
