"""Run a predictor over a video or a camera: an annotated video, and a line of JSON a frame."""

from __future__ import annotations

import contextlib
import json
import re
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.files import atomic_path
from maskwright.core.interrupt import HeldInterrupt
from maskwright.core.plain import plain_objects
from maskwright.formats.class_ids import write_classes
from maskwright.jobs.inspect import Progress
from maskwright.jobs.reel import Reel
from maskwright.jobs.tracking import Tracker
from maskwright.runtimes.capture import camera_number
from maskwright.runtimes.predictor import Predictor
from maskwright.runtimes.stream import TIMEOUT, Stream, StreamResult, check_settings, open_source
from maskwright.runtimes.tiling import Tiled


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSummary:
    """What `predict_video` did.

    Attributes:
        lines: the JSON lines written.
        video: the annotated video; None where it was left out.
        frames: how many were answered.
        read: how many came whole.
        dropped: those of them that came while another was answered.
        damaged: how many could not be decoded.
        announced: how many the file says it has.
        seconds: in all.
        complaint: why it ended early, or what was skipped; "" where nothing was.
        failed: whether it ended early.
        interrupted: whether Ctrl-C ended it.
    """

    lines: Path
    video: Path | None
    frames: int
    read: int
    dropped: int
    damaged: int
    announced: int | None
    seconds: float
    complaint: str
    failed: bool
    interrupted: bool


