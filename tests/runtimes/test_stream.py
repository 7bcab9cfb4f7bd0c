"""Streams against sources that the test drives: what comes, what is dropped, what is told."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
    with stream(iter(frames), make_predictor(), colour_order="rgb", drop=False) as results:
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

    with stream(frames(), make_predictor(slow), colour_order="rgb") as results:
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
    with stream([numbered(0)], make_predictor(slow), colour_order="rgb") as results:
        result = next(results)
    assert 0.02 <= result.age <= time.perf_counter() - started


def test_answers_are_kept_or_reused():
    frames = [numbered(0), numbered(200)]
    kept = list(stream(frames, make_predictor(), colour_order="rgb", drop=False))
    assert [result.found.semantic.max() for result in kept] == [0, 1]
    reused = list(stream(frames, make_predictor(), colour_order="rgb", drop=False, reuse=True))
    assert reused[0].found is reused[1].found
    changing = [numbered(0), np.zeros((30, 40, 3), np.uint8)]
    sizes = [
        r.found.size
        for r in stream(changing, make_predictor(), colour_order="rgb", drop=False, reuse=True)
    ]
    assert sizes == [SIZE, (30, 40)]


def test_closing_stops_an_endless_source():
    def endless():
        while True:
            yield numbered(0)

    results = stream(endless(), make_predictor(), colour_order="rgb")
    assert next(results).found.size == SIZE
    results.close()
    results.close()
    assert list(results) == []
    for drop in (True, False):
        with stream(endless(), make_predictor(), colour_order="rgb", drop=drop) as results:
            next(results)
        assert not readers()


def test_no_frames_are_no_results():
    assert list(stream([], make_predictor(), colour_order="rgb")) == []


def test_a_sources_error_reaches_whoever_iterates_after_the_frames_before_it():
    def failing():
        yield numbered(0)
        raise OSError("the cable")

    results = stream(failing(), make_predictor(), colour_order="rgb", drop=False)
    assert next(results).number == 0
    with pytest.raises(OSError, match="the cable"):
        next(results)
    assert list(results) == []
    with pytest.raises(DataError, match=r"expected frame 0 .* got str"):
        list(stream(["photo.jpg"], make_predictor(), colour_order="rgb"))


def test_a_frame_that_is_no_image_is_told():
    with (
        pytest.raises(DataError, match="float64"),
        stream([np.zeros((3, 4, 3))], make_predictor(), colour_order="rgb") as results,
    ):
        next(results)


def test_colour_order_is_that_of_the_source(tmp_path):
    blue_last = np.zeros((*SIZE, 3), np.uint8)
    blue_last[..., 0] = 255  # red in RGB, blue in BGR
    for order, expected in (("rgb", 1), ("bgr", 0)):
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
    for order in (None, "bgr"):
        [result] = stream(str(tmp_path / "red.avi"), make_predictor(), colour_order=order)
        assert (result.found.semantic == 1).mean() > 0.99
    with pytest.raises(ConfigError, match=r"red\.avi, whose frames OpenCV reads as BGR, got 'rgb'"):
        stream(tmp_path / "red.avi", make_predictor(), colour_order="rgb")


def test_an_iterator_must_tell_its_colour_order():
    with pytest.raises(ConfigError, match='colour_order="bgr" for frames from OpenCV'):
        stream([numbered(0)], make_predictor())


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

    def get(self, _) -> float:
        return 0.0

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


class Flickering(Camera):
    """Its second frame can't be decoded; after four reads it hangs as long as the test lets it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.reads = 0
        self.let_go = threading.Event()

    def read(self):
        self.reads += 1
        if self.reads > 4:
            assert self.let_go.wait(30)
            return False, None
        return (False, None) if self.reads == 2 else (True, numbered(self.reads))


