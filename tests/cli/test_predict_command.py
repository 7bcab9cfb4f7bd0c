"""`predict` on videos and cameras beside photos, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import small_sets

from maskwright.core.machine import usable_cores
from maskwright.runtimes import load

PATIENCE = 120.0


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for number in range(4):
        writer.write(small_sets.picture(number, (64, 64))[..., ::-1])
    writer.release()
    return path


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_photos_and_videos_at_once(run, bundle, original, clip, tmp_path):
    photo = original / "val" / "images" / "im0.png"
    result = run("predict", bundle, photo, clip, "--out", tmp_path / "o", "--threads", 1)
    assert result.code == 0, result
    assert "4 frames answered" in result.out
    assert "4 read, 0 dropped, 0 damaged" in result.out
    assert (tmp_path / "o" / "masks" / "im0.png").exists()
    model, reader = load(bundle, threads=1), cv2.VideoCapture(str(clip))
    for line in lines_of(tmp_path / "o" / "clip.jsonl"):
        found = model.predict(reader.read()[1], colour_order="bgr")
        expected = [float(np.mean(found.semantic == number)) for number in range(3)]
        assert list(line["shares"].values()) == expected
    assert cv2.VideoCapture(str(tmp_path / "o" / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 4


def test_frames_are_refined_or_seen_through_tiles_too(run, bundle, clip, tmp_path):
    for more in (("--refine", "guided-filter"), ("--tile", "32x32")):
        out = tmp_path / more[0].strip("-")
        result = run("predict", bundle, clip, "--out", out, "--limit", 2, "--no-video", *more)
        assert result.code == 0, result
        assert sorted(path.name for path in out.iterdir()) == [
            ".predictions", "classes.json", "clip.jsonl",
        ]  # fmt: skip
        assert len(lines_of(out / "clip.jsonl")) == 2


def test_a_video_that_is_cut_off_ends_in_an_error_or_is_counted(run, bundle, clip, tmp_path):
    data = clip.read_bytes()
    second = data.index(b"\xff\xd8\xff", data.index(b"\xff\xd8\xff") + 3)
    clip.write_bytes(data[:second])
    (tmp_path / "no.mp4").write_text("no video")
    result = run("predict", bundle, clip, "--out", tmp_path / "o")
    assert result.code == 2
    assert "of 4 announced frames came whole; missing at the end" in result.err
    assert [line["frame"] for line in lines_of(tmp_path / "o" / "clip.jsonl")] == [0]
    sources = (clip, tmp_path / "no.mp4")
    result = run("predict", bundle, *sources, "--out", tmp_path / "p", "--skip-bad")
    assert result.code == 0, result
    assert "no.mp4 is not a video that can be read" in result.out
    assert "2 of 2 videos and cameras ended early" in result.out


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (["77"], "camera 77 gives no frames"),
        (["/dev/video77"], "camera 77 gives no frames"),
        (["none.avi"], "none.avi does not exist"),
        (["none.jpg"], "none.jpg is no file"),
        (["a/x.avi", "b/x.mp4"], "both be written as x.jsonl"),
        (["http://127.0.0.1:9/live.mjpg"], "gives no frame within 3 s"),
    ],
)
def test_sources_that_are_none_are_told(refused, bundle, tmp_path, monkeypatch, sources, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused("predict", bundle, *sources, "--timeout", 3)


@pytest.fixture
def endless_camera():
    """An address on this machine that sends frames until the test ends, and how many it sent."""
    sent, ended = [], threading.Event()
    data = cv2.imencode(".jpg", small_sets.picture(0, (64, 64)))[1].tobytes()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            while not ended.wait(0.02):
                self.wfile.write(head.encode() + data + b"\r\n")
                sent.append(time.monotonic())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/live.mjpg", sent
        ended.set()
        server.shutdown()


@pytest.mark.skipif(os.name == "nt", reason="signals to a process are Unix's")
def test_ctrl_c_ends_a_camera_with_whole_files(bundle, endless_camera, tmp_path):
    address, sent = endless_camera
    out = tmp_path / "o"
    process = subprocess.Popen(
        [sys.executable, "-m", "maskwright", "predict", bundle, address, "--out", out,
         "--threads", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        # the temporary video holds pictures: so frames were answered
        while not any(path.stat().st_size > 1000 for path in out.glob(".*.part.mp4")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        told, err = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 2, err
    assert "interrupted" in err
    assert "Traceback" not in told + err
    name = address.split("//")[1].replace(":", "_").replace("/", "_")
    assert sorted(path.name for path in out.iterdir()) == [
        ".predictions", f"{name}.jsonl", f"{name}.mp4", "classes.json",
    ]  # fmt: skip
    lines = lines_of(out / f"{name}.jsonl")
    assert 1 <= len(lines) <= len(sent)
    assert [line["frame"] for line in lines] == sorted({line["frame"] for line in lines})
    video = cv2.VideoCapture(str(out / f"{name}.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= 1
    assert video.read()[0]


@pytest.mark.parametrize("threads", [usable_cores() + 1, 0, -1])
@pytest.mark.parametrize(
    "command",
    [
        ("predict", "{bundle}", "{photos}", "--out", "{out}", "--threads"),
        ("predict", "{run}", "{photos}", "--out", "{out}", "--threads"),
        ("evaluate", "{bundle}", "{set}", "--threads"),
        ("export", "{run}", "--images", "{photos}", "--out", "{out}.mask", "--threads"),
        ("benchmark", "{run}", "--images", "{photos}", "--out", "{out}", "--threads"),
        ("compare", "{set}", "--models", "unet-small", "--out", "{out}", "--threads"),
        ("compare", "{set}", "--models", "unet-small", "--out", "{out}", "--answer-threads"),
    ],
    ids=lambda command: " ".join(command[:2]) + command[-1],
)
def test_threads_are_those_of_the_machine(
    refused, original, trained, bundle, tmp_path, command, threads
):
    places = {
        "bundle": bundle,
        "run": trained,
        "set": original,
        "photos": original / "val" / "images",
        "out": tmp_path / "o",
    }
    told = refused(*[word.format(**places) for word in command], threads)
    assert f"threads of 1 to {usable_cores()}, " in told
    assert f"got {threads};" in told


def test_training_threads_are_those_of_the_machine(refused, original, tmp_path):
    many = usable_cores() + 1
    told = refused("train", original, "--steps", 1, "--set", f"threads={many}", "--size", "32x32",
                   "--out", tmp_path / "o")  # fmt: skip
    assert f"threads of 1 to {many - 1}, " in told
    assert f"got {many};" in told
