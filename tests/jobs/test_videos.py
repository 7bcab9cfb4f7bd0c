"""Videos and cameras become a playable video and lines of JSON, whole whatever ends them."""

from __future__ import annotations

import itertools
import json
import signal
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_api
from small_sets import CLASSES

from maskwright.core import ConfigError, DataError, Mask, ModelCard, Resize
from maskwright.core.errors import MaskwrightError
from maskwright.jobs import predict_video, video_names
from maskwright.jobs.reel import Reel
from maskwright.runtimes import Predictor, capture

SIZE = (36, 52)
CARD = ModelCard(
    name="stand-in",
    architecture="none",
    config={},
    classes=CLASSES,
    tasks=("instances", "labels", "semantic"),
    resize=Resize(size=SIZE),
)
BOX = np.zeros(SIZE, np.uint8)
BOX[5:20, 10:30] = 1


def answer(input_B3HW):
    """Bright pixels are lines; one object, and one label."""
    return {
        "class_map": (input_B3HW[:, 0] > 128).astype(np.uint8),
        "boxes": np.array([[[10, 5, 30, 20]]], np.float32),
        "scores": np.array([[0.75]], np.float32),
        "class_ids": np.array([[2]]),
        "masks": BOX[None, None],
        "labels": np.array([[0.1, 0.2, 0.9]], np.float32),
    }


def predictor(run=answer):
    return Predictor(CARD, run, {})


def frame(number: int) -> np.ndarray:
    """Grey that grows, its left half black."""
    pixels = np.full((*SIZE, 3), 100 + 10 * number, np.uint8)
    pixels[:, : SIZE[1] // 2] = 0
    return pixels


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, SIZE[::-1])
    for number in range(10):
        writer.write(frame(number))
    writer.release()
    return path


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def pictures_of(path):
    reader = cv2.VideoCapture(str(path))
    pictures = []
    while (read := reader.read())[0]:
        pictures.append(read[1])
    return reader.get(cv2.CAP_PROP_FPS), pictures


def test_every_frame_has_a_line_and_a_picture(tmp_path, clip):
    told = []
    done = predict_video(predictor(), clip, tmp_path / "o", progress=lambda *s: told.append(s))
    assert (done.frames, done.read, done.dropped, done.damaged) == (10, 10, 0, 0)
    assert (done.announced, done.complaint, done.failed, done.interrupted) == (10, "", False, False)
    assert told == [(number, 10) for number in range(1, 11)]
    lines = lines_of(done.lines)
    assert [line["frame"] for line in lines] == list(range(10))
    np.testing.assert_allclose([line["time"] for line in lines], np.arange(10) / 20, atol=1e-6)
    assert all(line["age"] > 0 and line["dropped"] == line["damaged"] == 0 for line in lines)
    reader = cv2.VideoCapture(str(clip))
    for line in lines:
        pixels = reader.read()[1]
        height, width = line["size"]
        assert (height, width) == pixels.shape[:2] == SIZE
        bright = (pixels[..., 2] > 128).mean()
        assert line["shares"] == pytest.approx({"grass": 1 - bright, "line": bright, "ball": 0})
        assert line["labels"] == pytest.approx({"ball": 0.9})
        (found,) = line["objects"]
        assert (found["class"], found["score"]) == ("ball", 0.75)
        decoded = coco_api.decode(found["mask"])
        np.testing.assert_array_equal(decoded, Mask.from_coco(found["mask"]).decode())
        np.testing.assert_array_equal(decoded, BOX)
    rate, pictures = pictures_of(done.video)
    assert (rate, len(pictures)) == (20, 10)
    assert pictures[0].shape == (*SIZE, 3)
    # bright pixels are tinted as lines, black ones as grass, in RGB order
    for place, colour in (((30, 40), CLASSES.colours[1]), ((30, 5), CLASSES.colours[0])):
        before = frame(9)[place].astype(float)
        expected = (before + np.array(colour)) / 2
        np.testing.assert_allclose(pictures[9][place][::-1], expected, atol=14)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [
        "classes.json", "clip.jsonl", "clip.mp4",
    ]  # fmt: skip


def test_some_frames_only(tmp_path, clip):
    done = predict_video(predictor(), clip, tmp_path / "o", every=3)
    assert [line["frame"] for line in lines_of(done.lines)] == [0, 3, 6, 9]
    rate, pictures = pictures_of(done.video)
    assert rate == pytest.approx(20 / 3, abs=0.01)
    assert len(pictures) == 4
    done = predict_video(predictor(), clip, tmp_path / "p", "mine", limit=2, video=False)
    assert [line["frame"] for line in lines_of(tmp_path / "p" / "mine.jsonl")] == [0, 1]
    assert done.video is None
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "classes.json",
        "mine.jsonl",
    ]


def test_damaged_frames_leave_the_video_its_length(tmp_path, clip):
    data = bytearray(clip.read_bytes())
    starts = [data.index(b"\xff\xd8\xff")]
    while (after := data.find(b"\xff\xd8\xff", starts[-1] + 3)) >= 0:
        starts.append(after)
    data[starts[4] + 2 : starts[4] + 200] = bytes(198)
    clip.write_bytes(data)
    done = predict_video(predictor(), clip, tmp_path / "o")
    assert (done.frames, done.damaged, done.failed) == (9, 1, False)
    assert "damaged and skipped: 1" in done.complaint
    assert [line["frame"] for line in lines_of(done.lines)] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert len(pictures_of(done.video)[1]) == 10
    clip.write_bytes(data[: starts[6]])
    done = predict_video(predictor(), clip, tmp_path / "p")
    assert (done.frames, done.failed) == (5, True)
    assert "missing at the end: 4" in done.complaint
    assert len(lines_of(done.lines)) == 5
    assert len(pictures_of(done.video)[1]) == 6


