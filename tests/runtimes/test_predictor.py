"""The predictor against what the card's rules say, worked out by hand or in another way."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from standin import make_card, make_images

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError, ModelFileError
from maskwright.core.image import write_image
from maskwright.core.resize import Resize
from maskwright.runtimes import Predictor

SIZE = (48, 64)
FACTS = {"name": "by hand", "threads": 1, "precision": "f32"}


def by_red(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
    """A "network": class 1 where red is above 127, else 0."""
    return {"class_map": (images_B3HW[:, 0] > 127).astype(np.uint8)}


def make_predictor(run=by_red, **changes) -> Predictor:
    return Predictor(make_card(**changes), run, FACTS)


def test_the_network_sees_planar_rgb_of_the_cards_size():
    seen = []

    def spy(images_B3HW):
        seen.append(images_B3HW.copy())
        return by_red(images_B3HW)

    image = make_images(1)[0]
    make_predictor(spy).predict(image)
    assert seen[0].shape == (1, 3, *SIZE)
    assert seen[0].dtype == np.uint8
    wanted, _ = Resize(size=SIZE).apply(image)
    np.testing.assert_array_equal(seen[0][0], wanted.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [SIZE, (75, 100), (31, 200), (200, 31), (1, 1)])
def test_the_class_map_has_the_images_size_and_place(mode, size):
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2, : size[1] // 2, 0] = 255
    answer = make_predictor(resize=Resize(size=SIZE, mode=mode)).predict(image)
    assert answer.semantic.shape == answer.size == size
    assert answer.semantic.dtype == np.uint8
    agree = (answer.semantic == (image[..., 0] > 127)).mean()
    assert agree == 1 if size == SIZE or max(size) == 1 else agree > 0.93


def test_times_are_told_and_answers_are_not_overwritten():
    predictor = make_predictor()
    black, red = np.zeros((*SIZE, 3), np.uint8), np.zeros((*SIZE, 3), np.uint8)
    red[..., 0] = 255
    first, second = predictor.predict(black), predictor.predict(red)
    assert first.semantic.max() == 0
    assert second.semantic.min() == 1
    assert set(first.times) == {"read", "preprocess", "network", "postprocess"}
    assert all(seconds >= 0 for seconds in first.times.values())


def test_a_runtime_may_reuse_its_output():
    buffer = np.zeros((1, *SIZE), np.uint8)

    def reusing(images_B3HW):
        buffer[...] = by_red(images_B3HW)["class_map"]
        return {"class_map": buffer}

    predictor = make_predictor(reusing)
    first = predictor.predict(np.zeros((*SIZE, 3), np.uint8))
    predictor.predict(np.full((*SIZE, 3), 255, np.uint8))
    assert first.semantic.max() == 0


def test_all_forms_of_one_picture_are_answered_alike(tmp_path):
    predictor = make_predictor()
    image = make_images(1)[0]
    expected = predictor.predict(image).semantic
    assert 0.1 < expected.mean() < 0.9
    path = tmp_path / "photo.png"
    write_image(path, image)
    alpha = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    for form in (path, str(path), alpha, image.astype(np.uint16) * 257, np.asfortranarray(image)):
        np.testing.assert_array_equal(predictor.predict(form).semantic, expected)
    for bgr in (image[..., ::-1], cv2.cvtColor(alpha, cv2.COLOR_RGBA2BGRA)):
        answer = predictor.predict(bgr, colour_order="bgr").semantic
        np.testing.assert_array_equal(answer, expected)
    # a file knows its own order
    np.testing.assert_array_equal(predictor.predict(path, "bgr").semantic, expected)


def test_grey_becomes_three_equal_channels():
    predictor = make_predictor()
    grey = make_images(1)[0][..., 1]
    expected = predictor.predict(np.repeat(grey[..., None], 3, axis=2)).semantic
    for form in (grey, grey[..., None], grey.astype(np.uint16) * 257):
        np.testing.assert_array_equal(predictor.predict(form).semantic, expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((48, 64, 3), np.float32), "got float32"),
        (np.zeros((48, 64), bool), "got bool"),
        (np.zeros((48, 64, 3), np.int64), "got int64"),
        (np.zeros((3, 48, 64), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((1, 48, 64, 3), np.uint8), r"\(1, 48, 64, 3\)"),
        (np.zeros((48, 64, 2), np.uint8), r"\(48, 64, 2\)"),
        (np.zeros((0, 64, 3), np.uint8), "empty array"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        ([[1, 2]], "got list"),
        (None, "got NoneType"),
    ],
)
def test_arrays_that_are_no_images_are_told(image, message):
    with pytest.raises(DataError, match=message):
        make_predictor().predict(image)


def test_files_that_are_no_images_are_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        make_predictor().predict(tmp_path / "nothing.jpg")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match="not an image"):
        make_predictor().predict(tmp_path / "text.jpg")


def test_an_unknown_colour_order_is_told():
    with pytest.raises(ConfigError, match="got 'hsv'"):
        make_predictor().predict(make_images(1)[0], colour_order="hsv")


def test_more_than_255_classes_make_a_wide_class_map():
    classes = Classes.of([f"class {number}" for number in range(300)])

    def run(images_B3HW):
        return {"class_map": np.full((1, *SIZE), 299, np.uint16)}

    answer = make_predictor(run, classes=classes).predict(make_images(1)[0])
    assert answer.semantic.dtype == np.uint16
    assert (answer.semantic == 299).all()


def objects(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
    """Three objects in a 48x64 input, masks at stride 4, and two empty slots."""
    masks = np.zeros((1, 5, 12, 16), np.uint8)
    masks[0, 0, 3:6, 4:8] = 1
    masks[0, 1, 6:9, 8:16] = 1
    boxes = np.zeros((1, 5, 4), np.float32)
    boxes[0, :3] = [[16, 12, 32, 24], [32, 24, 64, 36], [0, 0, 10, 3]]
    return {
        "boxes": boxes,
        "scores": np.array([[0.9, 0.6, 0.2, 0, 0]], np.float32),
        "class_ids": np.array([[2, 1, 0, 0, 0]], np.int64),
        "masks": masks,
        "labels": np.array([[0.1, 0.8, 0.5]], np.float32),
    }


def test_objects_come_back_in_the_images_pixels():
    answer = make_predictor(objects).predict(np.zeros((96, 128, 3), np.uint8))
    assert answer.semantic is None
    assert [found.class_id for found in answer.instances] == [2, 1]
    assert answer.instances[0].box_xyxy == (32, 24, 64, 48)
    assert answer.instances[0].score == pytest.approx(0.9)
    mask = answer.instances[0].mask.decode().astype(bool)
    expected = np.zeros((96, 128), bool)
    expected[24:48, 32:64] = True
    assert (mask == expected).mean() > 0.99
    assert mask.shape == answer.size
    assert [(label.class_id, label.score) for label in answer.labels] == [
        (1, pytest.approx(0.8)),
        (2, pytest.approx(0.5)),
    ]


def test_thresholds_can_be_lowered_but_empty_slots_stay_out():
    answer = make_predictor(objects).predict(np.zeros((96, 128, 3), np.uint8), score_threshold=0)
    assert [found.class_id for found in answer.instances] == [2, 1, 0]
    assert len(answer.labels) == 3


def test_objects_outside_of_a_letterboxed_image_are_dropped_and_others_shifted():
    # 48x48 into 48x64: the image lies in columns 8..56 of the input
    card_resize = Resize(size=SIZE, mode="letterbox")
    image = np.zeros((48, 48, 3), np.uint8)
    answer = make_predictor(objects, resize=card_resize).predict(image, score_threshold=0.0)
    assert answer.instances[0].box_xyxy == (8, 12, 24, 24)
    assert answer.instances[1].box_xyxy == (24, 24, 48, 36)
    columns = np.flatnonzero(answer.instances[1].mask.decode().any(axis=0))
    assert columns.max() == 47
    assert columns.min() in (23, 24)

    def border_only(images_B3HW):
        outputs = objects(images_B3HW)
        outputs["boxes"][0, 0] = [0, 0, 8, 48]
        return outputs

    answer = make_predictor(border_only, resize=card_resize).predict(image)
    assert [found.class_id for found in answer.instances] == [1]


def test_masks_are_enlarged_before_they_are_cut():
    """The other order makes stairs; the rule's diagonal is straight to about a pixel."""

    def diagonal(images_B3HW):
        outputs = objects(images_B3HW)
        rows, columns = np.mgrid[:12, :16]
        soft = np.clip(0.5 + (columns + 0.5) * 4 / 16 - (rows + 0.5) * 4 / 16, 0, 1)
        return outputs | {"masks": np.repeat(soft[None, None], 5, axis=1).astype(np.float32)}

    answer = make_predictor(diagonal).predict(np.zeros((*SIZE, 3), np.uint8))
    mask = answer.instances[0].mask.decode().astype(bool)
    rows, columns = np.mgrid[:48, :64]
    assert (mask == (columns > rows))[2:-2, 2:-2].mean() > 0.99