def predict_video(
    predictor: Predictor | Tiled,
    source: int | Path | str,
    out: Path | str,
    name: str = "",
    *,
    every: int = 1,
    limit: int | None = None,
    video: bool = True,
    tracker: Tracker | None = None,
    opacity: float = 0.5,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> VideoSummary:
    """Predict a video's or a camera's frames; write NAME.jsonl and NAME.mp4 below `out`.

    Every frame of a file is answered; a camera is kept up with, so frames that come too soon are
    dropped and counted. The annotated video keeps the source's pace: a picture stands until the
    next answer. Ctrl-C, a camera that stops and a file that is cut off end it cleanly: what was
    answered until then is whole.

    A line of NAME.jsonl is an object: "frame" (number, from 0 over all that came), "time" (seconds
    from the start), "age" (seconds from the frame's arrival to its answer), "dropped" and "damaged"
    (so far), "size" [height, width]; and of what the network answers "shares" (class -> share of
    the pixels; the rest is void), "objects" (each "class", "box" as x1, y1, x2, y2 in pixels,
    "score", "track" (the identity, the same in all frames), "mask" as COCO's compressed run
    lengths), "labels" (class -> score).

    Args:
        predictor: what `runtimes.load` returned, or `Tiled` of it.
        source: as of `stream`: a camera's number, a video's path, an address.
        out: a folder.
        name: of the files; after the source unless given.
        every: answer each so-manieth frame only.
        limit: end after so many answers.
        video: whether to write the annotated one.
        tracker: gives objects the identities that stand under "track" and choose their shades; a
            new one for each source. None: `Tracker()`.
        opacity: of its tint, 0..1.
        timeout: seconds without a frame after which a camera or an address has stopped.
        progress: called after each frame, with a total of 0 where it isn't known.

    Raises:
        DataError: no such source, or not one frame of it could be read.
        ConfigError: settings out of range.
        MaskwrightError: the files can't be written.
        KeyboardInterrupt: Ctrl-C before the first answer.
    """
    check_settings(every, timeout)
    if limit is not None and limit < 1:
        raise ConfigError(f"expected a limit of 1 frame or more, got {limit}.")
    out = Path(out)
    name = name or video_names([source])[str(source)]
    target = out / f"{name}.mp4" if video else None
    started = time.perf_counter()
    hold = HeldInterrupt()
    with (
        hold.held(),
        _opened(source, predictor, every, timeout) as results,
        atomic_path(out / f"{name}.jsonl") as lines,
        _reel(target, _rate(results, every)) as reel,
        lines.open("w", encoding="utf-8") as table,
    ):
        run = _Run(results, hold)
        tracker = tracker or Tracker()
        for seen in run.answers(limit):
            result = replace(seen, found=tracker.update(seen.found))
            table.write(json.dumps(frame_line(result), ensure_ascii=False) + "\n")
            if reel is not None:
                reel.add(_picture(result, opacity), _place(result, results, reel.rate, every))
            if progress is not None:
                progress(run.answered, _total(results, every, limit))
        write_classes(out / "classes.json", predictor.card.classes)
    return VideoSummary(
        lines=out / f"{name}.jsonl",
        video=target,
        frames=run.answered,
        read=results.read,
        dropped=results.dropped,
        damaged=results.damaged,
        announced=results.announced,
        seconds=time.perf_counter() - started,
        complaint=run.complaint,
        failed=run.failed,
        interrupted=run.interrupted,
    )


def frame_line(result: StreamResult) -> dict[str, Any]:
    """A line of the JSON lines, as `predict_video` describes it."""
    found = result.found
    line: dict[str, Any] = {
        "frame": result.number,
        "time": round(result.time, 6),
        "age": round(result.age, 6),
        "dropped": result.dropped,
        "damaged": result.damaged,
        "size": list(found.size),
    }
    if found.semantic is not None:
        line["shares"] = found.shares()
    if found.instances is not None:
        line["objects"] = plain_objects(found.instances, found.classes.names)
    if found.labels is not None:
        line["labels"] = {found.classes.names[one.class_id]: one.score for one in found.labels}
    return line


def video_names(sources: Iterable[int | Path | str]) -> dict[str, str]:
    """The name of each source's files: of a video its own, of a camera "camera0".

    Raises:
        DataError: two sources have one name.
    """
    named: dict[str, str] = {}
    for source in map(str, sources):
        number = camera_number(source)
        if number is not None:
            name = f"camera{number}"
        elif "://" in source:  # without what may be a password
            place = source.split("://", 1)[1].rsplit("@", 1)[-1].split("?")[0]
            name = re.sub(r"[^\w.-]+", "_", place).strip("_.") or "address"
        else:
            name = Path(source).stem
        if name in named.values():
            raise DataError(
                f"two sources would both be written as {name}.jsonl; got {source} beside another. "
                "Rename one, or predict them into folders of their own."
            )
        named[source] = name
    return named


class _Run:
    """Answers until the source, the limit or Ctrl-C ends them; why they ended."""

    def __init__(self, results: Stream, hold: HeldInterrupt) -> None:
        self.answered = 0
        self.complaint = ""
        self.failed = False
        self.interrupted = False
        self._results = results
        self._hold = hold

    def answers(self, limit: int | None) -> Iterator[StreamResult]:
        while limit is None or self.answered < limit:
            try:
                with self._hold.allowed(), warnings.catch_warnings(record=True) as told:
                    warnings.simplefilter("always")
                    result = next(self._results, None)
            except (DataError, KeyboardInterrupt) as error:
                if not self.answered:
                    raise
                self.complaint = str(error)
                self.interrupted = isinstance(error, KeyboardInterrupt)
                self.failed = not self.interrupted
                return
            if result is None:
                self.complaint = " ".join(str(one.message) for one in told)
                return
            self.answered += 1
            yield result


def _opened(
    source: int | Path | str, predictor: Predictor | Tiled, every: int, timeout: float
) -> Stream:
    """Every frame of what has an end, the newest of what is live."""
    frames = open_source(source, paced=False, timeout=timeout)
    return Stream(
        frames,
        predictor,
        colour_order="bgr",
        drop=frames.live,
        reuse=True,
        every=every,
        timeout=timeout if frames.live else None,
    )


@contextlib.contextmanager
def _reel(target: Path | None, rate: float | None) -> Iterator[Reel | None]:
    """The annotated video, which takes its place once it is whole; None for none."""
    if target is None:
        yield None
        return
    with atomic_path(target, keep_suffix=True) as temporary, Reel(temporary, rate) as reel:
        yield reel
        reel.finish()


def _rate(results: Stream, every: int) -> float | None:
    return results.rate if results.live or results.rate is None else results.rate / every


def _place(result: StreamResult, results: Stream, rate: float, every: int) -> int:
    return round(result.time * rate) if results.live else result.number // every


def _total(results: Stream, every: int, limit: int | None) -> int:
    if results.announced is None:
        return limit or 0
    frames = -(-results.announced // every)
    return frames if limit is None else min(frames, limit)


def _picture(result: StreamResult, opacity: float) -> np.ndarray:
    """uint8 RGB [H, W, 3]: the answer on its frame."""
    return result.found.draw(cv2.cvtColor(result.frame, cv2.COLOR_BGR2RGB), opacity=opacity)
