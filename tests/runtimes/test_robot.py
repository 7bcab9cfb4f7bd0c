"""What a robot counts on: answers that allocate nothing, threads that stay on their cores."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from standin import make_card, make_images
from test_loading import RUNTIMES, SIZE, bundle, by_hand, make_graph, needs  # noqa: F401
from test_predictor import make_predictor, objects

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.resize import NearestPlan, Resize, resize_nearest
from maskwright.runtimes import load, pinning, write_bundle

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="threads are pinned on Linux only")
NETWORK = (96, 128)
LARGEST = 4096
"""What Python's own numbers and views may take; the smallest array here has 8000 bytes."""


def peak_bytes(work) -> int:
    """The most that was allocated at once, by Python, numpy or OpenCV's arrays, above the start."""
    tracemalloc.start()
    try:
        work()  # tracemalloc's own books are warm now
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("size", [(144, 192), (96, 240), NETWORK, (192, 100), (80, 100)])
def test_a_reused_answer_allocates_no_arrays(tmp_path, runtime, mode, order, size):
    needs(runtime)
    write_bundle(
        tmp_path / "m.mask", make_card(resize=Resize(size=NETWORK, mode=mode)), make_graph(NETWORK)
    )
    model = load(tmp_path / "m.mask", threads=1, runtime=runtime)
    frames = make_images(3, size)
    out = model.predict(frames[0], order)

    def work():
        for frame in frames * 4:
            assert model.predict(frame, order, out=out) is out

    assert peak_bytes(work) < LARGEST
    assert peak_bytes(lambda: model.predict(frames[0], order)) > size[0] * size[1]  # it can fail
    for frame in frames:
        expected = model.predict(frame, order)
        found = model.predict(frame, order, out=out)
        np.testing.assert_array_equal(found.semantic, expected.semantic)
        assert found.times.keys() == expected.times.keys()


def test_the_frames_memory_may_move(bundle):  # noqa: F811
    model = load(bundle, threads=1)
    out = None
    for number in range(5):
        frame = np.ascontiguousarray(np.roll(make_images(1, SIZE)[0], number * 7, axis=1))
        out = model.predict(frame, out=out)
        np.testing.assert_array_equal(out.semantic, by_hand(frame))


def test_objects_come_in_a_new_answer():
    model = make_predictor(objects)
    frame = np.zeros((96, 128, 3), np.uint8)
    first = model.predict(frame)
    second = model.predict(frame, out=first)
    assert second is not first
    assert second.instances == first.instances


def test_an_answer_that_does_not_fit_is_told():
    model = make_predictor()
    out = model.predict(np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r"\(40, 30\) .*got 3 classes and \(20, 30\)"):
        model.predict(np.zeros((40, 30, 3), np.uint8), out=out)
    out.semantic.flags.writeable = False
    with pytest.raises(DataError, match="writeable False"):
        model.predict(np.zeros((20, 30, 3), np.uint8), out=out)


@pytest.mark.parametrize("source", [(7, 9), (7, 9, 3), (1, 1)])
@pytest.mark.parametrize("size", [(7, 9), (3, 4), (20, 5), (5, 20), (7, 31), (31, 9), (3, 9)])
def test_a_plan_is_used_again(source, size):
    rng = np.random.default_rng(0)
    plan = NearestPlan(source, size, np.uint8)
    out = np.zeros((*size, *source[2:]), np.uint8)
    rows = [(2 * i + 1) * source[0] // (2 * size[0]) for i in range(size[0])]
    columns = [(2 * i + 1) * source[1] // (2 * size[1]) for i in range(size[1])]
    for _ in range(3):
        whole = rng.integers(0, 255, (source[0] + 2, source[1] + 2, *source[2:]), np.uint8)
        part = whole[1:-1, 1:-1]
        assert plan.apply(part, out) is out
        np.testing.assert_array_equal(out, part[rows][:, columns])
        np.testing.assert_array_equal(out, resize_nearest(part, size))


PINNED = """
import os, sys
import numpy as np
import maskwright

path, runtime, *cores = sys.argv[1:]
pin = tuple(map(int, cores))
before = set(os.listdir("/proc/self/task"))
model = maskwright.load(path, runtime=runtime, pin=pin)
model.predict(np.zeros((75, 100, 3), np.uint8))
born = set(os.listdir("/proc/self/task")) - before
others = [os.sched_getaffinity(int(thread)) for thread in born]
assert os.sched_getaffinity(0) == {pin[0]}, os.sched_getaffinity(0)
assert model.runtime["threads"] == len(pin), model.runtime
assert set(model.runtime["pinned"]) == set(pin), model.runtime
assert all(cores <= set(pin[1:] or pin) for cores in others), others
if len(pin) > 1:
    assert {pin[1]} in others, others
"""


@LINUX
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("count", [1, 2])
def test_threads_stay_on_their_cores(bundle, runtime, count):  # noqa: F811
    """In a process of its own: a pinned thread stays so."""
    needs(runtime)
    cores = sorted(os.sched_getaffinity(0), reverse=True)[:count]
    if len(cores) < count:
        pytest.skip("one core only")
    done = subprocess.run(
        [sys.executable, "-c", PINNED, str(bundle), runtime, *map(str, cores)],
        capture_output=True,
        text=True,
        check=False,
        # numpy's own threads are born with it and are not the session's to pin
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


@LINUX
def test_pins_that_cannot_be_kept_are_told(bundle, monkeypatch):  # noqa: F811
    core = min(os.sched_getaffinity(0))
    with pytest.raises(ConfigError, match=r"pin=\(\d+,\) and threads=2"):
        load(bundle, pin=(core,), threads=2)
    for pin in ((4096,), (core, core)):
        with pytest.raises(ConfigError, match="different cores among"):
            load(bundle, pin=pin)
    monkeypatch.setattr(pinning, "_CORES", frozenset())
    with pytest.raises(ConfigError, match="needs Linux"):
        load(bundle, pin=(core,))


def test_a_model_that_was_not_pinned_says_nothing_of_pins(bundle):  # noqa: F811
    assert "pinned" not in load(bundle).runtime


SIGNALLED = """
import signal, subprocess, sys
import maskwright

signal.signal(signal.SIGCHLD, lambda *_: None)
first = maskwright.load(sys.argv[1], runtime=sys.argv[2])
second = maskwright.load(sys.argv[1], runtime=sys.argv[2])
del first
del second
subprocess.run([sys.executable, "-c", ""], check=True)
print("alive")
"""


@LINUX
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_models_that_are_dropped_leave_the_hosts_signals_working(bundle, runtime):  # noqa: F811
    """OpenVINO's cores took the alternate signal stack with them; the next signal was the end."""
    needs(runtime)
    command = [sys.executable, "-X", "faulthandler", "-c", SIGNALLED, str(bundle), runtime]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