def test_the_cards_mask_threshold_counts():
    def soft(images_B3HW):
        return objects(images_B3HW) | {"masks": np.full((1, 5, 48, 64), 0.6, np.float32)}

    image = np.zeros((*SIZE, 3), np.uint8)
    assert make_predictor(soft).predict(image).instances[0].mask.area == 48 * 64
    assert make_predictor(soft, mask_threshold=0.7).predict(image).instances[0].mask.area == 0


def test_threads_do_not_mix_their_images():
    predictor = make_predictor()
    images = [np.full((*SIZE, 3), 255 * (number % 2), np.uint8) for number in range(4)]
    wrong = []

    def work(image):
        for _ in range(50):
            if (predictor.predict(image).semantic != image[0, 0, 0] // 255).any():
                wrong.append(image)

    workers = [threading.Thread(target=work, args=(image,)) for image in images]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: np.full((1, *SIZE), 300, np.int64), "300 in its class map"),
        (lambda: np.full((1, *SIZE), -1, np.int32), "ids below 0"),
        (lambda: np.full((1, *SIZE), 7, np.uint8), "7 in its class map"),
        (lambda: np.zeros((1, *SIZE), np.float32), r"class_map \[1x48x64\].*float32"),
        (lambda: np.zeros((1, 8, 8), np.uint8), r"class_map \[1x48x64\].*uint8 \[1x8x8\]"),
        (lambda: np.zeros(SIZE, np.uint8), r"uint8 \[48x64\]"),
    ],
)
def test_class_maps_that_break_the_cards_promise_are_told(made, told):
    """Ids that don't fit into 8 bits would wrap and be scored."""
    with pytest.raises(ModelFileError, match=told):
        make_predictor(lambda _: {"class_map": made()}).predict(make_images(1)[0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"boxes": np.zeros((1, 3, 5), np.float32)}, r"boxes \[1xanyx4\].*1x3x5"),
        ({"scores": np.zeros((1, 2), np.float32)}, r"scores \[1x3\].*1x2"),
        ({"class_ids": np.full((1, 3), 99)}, r"99\.\.99 of objects"),
        ({"class_ids": np.full((1, 3), -1)}, "of objects"),
        ({"masks": np.zeros((1, 2, 8, 8), np.float32)}, r"masks \[1x3xanyxany\]"),
        ({"labels": np.zeros((1, 9), np.float32)}, r"labels \[1x3\]"),
    ],
)
def test_objects_that_break_the_cards_promise_are_told(change, told):
    good = {
        "boxes": np.tile(np.float32([1, 1, 9, 9]), (1, 3, 1)),
        "scores": np.full((1, 3), 0.9, np.float32), "class_ids": np.zeros((1, 3), np.int64),
        "masks": np.ones((1, 3, 12, 16), np.float32), "labels": np.zeros((1, 3), np.float32),
    }  # fmt: skip
    classes = Classes.of(["a", "b", "c"])
    tasks = ("instances", "labels")
    image = make_images(1)[0]
    make_predictor(lambda _: good, classes=classes, tasks=tasks).predict(image)
    with pytest.raises(ModelFileError, match=told):
        make_predictor(lambda _: good | change, classes=classes, tasks=tasks).predict(image)
