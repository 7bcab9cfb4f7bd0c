"""Precisions: int8 and fp16 on both runtimes, what may ship, and that nothing phones home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from standin import make_card, make_images, make_network

from maskwright.core import Dataset, Sample, Segmentation
from maskwright.core.errors import ConfigError, DataError, ModelFileError
from maskwright.export import export_precise, precision, quantise, store_half, to_onnx
from maskwright.export.choice import Figures, explain, open_questions, rank, warn_of_drop
from maskwright.export.quantise import closing_nodes, fold_constants, integer_layers
from maskwright.export.routes import Route, routes_of
from maskwright.metrics import PairedInterval
from maskwright.runtimes import Bundle, load, open_bundle, ov

RUNTIMES = ["onnxruntime", *(["openvino"] if ov.installed() else [])]
CARD = make_card()
FP32 = Route(precision="fp32", runtime="onnxruntime", floats="f32")
FP16 = Route(precision="fp16", runtime="onnxruntime", floats="f32")
INT8 = Route(precision="int8", runtime="openvino", floats="f32")
MIXED = Route(precision="int8", runtime="openvino", floats="bf16")


def inputs(count=6):
    resized = (CARD.resize.apply(image)[0] for image in make_images(count))
    return [image.transpose(2, 0, 1)[None].copy() for image in resized]


@pytest.fixture(scope="module")
def graphs():
    plain = to_onnx(make_network(), CARD.resize.size)
    return {"fp32": plain, "int8": quantise(plain, inputs()), "fp16": store_half(plain)}


def answers(graph, runtime):
    predictor = open_bundle(Bundle(card=CARD, graph=graph), threads=1, runtime=runtime)
    return np.stack([predictor.predict(image).semantic for image in make_images(6)])


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("name", "share"), [("int8", 0.93), ("fp16", 0.995)])
def test_both_runtimes_answer_as_fp32_does(graphs, runtime, name, share):
    plain, small = (answers(graphs[each], runtime) for each in ("fp32", name))
    assert (plain == small).mean() >= share
    assert len(np.unique(small)) == 3


def test_int8_is_qdq_with_integer_layers_and_the_same_ends(graphs):
    plain, small = (onnx.load_from_string(graphs[each]).graph for each in ("fp32", "int8"))
    kinds = {node.op_type for node in small.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert integer_layers(graphs["int8"]) >= 4
    assert integer_layers(graphs["fp32"]) == 0
    assert list(small.input) == list(plain.input)
    assert [each.name for each in small.output] == [each.name for each in plain.output]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["int8", "fp16"])
def test_probabilities_leave_the_class_map_as_it_was(graphs, runtime, name):
    """No more of the graph is quantised than without them."""
    soft = to_onnx(make_network(), CARD.resize.size, probabilities=True)
    small = quantise(soft, inputs()) if name == "int8" else store_half(soft)
    np.testing.assert_array_equal(answers(small, runtime), answers(graphs[name], runtime))
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        counts = [
            sum(node.op_type == kind for node in onnx.load_from_string(each).graph.node)
            for each in (small, graphs[name])
        ]
        assert counts[0] == counts[1]
    full, less = (
        open_bundle(Bundle(card=CARD, graph=graph), threads=1, runtime=runtime)
        for graph in (soft, small)
    )
    for image in make_images(2):
        wanted, answer = (each.predict_soft(image) for each in (full, less))
        np.testing.assert_array_equal(answer.probabilities_Khw.argmax(0), _frame(less, image))
        assert np.abs(answer.probabilities_Khw - wanted.probabilities_Khw).mean() < 0.02


def _frame(predictor, image):
    """The class map in the network's own frame."""
    resized, _ = CARD.resize.apply(image)
    return predictor.predict(resized).semantic


def test_what_makes_probabilities_only_is_found():
    size = CARD.resize.size
    model = onnx.load_from_string(to_onnx(make_network(), size, probabilities=True))
    kinds = {node.name: node.op_type for node in model.graph.node}
    closing = [kinds[name] for name in closing_nodes(model)]
    assert sorted(closing) == ["Div", "Exp", "ReduceMax", "ReduceSum", "Sub"]
    assert closing_nodes(onnx.load_from_string(to_onnx(make_network(), size))) == []


