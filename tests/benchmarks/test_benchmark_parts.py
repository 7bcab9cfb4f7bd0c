"""What is measured beside the times: ceilings, memory, and which models there are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from standin import RECORD, make_card, make_images, make_network
from torch import nn

from maskwright.architectures import Published, catalogue, checkpoint, summarise
from maskwright.architectures.checkpoint import save_checkpoint
from maskwright.benchmarks import benchmark_models, contenders, subjects
from maskwright.benchmarks.latency import compare_subjects
from maskwright.benchmarks.memory import measure_memory
from maskwright.benchmarks.roofline import Roofline, measure_roofline
from maskwright.benchmarks.subjects import count_gflop, open_subject
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.machine import processor
from maskwright.core.resize import Resize
from maskwright.export import to_onnx
from maskwright.runtimes import ov, write_bundle


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    """The stand-in as an architecture among the others."""
    for module in (catalogue, checkpoint, subjects):
        monkeypatch.setitem(module.ARCHITECTURES, "standin", RECORD)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "my-run"
    save_checkpoint(folder / "best.safetensors", make_network(), make_card())
    write_bundle(folder / "model.mask", make_card(), to_onnx(make_network(), (48, 64)))
    return folder


@pytest.fixture
def quick(monkeypatch):
    """A roofline that takes no time, and torch.compile without a compiler."""
    found = Roofline(
        threads=1, gflops={"f32": 100.0, "bf16": 200.0}, gigabytes=10.0, processor=processor()
    )
    monkeypatch.setattr("maskwright.benchmarks.study.measure_roofline", lambda threads: found)
    monkeypatch.setattr(torch, "compile", lambda work, dynamic: work)


# --- ceilings --------------------------------------------------------------------------------


def test_roofline_is_measured_and_gives_the_threads_back():
    before = torch.get_num_threads()
    found = measure_roofline(1, seconds=0.0, side=64)
    assert torch.get_num_threads() == before
    assert found.threads == 1
    assert 0 < found.gflops["f32"] <= found.gflops["bf16"]
    assert found.gflops["f32"] <= found.gflops["int8"]
    assert found.gigabytes > 0
    json.dumps(found.to_dict())


def test_the_lower_ceiling_bounds_the_time():
    ceilings = {"f32": 200.0, "int8": 800.0}
    roof = Roofline(threads=1, gflops=ceilings, gigabytes=50.0, processor="x")
    assert roof.least_ms({"f32": 10.0}, 100.0) == pytest.approx(50.0)  # 10 / 200 s of arithmetic
    assert roof.least_ms({"f32": 0.01}, 100.0) == pytest.approx(2.0)  # 0.1 / 50 s of reading
    assert roof.least_ms({"int8": 8.0, "f32": 2.0}, 1.0) == pytest.approx(20.0)  # 10 ms of each
    assert roof.least_ms({"int8": 8.0, "tf32": 2.0}, 1.0) is None


def test_the_better_of_two_measurements_is_the_ceiling():
    first = Roofline(threads=1, gflops={"f32": 2.0, "int8": 5.0}, gigabytes=7.0, processor="x")
    second = Roofline(threads=1, gflops={"f32": 3.0, "int8": 4.0}, gigabytes=6.0, processor="x")
    found = first.or_better(second)
    assert (found.gflops, found.gigabytes) == ({"f32": 3.0, "int8": 5.0}, 7.0)


# --- memory ----------------------------------------------------------------------------------


def test_memory_is_that_of_a_process_of_its_own_without_torch(run, monkeypatch):
    ballast = np.ones(96 << 20, np.uint8)  # a child of this large process must not count it
    found = measure_memory(run / "model.mask", threads=1, runtime="onnxruntime")
    assert not found.torch
    assert 20 < found.peak_mib < 300
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ModelFileError, match="ended with 1"):
        measure_memory(run / "model.mask", threads=1, runtime="onnxruntime")
    assert ballast.all()


# --- models ----------------------------------------------------------------------------------


def test_operations_are_those_of_the_catalogue_and_of_a_convolution():
    known = summarise("unet-lite0")
    assert count_gflop(catalogue.build("unet-lite0", known.classes), known.input_size) == (
        pytest.approx(known.gflops)
    )
    network = make_network()
    shapes = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda m, given, made: shapes.append((m, given[0], made)))
    network(torch.zeros(1, 3, 48, 64))
    operations = sum(
        2 * m.weight.numel() * (given if isinstance(m, nn.ConvTranspose2d) else made)[0, 0].numel()
        for m, given, made in shapes
    )
    assert count_gflop(network, (48, 64)) == pytest.approx(operations / 1e9)


def test_a_run_a_bundle_and_a_name_are_subjects(run, tmp_path):
    trained = open_subject(run, tmp_path)
    assert trained.name == "my-run"
    assert trained.network is not None
    assert trained.checkpoint_bytes == (run / "best.safetensors").stat().st_size
    given = open_subject(run / "best.safetensors", tmp_path, bundle=run / "model.mask")
    assert given.bundle.source == str(run / "model.mask")
    alone = open_subject(run / "model.mask", tmp_path)
    assert (alone.name, alone.network) == ("model", None)
    assert trained.gflop == given.gflop == alone.gflop
    named = open_subject("standin", tmp_path, size=(32, 48))
    assert named.size == (32, 48)
    assert named.network is not None
    assert named.bundle.card.training == {"weights": "random"}


def test_published_speeds_are_speeds_with_a_source():
    items = subjects.published_speeds("bisenetv2")
    assert items
    assert all(item.what.startswith("fps") and item.source for item in items)


def test_a_bundle_of_an_unknown_architecture_has_no_operations(run, tmp_path):
    path = tmp_path / "other.mask"
    card = make_card(architecture="tomorrow")
    write_bundle(path, card, to_onnx(make_network(), (48, 64)))
    assert open_subject(path, tmp_path).gflop is None


def test_models_that_cannot_be_meant_are_told(run, tmp_path):
    bundle = run / "model.mask"
    with pytest.raises(ConfigError, match="bisenetv1"):
        open_subject("bisenetv7", tmp_path)
    with pytest.raises(ModelFileError, match="nowhere"):
        open_subject(tmp_path / "nowhere.mask", tmp_path)
    with pytest.raises(ConfigError, match="32x32"):
        open_subject(run, tmp_path, size=(32, 32))
    with pytest.raises(ConfigError, match=r"model\.mask"):
        open_subject(bundle, tmp_path, bundle=bundle)
    other = tmp_path / "other.mask"
    write_bundle(other, make_card(resize=Resize(size=(32, 32))), to_onnx(make_network(), (32, 32)))
    with pytest.raises(ModelFileError, match=r"at 48x64.*at 32x32"):
        open_subject(run, tmp_path, bundle=other)


# --- contenders ------------------------------------------------------------------------------


def test_without_a_compiler_the_row_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(contenders.shutil, "which", lambda name: None)
    subject = open_subject(run, tmp_path, bundle=run / "model.mask")
    rows, skipped = compare_subjects(
        [subject], make_images(1), threads=1, rounds=1, extras=contenders.Extras(compiled=True)
    )
    assert contenders.COMPILED not in [row.name for row in rows]
    assert [(one.name, "C++ compiler" in one.why) for one in skipped] == [
        (contenders.COMPILED, True)
    ]


def test_a_compilation_that_fails_is_told_and_the_others_go_on(run, tmp_path, monkeypatch):
    def broken(work, dynamic):
        def fail(images):
            raise RuntimeError("no such instruction")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(contenders.shutil, "which", lambda name: "/bin/true")
    subject = open_subject(run, tmp_path, bundle=run / "model.mask")
    rows, skipped = compare_subjects(
        [subject], make_images(1), threads=1, rounds=1, extras=contenders.Extras(compiled=True)
    )
    assert [row.name for row in rows[:2]] == ["PyTorch eager", "ONNX Runtime"]
    assert "no such instruction" in skipped[0].why


PLAIN = """
import sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)
sys.path.insert(0, sys.argv[1])
from standin import make_card, make_images, make_network
from maskwright.benchmarks.plain import DEFAULTS, open_plain
from maskwright.export.onnx import to_onnx
from maskwright.runtimes import Bundle, open_bundle
network, card = make_network(), make_card()
ours = open_bundle(Bundle(card=card, graph=to_onnx(network, card.resize.size)), threads=1)
plain = open_plain(network, card, 1)
assert {"f32", DEFAULTS} <= set(plain)
assert plain["f32"].runtime["precision"] == "f32" and plain["f32"].runtime["threads"] == 1
for image in make_images(3):
    assert (plain["f32"].predict(image).semantic == ours.predict(image).semantic).mean() > 0.999
