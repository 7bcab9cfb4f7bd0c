"""A bundle in both runtimes, against the network worked out in numpy; and what may be refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from standin import make_card, make_images

from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.image import write_image
from maskwright.core.machine import processor, system, usable_cores
from maskwright.core.resize import Resize
from maskwright.runtimes import load, ov, write_bundle

SIZE = (48, 64)
RUNTIMES = ["onnxruntime", "openvino"]
WEIGHTS_KC = np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]], np.float32)
BIAS_K = np.array([3.5, 0.0, -7.25], np.float32)


def make_graph(size=SIZE, output: str = "class_map", name: str = "images") -> bytes:
    """Which of three colour differences is largest: a 1x1 convolution and argmax, no torch."""
    nodes = [
        helper.make_node("Cast", [name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "weights", "bias"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0),
        helper.make_node("Cast", ["ids"], [output], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 3, *size])],
        [helper.make_tensor_value_info(output, TensorProto.UINT8, [1, *size])],
        [
            numpy_helper.from_array(WEIGHTS_KC[:, :, None, None], "weights"),
            numpy_helper.from_array(BIAS_K, "bias"),
        ],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def by_hand(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) @ WEIGHTS_KC.T + BIAS_K).argmax(-1)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "model.mask"
    write_bundle(path, make_card(), make_graph())
    return path


def needs(runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_answers_are_those_worked_out_by_hand(bundle, runtime):
    needs(runtime)
    predictor = load(bundle, threads=1, runtime=runtime)
    first, second = make_images(2, SIZE)
    answers = [predictor.predict(image) for image in (first, second)]
    for image, answer in zip((first, second), answers):  # an answer outlives the next
        np.testing.assert_array_equal(answer.semantic, by_hand(image))
    assert len(np.unique(answers[0].semantic)) == 3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_host_keeps_its_small_numbers(bundle, runtime):
    needs(runtime)
    load(bundle, threads=1, runtime=runtime).predict(make_images(1, SIZE)[0])
    assert sys.float_info.min / 2 > 0  # 0 where a session sets the thread's flush-to-zero flag


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_set_is_read_back(bundle, runtime, threads):
    needs(runtime)
    facts = load(bundle, threads=threads, runtime=runtime).runtime
    assert facts["name"] == runtime
    assert facts["threads"] == min(threads, usable_cores()) or facts["threads"] == threads
    assert facts["precision"] == "f32"
    assert facts["version"]
    assert (facts["processor"], facts["system"]) == (processor(), system())


def test_auto_is_onnx_runtime_on_all_cores(bundle):
    facts = load(bundle).runtime
    assert facts["name"] == "onnxruntime"
    assert facts["threads"] == usable_cores()


def test_openvino_runs_other_precisions_only_where_the_processor_has_them(bundle):
    pytest.importorskip("openvino")
    supported = ov.supported_precisions()
    assert "f32" in supported
    for precision in ("bf16", "f16"):
        if precision in supported:
            facts = load(bundle, runtime="openvino", precision=precision).runtime
            assert facts["precision"] == precision
        else:
            with pytest.raises(ConfigError, match=f"{precision!r} was asked for"):
                load(bundle, runtime="openvino", precision=precision)


def test_a_precision_that_the_processor_lacks_is_refused(bundle, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(ov, "supported_precisions", lambda: ("f32",))
    with pytest.raises(ConfigError, match=r"'bf16' was asked for, .* choose precision=\"f32\""):
        load(bundle, runtime="openvino", precision="bf16")
    assert load(bundle, runtime="openvino", precision="f32").runtime["precision"] == "f32"


def test_openvino_ir_is_preferred_by_openvino(tmp_path):
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(make_graph())
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    parts = {name: (tmp_path / name).read_bytes() for name in ("model.xml", "model.bin")}
    other = make_graph(output="class_map").replace(BIAS_K.tobytes(), (BIAS_K + 900).tobytes())
    write_bundle(tmp_path / "m.mask", make_card(), other, parts)
    image = make_images(1, SIZE)[0]
    answer = load(tmp_path / "m.mask", runtime="openvino").predict(image)
    np.testing.assert_array_equal(answer.semantic, by_hand(image))


def test_settings_that_cannot_be_kept_are_told(bundle, monkeypatch):
    with pytest.raises(ConfigError, match=r"threads of 1 to .*got 0"):
        load(bundle, threads=0)
    with pytest.raises(ConfigError, match="got 'tensorrt'"):
        load(bundle, runtime="tensorrt")
    with pytest.raises(ConfigError, match="precision 'bf16'"):
        load(bundle, runtime="onnxruntime", precision="bf16")
    monkeypatch.setattr(ov, "installed", lambda: False)
    with pytest.raises(ConfigError, match=r"pip install 'maskwright\[openvino\]'"):
        load(bundle, runtime="openvino")


def test_an_unknown_precision_is_told(bundle):
    pytest.importorskip("openvino")
    with pytest.raises(ConfigError, match="got 'f8'"):
        load(bundle, runtime="openvino", precision="f8")


def test_a_missing_bundle_is_told(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        load(tmp_path / "nothing.mask")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("graph", [b"", b"no graph at all", make_graph()[:200]])
def test_a_graph_that_is_none_is_told(tmp_path, runtime, graph, capfd):
    needs(runtime)
    write_bundle(tmp_path / "m.mask", make_card(), graph)
    with pytest.raises(ModelFileError, match="can't run the graph"):
        load(tmp_path / "m.mask", runtime=runtime)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("graph", "changes", "message"),
    [
        (make_graph((32, 32)), {}, r"promises the input .*48, 64.*the graph takes .*32, 32"),
        (make_graph(), {"resize": Resize(size=(32, 32))}, "promises the input"),
        (make_graph(name="pixels"), {}, "pixels"),
        (make_graph(output="mask"), {}, r"need the outputs \['class_map'\], the graph has"),
        (make_graph(), {"tasks": ("instances",)}, "need the outputs .*boxes"),
    ],
)
def test_a_graph_that_does_not_fit_its_card_is_told(tmp_path, runtime, graph, changes, message):
    needs(runtime)
    write_bundle(tmp_path / "m.mask", make_card(**changes), graph)
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "m.mask", runtime=runtime)


PROGRAM = """
import sys

events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)

import maskwright

bundle, photo, runtime = sys.argv[1:]
answer = maskwright.load(bundle, threads=1, runtime=runtime).predict(photo)
assert answer.semantic.shape == (75, 100), answer.semantic.shape
torch = [name for name in sys.modules if name.partition(".")[0] in ("torch", "torchvision", "timm")]
opened = [event for event in events if event != "socket.gethostname"]
print(torch, opened)
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_prediction_imports_no_torch_and_opens_no_socket(bundle, tmp_path, runtime):
    needs(runtime)
    photo = tmp_path / "photo.png"
    write_image(photo, make_images(1)[0])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(bundle), str(photo), runtime],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] []"
    assert done.stderr == ""
