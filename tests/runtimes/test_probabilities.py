"""Class probabilities: asked of both runtimes and of any run, against the softmax in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string
from standin import make_card, make_images
from test_loading import BIAS_K, RUNTIMES, SIZE, WEIGHTS_KC, by_hand, make_graph, needs
from test_robot import LARGEST, NETWORK, peak_bytes

from maskwright.core.errors import ConfigError, DataError, ModelFileError
from maskwright.core.resize import Resize
from maskwright.runtimes import Predictor, load, write_bundle

FACTS = {"name": "by hand", "threads": 1, "precision": "f32"}
FLATTER = np.float32(0.02)
"""Else most pixels would be certain: the graph's logits are differences of colours."""


def make_soft_graph(size=SIZE, channels: int = 3) -> bytes:
    """The graph of `make_graph` with the softmax of its flattened logits beside the class map."""
    model = load_from_string(make_graph(size))
    tensor = helper.make_tensor
    model.graph.initializer.append(tensor("flatter", TensorProto.FLOAT, [], [float(FLATTER)]))
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["logits", "flatter"], ["flat"]),
            helper.make_node("Softmax", ["flat"], ["probabilities"], axis=1),
        ]
    )
    shape = [1, channels, *size]
    model.graph.output.append(
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)
    )
    return model.SerializeToString()


def soft_by_hand(image: np.ndarray) -> np.ndarray:
    """float64 [3, H, W]."""
    logits = FLATTER * (image.astype(np.float64) @ WEIGHTS_KC.T + BIAS_K)
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return (raised / raised.sum(-1, keepdims=True)).transpose(2, 0, 1)


@pytest.fixture
def soft_bundle(tmp_path):
    write_bundle(tmp_path / "soft.mask", make_card(), make_soft_graph())
    return tmp_path / "soft.mask"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_both_runtimes_give_the_softmax(soft_bundle, runtime):
    needs(runtime)
    model = load(soft_bundle, threads=1, runtime=runtime)
    assert model.gives_probabilities
    images = make_images(2, SIZE)
    answers = [model.predict_probabilities(image) for image in images]
    for image, answer in zip(images, answers):  # an answer outlives the next
        assert answer.probabilities_Khw.dtype == np.float32
        np.testing.assert_allclose(answer.probabilities_Khw, soft_by_hand(image), atol=1e-5)
        np.testing.assert_array_equal(answer.found.semantic, by_hand(image))
        np.testing.assert_array_equal(answer.probabilities_Khw.argmax(0), answer.found.semantic)
        np.testing.assert_array_equal(model.predict(image).semantic, answer.found.semantic)
        assert set(answer.found.times) == {"read", "preprocess", "network", "postprocess"}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_bundle_without_them_tells_how_to_get_them(tmp_path, runtime):
    needs(runtime)
    write_bundle(tmp_path / "m.mask", make_card(), make_graph())
    model = load(tmp_path / "m.mask", threads=1, runtime=runtime)
    assert not model.gives_probabilities
    with pytest.raises(ConfigError, match=r"stand-in was exported without.*--probabilities"):
        model.predict_probabilities(make_images(1)[0])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_robot_that_does_not_ask_allocates_nothing(tmp_path, runtime):
    needs(runtime)
    card = make_card(resize=Resize(size=NETWORK))
    write_bundle(tmp_path / "m.mask", card, make_soft_graph(NETWORK))
    model = load(tmp_path / "m.mask", threads=1, runtime=runtime)
    frame = make_images(1, (144, 192))[0]
    out = model.predict(frame)
    assert peak_bytes(lambda: model.predict(frame, out=out)) < LARGEST


def by_place(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities that tell where in the input they are: class 0 the row, 1 the column."""
    height, width = images_B3HW.shape[2:]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    first, second = rows / height / 2, columns / width / 2
    soft_KHW = np.stack([first, second, 1 - first - second])
    return {"class_map": soft_KHW.argmax(0)[None].astype(np.uint8), "probabilities": soft_KHW[None]}


def place_predictor(resize: Resize, **changes) -> Predictor:
    return Predictor(
        make_card(resize=resize, **changes), by_place, FACTS, run_probabilities=by_place
    )


@pytest.mark.parametrize(
    ("image", "rows", "columns"),
    [
        ((20, 30), slice(2, 45), slice(0, 64)),  # 20 * 64 / 30 = 42.67: 43 rows
        ((48, 48), slice(0, 48), slice(8, 56)),
        ((48, 64), slice(0, 48), slice(0, 64)),
    ],
)
def test_a_letterboxes_border_is_cut_off(image, rows, columns):
    model = place_predictor(Resize(size=SIZE, mode="letterbox"))
    answer = model.predict_probabilities(np.zeros((*image, 3), np.uint8))
    frame_KHW = by_place(np.zeros((1, 3, *SIZE)))["probabilities"][0]
    np.testing.assert_array_equal(answer.probabilities_Khw, frame_KHW[:, rows, columns])
    assert answer.probabilities_Khw.shape[1:] == answer.geometry.content
    assert answer.geometry.source == answer.found.size == image


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [SIZE, (75, 100), (31, 200), (24, 32), (1, 1)])
def test_restored_they_have_the_images_pixels(mode, size):
    """A plane that rises evenly does so after any resize, up to its borders."""
    model = place_predictor(Resize(size=SIZE, mode=mode))
    answer = model.predict_probabilities(np.zeros((*size, 3), np.uint8))
    restored_KHW = answer.restored()
    assert restored_KHW.shape == (3, *size)
    np.testing.assert_allclose(restored_KHW.sum(0), 1, atol=1e-5)
    (top, left), (height, width) = answer.geometry.offset, answer.geometry.content
    rows = top + (np.arange(size[0]) + 0.5) * height / size[0] - 0.5
    columns = left + (np.arange(size[1]) + 0.5) * width / size[1] - 0.5
    rows, columns = rows.clip(top, top + height - 1), columns.clip(left, left + width - 1)
    near = 1.5 / min(SIZE)  # OpenCV's area mode weighs whole pixels where a side doesn't divide
    np.testing.assert_allclose(restored_KHW[0], np.tile(rows[:, None] / 96, size[1]), atol=near)
    np.testing.assert_allclose(restored_KHW[1], np.tile(columns / 128, (size[0], 1)), atol=near)


def test_all_forms_of_one_picture_are_answered_alike(soft_bundle):
    model = load(soft_bundle, threads=1)
    image = make_images(1)[0]
    wanted = model.predict_probabilities(image).probabilities_Khw
    for form, order in ((image[..., ::-1], "bgr"), (image.astype(np.uint16) * 257, "rgb")):
        found = model.predict_probabilities(form, order).probabilities_Khw
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(DataError, match="got float32"):
        model.predict_probabilities(image.astype(np.float32))


def test_probabilities_of_other_classes_are_told(tmp_path):
    def strange(images_B3HW):
        return by_place(images_B3HW) | {"probabilities": np.zeros((1, 2, *SIZE), np.float32)}

    model = Predictor(make_card(), by_place, FACTS, run_probabilities=strange)
    with pytest.raises(
        ModelFileError, match=r"promises .*\(1, 3, 48, 64\).*gives \(1, 2, 48, 64\)"
    ):
        model.predict_probabilities(make_images(1)[0])
