"""`Segmentation` refuses contradictions, shows itself, and goes to supervision."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskwright.core import Classes, DataError, Instance, Label, Mask, Panoptic, Segmentation

CLASSES = Classes.of(["field", "ball"], [(10, 200, 30), (240, 20, 20)], [1])
SIZE = (6, 8)


def ball(score=None, track_id=None):
    mask = np.zeros(SIZE, bool)
    mask[2:4, 5:8] = True
    return Instance(
        class_id=1,
        box_xyxy=(5, 2, 8, 4),
        mask=Mask.encode(mask),
        score=score,
        track_id=track_id,
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"semantic": np.zeros((8, 6), np.uint8)}, r"\(6, 8\).*\(8, 6\)"),
        ({"semantic": np.zeros(SIZE, np.uint16)}, "uint8, got.*uint16"),
        (
            {
                "instances": (
                    Instance(class_id=1, box_xyxy=(0, 0, 1, 1), mask=Mask.encode(np.eye(3) > 0)),
                )
            },
            r"instance 0.*\(6, 8\).*\(3, 3\)",
        ),
        ({"instances": (ball(), Instance(class_id=2, box_xyxy=(0, 0, 1, 1)))}, "instance 1.* 2"),
        ({"instances": (Instance(class_id=-1, box_xyxy=(0, 0, 1, 1)),)}, "-1"),
        ({"labels": (Label(class_id=5),)}, "label has class id 5"),
        ({"panoptic": Panoptic(segment_ids=np.zeros((2, 2), np.int32), class_of={})}, r"\(2, 2\)"),
        (
            {"panoptic": Panoptic(segment_ids=np.zeros(SIZE, np.int32), class_of={7: 9})},
            "segment 7",
        ),
    ],
)
def test_parts_that_contradict_size_or_classes_are_refused(parts, said):
    with pytest.raises(DataError, match=said):
        Segmentation(size=SIZE, classes=CLASSES, **parts)


def test_above_255_classes_a_class_map_has_16_bits():
    many = Classes.of(str(i) for i in range(300))
    Segmentation(size=SIZE, classes=many, semantic=np.full(SIZE, 65535, np.uint16))
    with pytest.raises(DataError, match=r"uint16, got.*uint8"):
        Segmentation(size=SIZE, classes=many, semantic=np.zeros(SIZE, np.uint8))


def test_a_notebook_shows_the_classes_on_black():
    semantic = np.full(SIZE, 255, np.uint8)
    semantic[:, :3] = 0
    segmentation = Segmentation(size=SIZE, classes=CLASSES, semantic=semantic)
    shown = cv2.imdecode(np.frombuffer(segmentation._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    expected = np.zeros((*SIZE, 3), np.uint8)
    expected[:, :3] = (10, 200, 30)
    np.testing.assert_array_equal(shown[..., ::-1], expected)


def test_to_supervision():
    pytest.importorskip("supervision")
    found = Segmentation(
        size=SIZE, classes=CLASSES, instances=(ball(0.5, 4), ball(0.25, 7))
    ).to_supervision()
    np.testing.assert_array_equal(found.xyxy, [[5, 2, 8, 4]] * 2)
    np.testing.assert_array_equal(found.class_id, [1, 1])
    np.testing.assert_array_equal(found.confidence, [0.5, 0.25])
    np.testing.assert_array_equal(found.tracker_id, [4, 7])
    assert found.data["class_name"].tolist() == ["ball", "ball"]
    np.testing.assert_array_equal(found.mask[1], ball().mask.decode())


def test_to_supervision_without_masks_scores_or_objects():
    pytest.importorskip("supervision")
    box = Instance(class_id=0, box_xyxy=(0, 0, 1, 1))
    found = Segmentation(size=SIZE, classes=CLASSES, instances=(ball(), box)).to_supervision()
    assert found.mask is None
    assert found.tracker_id is None
    np.testing.assert_array_equal(found.confidence, [1, 1])
    assert len(Segmentation(size=SIZE, classes=CLASSES).to_supervision()) == 0