class Camera:
    """Stands in for OpenCV's: so many frames, then the cable is pulled."""

    def __init__(self, frames: int) -> None:
        self.numbers = iter(range(frames))

    def isOpened(self) -> bool:
        return True

    def set(self, *_) -> bool:
        return False

    def get(self, _) -> float:
        return 30.0

    def read(self):
        number = next(self.numbers, None)
        return (False, None) if number is None else (True, frame(number % 10))

    def release(self) -> None:
        pass


def test_a_camera_that_stops_leaves_whole_files(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(capture.cv2, "VideoCapture", lambda *_: Camera(5))
        source = capture.from_camera(0, 5.0)
    monkeypatch.setattr("maskwright.jobs.videos.open_source", lambda *_, **__: source)
    done = predict_video(predictor(), 0, tmp_path)
    assert done.failed
    assert "camera 0 stopped after 5 frames" in done.complaint
    lines = lines_of(tmp_path / "camera0.jsonl")
    assert done.frames == len(lines) >= 1
    assert len(pictures_of(tmp_path / "camera0.mp4")[1]) >= 1


def test_an_interruption_leaves_whole_files(tmp_path, clip):
    count = itertools.count(1)

    def interrupted(input_B3HW):
        if next(count) == 4:
            signal.raise_signal(signal.SIGINT)
        return answer(input_B3HW)

    done = predict_video(predictor(interrupted), clip, tmp_path / "o")
    assert done.interrupted
    assert not done.failed
    assert [line["frame"] for line in lines_of(done.lines)] == [0, 1, 2]
    assert len(pictures_of(done.video)[1]) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def at_once(_):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        predict_video(predictor(at_once), clip, tmp_path / "p")
    assert not list((tmp_path / "p").iterdir())


def test_another_error_leaves_no_files(tmp_path, clip):
    def failing(_):
        raise RuntimeError("the network")

    with pytest.raises(RuntimeError, match="the network"):
        predict_video(predictor(failing), clip, tmp_path / "o")
    assert not list((tmp_path / "o").iterdir())


def test_a_video_that_was_not_written_whole_is_told(tmp_path):
    with Reel(tmp_path / "v.mp4", None) as reel:
        assert reel.rate == 25
        for place in (0, 2, 1, 3):  # the place of 1 is taken by the first picture
            reel.add(frame(place), place)
        reel.finish()
        assert reel.written == len(pictures_of(tmp_path / "v.mp4")[1]) == 4
        (tmp_path / "v.mp4").write_bytes((tmp_path / "v.mp4").read_bytes()[:300])
        with pytest.raises(MaskwrightError, match="expected 4 frames in the written video"):
            reel.finish()


def test_pictures_of_another_size_are_scaled(tmp_path):
    """MPEG-4 has even sides only: an odd one gets its last row or column twice."""
    with Reel(tmp_path / "v.mp4", 10) as reel:
        reel.add(frame(0)[:-1, :-1], 0)
        reel.add(np.full((90, 20, 3), 200, np.uint8), 1)
        reel.finish()
    pictures = pictures_of(tmp_path / "v.mp4")[1]
    assert {picture.shape for picture in pictures} == {(*SIZE, 3)}
    assert abs(int(pictures[1].mean()) - 200) < 4


def test_names_of_files():
    named = video_names(
        [3, "/a/b/clip.avi", "rtsp://user:secret@10.0.0.7:554/main?x=1", "http://cam/live.mjpg"]
    )
    assert list(named.values()) == ["camera3", "clip", "10.0.0.7_554_main", "cam_live.mjpg"]
    with pytest.raises(DataError, match=r"both be written as clip\.jsonl"):
        video_names(["a/clip.avi", "b/clip.mp4"])


def test_what_can_not_be_meant(tmp_path, clip):
    for settings, said in (({"limit": 0}, "limit of 1"), ({"every": 0}, "every 1"),
                           ({"timeout": 0}, "timeout of more")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            predict_video(predictor(), clip, tmp_path / "o", **settings)
    with pytest.raises(DataError, match="does not exist"):
        predict_video(predictor(), tmp_path / "none.mp4", tmp_path / "o")
    assert not (tmp_path / "o").exists()


STEPS = itertools.count()


def moving(input_B3HW):
    """Two objects that move, told in turns in either order."""
    number = next(STEPS)
    left, right = BOX, np.roll(BOX, 20, axis=1)
    masks = [np.roll(left, -number, axis=1), np.roll(right, number % 3, axis=1)]
    order = [0, 1] if number % 2 else [1, 0]
    boxes = [[10 - number, 5, 30 - number, 20], [30 + number % 3, 5, 50 + number % 3, 20]]
    return {
        "boxes": np.array([[boxes[k] for k in order]], np.float32),
        "scores": np.array([[0.8, 0.7]], np.float32),
        "class_ids": np.array([[2, 2]]),
        "masks": np.stack([masks[k] for k in order])[None],
    }


def test_objects_keep_their_numbers_in_the_lines(tmp_path, clip):
    watched = Predictor(replace(CARD, tasks=("instances",)), moving, {})
    done = predict_video(watched, clip, tmp_path / "o", limit=8, video=False)
    lefts = set()
    for line in lines_of(done.lines):
        assert sorted(one["track"] for one in line["objects"]) == [1, 2]
        lefts.add(min(line["objects"], key=lambda one: one["box"][0])["track"])
    assert len(lefts) == 1