def test_fp16_stores_large_weights_in_half_and_keeps_those_out_of_its_range():
    weights = {"big": np.full((8, 16), 1e6), "fine": np.full((8, 16), 0.5), "few": np.ones(3)}
    tensors = [onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    graph = onnx.helper.make_graph([], "weights", [], [], tensors)
    small = onnx.load_from_string(store_half(onnx.helper.make_model(graph).SerializeToString()))
    kinds = {each.name: each.data_type for each in small.graph.initializer}
    assert kinds == {"big": 1, "fine_fp16": 10, "few": 1}
    assert [node.output[0] for node in small.graph.node] == ["fine"]


def test_weights_that_are_worked_out_become_constants():
    size = np.array([2, 3], np.int64)
    nodes = [
        onnx.helper.make_node("Reshape", ["flat", "size"], ["shaped"]),
        onnx.helper.make_node("MatMul", ["x", "shaped"], ["y"]),
    ]
    tensors = [
        onnx.numpy_helper.from_array(np.arange(6, dtype=np.float32), "flat"),
        onnx.numpy_helper.from_array(size, "size"),
    ]
    info = onnx.helper.make_tensor_value_info
    ends = [info("x", 1, [1, 2])], [info("y", 1, [1, 3])]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *ends, tensors))
    folded = fold_constants(model).graph
    assert [node.op_type for node in folded.node] == ["MatMul"]
    [weights] = folded.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weights), [[0, 1, 2], [3, 4, 5]])


def test_int8_without_images_is_refused(graphs):
    with pytest.raises(ConfigError, match="at least one training image"):
        quantise(graphs["fp32"], [])


# --- the choice ------------------------------------------------------------------------------


def figures(route, *turns_ms, drop=0.0, size=100):
    """Turns of these times, again and again: twelve of them."""
    turns = (turns_ms * 12)[:12]
    return Figures(route=route, turns_ms=turns, graph_bytes=size, score=0.7 - drop / 100, drop=drop)


def told(value):
    return PairedInterval(
        value=value / 100, low=0.0, high=0.0, confidence=0.95, images=9, resamples=9
    )


def test_the_fastest_that_loses_little_ships():
    found = [
        figures(FP32, 40),
        figures(INT8, 20, drop=0.3, size=25),
        figures(MIXED, 15, drop=0.8, size=25),
    ]
    ranked, refused = rank(found, max_drop=0.5)
    assert [each.route for each in ranked] == [INT8, FP32]
    assert refused == {
        MIXED: "it loses 0.80 points of mIoU on the slice of the training set, "
        "at most 0.5 are allowed"
    }
    text = explain(ranked[0], found, refused)
    assert "ships: 2.00 times as fast as fp32 on ONNX Runtime (2.00 to 2.00), 25% of" in text
    assert "int8 on OpenVINO (bf16 between) does not ship: it loses 0.80 points" in text


def test_int8_that_is_not_faster_does_not_ship_and_fp16_ships_for_its_size():
    found = [
        figures(FP32, 40),
        figures(INT8, 39, drop=0.1, size=25),
        figures(FP16, 41, size=50),
    ]
    ranked, refused = rank(found, max_drop=0.5)
    assert [each.route for each in ranked] == [FP16, FP32]
    assert "not measured faster: 39.0 ms, fp32 on ONNX Runtime takes 40.0 ms" in refused[INT8]
    assert rank([figures(FP32, 40), figures(FP16, 60)], 0.5)[1][FP16].startswith("it is slower")


def test_turns_are_compared_in_pairs():
    """Both slow down together: turn by turn the ratio is the same, whatever the medians say."""
    busy = [figures(FP32, 40, 80, 200), figures(INT8, 30, 60, 150, drop=0.1, size=25)]
    assert not open_questions(busy, 0.5)
    assert rank(busy, 0.5)[0][0].route == INT8


def test_what_the_turns_leave_open_is_asked_again_and_does_not_ship():
    plain = figures(FP32, 40)
    unsure = figures(INT8, 30, 50, drop=0.1, size=25)
    assert open_questions([plain, unsure], 0.5) == [INT8]
    ranked, refused = rank([plain, unsure], 0.5)
    assert [each.route for each in ranked] == [FP32]
    assert "too busy to tell whether it is faster: 0.80 to 1.33 times as fast" in refused[INT8]
    assert rank([plain, unsure], 0.5, by_speed=False)[0][0].route == INT8
    lossy = figures(INT8, 30, 50, drop=2.0, size=25)
    assert open_questions([plain, lossy], 0.5) == []  # it may not ship, however fast it is


def test_a_drop_whose_interval_reaches_too_far_is_told():
    assert warn_of_drop(INT8, 0.5, 0.5, "mIoU") is None
    assert warn_of_drop(FP32, 9.0, 0.5, "mIoU") is None
    told = warn_of_drop(INT8, 0.81, 0.5, "AP masks")
    assert "reaches to 0.81 points of AP masks, past 0.5" in told


def test_validation_may_refuse_what_the_slice_allowed():
    found = [figures(FP32, 40), figures(INT8, 20, drop=0.1, size=25)]
    chosen, drop, refused = precision.choose(
        found, 0.5, lambda route: told(0.9 if route == INT8 else 0)
    )
    assert chosen.route == FP32
    assert drop.value == 0
    assert "loses 0.90 points of mIoU on validation" in refused[INT8]


def test_a_named_precision_goes_before_speed_but_not_before_the_drop():
    found = [figures(FP32, 40), figures(INT8, 60, drop=0.1, size=25)]
    assert precision.choose(found, 0.5, lambda route: told(0.1), named=True)[0].route == INT8
    assert precision.choose(found, 0.05, lambda route: told(0.1), named=True)[0].route == FP32


