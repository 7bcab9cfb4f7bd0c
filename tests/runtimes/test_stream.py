"""Streams against sources that the test drives: what comes, what is dropped, what is told."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from test_predictor import SIZE, by_red, make_predictor

from maskwright.core.errors import ConfigError, DataError
from maskwright.runtimes import stream


def numbered(number: int) -> np.ndarray:
    return np.full((*SIZE, 3), number, np.uint8)


def write_video(path, count: int = 12, rate: float = 50.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, SIZE[::-1])
    assert writer.isOpened()
    for number in range(count):
        writer.write(numbered(20 * number))
    writer.release()
    return path


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "maskwright-stream"]


@pytest.fixture(autouse=True)
def no_reader_is_left():
    yield
    assert not readers()


def test_every_frame_is_answered_where_none_may_be_dropped():
    frames = [numbered(number) for number in (0, 200, 100, 255)]
    with stream(iter(frames), make_predictor(), drop=False) as results:
        found = list(results)
    assert [result.number for result in found] == [0, 1, 2, 3]
    assert [result.found.semantic.max() for result in found] == [0, 1, 0, 1]
    assert all(result.frame is frame for result, frame in zip(found, frames))
    assert (results.read, results.dropped) == (4, 0)


def test_late_frames_are_dropped_and_counted_and_the_newest_is_answered():
    """The network holds the first frame until nine more have come."""
    all_came, running = threading.Event(), threading.Event()

    def frames():
        yield numbered(0)
        assert running.wait(10)
        for number in range(1, 10):
            yield numbered(number)
        all_came.set()

    def slow(images_B3HW):
        running.set()
        assert all_came.wait(10)
        return by_red(images_B3HW)

    with stream(frames(), make_predictor(slow)) as results:
        found = list(results)
    assert [result.number for result in found] == [0, 9]
    assert [int(result.frame[0, 0, 0]) for result in found] == [0, 9]
    assert found[-1].dropped == results.dropped == 8
    assert results.read == 10


def test_age_counts_from_the_arrival_and_contains_the_answer():
    def slow(images_B3HW):
        time.sleep(0.02)
        return by_red(images_B3HW)

    started = time.perf_counter()
    with stream([numbered(0)], make_predictor(slow)) as results:
        result = next(results)
    assert 0.02 <= result.age <= time.perf_counter() - started


def test_answers_are_kept_or_reused():
    frames = [numbered(0), numbered(200)]
    kept = list(stream(frames, make_predictor(), drop=False))
    assert [result.found.semantic.max() for result in kept] == [0, 1]
    reused = list(stream(frames, make_predictor(), drop=False, reuse=True))
    assert reused[0].found is reused[1].found
    changing = [numbered(0), np.zeros((30, 40, 3), np.uint8)]
    sizes = [r.found.size for r in stream(changing, make_predictor(), drop=False, reuse=True)]
    assert sizes == [SIZE, (30, 40)]


def test_closing_stops_an_endless_source():
    def endless():
        while True:
            yield numbered(0)

    results = stream(endless(), make_predictor())
    assert next(results).found.size == SIZE
    results.close()
    results.close()
    assert list(results) == []
    for drop in (True, False):
        with stream(endless(), make_predictor(), drop=drop) as results:
            next(results)
        assert not readers()


def test_no_frames_are_no_results():
    assert list(stream([], make_predictor())) == []


def test_a_sources_error_reaches_whoever_iterates_after_the_frames_before_it():
    def failing():
        yield numbered(0)
        raise OSError("the cable")

    results = stream(failing(), make_predictor(), drop=False)
    assert next(results).number == 0
    with pytest.raises(OSError, match="the cable"):
        next(results)
    assert list(results) == []
    with pytest.raises(DataError, match=r"expected frame 0 .* got str"):
        list(stream(["photo.jpg"], make_predictor()))


def test_a_frame_that_is_no_image_is_told():
    with (
        pytest.raises(DataError, match="float64"),
        stream([np.zeros((3, 4, 3))], make_predictor()) as results,
    ):
        next(results)


def test_colour_order_is_that_of_the_source(tmp_path):
    blue_last = np.zeros((*SIZE, 3), np.uint8)
    blue_last[..., 0] = 255  # red in RGB, blue in BGR
    for order, expected in ((None, 1), ("rgb", 1), ("bgr", 0)):
        [result] = stream([blue_last], make_predictor(), colour_order=order)
        assert result.found.semantic.min() == result.found.semantic.max() == expected


def test_a_video_is_read_to_its_end_in_bgr(tmp_path):
    video = write_video(tmp_path / "v.avi")
    with stream(video, make_predictor(), drop=False) as results:
        found = list(results)
    assert [result.number for result in found] == list(range(12))
    levels = [int(result.frame.mean()) for result in found]
    assert np.abs(np.array(levels) - 20 * np.arange(12)).max() <= 3
    red = np.zeros((*SIZE, 3), np.uint8)
    red[..., 2] = 255
    writer = cv2.VideoWriter(
        str(tmp_path / "red.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 50, SIZE[::-1]
    )
    writer.write(red)
    writer.release()
    [result] = stream(str(tmp_path / "red.avi"), make_predictor())
    assert (result.found.semantic == 1).mean() > 0.99


def test_a_video_plays_at_its_own_speed_where_frames_may_be_dropped(tmp_path):
    video = write_video(tmp_path / "v.avi", count=6, rate=50)
    started = time.perf_counter()
    with stream(video, make_predictor()) as results:
        last = list(results)[-1]
    assert time.perf_counter() - started >= 5 / 50
    assert last.number == 5
    assert results.read == 6


def test_videos_and_cameras_that_are_none_are_told(tmp_path, capfd):
    with pytest.raises(DataError, match=r"nothing\.mp4 does not exist"):
        stream(tmp_path / "nothing.mp4", make_predictor())
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(DataError, match="not a video that can be read"):
        stream(tmp_path / "text.mp4", make_predictor())
    with pytest.raises(DataError, match="camera 97 gives no frames"):
        stream(97, make_predictor())
    with pytest.raises(DataError, match="got -1"):
        stream(-1, make_predictor())


class Camera:
    """Stands in for OpenCV's: three frames, then the cable is pulled."""

    def __init__(self, number: int) -> None:
        self.left = 3
        self.released = 0

    def isOpened(self) -> bool:
        return True

    def set(self, *_) -> bool:
        return False

    def read(self):
        self.left -= 1
        return (True, numbered(self.left)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released += 1


def test_a_camera_that_stops_is_told_and_freed(monkeypatch):
    made = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: made.append(Camera(number)) or made[0])
    with (
        pytest.raises(DataError, match="camera 0 stopped after 3 frames"),
        stream(0, make_predictor(), drop=False) as results,
    ):
        for _ in results:
            pass
    assert results.read == 3
    assert made[0].released == 1


@pytest.mark.parametrize("source", [None, True, 1.5, np.zeros((4, 4, 3), np.uint8)])
def test_sources_that_are_none_are_told(source):
    with pytest.raises(ConfigError, match="expected a camera's number"):
        stream(source, make_predictor())


def test_an_unknown_colour_order_is_told():
    with pytest.raises(ConfigError, match="got 'hsv'"):
        stream([], make_predictor(), colour_order="hsv")