assert "openvino_telemetry" not in sys.modules
print([event for event in events if event != "socket.gethostname"])
"""


@pytest.mark.skipif(not ov.installed(), reason="OpenVINO is not installed")
def test_openvinos_own_conversion_does_the_same_work_and_tells_nobody():
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not ov.installed(), reason="OpenVINO is not installed")
def test_int8_and_plain_openvino_take_part_where_asked(run, tmp_path):
    subject = open_subject(run, tmp_path, bundle=run / "model.mask")
    extras = contenders.Extras(int8=True, plain=True)
    rows, skipped = compare_subjects([subject], make_images(2), threads=1, rounds=1, extras=extras)
    found = {row.name: row for row in rows}
    assert not skipped
    assert {"ONNX Runtime int8", "OpenVINO int8", "plain OpenVINO f32", "plain OpenVINO defaults"} \
        <= set(found)  # fmt: skip
    assert found["plain OpenVINO f32"].agreement > 0.999
    assert 0.9 < found["OpenVINO int8"].agreement <= 1
    assert found["OpenVINO int8"].bytes_on_disk is None  # no file holds it
    for name in ("ONNX Runtime int8", "OpenVINO int8"):
        assert found[name].gflop["int8"] > 0
        assert found[name].told_precision.startswith("int8")
        assert found[name].weights_mb < found["ONNX Runtime"].weights_mb
    assert (
        found["ONNX Runtime"].told_precision == found["plain OpenVINO f32"].told_precision == "f32"
    )
    alone = open_subject(run / "model.mask", tmp_path)
    _, skipped = compare_subjects(
        [alone], make_images(1), threads=1, rounds=1, extras=contenders.Extras(plain=True)
    )
    assert [one.name for one in skipped] == [contenders.PLAIN]


def test_models_are_compared_each_with_its_own_first_row(run, tmp_path, quick):
    study = benchmark_models(
        [run, str(run / "model.mask"), "standin"], tmp_path / "out", size=(32, 32),
        images=make_images(2), rounds=1, threads=1,
    )  # fmt: skip
    models = [row.model for row in study.rows]
    assert list(dict.fromkeys(models)) == ["my-run", "model", "standin"]
    firsts = [study.rows[models.index(name)] for name in ("my-run", "model", "standin")]
    assert [row.name for row in firsts] == ["PyTorch eager", "ONNX Runtime", "PyTorch eager"]
    assert all(row.speed_up == 1.0 for row in firsts)
    for row in study.rows:
        assert row.median_ms <= row.p95_ms <= row.p99_ms
        assert (row.peak_mib is None) == (row.runtime == "torch")
        assert row.gflops is not None
        assert row.gflops > 0
        if row.precision == "f32":
            assert row.roofline == pytest.approx(max(row.gflops / 100, row.roofline))
    record = json.loads((tmp_path / "out" / "latency.json").read_text())
    assert len(record["rows"]) == len(study.rows)
    assert {"command", "date", "processor", "load_average", "rooflines"} <= set(record)
    page = study.page.read_text()
    for wanted in ("my-run at 48x64", "standin at 32x32", "ceilings"):
        assert wanted in page


def test_where_no_gpu_is_its_published_speed_is_told_as_such(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(subjects.ARCHITECTURES, "standin", gpu_record())
    study = benchmark_models(["standin"], tmp_path, rounds=1, threads=1, device="cuda")
    assert [one.why for one in study.skipped] == ["this machine has no CUDA device"]
    assert [item.value for item in study.published["standin"]] == [77]
    page = study.page.read_text()
    assert "Published GPU figures" in page
    assert "table 9" in page
    record = json.loads((tmp_path / "latency.json").read_text())
    assert record["published_gpu"]["standin"][0]["source"] == "table 9"


def gpu_record():
    published = (
        Published(what="mIoU", value=70, source="table 8"),
        Published(what="fps, GPU", value=77, source="table 9"),
        Published(what="fps, GPU", value=78, source="table 9", variant="standin-large"),
    )
    return replace(RECORD, card=replace(RECORD.card, published=published))


def test_settings_that_contradict_are_told(run, tmp_path):
    bundle = run / "model.mask"
    with pytest.raises(ConfigError, match="got 2 models"):
        benchmark_models([run, run], tmp_path, bundle=bundle)
    with pytest.raises(ConfigError, match="tpu"):
        benchmark_models([run], tmp_path, device="tpu")
    with pytest.raises(ConfigError, match="32x48"):
        benchmark_models([run], tmp_path, size=(32, 48))
    with pytest.raises(ConfigError, match="twice"):
        benchmark_models([bundle, bundle, bundle], tmp_path)
    with pytest.raises(ConfigError, match="got 4 and 0"):
        benchmark_models([bundle], tmp_path, rounds=0)
    assert not list(tmp_path.iterdir())