def test_a_camera_that_falls_silent_raises_after_the_stated_time(monkeypatch):
    camera = Flickering(0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    with (
        contextlib.closing(
            stream("/dev/video3", make_predictor(), drop=False, timeout=2)
        ) as results,
        contextlib.ExitStack() as hanging,
    ):
        hanging.callback(camera.let_go.set)
        found = [next(results) for _ in range(3)]
        with pytest.raises(DataError, match=r"camera 3 stopped after 3 frames: none came for 2 s"):
            next(results)
    assert [(one.number, one.damaged) for one in found] == [(0, 0), (2, 1), (3, 1)]
    assert (results.read, results.damaged, results.announced) == (3, 1, None)
    assert camera.released == 1
    assert list(results) == []


def test_frames_that_are_not_to_be_answered_are_a_sign_of_life(monkeypatch):
    class Slow(Camera):
        def read(self):
            time.sleep(0.1)
            return super().read()

    camera = Slow(0)
    camera.left = 26
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    with stream(0, make_predictor(), every=25, timeout=2.0) as results:
        assert [next(results).number, next(results).number] == [0, 25]


def jpegs(data: bytes) -> list[slice]:
    """Where the frames of an MJPG file lie."""
    starts = [match.start() for match in re.finditer(rb"\xff\xd8\xff", data)]
    return [slice(start, data.index(b"\xff\xd9", start) + 2) for start in starts]


def damage(path: Path, *numbers: int) -> Path:
    """Overwrite some frames of an MJPG file but for their first bytes."""
    data = bytearray(path.read_bytes())
    for place in [jpegs(bytes(data))[number] for number in numbers]:
        data[place.start + 2 : place.stop] = bytes(place.stop - place.start - 2)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("numbers", [(5,), (0, 1), (3, 4, 5, 6)])
def test_damaged_frames_are_skipped_and_counted(tmp_path, numbers):
    video = damage(write_video(tmp_path / "v.avi"), *numbers)
    left = [number for number in range(12) if number not in numbers]
    with (
        pytest.warns(UserWarning, match=f"{len(left)} of 12 .*damaged and skipped: {len(numbers)}"),
        stream(video, make_predictor(), drop=False) as results,
    ):
        found = list(results)
    assert [one.number for one in found] == left
    assert [round(one.time * 50) for one in found] == left
    levels = [int(one.frame.mean()) for one in found]
    assert np.abs(np.array(levels) - 20 * np.array(left)).max() <= 3
    assert (results.read, results.damaged, results.announced) == (len(left), len(numbers), 12)
    assert found[-1].damaged == len(numbers)


def test_a_file_that_is_cut_off_is_told_after_what_it_holds(tmp_path):
    video = write_video(tmp_path / "v.avi")
    data = video.read_bytes()
    video.write_bytes(data[: jpegs(data)[6].start])
    with stream(video, make_predictor(), drop=False) as results:
        for number in range(6):
            assert next(results).number == number
        with pytest.raises(DataError, match=r"v\.avi: 6 of 12 .*missing at the end: 6\. .*cut off"):
            next(results)
        assert list(results) == []
    with stream(video, make_predictor(), drop=False) as results:
        next(results)  # who leaves early isn't told


def test_a_few_frames_less_than_announced_are_a_warning(tmp_path):
    video = damage(write_video(tmp_path / "v.avi"), 11)
    with pytest.warns(UserWarning, match=r"11 of 12 announced .*missing at the end: 1\.$"):
        assert len(list(stream(video, make_predictor(), drop=False))) == 11


def test_every_third_frame_is_answered_and_all_are_read(tmp_path):
    video = write_video(tmp_path / "v.avi")
    with stream(video, make_predictor(), drop=False, every=3) as results:
        assert [one.number for one in results] == [0, 3, 6, 9]
    assert (results.read, results.dropped) == (12, 0)


@pytest.mark.parametrize(("name", "value"), [("every", 0), ("timeout", 0.0), ("timeout", math.inf)])
def test_settings_out_of_range_are_told(name, value):
    with pytest.raises(ConfigError, match=f"{name} .*got {value}"):
        stream([], make_predictor(), colour_order="rgb", **{name: value})


@pytest.fixture
def network_camera():
    """Starts a server of MJPEG over HTTP on this machine; returns its address for some frames."""
    servers, ended = [], threading.Event()

    def start(*frames: bytes | None, then_hang: bool = False) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for data in frames:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                    self.wfile.write(head.encode() + b"\r\n\r\n" + data + b"\r\n")
                if then_hang:
                    self.wfile.flush()
                    ended.wait(30)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/live.mjpg"

    yield start
    ended.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def encoded(number: int) -> bytes:
    return cv2.imencode(".jpg", numbered(20 * number))[1].tobytes()


@pytest.mark.parametrize("then_hang", [False, True], ids=["hangs up", "falls silent"])
def test_a_network_camera_that_stops_is_told(network_camera, then_hang):
    address = network_camera(*map(encoded, range(8)), then_hang=then_hang)
    levels = []
    with stream(address, make_predictor(), drop=False, timeout=1.0) as results:
        assert (results.live, results.announced) == (True, None)
        with pytest.raises(DataError, match=rf"{address} stopped after \d frames"):
            levels.extend(int(result.frame.mean()) for result in results)
    assert np.abs(np.array(levels) - 20 * np.arange(len(levels))).max() <= 3
    assert results.read == len(levels) >= 6  # ffmpeg keeps the last one or two back


def test_a_network_cameras_damaged_frame_is_counted(network_camera):
    frames = [encoded(number) for number in range(10)]
    frames[4] = b"\xff\xd8" + b"x" * 200 + b"\xff\xd9"
    with stream(network_camera(*frames), make_predictor(), drop=False, timeout=5.0) as results:
        numbers = [next(results).number for _ in range(6)]
    assert numbers == [0, 1, 2, 3, 5, 6]
    assert results.damaged == 1


def test_a_network_camera_that_never_sends_is_told(network_camera):
    with pytest.raises(DataError, match=r"gives no frame within 0\.3 s"):
        stream(network_camera(then_hang=True), make_predictor(), timeout=0.3)


@pytest.mark.parametrize("source", [None, True, 1.5, np.zeros((4, 4, 3), np.uint8)])
def test_sources_that_are_none_are_told(source):
    with pytest.raises(ConfigError, match="expected a camera's number"):
        stream(source, make_predictor())


def test_an_unknown_colour_order_is_told():
    with pytest.raises(ConfigError, match="got 'hsv'"):
        stream([], make_predictor(), colour_order="hsv")