def test_bf16_is_a_route_only_where_it_is_native():
    kinds = {route.floats for route in routes_of(("fp32", "bf16", "int8"))}
    assert kinds <= {"f32", *(ov.supported_precisions() if ov.installed() else ())}


# --- the whole -------------------------------------------------------------------------------


def dataset(**splits) -> Dataset:
    """Pictures whose truth is what the network itself sees in them: fp32 is right everywhere."""
    network = open_bundle(
        Bundle(card=CARD, graph=to_onnx(make_network(), CARD.resize.size)), threads=1
    )
    pictures = iter(make_images(sum(splits.values())))

    def sample(name):
        image = next(pictures)
        seen = network.predict(image)
        truth = Segmentation(size=seen.size, classes=CARD.classes, semantic=seen.semantic)
        return Sample(name=name, image=image, truth_of=truth, tasks=frozenset({"semantic"}))

    return Dataset(
        root=Path("memory"),
        format="memory",
        classes=CARD.classes,
        splits={
            split: tuple(sample(f"{split}{i}") for i in range(count))
            for split, count in splits.items()
        },
    )


@pytest.fixture(scope="module")
def photos():
    return dataset(train=6, val=3)


@pytest.mark.parametrize("name", ["int8", "fp16", "fp32"])
def test_what_ships_is_told_in_the_card_and_followed_when_loaded(tmp_path, photos, name):
    path = tmp_path / "m.mask"
    report = export_precise(
        make_network(), CARD, path, photos, precision=name, max_drop=20, threads=1, rounds=1
    )
    facts = load(path).card.measured["precision"]
    assert facts["shipped"] == report.shipped.precision == name
    assert facts["validation_drop"]["value"] == report.drop.value <= 0.2
    assert facts["slice_images"] == 3
    assert (facts["integer_layers"] > 0) == (name == "int8")
    assert {each["precision"] for each in facts["candidates"]} == {"fp32", name}
    assert f"{report.shipped} ships" in report.why
    assert facts["drop_may_pass"] == (name != "fp32" and report.drop.high > 0.2)
    assert {each["turns"] for each in facts["candidates"]} == {1}
    opened = load(path, threads=1).runtime
    assert (opened["name"], opened["precision"]) == (report.shipped.runtime, report.shipped.floats)
    plain = load(path, threads=1, runtime="onnxruntime").runtime
    assert (plain["name"], plain["precision"]) == ("onnxruntime", "f32")


def test_a_precision_ships_with_probabilities(tmp_path, photos):
    report = export_precise(
        make_network(), CARD, tmp_path / "m.mask", photos,
        precision="int8", max_drop=20, threads=1, rounds=1, probabilities=True,
    )  # fmt: skip
    assert report.export.card.measured["export"]["probability_error"]
    model = load(tmp_path / "m.mask", threads=1)
    answer = model.predict_soft(make_images(1)[0])
    np.testing.assert_allclose(answer.probabilities_Khw.sum(0), 1, atol=1e-5)


def test_a_named_precision_that_loses_too_much_is_not_written(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(precision, "validation_drop", lambda *_, **__: told(30.0))
    with pytest.raises(ModelFileError, match=r"int8 may not ship.*30\.00 points.*validation"):
        export_precise(
            make_network(), CARD, tmp_path / "m.mask", photos,
            precision="int8", max_drop=20, threads=1, rounds=1,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"precision": "int4"}, ConfigError, "got 'int4'"),
        ({"max_drop": -1.0}, ConfigError, r"got -1\.0"),
    ],
)
def test_settings_that_make_no_sense_are_told(tmp_path, photos, changes, error, message):
    with pytest.raises(error, match=message):
        export_precise(make_network(), CARD, tmp_path / "m.mask", photos, **changes)


def test_a_set_without_a_training_split_is_told(tmp_path, photos):
    alone = Dataset(
        root=Path("alone"),
        format="memory",
        classes=CARD.classes,
        splits={"val": photos.split("val")},
    )
    with pytest.raises(DataError, match="no split train"):
        export_precise(make_network(), CARD, tmp_path / "m.mask", alone)


PROGRAM = """
import sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)
from pathlib import Path
import numpy as np
from maskwright.export import quantise
graph = Path(sys.argv[1]).read_bytes()
image = np.random.default_rng(0).integers(0, 256, (1, 3, 48, 64), np.uint8)
assert len(quantise(graph, [image]))
assert "nncf" in sys.modules and "openvino_telemetry" not in sys.modules
print([event for event in events if event != "socket.gethostname"])
"""


def test_quantising_loads_no_telemetry_and_opens_no_socket(graphs, tmp_path):
    (tmp_path / "graph.onnx").write_bytes(graphs["fp32"])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "graph.onnx"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
