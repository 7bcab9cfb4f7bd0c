"""Identities over frames, beside supervision's ByteTrack: `python -m benchmarks tracking`.

That has moved to the package "trackers", which wants another OpenCV than ours: it is no dependency,
and measured where it is found, such as after `pip install --no-deps --target PEER trackers` with
PEER in PYTHONPATH.

Our own scenes of a moving camera, whose truth has identities. Trackers are given the truth's own
objects without them, in random order, some of them missed and the boxes and masks of all moved by
up to a pixel; so what is measured is the tracker, not a detector.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from maskwright import Tracker
from maskwright.core import Instance, Mask, Segmentation
from maskwright.metrics.identity import IdentityCounter
from maskwright.synthesis import pitch_sequence
from maskwright.synthesis.pitch import FRAMES_PER_SECOND

Track = Callable[[Segmentation], Segmentation]


def ours() -> Track:
    """`Tracker` as it is by default."""
    return Tracker().update


def byte_track() -> Track:
    """Roboflow's, as it is by default, at the scenes' frames a second."""
    from supervision import Detections
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(frame_rate=FRAMES_PER_SECOND)

    def update(found: Segmentation) -> Segmentation:
        objects = list(found.instances or ())
        if not objects:
            boxes = Detections.empty()
        else:
            boxes = Detections(
                xyxy=np.array([one.box_xyxy for one in objects], np.float32),
                confidence=np.array([one.score for one in objects], np.float32),
                class_id=np.array([one.class_id for one in objects]),
                data={"place": np.arange(len(objects))},
            )
        told = tracker.update(boxes)
        numbers = {}
        if len(told) and told.tracker_id is not None:
            places = np.asarray(told.data["place"]).tolist()
            given = zip(places, np.asarray(told.tracker_id).tolist())
            numbers = {place: number for place, number in given if number >= 0}
        return replace(
            found,
            instances=tuple(
                replace(one, track_id=numbers.get(place)) for place, one in enumerate(objects)
            ),
        )

    return update


TRACKERS = {"maskwright": ours}
if importlib.util.find_spec("trackers") is not None:
    TRACKERS["ByteTrack"] = byte_track


def blurred(truth: Segmentation, missed: float, chance: np.random.Generator) -> Segmentation:
    """The truth as a detector might answer it: some objects missed, all moved a little."""
    kept = [one for one in truth.instances or () if chance.random() >= missed]
    moved = [_moved(one, chance.integers(-1, 2, 2)) for one in kept]
    order = chance.permutation(len(moved))
    return replace(truth, instances=tuple(moved[place] for place in order))


def _moved(one: Instance, step: np.ndarray) -> Instance:
    dx, dy = int(step[0]), int(step[1])
    left, top, right, bottom = one.box_xyxy
    box = (left + dx, top + dy, right + dx, bottom + dy)
    mask = one.mask
    if mask is not None:
        mask = Mask.encode(np.roll(mask.decode(), (dy, dx), axis=(0, 1)))
    return Instance(class_id=one.class_id, box_xyxy=box, mask=mask, score=0.9)


def follow(
    track: Track,
    truths: Sequence[Segmentation],
    seen: Sequence[Segmentation],
    counter: IdentityCounter,
) -> float:
    """Count a video; the seconds that its tracker took."""
    spent = 0.0
    for truth, found in zip(truths, seen):
        started = time.perf_counter()
        answer = track(found)
        spent += time.perf_counter() - started
        counter.update(truth.instances or (), answer.instances or ())
    counter.end_video()
    return spent


def arguments(parser: argparse.ArgumentParser) -> None:
    """Scenes, frames, sizes."""
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--frames", type=int, default=45)
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), metavar="SIDE")
    parser.add_argument("--missed", type=float, nargs="+", default=[0.0, 0.1, 0.3])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """A row for each share of missed objects and each tracker."""
    videos = [
        [sample.read_truth() for sample in pitch_sequence(seed, options.frames, (*options.size,))]
        for seed in range(options.scenes)
    ]
    rows = []
    for missed in options.missed:
        chance = np.random.default_rng(0)
        seen = [[blurred(truth, missed, chance) for truth in video] for video in videos]
        for name, make in TRACKERS.items():
            # a pixel of an object of five is half of it: whoever is found is found by a quarter
            counter = IdentityCounter(min_iou=0.25)
            spent = sum(follow(make(), video, own, counter) for video, own in zip(videos, seen))
            scores = counter.scores()
            row = {
                "tracker": name, "missed": missed, "idf1": round(scores.idf1, 4),
                "switches": scores.switches, "truths": scores.truths, "answers": scores.answers,
                "ms_a_frame": round(1000 * spent / options.scenes / options.frames, 3),
            }  # fmt: skip
            rows.append(row)
            print(row, flush=True)
    peers = {"trackers": version("trackers")} if "ByteTrack" in TRACKERS else {}
    return {"rows": rows, "threads": 1, "peers": peers}
